// Package brake stops runaways: a session or a key that sends the same request again and again,
// and a session that has made more calls, or spent more, than one may. It counts in memory,
// separately in each router.
package brake

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Limits says when something counts as a runaway. The zero value brakes nothing.
type Limits struct {
	Repeats  int64         // of the same request, within Within; 0 is no limit
	Within   time.Duration // 0 is five minutes
	Requests int64         // in one session; 0 is no limit
	Spend    int64         // in one session, in nano-dollars; 0 is no limit
	Pause    time.Duration // for how long a runaway is stopped; 0 is ten minutes
}

// Off reports whether the limits brake nothing.
func (l Limits) Off() bool { return l.Repeats == 0 && l.Requests == 0 && l.Spend == 0 }

// Bounds on what is remembered. Up to twice as much is held while an older half is still
// consulted; beyond that, the oldest entries are forgotten.
const (
	mostScopes = 50_000
	mostPrints = 100_000
	idle       = 12 * time.Hour // after which a session counts as new
	mostStops  = 1000           // stops waiting to be reported
	// MostRepeats is the highest possible limit on repeats.
	MostRepeats = 1000
)

// Request is a request that is about to be sent.
type Request struct {
	Key     string
	Version int64  // of the key: a newer version, from an operator's change, ends a stop
	Session string // "" if the client names none
	Print   []byte // fingerprint of what is asked; nil is not compared
}

// StoppedError says that a session or a key has run away.
type StoppedError struct {
	Key     string
	Session string // "" if it is the key
	Cause   string // in words
	Until   time.Time
}

// Error returns the cause.
func (e *StoppedError) Error() string { return "brake: " + e.Cause }

// Stop records that something was stopped, for whoever is notified.
type Stop struct {
	StoppedError
	At time.Time
}

// scope is a session, or a key without one.
type scope struct {
	requests, spend int64
	version         int64
	stopped         *StoppedError
}

// Brake remembers recent requests. It is safe for concurrent use.
type Brake struct {
	seed maphash.Seed

	mu     sync.Mutex
	scopes generations[*scope]
	prints generations[[]int64] // when the requests of a scope were seen, in nanoseconds
	stops  []Stop
}

// New returns a brake that has seen nothing.
func New() *Brake {
	return &Brake{
		seed:   maphash.MakeSeed(),
		scopes: generations[*scope]{most: mostScopes},
		prints: generations[[]int64]{most: mostPrints},
	}
}

// name returns a hash that identifies a scope or, given a print, one of its requests.
func (b *Brake) name(key, session string, same []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(b.seed)
	var n [8]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(key)))
	binary.LittleEndian.PutUint32(n[4:], uint32(len(session)))
	h.Write(n[:])
	h.WriteString(key)
	h.WriteString(session)
	h.Write(same)
	return h.Sum64()
}

// Begin counts a request, or returns a *StoppedError.
func (b *Brake) Begin(r Request, l Limits, now time.Time) error {
	if l.Off() {
		return nil
	}
	if l.Within <= 0 {
		l.Within = 5 * time.Minute
	}
	if l.Pause <= 0 {
		l.Pause = 10 * time.Minute
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	name := b.name(r.Key, r.Session, nil)
	s, known := b.scopes.get(name, now, idle)
	if !known {
		s = &scope{version: r.Version}
		b.scopes.put(name, s)
	}
	if s.stopped != nil {
		if now.Before(s.stopped.Until) && r.Version <= s.version {
			return s.stopped
		}
		*s = scope{} // by time, or by an operator
	}
	s.version = r.Version
	cause := b.count(s, r, l, now)
	if cause == "" {
		return nil
	}
	s.stopped = &StoppedError{Key: r.Key, Session: r.Session, Cause: cause, Until: now.Add(l.Pause)}
	if len(b.stops) < mostStops {
		b.stops = append(b.stops, Stop{StoppedError: *s.stopped, At: now})
	}
	return s.stopped
}

// count counts a request of a scope, and returns why it was too many; "" if it was not.
func (b *Brake) count(s *scope, r Request, l Limits, now time.Time) string {
	if r.Session != "" {
		if l.Requests > 0 && s.requests >= l.Requests {
			return fmt.Sprintf("the session has made %d requests, as many as one may", s.requests)
		}
		if l.Spend > 0 && s.spend >= l.Spend {
			return fmt.Sprintf("the session has spent $%d.%02d, as much as one may", s.spend/1e9, s.spend%1e9/1e7)
		}
	}
	s.requests++
	if l.Repeats == 0 || len(r.Print) == 0 {
		return ""
	}
	name := b.name(r.Key, r.Session, r.Print)
	seen, _ := b.prints.get(name, now, l.Within)
	recent := seen[:0]
	for _, at := range seen {
		if now.UnixNano()-at < int64(l.Within) {
			recent = append(recent, at)
		}
	}
	if int64(len(recent)) >= min(l.Repeats, MostRepeats) {
		b.prints.put(name, nil) // it starts afresh when the stop ends
		return fmt.Sprintf("the same request came %d times within %s", len(recent)+1, l.Within)
	}
	b.prints.put(name, append(recent, now.UnixNano()))
	return ""
}

// Undo takes back a request that was counted but came to nothing: its client will repeat it in
// good faith.
func (b *Brake) Undo(r Request, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, known := b.scopes.get(b.name(r.Key, r.Session, nil), now, idle); known && s.requests > 0 {
		s.requests--
	}
	if len(r.Print) == 0 {
		return
	}
	name := b.name(r.Key, r.Session, r.Print)
	if seen, known := b.prints.get(name, now, idle); known && len(seen) > 0 {
		b.prints.put(name, seen[:len(seen)-1])
	}
}

// Spent adds the cost of a request to its session.
func (b *Brake) Spent(key, session string, nano int64, now time.Time) {
	if session == "" || nano <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, known := b.scopes.get(b.name(key, session, nil), now, idle); known {
		s.spend += nano
	}
}

// Stops returns the stops since the last call.
func (b *Brake) Stops() []Stop {
	b.mu.Lock()
	defer b.mu.Unlock()
	stops := b.stops
	b.stops = nil
	return stops
}

// generations is a bounded map that forgets what has not been used for a while: an entry found
// only in the older half moves to the newer one.
type generations[T any] struct {
	most       int
	since      time.Time
	now, older map[uint64]T
}

func (g *generations[T]) get(name uint64, now time.Time, every time.Duration) (v T, known bool) {
	if g.now == nil || len(g.now) >= g.most || now.Sub(g.since) >= every {
		g.older, g.now, g.since = g.now, make(map[uint64]T), now
	}
	if v, known = g.now[name]; known {
		return v, true
	}
	if v, known = g.older[name]; known {
		g.now[name] = v
		delete(g.older, name)
	}
	return v, known
}

func (g *generations[T]) put(name uint64, v T) { g.now[name] = v }
