package config

import (
	"errors"
	"net/url"
	"reflect"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// SecretRef says where a credential is; the credential itself is never part of
// the configuration.
type SecretRef string

// UnmarshalText refuses what is not a reference, without repeating it.
func (s *SecretRef) UnmarshalText(text []byte) error {
	if len(text) > 0 && !secret.IsReference(string(text)) {
		return errors.New("want a reference such as env:NAME, file:/path or vault:kv/data/path#field, not the secret itself")
	}
	*s = SecretRef(text)
	return nil
}

// ProxyRef is the way to providers: an address without a password, the word
// "environment", or a reference to an address.
type ProxyRef string

// UnmarshalText refuses what is none of these, without repeating it.
func (p *ProxyRef) UnmarshalText(text []byte) error {
	*p = ProxyRef(text)
	if secret.IsReference(string(text)) {
		return nil
	}
	if u, err := url.Parse(string(text)); err != nil || u.User != nil {
		return errors.New("want http://host:port, environment, or a reference such as env:NAME where it holds a password")
	}
	_, err := providers.NewProxy(string(text))
	return err
}

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
		if source := one.source(); source != "" {
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

// source is where the password of a database comes from; "" where it has none.
func (d DSN) source() string {
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
