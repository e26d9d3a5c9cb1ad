package limit

import (
	"fmt"
	"sync"
	"time"
)

// Bytes is a budget of memory: how much the requests in progress may hold at once, for each key
// and in total.
type Bytes struct {
	perKey, total int64

	mu   sync.Mutex
	used int64
	keys map[string]holding // those that hold something
}

// NewBytes returns a budget; a bound of 0 or less means no bound.
func NewBytes(perKey, total int64) *Bytes {
	return &Bytes{perKey: perKey, total: total, keys: make(map[string]holding)}
}

// holding is what the requests of one key hold.
type holding struct {
	bytes int64
	taken time.Time // when everything received so far would have arrived at the key's pace
}

// How fast the bodies of a key that holds much are accepted; a single large one is accepted at
// once.
const (
	pace  = 64 << 20 // bytes per second
	burst = time.Second / 4
)

// FullError says that there is no room for now.
type FullError struct {
	Key   bool  // in the key's share; otherwise overall
	Limit int64 // of the key, or overall
	Asked int64
}

// Error names the bound.
func (e *FullError) Error() string {
	if e.Key {
		return fmt.Sprintf("limit: the requests of the key hold %d bytes already", e.Limit)
	}
	return fmt.Sprintf("limit: all requests hold %d bytes already", e.Limit)
}

// Share is the memory that one request holds. It must be used by one goroutine at a time; a nil
// Share has no bound.
type Share struct {
	of   *Bytes
	key  string
	held int64
}

// Open returns the share of a request, which holds nothing yet. It must be closed. A nil budget
// returns a nil Share.
func (b *Bytes) Open() *Share {
	if b == nil {
		return nil
	}
	return &Share{of: b}
}

// Of says which key the request belongs to, before the share holds anything.
func (s *Share) Of(key string) {
	if s != nil {
		s.key = key
	}
}

// Incoming bodies leave part of the total to answers, which have been paid for already, and to
// keys that hold next to nothing, so that a few keys that hold much lock nobody out.
const (
	kept  = 4  // a quarter is left
	small = 64 // a key with at most this fraction of the total counts as holding little
)

// Admit takes n more bytes for an incoming body, or returns a *FullError and takes none.
func (s *Share) Admit(n int64) error {
	if s == nil {
		return nil
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	left := int64(0)
	if s.of.keys[s.key].bytes+n > s.of.total/small {
		left = s.of.total / kept
	}
	return s.take(n, left)
}

// Grow takes n more bytes for what is made from the request, such as its answer, or returns a
// *FullError and takes none.
func (s *Share) Grow(n int64) error {
	if s == nil {
		return nil
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.take(n, 0)
}

// take takes n bytes if there is room for them while left bytes of the total stay free.
func (s *Share) take(n, left int64) error {
	b := s.of
	switch {
	case b.perKey > 0 && b.keys[s.key].bytes+n > b.perKey:
		return &FullError{Key: true, Limit: b.perKey, Asked: n}
	case b.total > 0 && b.used+n > b.total-left:
		return &FullError{Limit: b.total, Asked: n}
	}
	s.add(n)
	return nil
}

// Shrink gives n bytes back.
func (s *Share) Shrink(n int64) {
	if s == nil {
		return
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.add(-min(n, s.held))
}

// Close gives everything back. It may be called more than once.
func (s *Share) Close() {
	if s != nil {
		s.Shrink(s.held)
	}
}

func (s *Share) add(n int64) {
	b := s.of
	s.held += n
	b.used += n
	h := b.keys[s.key]
	if h.bytes += n; h.bytes == 0 {
		delete(b.keys, s.key)
		return
	}
	b.keys[s.key] = h
}

// Came records that n bytes of a held body have arrived, and returns how long to wait before
// accepting more: bodies that arrive as fast as they can be copied would keep the CPU from
// others.
func (s *Share) Came(n int64, now time.Time) time.Duration {
	if s == nil {
		return 0
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	h := s.of.keys[s.key]
	if least := now.Add(-burst); h.taken.Before(least) {
		h.taken = least
	}
	h.taken = h.taken.Add(time.Duration(n) * time.Second / pace)
	if h.bytes > 0 {
		s.of.keys[s.key] = h
	}
	return h.taken.Sub(now)
}

// Used returns what all requests hold.
func (b *Bytes) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
