package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// VerifierOptions bound how long a Verifier may go by what it remembers. Zero
// values are the defaults.
type VerifierOptions struct {
	// Life is how old a snapshot of a key may be while the database answers, and so how
	// long after its revocation, of which nothing was told, a key may still open anything. 1 s.
	Life time.Duration
	// StaleFor is how old a snapshot may be while the database does not answer. 30 s.
	StaleFor time.Duration
	// Patience is how long a request waits for the database to confirm a
	// snapshot that is older than Life. Where the database once takes longer,
	// requests go by the snapshot at once until it is quick again: for as long
	// as it does not answer, it is as good as away. 250 ms.
	Patience time.Duration
	// UnknownLife is how long a secret that no key has is remembered as such. 5 s.
	UnknownLife time.Duration
	// MaxUnknown is how many of those are remembered. 100,000.
	MaxUnknown int
	// Closed has Verify know no key until Open is called, so that nobody is told
	// that a good key is unknown before the database has been brought up to date.
	Closed bool
}

// Verifier finds the key of a secret. It remembers keys for a moment, so that
// most requests cost no query; a secret with a wrong form never costs one.
type Verifier struct {
	keys    Keys
	pepper  Pepper
	o       VerifierOptions
	loads   singleflight.Group
	unknown *expiringSet
	open    atomic.Bool

	mu      sync.RWMutex
	known   map[[32]byte]*snapshot
	secrets map[KeyID][][32]byte // under which hashes a key is known
	// told is what was last told of keys: what is older is not gone by while the database
	// answers, and never where the use of the key has ended.
	told    map[KeyID]KeyNotice
	reading int // look-ups under way, which may have read too early
}

// snapshot is a key as it was read at an instant.
type snapshot struct {
	key  *Key
	read time.Time // when it was asked for, so that it counts as too old rather than too young
	// retry is when the database may be asked again after it failed to answer.
	retry atomic.Int64
	used  atomic.Int64              // 0 where Touched has seen it
	slow  atomic.Bool               // the database took longer than one waits for it
	stale atomic.Bool               // the key has changed since
	ended atomic.Pointer[KeyNotice] // since it was read, the use of the key has ended
}

// loadTimeout bounds a query that many requests may be waiting for.
const loadTimeout = 5 * time.Second

// NewVerifier makes a verifier over a store whose hashes were made under p.
func NewVerifier(keys Keys, p Pepper, o VerifierOptions) *Verifier {
	o.Life = cmp.Or(o.Life, time.Second)
	o.StaleFor = cmp.Or(o.StaleFor, 30*time.Second)
	o.Patience = cmp.Or(o.Patience, 250*time.Millisecond)
	o.UnknownLife = cmp.Or(o.UnknownLife, 5*time.Second)
	o.MaxUnknown = cmp.Or(o.MaxUnknown, 100_000)
	v := &Verifier{
		keys: keys, pepper: p, o: o,
		unknown: newExpiringSet(o.UnknownLife, o.MaxUnknown),
		known:   make(map[[32]byte]*snapshot), secrets: make(map[KeyID][][32]byte), told: make(map[KeyID]KeyNotice),
	}
	v.open.Store(!o.Closed)
	return v
}

// Open says that the database has been brought up to date.
func (v *Verifier) Open() { v.open.Store(true) }

var errStarting = fmt.Errorf("%w: starting", ErrUnavailable)

// Verify finds the key of s, which is shared and must not be changed. It
// refuses with ErrMalformedKey, ErrUnknownKey, ErrRevoked, ErrExpired or
// ErrStopped; the last three come with the key, for the log. While the database is away it goes
// by what it remembers for as long as StaleFor, then refuses with
// ErrUnavailable: that a key is unknown is said only when the database said so.
func (v *Verifier) Verify(ctx context.Context, s Secret, now time.Time) (*Key, error) {
	if !v.open.Load() {
		return nil, errStarting
	}
	hash, err := v.hash(s)
	if err != nil {
		return nil, err
	}
	snap := v.remembered(hash)
	if snap != nil && snap.age(now) < v.o.Life && !snap.stale.Load() {
		return snap.admit(now)
	}
	if snap == nil && v.unknown.has(hash, now) {
		return nil, ErrUnknownKey
	}
	if snap == nil || now.UnixNano() >= snap.retry.Load() {
		fresh, err := v.confirm(ctx, s, hash, now, snap)
		if err == nil && fresh.age(now) >= v.o.Life {
			return v.Refresh(ctx, s, now) // it was asked for long before us
		}
		if err == nil {
			return fresh.admit(now)
		}
		if snap == nil || errors.Is(err, ErrUnknownKey) || ctx.Err() != nil {
			return nil, err
		}
		snap.retry.Store(now.Add(v.o.Life).UnixNano())
	}
	if snap.age(now) >= v.o.StaleFor {
		return nil, fmt.Errorf("%w: the key was last confirmed %s ago", ErrUnavailable, snap.age(now).Round(time.Second))
	}
	return snap.admit(now)
}

