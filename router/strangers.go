package router

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing"
	"tallyroute/router/limit"
)

// Bounds of the look-ups of secrets that no key is known to have. Those of known keys
// cost none, and are never throttled.
const (
	lookupsAtOnce    = 8  // of all networks
	unknownPerMinute = 60 // found to be nobody's, of one network
)

// StrangerError refuses a secret that is not looked up: too many from its network
// were nobody's.
type StrangerError struct{ RetryAfter time.Duration }

// Error says so.
func (*StrangerError) Error() string { return "router: too many unknown keys from this network" }

// strangers bounds what secrets cost that turn out to be nobody's.
type strangers struct {
	slots   chan struct{}
	unknown *limit.Store
}

func newStrangers() strangers {
	return strangers{slots: make(chan struct{}, lookupsAtOnce), unknown: limit.New()}
}

// look finds the key of a caller who may be anybody.
func (s strangers) look(ctx context.Context, v Verifier, c Caller) (*billing.Key, error) {
	if err := s.admit(c, 0); err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.slots }()
	if err := s.admit(c, 0); err != nil {
		return nil, err
	}
	key, err := v.Verify(ctx, c.Secret, c.At)
	if errors.Is(err, billing.ErrUnknownKey) {
		_ = s.admit(c, 1) // whoever asks next is told
	}
	return key, err
}

// admit takes n from what the network of c may ask for in vain.
func (s strangers) admit(c Caller, n int64) error {
	got := s.unknown.Take(limit.Key{Scope: limit.Network(c.From), Kind: "unknown"}, unknownPerMinute, n, c.At)
	if got.Remaining > 0 || n > 0 {
		return nil
	}
	return &StrangerError{RetryAfter: time.Second}
}
