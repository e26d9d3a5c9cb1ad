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

// Every is how often managers are checked for new versions, unless a Keeper is configured
// otherwise.
const Every = 10 * time.Second

// atOnce is how many secrets are requested from one manager concurrently.
const atOnce = 4

// The events in the life of a secret.
const (
	Fetched   = "fetched"   // the first version was fetched
	Rotated   = "rotated"   // another version was fetched
	FirstUse  = "used"      // a version was used for the first time
	Failed    = "failed"    // a fetch failed, though the one before did not, or failed differently
	Recovered = "recovered" // fetching works again
)

// Report is an event in the life of a secret. It never contains the secret.
type Report struct {
	What    string
	Ref     string // without a field
	Version string // the current one
	Known   bool   // a version is available
	Age     time.Duration
	Err     error // for Failed
}

// Options configure a Keeper. The zero value is for a process that runs only once.
type Options struct {
	Every  time.Duration // 0 means the constant Every
	Report func(Report)  // nil reports to nobody
	Clock  func() time.Time
	// Open decrypts what was encrypted with age; nil leaves it unsupported.
	Open func(ctx context.Context, text string) (string, error)
}

// Keeper provides the current text of secrets.
type Keeper struct {
	managers map[string]Manager // by scheme
	Options

	opened sync.Map // encrypted text → secret.Value: decrypting takes longer than a call may wait

	mu      sync.RWMutex
	entries map[string]*entry // by reference, without a field
}

// NewKeeper returns a Keeper for secrets in the managers, which are keyed by scheme.
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

// Resolve reads the credential that ref refers to; from a manager, it is the version that was
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

// plain reads a credential that is not in a manager, whether encrypted or not.
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

// Manager returns the manager for a scheme.
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

// first fetches a secret for the first time. A request does not repeat a fetch that just
// failed: the next periodic check does.
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

// unfetchedError reports that a manager did not return a secret.
type unfetchedError struct {
	ref string
	err error
}

func (e *unfetchedError) Error() string { return "secret: " + e.ref + ": " + e.err.Error() }
func (e *unfetchedError) Unwrap() error { return e.err }

// refresh fetches one secret and reports what has changed.
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

// Run refreshes every secret in use periodically until ctx ends.
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

// Refresh checks every secret in use once. A manager that hangs does not delay the others, and
// each gets the full interval between two checks.
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
					_ = k.refresh(ctx, e) // the failure was already reported
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

// State is the current state of one secret.
type State struct {
	Ref     string
	Version string    // "" before the first fetch
	Fetched time.Time // when this version was fetched
	Expires time.Time // zero if it does not expire
	Err     error     // of the last fetch
	Since   time.Time // when it began to fail
}

// States returns the state of every secret in use, sorted by reference.
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
