// Package identity logs people in at an OpenID provider: with the authorization code flow and
// PKCE, or with the device flow. It says who somebody is and which groups they are in; what
// they may do is decided elsewhere. Access tokens are never inspected: they may be opaque.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Config configures a client of an OpenID provider.
type Config struct {
	Issuer       string
	ClientID     string
	ClientSecret string   // "" for a public client
	Scopes       []string // openid is always requested
	GroupsClaim  string   // a name, or a path such as realm_access.roles
	Transport    http.RoundTripper
	Clock        func() time.Time
}

// Person is who somebody is, according to the provider.
type Person struct {
	Issuer          string
	Subject         string
	Email           string
	EmailVerified   bool
	Name            string
	Groups          []string
	Strength        []string  // amr, and acr
	AuthenticatedAt time.Time // zero if the provider does not say
}

// Login errors.
var (
	// ErrUnavailable is a provider that does not answer as it should.
	ErrUnavailable = errors.New("identity: the identity provider cannot be used")
	// ErrRefused is an invalid code, token or response.
	ErrRefused = errors.New("identity: the login is refused")
	// ErrPending says that the person at the device has not finished.
	ErrPending = errors.New("identity: the login is not finished")
	// ErrNoDevice is a provider that does not support the device flow.
	ErrNoDevice = errors.New("identity: the identity provider has no device flow")
)

// Provider is an OpenID provider. Its discovery document is read when it is first needed.
type Provider struct {
	config Config
	client *http.Client

	mu    sync.Mutex
	found *oidc.Provider
}

// New returns the provider of a configuration.
func New(c Config) *Provider {
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Provider{config: c, client: &http.Client{Transport: bounded{c.Transport}}}
}

// bounded ends calls that take too long, and cuts off responses that are longer than any from
// an OpenID provider.
type bounded struct{ http.RoundTripper }

const (
	longestCall   = 10 * time.Second
	longestAnswer = 2 << 20
)

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), longestCall)
	resp, err := b.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &boundedBody{io.LimitReader(resp.Body, longestAnswer), resp.Body, cancel}
	return resp, nil
}

type boundedBody struct {
	io.Reader
	body   io.Closer
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.body.Close()
}

// discover reads the provider's discovery document, once.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	found, err := oidc.NewProvider(p.with(ctx), p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	p.found = found
	return found, nil
}

func (p *Provider) with(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

func (p *Provider) oauth(found *oidc.Provider, redirect string) *oauth2.Config {
	scopes := append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(p.config.Scopes), func(s string) bool {
		return s == oidc.ScopeOpenID
	})...)
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: found.Endpoint(), Scopes: scopes, RedirectURL: redirect,
	}
}

// Attempt is one login with an authorization code. Only the client that started it can finish
// it.
type Attempt struct {
	State    string
	Nonce    string
	Verifier string // for PKCE
	Redirect string // to which the provider sends the browser
	Fresh    bool   // the person must authenticate again
}

// URL returns the provider's login page for the attempt.
func (p *Provider) URL(ctx context.Context, a Attempt) (string, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if a.Fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return p.oauth(found, a.Redirect).AuthCodeURL(a.State, options...), nil
}

// Finish exchanges the code of an attempt for the person who logged in.
func (p *Provider) Finish(ctx context.Context, a Attempt, code string) (Person, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	token, err := p.oauth(found, a.Redirect).Exchange(p.with(ctx), code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, exchangeError(err)
	}
	return p.person(ctx, found, token, a.Nonce)
}

