package identity

import (
	"net/http"
	"sync"
)

// Host is the identity of this process at each of the clouds. Lookups are cached and shared
// by all callers that ask for the same thing. The zero value is ready for use.
type Host struct {
	Client *http.Client // used for calls to Azure; nil means the library's own

	mu     sync.Mutex
	chains map[string]*Chain
	tokens map[string]Token
}

// AWS returns the identity at AWS, for a region and profile; "" means the environment's.
func (h *Host) AWS(region, profile string) *Chain {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := region + " " + profile
	if h.chains[name] == nil {
		if h.chains == nil {
			h.chains = make(map[string]*Chain)
		}
		h.chains[name] = &Chain{Region: region, Profile: profile}
	}
	return h.chains[name]
}

// Azure returns a source of Microsoft Entra ID tokens for a scope. client is the ID of a
// user-assigned identity; "" leaves it to the environment.
func (h *Host) Azure(scope, client string) Token {
	return h.kept("azure "+scope+" "+client, func() Token { return azure(scope, client, h.Client) })
}

// Google returns a source of Google Cloud tokens.
func (h *Host) Google() Token { return h.kept("google", googleTokens) }

// GoogleProof returns a source of Google tokens that prove to an audience who this machine is.
func (h *Host) GoogleProof(audience string) Token { return googleProof(audience) }

func (h *Host) kept(name string, find func() Token) Token {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tokens[name] == nil {
		if h.tokens == nil {
			h.tokens = make(map[string]Token)
		}
		h.tokens[name] = find()
	}
	return h.tokens[name]
}
