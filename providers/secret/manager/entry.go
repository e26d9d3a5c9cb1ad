package manager

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/providers/secret"
)

// entry is one secret that is kept current.
type entry struct {
	scheme, name string
	from         Manager
	now          atomic.Pointer[version] // nil before the first fetch

	fetching sync.Mutex
	mu       sync.Mutex
	err      error     // of the last fetch
	since    time.Time // the first failed fetch since the last success
	next     time.Time // when to ask again a manager that requested a delay
}

// version is one version of a secret, with the fields that were read from it.
type version struct {
	Secret
	at     time.Time // when it was fetched
	used   atomic.Bool
	fields sync.Map // name → secret.Value
}

// field returns a field, parsed on first use.
func (v *version) field(ref, name string) (secret.Value, error) {
	if known, ok := v.fields.Load(name); ok {
		value, _ := known.(secret.Value)
		return value, nil
	}
	text, err := v.Secret.field(name)
	if err != nil {
		return secret.Value{}, &fieldError{ref, err}
	}
	value, err := secret.Trimmed(ref, text)
	if err != nil {
		return secret.Value{}, err
	}
	v.fields.Store(name, value)
	return value, nil
}

// fieldError reports that a secret exists but lacks what was asked for.
type fieldError struct {
	ref string
	err error
}

func (e *fieldError) Error() string { return "secret: " + e.ref + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// fetch reads the current version from the manager, one call at a time. changed is nil unless
// the version is new.
func (e *entry) fetch(ctx context.Context, clock func() time.Time) (changed *version, err error) {
	e.fetching.Lock()
	defer e.fetching.Unlock()
	got, err := e.from.Fetch(ctx, e.name)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err = err; err != nil {
		if e.since.IsZero() {
			e.since = clock()
		}
		e.next = clock().Add(afterOf(err))
		return nil, err
	}
	e.since, e.next = time.Time{}, time.Time{}
	old := e.now.Load()
	if old != nil && old.Version == got.Version && old.Text.Reveal() == got.Text.Reveal() {
		return nil, nil //nolint:nilnil // nothing has changed, and nothing failed
	}
	fresh := &version{Secret: got, at: clock()}
	e.now.Store(fresh)
	return fresh, nil
}

// due reports whether the manager may be asked again.
func (e *entry) due(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !now.Before(e.next)
}
