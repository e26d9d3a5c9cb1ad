package billing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Refused is the number of requests in an hour that were answered with an error of our
// own. They cost nothing, so they are not rows of the ledger.
type Refused struct {
	Hour   time.Time
	KeyID  KeyID  // "" where the key was unknown; stores add its owners
	Model  string // the model asked for; "" where we do not know a model of that name
	Code   string // of the error, as the client received it
	Number int64
}

// Refusals stores the numbers of refused requests.
type Refusals interface {
	// AddRefusals adds to the stored numbers.
	AddRefusals(ctx context.Context, list []Refused) error
}

// mostRefused is how many kinds of refusals are told apart between two writes. Further
// ones are counted by their code alone.
const mostRefused = 10_000

// RefusalCount counts refusals until they are written.
type RefusalCount struct {
	mu sync.Mutex
	n  map[Refused]int64 // keyed without their number
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

// Take returns what was counted since the last call, in the same order for every
// writer.
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

// Return adds back the counts that could not be written.
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

// mostDenials is how many combinations of key, rule and minute are told apart between
// two writes. Further ones are counted together, under no key.
const mostDenials = 10_000

// denial is a rule that refused requests of a key in a minute.
type denial struct {
	minute time.Time
	key    KeyID
	rule   string
}

// DenialCounts holds the number of requests per denial.
type DenialCounts map[denial]int64

// DenialCount counts what policies refused until it is written, as one event for each
// key and minute.
type DenialCount struct {
	mu sync.Mutex
	n  DenialCounts
	id string // of this process, because others count the same keys
}

// NewDenialCount returns a counter for one process.
func NewDenialCount() *DenialCount { return &DenialCount{n: make(DenialCounts), id: NewID("")} }

// Add counts one request that a rule refused at an instant.
func (c *DenialCount) Add(key KeyID, rule string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(denial{at.UTC().Truncate(time.Minute), key, rule}, 1)
}

func (c *DenialCount) add(d denial, n int64) {
	if _, known := c.n[d]; !known && len(c.n) >= mostDenials {
		d.key, d.rule = "", ""
	}
	c.n[d] += n
}

// Take returns what was counted in the minutes that ended before an instant, or
// everything if that is zero.
func (c *DenialCount) Take(before time.Time) DenialCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := make(DenialCounts)
	for d, n := range c.n {
		if before.IsZero() || !d.minute.Add(time.Minute).After(before) {
			taken[d] = n
			delete(c.n, d)
		}
	}
	return taken
}

// Return adds back the counts that could not be written.
func (c *DenialCount) Return(counts DenialCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d, n := range counts {
		c.add(d, n)
	}
}

// Events returns one event for each key and minute, with the rules that refused.
func (c *DenialCount) Events(counts DenialCounts) []Event {
	type keyMinute struct {
		key    KeyID
		minute time.Time
	}
	rules := make(map[keyMinute]map[string]int64)
	for d, n := range counts {
		of := keyMinute{d.key, d.minute}
		if rules[of] == nil {
			rules[of] = make(map[string]int64)
		}
		rules[of][d.rule] += n
	}
	list := make([]Event, 0, len(rules))
	for of, counted := range rules {
		e := Event{
			Kind: EventPolicy, Object: string(of.key), Severity: Info, At: of.minute, Data: make(map[string]string),
			DedupID: strings.Join([]string{string(EventPolicy), string(of.key), of.minute.Format(time.RFC3339), c.id}, ":"),
		}
		var sum int64
		for rule, n := range counted {
			sum += n
			e.Data[rule] = strconv.FormatInt(n, 10)
		}
		e.Text = fmt.Sprintf("Policies have refused %d requests in a minute.", sum)
		if of.key != "" {
			e.Text = fmt.Sprintf("Policies have refused %d requests of key %s in a minute.", sum, of.key)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Event) int { return cmp.Compare(a.DedupID, b.DedupID) })
	return list
}
