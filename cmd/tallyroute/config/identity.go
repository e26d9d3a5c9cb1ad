package config

import (
	"strconv"
	"strings"
	"time"

	"tallyroute/billing/policy"
)

// IdentityIssuer signs tokens by which jobs and services prove who they are, in place of
// holding a key.
type IdentityIssuer struct {
	Issuer   string        `yaml:"issuer"`   // as its tokens name it
	Audience string        `yaml:"audience"` // that its tokens must be for
	JWKSURL  string        `yaml:"jwks_url"` // where its keys are; "" is found by its discovery document
	Keys     []IdentityKey `yaml:"keys"`     // the first whose condition is true is used
}

// IdentityKey is the key of those whose claims fulfil a condition.
type IdentityKey struct {
	Key       string   `yaml:"key"` // its id
	When      string   `yaml:"when"`
	ExpiresIn Duration `yaml:"expires_in"` // of a temporary key; 15m where it is left out, which is the most
	Direct    bool     `yaml:"direct"`     // the token itself may be sent in place of a key
}

const longestExchange = 15 * time.Minute

func (r *reader) checkIdentity(issuers []IdentityIssuer) {
	seen := make(map[string]bool)
	for i, s := range issuers {
		at := "identity_issuers[" + strconv.Itoa(i) + "]"
		switch {
		case !isIssuer(s.Issuer):
			r.fault(at+".issuer", "want the https address that tokens have as iss, such as https://token.actions.githubusercontent.com")
		case seen[s.Issuer]:
			r.fault(at+".issuer", "is there twice: list its keys under one")
		}
		seen[s.Issuer] = true
		if s.Audience == "" {
			r.fault(at+".audience", "want what tokens are made for, such as tallyroute: others must not be good here")
		}
		if s.JWKSURL != "" && !isIssuer(s.JWKSURL) {
			r.fault(at+".jwks_url", "want an https address")
		}
		if len(s.Keys) == 0 {
			r.fault(at+".keys", "want at least one key, with a condition on the claims")
		}
		for n, k := range s.Keys {
			r.checkIdentityKey(at+".keys["+strconv.Itoa(n)+"]", k)
		}
	}
}

func (r *reader) checkIdentityKey(at string, k IdentityKey) {
	if !strings.HasPrefix(k.Key, "key_") {
		r.fault(at+".key", "want the id of a key: tallyroute keys list")
	}
	if strings.TrimSpace(k.When) == "" {
		r.fault(at+".when", `want a condition on the claims, such as claims.repository == "acme/app"`)
	} else if _, err := policy.CompileClaims(k.When); err != nil {
		r.fault(at+".when", "%s", err)
	}
	if k.ExpiresIn < 0 || time.Duration(k.ExpiresIn) > longestExchange {
		r.fault(at+".expires_in", "want 1s to 15m")
	}
}

// isIssuer reports an address from which public keys may be taken: with https, or on
// this machine.
func isIssuer(s string) bool {
	return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://127.0.0.1:") || strings.HasPrefix(s, "http://localhost:")
}
