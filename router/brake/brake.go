// Package brake stops what runs away: a session or a key that sends the same request again
// and again, and a session that has made more calls, or spent more, than one may. It counts
// in memory, each router for itself.
package brake

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Limits are from when on something has run away. The zero value brakes nothing.
type Limits struct {
	Repeats  int64         // of the same request, in Within; 0 is no limit
	Within   time.Duration // 0 is five minutes
	Requests int64         // of one session; 0 is no limit
	Spend    int64         // of one session, in nano-dollars; 0 is no limit
	Pause    time.Duration // for how long what ran away is stopped; 0 is ten minutes
}

// Off reports limits that brake nothing.
func (l Limits) Off() bool { return l.Repeats == 0 && l.Requests == 0 && l.Spend == 0 }

// Bounds of what is remembered. Twice as much is held while an older half is still looked
// at; of what is beyond, the oldest is forgotten.
const (
	mostScopes = 50_000
	mostPrints = 100_000
	idle       = 12 * time.Hour // after which a session is another one
	mostStops  = 1000           // that wait to be told
	// MostRepeats is the most that repeats may be limited to.
	MostRepeats = 1000
)

// Request is one that is about to be sent.
type Request struct {
	Key     string
	Version int64  // of the key: a newer one, by an operator's change, ends a stop
	Session string // "" where the client names none
	Print   []byte // of what is asked; nil is not compared
}

// StoppedError is that a session or a key has run away.
type StoppedError struct {
	Key     string
	Session string // "" where it is the key
	Cause   string // in words
	Until   time.Time
}

// Error says so.
func (e *StoppedError) Error() string { return "brake: " + e.Cause }

// Stop is that something was stopped, for whoever is told of it.
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

// Brake remembers what ran. It is safe for use by many goroutines.
type Brake struct {
	seed maphash.Seed

	mu     sync.Mutex
	scopes generations[*scope]
	prints generations[[]int64] // when a request of a scope was seen, in nanoseconds
	stops  []Stop
}

// New is a brake that has seen nothing.
func New() *Brake {
	return &Brake{
		seed:   maphash.MakeSeed(),
		scopes: generations[*scope]{most: mostScopes},
		prints: generations[[]int64]{most: mostPrints},
	}
}

// name tells scopes, and with a print their requests, from one another.
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

// Begin counts a request, or is a *StoppedError.
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

// count counts a request of a scope, and says why that was too many.
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
		b.prints.put(name, nil) // it begins anew when the stop ends
		return fmt.Sprintf("the same request came %d times within %s", len(recent)+1, l.Within)
	}
	b.prints.put(name, append(recent, now.UnixNano()))
	return ""
}

// Undo takes back a request that was counted and came to nothing: its client sends it again
// in good faith.
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

// Spent adds what a request of a session has cost.
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

// Stops are those since they were asked for the last time.
func (b *Brake) Stops() []Stop {
	b.mu.Lock()
	defer b.mu.Unlock()
	stops := b.stops
	b.stops = nil
	return stops
}

// generations is a bounded map that forgets what was not used for a time: what is not
// found in the newer half, but in the older, moves into the newer.
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
