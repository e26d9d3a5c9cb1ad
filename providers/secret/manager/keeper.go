package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tallyroute/providers/secret"
)

// Every is how often a manager is asked whether a secret has a new version, unless a
// Keeper was told otherwise.
const Every = 10 * time.Second

// atOnce is how many secrets one manager is asked for side by side.
const atOnce = 4

// What happens to a secret.
const (
	Fetched   = "fetched"   // the first version that was fetched
	Rotated   = "rotated"   // another version was fetched
	FirstUse  = "used"      // a version was used for the first time
	Failed    = "failed"    // it could not be fetched, while it could before
	Recovered = "recovered" // it can be fetched again
)

// Report is what happened to a secret. It has no text of it.
type Report struct {
	What    string
	Ref     string // without a field
	Version string // in force
	Known   bool   // there is one
	Age     time.Duration
	Err     error // of Failed
}

// Options are how a Keeper works. The zero value is for one that runs once.
type Options struct {
	Every  time.Duration // 0 is Every
	Report func(Report)  // nil is nobody
	Clock  func() time.Time
	// Open opens what was encrypted with age; nil opens nothing.
	Open func(ctx context.Context, text string) (string, error)
}

// Keeper gives the current text of secrets.
type Keeper struct {
	managers map[string]Manager // by scheme
	Options

	opened sync.Map // of secret.Value, by the text that was encrypted: opening takes longer than a call may wait

	mu      sync.RWMutex
	entries map[string]*entry // by reference, without a field
}

// NewKeeper keeps what the managers have, which are named by the schemes of references.
func NewKeeper(managers map[string]Manager, o Options) *Keeper {
	o.Every = cmp.Or(o.Every, Every)
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Keeper{managers: managers, Options: o, entries: map[string]*entry{}}
}

// Resolve reads the credential that ref refers to: of a manager, the version that was
// fetched last.
func (k *Keeper) Resolve(ctx context.Context, ref string) (secret.Value, error) {
	kept, ok := secret.Managed(ref)
	if !ok {
		return k.plain(ctx, ref)
	}
	e, err := k.entry(kept.Scheme, kept.Name)
	if err != nil {
		return secret.Value{}, err
	}
	now := e.now.Load()
	if now == nil {
		if now, err = k.first(ctx, e); err != nil {
			return secret.Value{}, err
		}
	}
	if !now.used.Load() && now.used.CompareAndSwap(false, true) {
		k.Report(Report{What: FirstUse, Ref: e.ref(), Known: true, Version: now.Version, Age: k.Clock().Sub(now.at)})
	}
	return now.field(ref, kept.Field)
}

// plain reads what no manager keeps, encrypted or not.
func (k *Keeper) plain(ctx context.Context, ref string) (secret.Value, error) {
	v, err := secret.Resolve(ctx, ref)
	sealed := (*secret.SealedError)(nil)
	if k.Open == nil || !errors.As(err, &sealed) {
		return v, err
	}
	if known, ok := k.opened.Load(sealed.Text); ok {
		v, _ = known.(secret.Value)
		return v, nil
	}
	text, err := k.Open(ctx, sealed.Text)
	if err != nil {
		return secret.Value{}, fmt.Errorf("secret: %s: %w", sealed.Ref, err)
	}
	if v, err = secret.Trimmed(sealed.Ref, text); err == nil {
		k.opened.Store(sealed.Text, v)
	}
	return v, err
}

// Manager is the manager behind a scheme.
func (k *Keeper) Manager(scheme string) (m Manager, ok bool) {
	m, ok = k.managers[scheme]
	return m, ok
}

func (e *entry) ref() string { return e.scheme + ":" + e.name }

func (k *Keeper) entry(scheme, name string) (*entry, error) {
	k.mu.RLock()
	e := k.entries[scheme+":"+name]
	k.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	from := k.managers[scheme]
	if from == nil {
		return nil, &secret.UnmanagedError{Scheme: scheme}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e = k.entries[scheme+":"+name]; e == nil {
		e = &entry{scheme: scheme, name: name, from: from}
		k.entries[e.ref()] = e
	}
	return e, nil
}

// first fetches what was not there before. One that just failed is not asked for again by
// every request: the next look finds it.
func (k *Keeper) first(ctx context.Context, e *entry) (*version, error) {
	e.mu.Lock()
	err, recent := e.err, k.Clock().Sub(e.since) < k.Every
	e.mu.Unlock()
	if err != nil && recent {
		return nil, &unfetchedError{e.ref(), err}
	}
	if err := k.refresh(ctx, e); err != nil {
		return nil, err
	}
	return e.now.Load(), nil
}

// unfetchedError is a secret that a manager did not give.
type unfetchedError struct {
	ref string
	err error
}

func (e *unfetchedError) Error() string { return "secret: " + e.ref + ": " + e.err.Error() }
func (e *unfetchedError) Unwrap() error { return e.err }

// refresh fetches one secret and tells what has changed.
func (k *Keeper) refresh(ctx context.Context, e *entry) error {
	e.mu.Lock()
	before := e.err
	e.mu.Unlock()
	patient, cancel := context.WithTimeout(ctx, k.Every)
	defer cancel()
	what := Rotated
	if e.now.Load() == nil {
		what = Fetched
	}
	changed, err := e.fetch(patient, k.Clock)
	r := Report{Ref: e.ref(), Err: err}
	if now := e.now.Load(); now != nil {
		r.Known, r.Version, r.Age = true, now.Version, k.Clock().Sub(now.at)
	}
	if err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) && (before == nil || KindOf(before) != KindOf(err)) {
			r.What = Failed
			k.Report(r)
		}
		return &unfetchedError{e.ref(), err}
	}
	if before != nil {
		r.What = Recovered
		k.Report(r)
	}
	if changed != nil {
		r.What = what
		k.Report(r)
	}
	return nil
}

func afterOf(err error) time.Duration {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.After
	}
	return 0
}

// Run looks at every secret that was asked for, time and again, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	t := time.NewTicker(k.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			k.Refresh(ctx)
		}
	}
}

// Refresh looks at every secret that was asked for, once. A manager that hangs does not
// keep the others waiting, and each gets as long as there is between two looks.
func (k *Keeper) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.Every)
	defer cancel()
	by := map[string][]*entry{}
	for _, e := range k.all() {
		if e.due(k.Clock()) {
			by[e.scheme] = append(by[e.scheme], e)
		}
	}
	var all sync.WaitGroup
	for _, list := range by {
		turns := make(chan struct{}, atOnce)
		all.Go(func() {
			for _, e := range list {
				turns <- struct{}{}
				all.Go(func() {
					defer func() { <-turns }()
					_ = k.refresh(ctx, e) // which was reported
				})
			}
		})
	}
	all.Wait()
}

func (k *Keeper) all() []*entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := make([]*entry, 0, len(k.entries))
	for _, e := range k.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.ref(), b.ref()) })
	return list
}

// State is how one secret is.
type State struct {
	Ref     string
	Version string    // "" before the first
	Fetched time.Time // this version
	Expires time.Time // zero if it does not
	Err     error     // of the last fetch
	Since   time.Time // it fails
}

// States are how all secrets are that were asked for, by their references.
func (k *Keeper) States() []State {
	var list []State
	for _, e := range k.all() {
		e.mu.Lock()
		s := State{Ref: e.ref(), Err: e.err, Since: e.since}
		e.mu.Unlock()
		if now := e.now.Load(); now != nil {
			s.Version, s.Fetched, s.Expires = now.Version, now.at, now.Expires
		}
		list = append(list, s)
	}
	return list
}
