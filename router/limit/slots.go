package limit

import (
	"context"
	"runtime"
)

// Slots bounds how much heavy work is done at once: work that keeps a CPU busy, or takes memory
// beyond what a request holds. nil means no bound.
type Slots chan struct{}

// NewSlots returns n slots; 0 means one less than the number of CPUs, at least 1, so that heavy
// work never starves urgent work.
func NewSlots(n int) Slots {
	if n <= 0 {
		n = max(1, runtime.GOMAXPROCS(0)-1)
	}
	return make(Slots, n)
}

// Take waits for a slot until ctx ends. The slot must be given back with Free.
func (s Slots) Take(ctx context.Context) error {
	if s == nil {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Free gives a slot back.
func (s Slots) Free() {
	if s != nil {
		<-s
	}
}

// Do runs f once it has a slot.
func (s Slots) Do(ctx context.Context, f func()) error {
	if err := s.Take(ctx); err != nil {
		return err
	}
	defer s.Free()
	f()
	return nil
}
