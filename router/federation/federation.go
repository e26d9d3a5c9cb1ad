// Package federation admits jobs and services that prove their identity with a token from their
// own platform (OpenID Connect), so that they need not hold a key: the claims of the token
// decide which key they use.
package federation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/policy"
)

// Bounds on identity tokens and on what they are exchanged for.
const (
	Longest  = 15 * time.Minute // lifetime of a temporary key given for a token
	longest  = 16 << 10         // bytes of a token
	most     = 4096             // tokens that are remembered
	recheck  = time.Minute      // after which a remembered token is verified again
	skew     = 30 * time.Second // allowed difference between clocks
	mostText = 200              // bytes of an issuer or a subject in a row
)

// Issuer is a trusted signer of identity tokens.
type Issuer struct {
	URL      string // as in the claim iss
	Audience string // that its tokens must be intended for
	JWKS     string // where its keys are; "" uses its discovery document
	Bindings []Binding
}

// Binding assigns a key to callers whose claims meet a condition.
type Binding struct {
	Key    billing.KeyID
	When   policy.ClaimsCondition
	Life   time.Duration // of temporary keys; 0 is the maximum
	Direct bool          // the token itself may be sent instead of a key
}

// ErrRefused is a token that is invalid or not meant for us. The details are for the log.
var ErrRefused = errors.New("federation: identity token refused")

// ErrUnavailable is an issuer whose keys cannot be fetched.
var ErrUnavailable = errors.New("federation: the issuer of the identity token does not answer")

// Exchange verifies identity tokens. It is safe for concurrent use.
type Exchange struct {
	issuers  map[string]*issuer
	verified *ephemeral.Recent[verified]
}

// verified is the result of verifying a token.
type verified struct {
	at      time.Time
	binding *Binding
	opened  *ephemeral.Opened
}

type issuer struct {
	Issuer
	keys   *keys
	config *oidc.Config
}

// New returns an Exchange for tokens from these issuers, whose keys are fetched with client.
func New(issuers []Issuer, client *http.Client) *Exchange {
	x := &Exchange{issuers: make(map[string]*issuer, len(issuers)), verified: ephemeral.NewRecent[verified](most)}
	for _, i := range issuers {
		x.issuers[i.URL] = &issuer{Issuer: i, keys: newKeys(i, client), config: &oidc.Config{
			ClientID: i.Audience, SkipExpiryCheck: true, // done with the request's own clock
			SupportedSigningAlgs: []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.PS256, oidc.EdDSA},
		}}
	}
	return x
}

// Is reports whether a text looks like an identity token.
func Is(text string) bool { return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 }

// Key returns the temporary key that a token is exchanged for.
func (x *Exchange) Key(ctx context.Context, token string, now time.Time) (ephemeral.Key, error) {
	v, err := x.verify(ctx, token, now)
	if err != nil {
		return ephemeral.Key{}, err
	}
	k := v.opened.Key
	k.ID = billing.NewID("tok_")
	if life := v.binding.life(); k.Until().Sub(now) > life {
		k.Ends = now.Add(life).Unix()
	}
	return k, nil
}

func (b *Binding) life() time.Duration {
	if b.Life == 0 {
		return Longest
	}
	return b.Life
}

// Open accepts a token in place of a key.
func (x *Exchange) Open(ctx context.Context, token string, now time.Time) (*ephemeral.Opened, error) {
	v, err := x.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	if !v.binding.Direct {
		return nil, fmt.Errorf("%w: it has to be exchanged: POST /v1/oauth/token", ErrRefused)
	}
	return v.opened, v.opened.InForce(now)
}

// verify caches its results for a minute.
func (x *Exchange) verify(ctx context.Context, token string, now time.Time) (verified, error) {
	v, ok := x.verified.Of(token)
	if ok && now.Sub(v.at) < recheck && v.opened.InForce(now) == nil {
		return v, nil
	}
	fresh, err := x.check(ctx, token, now)
	if err != nil {
		return verified{}, err
	}
	if ok { // what it opens stays the same
		fresh.opened = v.opened
	}
	x.verified.Remember(token, fresh, func(v verified) bool { return now.Sub(v.at) >= recheck })
	return fresh, nil
}

// check verifies a token and finds its binding.
func (x *Exchange) check(ctx context.Context, token string, now time.Time) (verified, error) {
	if len(token) > longest || !Is(token) {
		return verified{}, fmt.Errorf("%w: it is not a JWT of at most %d bytes", ErrRefused, longest)
	}
	i := x.issuers[issuerOf(token)]
	if i == nil {
		return verified{}, fmt.Errorf("%w: its issuer is not in the configuration", ErrRefused)
	}
	asked := &asked{keys: i.keys}
	t, err := oidc.NewVerifier(i.URL, asked, i.config).Verify(ctx, token)
	if asked.away != nil {
		return verified{}, asked.away
	}
	if err != nil {
		return verified{}, fmt.Errorf("%w: its signature, audience or format is invalid", ErrRefused)
	}
	var claims map[string]any
	if err := t.Claims(&claims); err != nil {
		return verified{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	notBefore, ok := claims["nbf"].(float64)
	if !ok && claims["nbf"] != nil {
		return verified{}, fmt.Errorf("%w: its claim nbf is not a number", ErrRefused)
	}
	switch {
	case t.Expiry.Unix() <= 0:
		return verified{}, fmt.Errorf("%w: it has no end", ErrRefused)
	case !now.Before(t.Expiry.Add(skew)):
		return verified{}, fmt.Errorf("%w: it ended at %s", ErrRefused, t.Expiry.UTC().Format(time.RFC3339))
	case now.Add(skew).Before(time.Unix(int64(notBefore), 0)), now.Add(skew).Before(t.IssuedAt):
		return verified{}, fmt.Errorf("%w: it is not valid yet", ErrRefused)
	case t.Subject == "":
		return verified{}, fmt.Errorf("%w: it names no subject", ErrRefused)
	}
	for n := range i.Bindings {
		if b := &i.Bindings[n]; b.When.Holds(claims) {
			return verified{at: now, binding: b, opened: ephemeral.Open(ephemeral.Key{
				ID: billing.NewID("tok_"), KeyID: b.Key, Ends: t.Expiry.Add(skew).Unix(),
				Issuer: cut(i.URL), Subject: cut(t.Subject),
			})}, nil
		}
	}
	return verified{}, fmt.Errorf("%w: no key is for its claims", ErrRefused)
}

// issuerOf returns the claim iss of a token that has not been verified yet.
func issuerOf(token string) string {
	var c struct {
		Issuer string `json:"iss"`
	}
	_, payload, _ := strings.Cut(token, ".")
	payload, _, _ = strings.Cut(payload, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(text, &c) != nil {
		return ""
	}
	return c.Issuer
}

// cut shortens a text so that it fits in a row.
func cut(s string) string {
	plain := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s[:min(len(s), mostText)])
	return billing.CleanText(plain)
}
