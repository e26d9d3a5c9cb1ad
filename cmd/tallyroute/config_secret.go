package main

import (
	"context"
	"errors"
	"net/url"

	"tallyroute/providers"
	"tallyroute/providers/secret"
)

// secretRef says where a credential is; the credential itself is never part of
// the configuration.
type secretRef string

// isReference reports whether s says where a credential is, rather than being one.
func isReference(s string) bool {
	_, err := secret.Resolve(context.Background(), s)
	return !errors.Is(err, secret.ErrLiteral)
}

// UnmarshalText refuses what is no reference, without repeating it.
func (s *secretRef) UnmarshalText(text []byte) error {
	if len(text) > 0 && !isReference(string(text)) {
		return errors.New("want a reference such as env:NAME or file:/path, not the secret itself")
	}
	*s = secretRef(text)
	return nil
}

// resolve reads the credential; ok is false where none is configured.
func (s secretRef) resolve(ctx context.Context) (v secret.Value, ok bool, err error) {
	if s == "" {
		return secret.Value{}, false, nil
	}
	v, err = secret.Resolve(ctx, string(s))
	return v, err == nil, err
}

// proxyRef is the way to providers: an address without a password, the word
// "environment", or a reference to an address.
type proxyRef string

// UnmarshalText refuses what is none of these, without repeating it.
func (p *proxyRef) UnmarshalText(text []byte) error {
	*p = proxyRef(text)
	if isReference(string(text)) {
		return nil
	}
	if u, err := url.Parse(string(text)); err != nil || u.User != nil {
		return errors.New("want http://host:port, environment, or a reference such as env:NAME where it holds a password")
	}
	_, err := providers.NewProxy(string(text))
	return err
}

// resolve is the proxy; nil where there is none.
func (p proxyRef) resolve(ctx context.Context) (*providers.Proxy, error) {
	if p == "" || !isReference(string(p)) {
		return providers.NewProxy(string(p))
	}
	v, err := secret.Resolve(ctx, string(p))
	if err != nil {
		return nil, err
	}
	return providers.NewProxy(v.Reveal())
}

// resolve reads the connection string, which may be kept like a credential.
func (d dsn) resolve(ctx context.Context) (dsn, error) {
	if d == "" || d.postgres() {
		return d, nil
	}
	if _, err := d.sqlitePath(); err == nil {
		return d, nil
	}
	v, err := secret.Resolve(ctx, string(d))
	return dsn(v.Reveal()), err
}
