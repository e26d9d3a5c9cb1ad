package health

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Status says what a target or provider may be used for.
type Status int

// The statuses.
const (
	Healthy Status = iota
	// Trial: it was down, and the next call finds out whether it still is. It should be called
	// in its usual turn: if put behind healthy ones it would never be called, and so would never
	// recover.
	Trial
	Open // it is down, or a trial is in progress
)

// String returns the status as operators read it.
func (s Status) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Trial:
		return "trial"
	case Open:
		return "open"
	}
	return "unknown"
}

// State is the state of a target or provider at a given time.
type State struct {
	Status     Status
	Cause      string        // of the outcome that opened it; "" if it is healthy
	RetryAfter time.Duration // time until it may be tried; 0 unless it is open
}

// Class sorts outcomes by what they say about a target.
type Class int

// The classes.
const (
	Neutral Class = iota // nothing: the request itself was at fault, or the client left
	OK
	Failed  // no connection, timeout, overload, an invalid answer
	Limited // the target accepts no more calls for now
	Refused // our credential or account was refused
)

// Call is one call to a target.
type Call struct {
	Target, Provider string
	Origin
}

// Origin says on whose behalf a call was made.
type Origin struct {
	Key  string // of the client
	Team string // of the key
	Body uint64 // distinguishes the request's body from others
}

// Outcome is how a call went.
type Outcome struct {
	Class      Class
	Certain    bool          // anything asked for would have failed: the request cannot have caused it
	Cause      string        // a word for operators: "timeout"
	RetryAfter time.Duration // what the provider asked for, with Limited; 0 if nothing
	// Began is the time given to Begin. Calls that began before the current state say nothing
	// about it: a timeout may arrive long after its target has recovered. The zero value stands
	// for now.
	Began time.Time
}

// Options are the settings of a Tracker.
type Options struct {
	// Random returns a number from 0 to n-1, to spread the trials of several processes;
	// rand.Int64N will do. Without it they are not spread.
	Random func(n int64) int64
	// LongestOpen is the longest that a failing target is left alone; default 10 s, so that it
	// is back within 10 s of recovering. A trial costs one request some time, but no money and
	// no failure.
	LongestOpen time.Duration
}

// Tracker keeps the health of every target, and of every provider as a whole. It is safe for
// concurrent use.
type Tracker struct {
	o         Options
	mu        sync.Mutex
	targets   map[string]*targetHealth
	providers map[string]*circuit
}

// New returns a tracker for which everything is healthy.
func New(o Options) *Tracker {
	o.LongestOpen = cmp.Or(o.LongestOpen, 10*time.Second)
	if o.Random == nil {
		o.Random = func(int64) int64 { return 0 }
	}
	return &Tracker{o: o, targets: make(map[string]*targetHealth), providers: make(map[string]*circuit)}
}

// State returns the state of a call's target, its provider included.
func (t *Tracker) State(c Call, now time.Time) State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state(c, now)
}

func (t *Tracker) state(c Call, now time.Time) State {
	var s State
	if whole := t.providers[c.Provider]; whole != nil {
		s = whole.state(now)
	}
	if one := t.targets[c.Target]; one != nil {
		s = worse(s, one.state(c.Origin, now))
	}
	return s
}

// Ready reports whether a call may be made now.
func (t *Tracker) Ready(c Call, now time.Time) bool { return t.State(c, now).Status != Open }

// Begin asks permission to make a call. If it returns true, the call must be made and its
// outcome reported: it may be the one trial that everybody waits for.
func (t *Tracker) Begin(c Call, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state(c, now).Status == Open {
		return false
	}
	find(t.targets, c.Target).begin(c.Origin, now)
	find(t.providers, c.Provider).begin(now)
	return true
}

// Report records the outcome of a call. It may be called again for the same call if an answer
// that had begun well breaks off.
func (t *Tracker) Report(c Call, o Outcome, now time.Time) {
	if o.Began.IsZero() {
		o.Began = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	one, whole := find(t.targets, c.Target), find(t.providers, c.Provider)
	t.reportTarget(one, whole, c, o, now)
	if whole.concerns(o, now) {
		reportProvider(whole, o, now)
	}
}

func (t *Tracker) reportTarget(one *targetHealth, whole *circuit, c Call, o Outcome, now time.Time) {
	switch {
	case o.Class == OK:
		one.succeed(c.Origin, o, now)
	case o.Class == Neutral:
		one.spare(c.Origin, o, now)
	case !o.Certain:
		one.suspect(c.Origin, o, now, t.openFor)
	case !one.concerns(o, now):
	case o.Class == Refused && !whole.workedLately(now):
		one.spare(c.Origin, o, now) // the provider is what is left alone
	default:
		one.blame(o, now, t.openFor(one.opened))
	}
}

// reportProvider treats a credential that was certainly refused as refused by the whole
// provider, unless another of its targets accepted it a moment ago: then only this target is
// closed to our account.
func reportProvider(c *circuit, o Outcome, now time.Time) {
	switch {
	case o.Class == OK:
		c.succeed(now)
	case o.Class == Refused && o.Certain:
		if !c.workedLately(now) {
			c.bar(o.Cause, now)
		}
	default:
		c.spare()
	}
}

// openFor doubles with every opening, minus a random part of up to a fifth.
func (t *Tracker) openFor(opened int) time.Duration {
	d := t.o.LongestOpen
	if opened < 8 {
		d = min(firstOpen<<opened, d)
	}
	return d - time.Duration(t.o.Random(int64(d)/5+1))
}

func find[T any](m map[string]*T, name string) *T {
	v := m[name]
	if v == nil {
		v = new(T)
		m[name] = v
	}
	return v
}

// Keep forgets the targets and providers for which keep returns false: those that are no longer
// called.
func (t *Tracker) Keep(keep func(name string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.targets, func(name string, _ *targetHealth) bool { return !keep(name) })
	maps.DeleteFunc(t.providers, func(name string, _ *circuit) bool { return !keep(name) })
}

// Entry is one target or provider in a Snapshot.
type Entry struct {
	Name  string // "groq" for the whole provider, "groq/llama-3.3-70b" for a target
	State State
	Until time.Time // when it may be tried; zero unless it is open
}

// Snapshot lists everything that has been called or reported, by name.
func (t *Tracker) Snapshot(now time.Time) []Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Entry
	for name, c := range t.providers {
		list = append(list, entry(name, c.state(now), now))
	}
	for name, one := range t.targets {
		list = append(list, entry(name, one.shown(now), now))
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func entry(name string, s State, now time.Time) Entry {
	e := Entry{Name: name, State: s}
	if s.Status == Open {
		e.Until = now.Add(s.RetryAfter)
	}
	return e
}