func exchangeError(err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.Response != nil && answered.Response.StatusCode < http.StatusInternalServerError {
		return fmt.Errorf("%w: the code is not accepted (%s)", ErrRefused, answered.ErrorCode)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Device is a login that a person finishes on another device.
type Device struct {
	Code      string // secret
	UserCode  string
	URL       string
	FullURL   string // with the code in it; "" if the provider has none
	ExpiresAt time.Time
	Interval  int64 // seconds between two polls
}

// BeginDevice starts a login on another device.
func (p *Provider) BeginDevice(ctx context.Context) (Device, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return Device{}, err
	}
	if found.Endpoint().DeviceAuthURL == "" {
		return Device{}, ErrNoDevice
	}
	d, err := p.deviceCode(ctx, p.oauth(found, ""))
	if err != nil {
		return Device{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return Device{d.DeviceCode, d.UserCode, d.VerificationURI, d.VerificationURIComplete, d.Expiry, d.Interval}, nil
}

// deviceCode requests a code as the configured client: with its secret, if it has one, in the
// header or in the form, as the provider accepts it; at some providers this endpoint wants
// none.
func (p *Provider) deviceCode(ctx context.Context, c *oauth2.Config) (*oauth2.DeviceAuthResponse, error) {
	if c.ClientSecret == "" {
		return c.DeviceAuth(p.with(ctx))
	}
	known := *p.client
	known.Transport = basic{p.client.Transport, c.ClientID, c.ClientSecret}
	d, err := c.DeviceAuth(oidc.ClientContext(ctx, &known))
	if errors.As(err, new(*oauth2.RetrieveError)) {
		d, err = c.DeviceAuth(p.with(ctx), oauth2.SetAuthURLParam("client_secret", c.ClientSecret))
	}
	if errors.As(err, new(*oauth2.RetrieveError)) {
		d, err = c.DeviceAuth(p.with(ctx))
	}
	return d, err
}

// basic sends a client's secret in the header.
type basic struct {
	http.RoundTripper
	id, secret string
}

// RoundTrip implements http.RoundTripper.
func (b basic) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(url.QueryEscape(b.id), url.QueryEscape(b.secret))
	next := b.RoundTripper
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// FinishDevice waits until a person has finished, or ctx ends: ErrPending.
func (p *Provider) FinishDevice(ctx context.Context, d Device) (Person, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	token, err := p.oauth(found, "").DeviceAccessToken(p.with(ctx), &oauth2.DeviceAuthResponse{
		DeviceCode: d.Code, Interval: d.Interval, Expiry: d.ExpiresAt,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		if p.config.Clock().After(d.ExpiresAt) {
			return Person{}, fmt.Errorf("%w: the code has expired", ErrRefused)
		}
		return Person{}, ErrPending
	case err != nil:
		return Person{}, exchangeError(err)
	}
	return p.person(context.WithoutCancel(ctx), found, token, "")
}

// claims are the members read from an id token and from the user info.
type claims struct {
	Email         string   `json:"email"`
	EmailVerified truth    `json:"email_verified"`
	Name          string   `json:"name"`
	Preferred     string   `json:"preferred_username"`
	AMR           []string `json:"amr"`
	ACR           string   `json:"acr"`
	AuthTime      float64  `json:"auth_time"`
	AZP           string   `json:"azp"`
}

// truth is a boolean that some providers write as a string.
type truth bool

// UnmarshalJSON implements json.Unmarshaler. Anything else is false.
func (t *truth) UnmarshalJSON(raw []byte) error {
	*t = string(raw) == "true" || string(raw) == `"true"`
	return nil
}

// person verifies the id token and returns the person it is about.
func (p *Provider) person(ctx context.Context, found *oidc.Provider, token *oauth2.Token, nonce string) (Person, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Person{}, fmt.Errorf("%w: the provider gave no id token", ErrRefused)
	}
	id, err := found.Verifier(&oidc.Config{ClientID: p.config.ClientID, Now: p.config.Clock}).Verify(p.with(ctx), raw)
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var c claims
	var all map[string]json.RawMessage
	if err := errors.Join(id.Claims(&c), id.Claims(&all)); err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	switch {
	case id.Nonce != nonce:
		return Person{}, fmt.Errorf("%w: the nonce is another one", ErrRefused)
	case id.Subject == "":
		return Person{}, fmt.Errorf("%w: the id token has no subject", ErrRefused)
	case len(id.Audience) > 1 && c.AZP != p.config.ClientID, c.AZP != "" && c.AZP != p.config.ClientID:
		return Person{}, fmt.Errorf("%w: the id token was made for another client", ErrRefused)
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return Person{}, fmt.Errorf("%w: the access token is another one", ErrRefused)
	}
	who := Person{
		Issuer: id.Issuer, Subject: id.Subject, Email: c.Email, EmailVerified: bool(c.EmailVerified), Name: c.Preferred, Strength: c.AMR,
	}
	if c.ACR != "" {
		who.Strength = append(who.Strength, c.ACR)
	}
	if c.AuthTime > 0 {
		who.AuthenticatedAt = time.Unix(int64(c.AuthTime), 0)
	}
	if who.Name == "" {
		who.Name = c.Name
	}
	err = p.groups(ctx, found, token, &who, all)
	return who, err
}
