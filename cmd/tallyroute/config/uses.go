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
	switch one := v.Interface().(type) {
	case SecretRef:
		if source := secret.SourceOf(string(one)); source != "" {
			list = append(list, SecretUse{at, source})
		}
		return list
	case ProxyRef:
		if source := secret.SourceOf(string(one)); source != "" {
			list = append(list, SecretUse{at, source})
		}
		return list
	case DSN:
		if source := one.passwordSource(); source != "" {
			list = append(list, SecretUse{at, source})
		}
		return list
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
				list = append(list, secretsIn(joinPath(at, name), v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			list = append(list, secretsIn(at+"["+strconv.Itoa(i)+"]", v.Index(i))...)
		}
	default: // holds no others
	}
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
