package identity

import (
	"net/http"
	"sync"
)

// Host is who this process is, at each of the clouds. What was found out is kept for all
// who ask the same. The zero value is ready for use.
type Host struct {
	Client *http.Client // that Azure is asked by; nil is the library's own

	mu     sync.Mutex
	chains map[string]*Chain
	tokens map[string]Token
}

// AWS is who it is at AWS, in a region and by a profile; "" are those of the environment.
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

// Azure gives tokens of Microsoft Entra ID for a scope; client is the id of a user-assigned
// identity, "" what the environment says.
func (h *Host) Azure(scope, client string) Token {
	return h.kept("azure "+scope+" "+client, func() Token { return azure(scope, client, h.Client) })
}

// Google gives tokens of Google Cloud.
func (h *Host) Google() Token { return h.kept("google", googleTokens) }

// GoogleProof gives tokens of Google that say to an audience who this machine is.
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