// Changed takes what is told of a key. Where its use has ended, what is remembered of it
// opens nothing from now on, whether or not the database answers; otherwise it is
// confirmed before it is gone by.
func (v *Verifier) Changed(n KeyNotice) {
	v.mu.Lock()
	defer v.mu.Unlock()
	hashes := v.secrets[n.KeyID]
	if len(hashes) == 0 && v.reading == 0 {
		return // the next look-up reads it as it is
	}
	if n.Version < v.told[n.KeyID].Version {
		return
	}
	v.told[n.KeyID] = n
	for _, hash := range hashes {
		snap := v.known[hash]
		if snap == nil || snap.key.Version > n.Version {
			continue
		}
		if snap.overtaken(n); snap.stale.Load() {
			v.loads.Forget(string(hash[:])) // a load under way may have read too early
			snap.retry.Store(0)
		}
	}
}

// overtaken has a snapshot go by what was told of its key since.
func (s *snapshot) overtaken(n KeyNotice) {
	switch {
	case n.Ended != nil:
		s.ended.Store(&n)
	case s.key.Version < n.Version:
		s.ended.Store(nil)
		s.stale.Store(true)
	}
}

// Recall is Verify as far as it costs no query. known reports a secret whose key was read
// not long ago; where the key is nil beside no error, it has to be verified.
func (v *Verifier) Recall(s Secret, now time.Time) (key *Key, known bool, err error) {
	hash, err := v.hash(s)
	if err != nil {
		return nil, false, nil
	}
	snap := v.remembered(hash)
	if snap == nil || !v.open.Load() {
		return nil, snap != nil, nil
	}
	if snap.age(now) >= v.o.Life || snap.stale.Load() {
		return nil, true, nil
	}
	key, err = snap.admit(now)
	return key, true, err
}

// Refresh is Verify past everything remembered, for after ErrStaleKey.
func (v *Verifier) Refresh(ctx context.Context, s Secret, now time.Time) (*Key, error) {
	hash, err := v.hash(s)
	if err != nil {
		return nil, err
	}
	v.loads.Forget(string(hash[:])) // a load under way may have read too early
	snap, err := v.load(ctx, s, hash, now)
	if err != nil {
		return nil, err
	}
	return snap.admit(now)
}

var errSlow = fmt.Errorf("%w: it does not answer in time", ErrUnavailable)

// confirm is load, with patience where there is a snapshot to go by. The query
// goes on when nobody waits for it any more.
func (v *Verifier) confirm(ctx context.Context, s Secret, hash [32]byte, now time.Time, snap *snapshot) (*snapshot, error) {
	if snap == nil {
		return v.load(ctx, s, hash, now)
	}
	patience := v.o.Patience
	if snap.slow.Load() {
		patience = 0
	}
	waiting, cancel := context.WithTimeoutCause(ctx, patience, errSlow)
	defer cancel()
	fresh, err := v.load(waiting, s, hash, now)
	if err != nil && ctx.Err() == nil && errors.Is(err, errSlow) {
		snap.slow.Store(true)
	}
	return fresh, err
}

// Touched says when keys were last used, of those used since it was last
// called, and lets go of what is too old to serve. It is called in the
// background every now and then, with now in step with Verify.
func (v *Verifier) Touched(now time.Time) map[KeyID]time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	touched := make(map[KeyID]time.Time)
	for id := range v.told {
		if len(v.secrets[id]) == 0 {
			delete(v.told, id)
		}
	}
	for hash, snap := range v.known {
		if used := snap.used.Swap(0); used != 0 {
			at := time.Unix(0, used).UTC()
			if at.After(touched[snap.key.ID]) {
				touched[snap.key.ID] = at
			}
		}
		if snap.age(now) >= v.o.StaleFor {
			v.drop(hash)
		}
	}
	return touched
}

