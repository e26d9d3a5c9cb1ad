package tokens

import (
	"sync"
	"sync/atomic"
)

// slot follows the largest ratios of reported to estimated tokens.
//
// Of n+1 values from one source the newest is the largest with a chance of one
// in n+1, and among the two largest with a chance of two in n+1, whatever their
// distribution. So no more has to be kept than the two largest of the last few
// thousand: a hold at the largest of 1000, or at the second largest of 2048, is
// exceeded less than once in a thousand. From there on the second largest is
// taken, so that one stray report does not stand for long.
type slot struct {
	factor  atomic.Int64 // in thousandths; 0 is not known
	mu      sync.Mutex
	current window
	before  window
}

// window has the two largest of n values.
type window struct{ n, first, second int64 }

const (
	windowSize = 2048 // the last one or two windows count
	enough     = 1000 // values, before less than the estimate is held
	margin     = 10   // thousandths, for what changes by little and by little
)

func (w *window) add(v int64) {
	w.n++
	switch {
	case v > w.first:
		w.first, w.second = v, w.first
	case v > w.second:
		w.second = v
	}
}

// observe takes in a ratio and says anew how much is held, no less than least.
// When another goroutine is at it, the value is left out: none of them is
// needed so much that a request should wait.
func (s *slot) observe(v, least int64) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.current.n == windowSize {
		s.before, s.current = s.current, window{}
	}
	s.current.add(v)
	s.factor.Store(s.judge(least))
}

// judge is the factor by what is known now. A low one needs enough values; a
// high one is taken at once.
func (s *slot) judge(least int64) int64 {
	n := s.current.n + s.before.n
	top := max(s.current.first, s.before.first)
	if n >= windowSize {
		both := s.current
		both.add(s.before.first)
		both.add(s.before.second)
		top = both.second
	}
	if n < enough {
		least = unit
	}
	if top <= least {
		return least
	}
	return top + top*margin/unit + 1
}
