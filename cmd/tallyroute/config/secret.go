package config

import (
	"errors"
	"net/url"

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
