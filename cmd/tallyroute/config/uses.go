package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"tallyroute/providers/secret"
)

// SecretUse is a setting whose value is a secret, and the source of that secret.
type SecretUse struct{ Setting, Source string }

// Inline is the source of a secret written in the configuration itself.
const Inline = "inline"

// SecretUses returns the settings whose values are secrets, in order. A pepper that isn't
// set is in a file.
func (c *Config) SecretUses() []SecretUse {
	list := secretsIn("", reflect.ValueOf(c).Elem())
	if c.KeyPepper == "" {
		list = append(list, SecretUse{"key_pepper", "file"})
	}
	return list
}

func secretsIn(at string, v reflect.Value) (list []SecretUse) {
	visit(at, v, func(at string, v reflect.Value) {
		source := ""
		switch one := v.Interface().(type) {
		case SecretRef:
			source = secret.SourceOf(string(one))
		case ProxyRef:
			source = secret.SourceOf(string(one))
		case DSN:
			source = one.passwordSource()
		}
		if source != "" {
			list = append(list, SecretUse{at, source})
		}
	})
	return list
}

// passwordSource returns the source of a database password; "" if there is no password.
func (d DSN) passwordSource() string {
	if source := secret.SourceOf(string(d)); source != "" {
		return source
	}
	u, err := url.Parse(string(d))
	if err != nil || !d.IsPostgres() {
		return ""
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("sslpassword") {
		return Inline
	}
	return ""
}

// SSLMode returns the sslmode of a PostgreSQL connection as configured; "" if the connection
// stays on this host, and "unknown" if the address is a reference to a secret.
func (d DSN) SSLMode() string {
	u, err := url.Parse(string(d))
	switch {
	case secret.IsReference(string(d)):
		return "unknown"
	case err != nil || !d.IsPostgres():
		return ""
	}
	host := cmp.Or(u.Query().Get("host"), u.Hostname())
	addr, err := netip.ParseAddr(host)
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || err == nil && addr.IsLoopback() {
		return ""
	}
	return cmp.Or(u.Query().Get("sslmode"), os.Getenv("PGSSLMODE"), "prefer")
}

// Literals returns the settings whose secrets are written in the file itself, and the git
// work tree that contains the file; "" if none does.
func (c *Config) Literals() (settings []string, workTree string) {
	for _, use := range c.SecretUses() {
		if use.Source == Inline && c.File != "" && !c.fromEnvironment(use.Setting) {
			settings = append(settings, use.Setting)
		}
	}
	if len(settings) == 0 {
		return nil, ""
	}
	return settings, workTreeOf(c.File)
}

// fromEnvironment reports whether a variable overrides the setting.
func (c *Config) fromEnvironment(setting string) bool { return os.Getenv(EnvName(setting)) != "" }

// workTreeOf returns the git work tree that contains a file.
func workTreeOf(file string) string {
	at, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	for at != filepath.Dir(at) {
		at = filepath.Dir(at)
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at
		}
	}
	return ""
}

// checkLiterals refuses a file that contains secrets if other users can read it or, in
// production, if it is in a git work tree.
func (r *reader) checkLiterals(cfg *Config) {
	settings, tree := cfg.Literals()
	if len(settings) == 0 {
		return
	}
	info, err := os.Stat(cfg.File)
	open := err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
	for _, setting := range settings {
		switch {
		case open:
			r.fault(setting, "holds a password, and every user of this host can read the file: run chmod o-rwx %s, or refer to it: "+
				"env:NAME, file:/path, age:…", cfg.File)
		case tree != "" && cfg.Production:
			r.fault(setting, "holds a password in the git work tree %s, which production: true does not allow: refer to it: "+
				"env:NAME, file:/path, age:…", tree)
		}
	}
}

// References returns the references to secrets, by setting.
func (c *Config) References() map[string]string {
	all := make(map[string]string)
	visit("", reflect.ValueOf(c).Elem(), func(at string, v reflect.Value) {
		switch v.Interface().(type) {
		case SecretRef, ProxyRef, DSN:
			if secret.IsReference(v.String()) {
				all[at] = v.String()
			}
		}
	})
	return all
}

// visit calls each for every setting, by its path.
func visit(at string, v reflect.Value, each func(at string, v reflect.Value)) {
	each(at, v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
				visit(joinPath(at, name), v.Field(i), each)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(at+"["+strconv.Itoa(i)+"]", v.Index(i), each)
		}
	default: // has no nested settings
	}
}
