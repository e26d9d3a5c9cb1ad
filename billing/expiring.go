package billing

import (
	"sync"
	"time"
)

// expiringSet remembers up to max hashes, each for the same time. Hashes expire in the
// order in which they were added, so the oldest make room for the newest.
type expiringSet struct {
	life time.Duration
	max  int

	mu    sync.RWMutex
	until map[[32]byte]time.Time
	queue [][32]byte // a ring, oldest at next once it is full
	next  int
}

func newExpiringSet(life time.Duration, limit int) *expiringSet {
	return &expiringSet{life: life, max: limit, until: make(map[[32]byte]time.Time)}
}

// has reports whether hash was added and has not expired yet.
func (s *expiringSet) has(hash [32]byte, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return now.Before(s.until[hash])
}

// add remembers hash from now on.
func (s *expiringSet) add(hash [32]byte, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, queued := s.until[hash]
	s.until[hash] = now.Add(s.life)
	switch {
	case queued:
	case len(s.queue) < s.max:
		s.queue = append(s.queue, hash)
	default:
		delete(s.until, s.queue[s.next])
		s.queue[s.next] = hash
		s.next = (s.next + 1) % s.max
	}
}
