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
	now          atomic.Pointer[version] // nil before the first

	fetching sync.Mutex
	mu       sync.Mutex
	err      error     // of the last fetch
	since    time.Time // of the first fetch that failed without one that went well after it
	next     time.Time // when a manager that asks for patience is asked again
}

// version is one version of a secret with the fields that were asked for.
type version struct {
	Secret
	at     time.Time // it was fetched
	used   atomic.Bool
	fields sync.Map // of secret.Value, by name
}

// field is a field as it was read from this version before, or now.
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

// fieldError is a secret that is there without what was asked for.
type fieldError struct {
	ref string
	err error
}

func (e *fieldError) Error() string { return "secret: " + e.ref + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// fetch asks the manager, unless somebody else just has. changed is a version that was
// not there before.
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

// due reports whether the manager may be asked again by now.
func (e *entry) due(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !now.Before(e.next)
}
