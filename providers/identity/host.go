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
	return kept(h, &h.chains, region+" "+profile, func() *Chain { return &Chain{Region: region, Profile: profile} })
}

// Azure returns a source of Microsoft Entra ID tokens for a scope. client is the ID of a
// user-assigned identity; "" leaves it to the environment.
func (h *Host) Azure(scope, client string) Token {
	return kept(h, &h.tokens, "azure "+scope+" "+client, func() Token { return azure(scope, client, h.Client) })
}

// Google returns a source of Google Cloud tokens.
func (h *Host) Google() Token { return kept(h, &h.tokens, "google", googleTokens) }

// GoogleProof returns a source of Google tokens that prove to an audience who this machine is.
func (h *Host) GoogleProof(audience string) Token { return googleProof(audience) }

// kept returns what was found under a name before, or else finds it.
func kept[T any](h *Host, all *map[string]T, name string, find func() T) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	if found, known := (*all)[name]; known {
		return found
	}
	if *all == nil {
		*all = make(map[string]T)
	}
	found := find()
	(*all)[name] = found
	return found
}
