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

// VerifierOptions bound how long a Verifier may rely on what it remembers. Zero values
// mean the defaults.
type VerifierOptions struct {
	// Life is how old a snapshot of a key may be while the database answers, and so how
	// long a key may still be accepted after a revocation that no notice reported. 1 s.
	Life time.Duration
	// StaleFor is how old a snapshot may be while the database does not answer. 30 s.
	StaleFor time.Duration
	// Patience is how long a request waits for the database to confirm a snapshot that
	// is older than Life. Once the database has taken longer, requests use the snapshot
	// at once until the database is fast again: while it does not answer, it is treated
	// as unavailable. 250 ms.
	Patience time.Duration
	// UnknownLife is how long a secret that belongs to no key is remembered as unknown.
	// 5 s.
	UnknownLife time.Duration
	// MaxUnknown is how many unknown secrets are remembered. 100,000.
	MaxUnknown int
	// Closed makes Verify refuse every key until Open is called, so that nobody is told
	// that a valid key is unknown before the database has been brought up to date.
	Closed bool
}

// Verifier finds the key that a secret belongs to. It remembers keys briefly, so that
// most requests cost no query; a malformed secret never costs one.
type Verifier struct {
	keys    Keys
	pepper  Pepper
	o       VerifierOptions
	loads   singleflight.Group
	unknown *expiringSet
	open    atomic.Bool

	mu      sync.RWMutex
	known   map[[32]byte]*snapshot
	secrets map[KeyID][][32]byte // the hashes under which a key is known
	// told holds the latest notice for each key: an older snapshot is not used while the
	// database answers, and never once the use of the key has ended.
	told    map[KeyID]KeyNotice
	reading int // look-ups in progress, which may have read too early
}

// snapshot is a key as it was read at an instant.
type snapshot struct {
	key  *Key
	read time.Time // when the read was requested, so that a snapshot never seems younger than it is
	// retry is when the database may be asked again after it failed to answer.
	retry atomic.Int64
	used  atomic.Int64              // 0 once Touched has seen it
	slow  atomic.Bool               // the database took longer than requests wait for it
	stale atomic.Bool               // the key has changed since
	ended atomic.Pointer[KeyNotice] // the use of the key has ended since it was read
}

// loadTimeout bounds a query that many requests may be waiting for.
const loadTimeout = 5 * time.Second

// NewVerifier returns a verifier for a store whose hashes were made under p.
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

// Open tells the verifier that the database has been brought up to date.
func (v *Verifier) Open() { v.open.Store(true) }

var errStarting = fmt.Errorf("%w: starting", ErrUnavailable)

// Verify finds the key that s belongs to; the key is shared and must not be changed. It
// refuses with ErrMalformedKey, ErrUnknownKey, ErrRevoked, ErrExpired or ErrStopped;
// the last three come with the key, for the log. While the database is unavailable it
// relies on what it remembers for up to StaleFor, and then refuses with ErrUnavailable:
// a key is called unknown only when the database said so.
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
			return v.Refresh(ctx, s, now) // the query was requested long before this call
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

// Changed takes in a notice about a key. If the use of the key has ended, remembered
// snapshots are refused from now on, whether or not the database answers; otherwise
// they are confirmed before they are used again.
func (v *Verifier) Changed(n KeyNotice) {
	v.mu.Lock()
	defer v.mu.Unlock()
	hashes := v.secrets[n.KeyID]
	if len(hashes) == 0 && v.reading == 0 {
		return // the next look-up reads the current state
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

// overtaken applies a later notice about its key to a snapshot.
func (s *snapshot) overtaken(n KeyNotice) {
	switch {
	case n.Ended != nil:
		s.ended.Store(&n)
	case s.key.Version < n.Version:
		s.ended.Store(nil)
		s.stale.Store(true)
	}
}

// Recall does what Verify does without a query. known reports that the secret's key was
// read recently; if both the key and the error are nil, the secret has to be verified.
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

// Refresh is Verify without anything remembered, for use after ErrStaleKey.
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

// confirm is load with limited patience if there is a snapshot to fall back on. The
// query continues even if nobody waits for it any more.
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

// Touched returns when keys were last used, for keys used since the previous call, and
// drops snapshots that are too old to serve. It is called in the background from time
// to time, with now from the same clock as for Verify.
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

// Until returns when the last of the remembered keys stops being usable unless the
// database confirms it; zero where none is usable now.
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

// hash returns the hash under which s is looked up. Admin tokens are not keys.
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

// load reads the key and remembers it. Concurrent callers for the same key share one
// query, which continues even if one of them gives up.
func (v *Verifier) load(ctx context.Context, s Secret, hash [32]byte, now time.Time) (*snapshot, error) {
	loaded := v.loads.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		began := time.Now()
		v.count(1)
		defer v.count(-1) // only once the result is remembered
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

// remember keeps the newest version of a key that was ever read: of two loads, the one
// that began first may finish last.
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

// count adds n to the number of look-ups in progress.
func (v *Verifier) count(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reading += n
}

// drop forgets a secret. The lock is held.
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

// admit records the use of a key that is in force.
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
