package upstream

import (
	"sync"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router"
)

// Uses records when credentials are used.
type Uses struct {
	Clock func() time.Time
	mu    sync.Mutex
	last  map[used]billing.CredentialUse
}

// used is a credential, identified by its provider and its name in the ledger.
type used struct{ provider, credential string }

// Observe records the credentials used by a request's attempts.
func (u *Uses) Observe(r router.Record) {
	if r.Event != router.EventRequest || len(r.Attempts) == 0 {
		return
	}
	now := u.Clock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = make(map[used]billing.CredentialUse)
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		key := used{a.Provider, a.Credential}
		use := u.last[key]
		use.UsedAt = now
		if f := a.Kind.Fault(); a.Kind != "" && (f == providers.FaultCredential || f == providers.FaultRate) {
			use.FailedAt, use.Failure = now, string(a.Kind)
		}
		u.last[key] = use
	}
}

// Take returns and clears what was recorded.
func (u *Uses) Take() (list []billing.CredentialUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, use := range u.last {
		use.Provider, use.Credential = key.provider, key.credential
		list = append(list, use)
	}
	clear(u.last)
	return list
}

// Return puts back what couldn't be stored.
func (u *Uses) Return(list []billing.CredentialUse) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = make(map[used]billing.CredentialUse)
	}
	for _, use := range list {
		key := used{use.Provider, use.Credential}
		u.last[key] = use.Later(u.last[key])
	}
}
