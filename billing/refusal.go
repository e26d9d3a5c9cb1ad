package billing

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Refused says how many requests were answered with an error of our own in an hour.
// They cost nothing, so they are not rows of the ledger.
type Refused struct {
	Hour   time.Time
	KeyID  KeyID  // "" where no key was known; stores note its owners
	Model  string // that was asked for; "" where that is not a name we know
	Code   string // of the error, as the client got it
	Number int64
}

// Refusals keeps what was refused.
type Refusals interface {
	// AddRefusals adds to what is there.
	AddRefusals(ctx context.Context, list []Refused) error
}

// mostRefused is how many kinds of refusals are told apart between two writings.
// Those beyond count by their code alone.
const mostRefused = 10_000

// RefusalCount counts refusals until they are written.
type RefusalCount struct {
	mu sync.Mutex
	n  map[Refused]int64 // without their number
}

// Add counts one request that was refused at an instant.
func (c *RefusalCount) Add(r Refused, at time.Time) {
	r.Hour, r.Number = at.UTC().Truncate(time.Hour), 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.n[r]; !known && len(c.n) >= mostRefused {
		r.KeyID, r.Model = "", ""
	}
	if c.n == nil {
		c.n = make(map[Refused]int64)
	}
	c.n[r]++
}

// Take is what was counted since the last time, in an order that is the same for all
// who write.
func (c *RefusalCount) Take() []Refused {
	c.mu.Lock()
	counted := c.n
	c.n = nil
	c.mu.Unlock()
	list := make([]Refused, 0, len(counted))
	for r, n := range counted {
		r.Number = n
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Refused) int {
		return cmp.Or(a.Hour.Compare(b.Hour), cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Code, b.Code))
	})
	return list
}

// Return counts again what could not be written.
func (c *RefusalCount) Return(list []Refused) {
	for _, r := range list {
		n := r.Number
		r.Number = 0
		c.mu.Lock()
		if c.n == nil {
			c.n = make(map[Refused]int64)
		}
		if _, known := c.n[r]; known || len(c.n) < mostRefused {
			c.n[r] += n
		}
		c.mu.Unlock()
	}
}