// Until is when the last of the keys that are remembered cannot be used any more
// unless the database confirms it; zero where none can now.
func (v *Verifier) Until(now time.Time) (until time.Time) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, snap := range v.known {
		if end := snap.read.Add(v.o.StaleFor); end.After(now) && end.After(until) {
			until = end
		}
	}
	return until
}

// look asks the store for the key.
func (v *Verifier) look(ctx context.Context, s Secret, hash [32]byte) (Key, error) {
	if s.stands == nil || s.stands.key == "" {
		return v.keys.KeyByHash(ctx, hash)
	}
	found, err := v.keys.ListKeys(ctx, KeyFilter{ID: s.stands.key, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ErrUnknownKey
	}
	if err != nil {
		return Key{}, err
	}
	return found[0], nil
}

// hash is under what s is looked up. Admin tokens are not keys.
func (v *Verifier) hash(s Secret) ([32]byte, error) {
	if s.stands != nil {
		return s.stands.hash, nil
	}
	switch s.Environment() {
	case "":
		return [32]byte{}, ErrMalformedKey
	case EnvironmentAdmin:
		return [32]byte{}, ErrUnknownKey
	}
	return s.Hash(v.pepper), nil
}

func (v *Verifier) remembered(hash [32]byte) *snapshot {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.known[hash]
}

// load reads the key and remembers it. Those who ask for the same key meanwhile
// share one query, which goes on when one of them gives up.
func (v *Verifier) load(ctx context.Context, s Secret, hash [32]byte, now time.Time) (*snapshot, error) {
	loaded := v.loads.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		began := time.Now()
		v.count(1)
		defer v.count(-1) // not before it is remembered
		key, err := v.look(ctx, s, hash)
		switch {
		case errors.Is(err, ErrUnknownKey):
			v.forget(hash, now)
			return nil, err
		case err != nil && !errors.Is(err, ErrUnavailable):
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		case err != nil:
			return nil, err
		}
		fresh := v.remember(hash, &key, now)
		fresh.slow.Store(time.Since(began) > v.o.Patience)
		return fresh, nil
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("billing: verify: %w", context.Cause(ctx))
	case r := <-loaded:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*snapshot), nil
	}
}

// remember keeps the newest version of a key that was ever read: of two loads
// the one that began first may end last.
func (v *Verifier) remember(hash [32]byte, key *Key, now time.Time) *snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, fresh := v.known[hash], &snapshot{key: key, read: now}
	if old != nil && old.key.ID == key.ID && old.key.Version == key.Version {
		key.Rights = old.key.Rights
	} else {
		key.Rights = key.Policies.Compile(key.Facts())
	}
	if old != nil {
		if cmp.Or(cmp.Compare(old.key.Version, key.Version), old.read.Compare(now)) > 0 {
			return old
		}
		fresh.used.Store(old.used.Load())
	}
	if old == nil || old.key.ID != key.ID {
		v.secrets[key.ID] = append(v.secrets[key.ID], hash)
	}
	if told := v.told[key.ID]; key.Version < told.Version {
		fresh.overtaken(told)
	}
	v.known[hash] = fresh
	return fresh
}

// count adds to the look-ups that are under way.
func (v *Verifier) count(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reading += n
}

// drop forgets a secret, with the lock held.
func (v *Verifier) drop(hash [32]byte) {
	snap := v.known[hash]
	if snap == nil {
		return
	}
	delete(v.known, hash)
	id := snap.key.ID
	v.secrets[id] = slices.DeleteFunc(v.secrets[id], func(h [32]byte) bool { return h == hash })
	if len(v.secrets[id]) == 0 {
		delete(v.secrets, id)
		delete(v.told, id)
	}
}

func (v *Verifier) forget(hash [32]byte, now time.Time) {
	v.unknown.add(hash, now)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(hash)
}

func (s *snapshot) age(now time.Time) time.Duration { return now.Sub(s.read) }

// admit notes the use of a key that is in force.
func (s *snapshot) admit(now time.Time) (*Key, error) {
	if n := s.ended.Load(); n != nil {
		return s.key, n.Refusal()
	}
	if err := s.key.InForce(now); err != nil {
		return s.key, err
	}
	s.used.Store(now.UnixNano())
	return s.key, nil
}
