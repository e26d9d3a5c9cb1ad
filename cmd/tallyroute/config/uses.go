package config

import (
	"net/url"
	"reflect"
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
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return Inline
	}
	return ""
}
