package billing

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// KeyNotice reports that a key has changed in a way that may have ended its use.
type KeyNotice struct {
	KeyID   KeyID
	Version int64
	At      time.Time // by the database's clock
	Ended   error     // ErrRevoked, ErrDisabled or ErrStopped if its use has ended; nil if the key may be used
}

// Refusal returns the error with which a key whose use has ended is refused.
func (n KeyNotice) Refusal() error {
	return fmt.Errorf("%w since %s", n.Ended, n.At.UTC().Format(time.RFC3339))
}

// KeyFeed is a store that reports changes of keys immediately.
type KeyFeed interface {
	// FollowKeys calls live once it is listening, and then tell for every notice, until
	// ctx ends or the connection to the database does. It returns ErrNoFeed where
	// listening is impossible, for instance through a pooler.
	FollowKeys(ctx context.Context, live func(), tell func(KeyNotice)) error
}

// KeyWatch knows which keys are currently in use, so that in-flight requests can be
// ended together with their key, and records how keys with several valid secrets are
// used.
type KeyWatch struct {
	mu        sync.Mutex
	followers map[KeyID]map[*follower]struct{}
	uses      map[versionOf]*SecretUse
}

type follower struct{ ended func(error) }

type versionOf struct {
	id     KeyID
	number int
}

// The bounds on what is recorded between two flushes.
const (
	mostVersions = 10_000
	mostCallers  = 64 // addresses, and user agents, of one version
)

// NewKeyWatch returns a watch that nobody follows yet.
func NewKeyWatch() *KeyWatch {
	return &KeyWatch{followers: make(map[KeyID]map[*follower]struct{}), uses: make(map[versionOf]*SecretUse)}
}

// Follow arranges for ended to be called once when the key may no longer be used,
// unless stop was called first.
func (w *KeyWatch) Follow(k *Key, ended func(error)) (stop func()) {
	f := &follower{ended}
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.followers[k.ID]
	if all == nil {
		all = make(map[*follower]struct{}, 1)
		w.followers[k.ID] = all
	}
	all[f] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(all, f)
		if now := w.followers[k.ID]; len(now) == 0 {
			delete(w.followers, k.ID)
		}
	}
}

// Followed returns the keys that somebody follows.
func (w *KeyWatch) Followed() []KeyID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.followers))
}

// Follows reports whether somebody follows the key.
func (w *KeyWatch) Follows(id KeyID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.followers[id]) > 0
}

// End ends everything that follows a key, passing on why it has ended.
func (w *KeyWatch) End(id KeyID, why error) {
	w.mu.Lock()
	all := w.followers[id]
	delete(w.followers, id)
	w.mu.Unlock()
	for f := range all {
		f.ended(why)
	}
}

// Note counts a request of a key that has several valid secrets. It also records who
// still uses an old one.
func (w *KeyWatch) Note(k *Key, from netip.Addr, agent string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := versionOf{k.ID, k.Secret.Number}
	u := w.uses[name]
	if u == nil {
		if len(w.uses) >= mostVersions {
			return
		}
		u = &SecretUse{KeyID: k.ID, Number: k.Secret.Number}
		w.uses[name] = u
	}
	u.Requests++
	if at.After(u.At) {
		u.At = at
	}
	if k.Secret.Old() {
		u.From, u.Agents = counted(u.From, from.String()), counted(u.Agents, CleanText(agent[:min(len(agent), mostAgent)]))
	}
}

// counted adds one to the count of a name, if there is room for the name.
func counted(all map[string]int64, name string) map[string]int64 {
	if all == nil {
		all = make(map[string]int64)
	}
	if _, known := all[name]; known || len(all) < mostCallers {
		all[name]++
	}
	return all
}

// Uses returns and clears what was recorded since the previous call.
func (w *KeyWatch) Uses() []SecretUse {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]SecretUse, 0, len(w.uses))
	for _, u := range w.uses {
		list = append(list, *u)
	}
	clear(w.uses)
	return list
}
