package config

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"

	"tallyroute/providers/secret"
)

// SecretUse is a setting whose value is a secret, and where that comes from.
type SecretUse struct{ Setting, Source string }

// Inline is the source of a secret that stands in the configuration itself.
const Inline = "inline"

// SecretUses are the settings whose values are secrets, in their order. A pepper that is
// not set is in a file.
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

// passwordSource is where the password of a database comes from; "" where it has none.
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

// Literals are the secrets that the file itself has, and the git work tree that it is in;
// "" where it is in none.
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

// fromEnvironment reports a setting that a variable has set over the file.
func (c *Config) fromEnvironment(setting string) bool { return os.Getenv(EnvName(setting)) != "" }

// workTreeOf is the git work tree that a file is in.
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

// checkLiterals refuses a file with secrets that others can read.
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

// References are the settings that refer to a secret, and to which.
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
	default: // holds no others
	}
}
