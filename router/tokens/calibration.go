package tokens

import (
	"maps"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Basis is what an estimate rests on. Each basis is calibrated separately, since a bound is off
// in a different way from a count.
type Basis uint8

// The bases.
const (
	Bounded Basis = iota // an upper bound, from the length of the text
	Counted              // counted with a tokenizer similar to the model's
	Exact                // counted with the model's own tokenizer
	bases
)

// Sample is an estimate of a prompt for one model of one provider.
type Sample struct {
	Provider, Model string
	Basis           Basis
	Media           bool  // whether it contains more than text
	Hosted          bool  // whether the provider adds to it of its own accord
	Tokens          int64 // as estimated
}

// Calibration records how estimates of prompts compare with what providers report, for all
// models, and thus how much to hold: below the true count for at most one request in a
// thousand, and not far above it. It lives in memory: a process that starts knows nothing and
// holds the whole estimate. It is safe for concurrent use; reading it takes no lock and
// allocates nothing.
type Calibration struct {
	mu     sync.Mutex // for adding models
	models atomic.Pointer[map[model]*factors]
}

type model struct{ provider, name string }

// Prompts are judged by others of similar length, because what providers add to a prompt
// invisibly weighs more in a short one. Each size covers prompts of up to four times as many
// tokens as the previous one.
const sizes = 8

type factors [bases][4][sizes]slot

// NewCalibration returns a calibration that knows nothing.
func NewCalibration() *Calibration {
	c := &Calibration{}
	c.models.Store(&map[model]*factors{})
	return c
}

// Hold returns how many tokens to hold for the prompt.
func (c *Calibration) Hold(p Sample) int64 {
	known := (*c.models.Load())[model{p.Provider, p.Model}]
	if known == nil || p.Tokens <= 0 {
		return p.Tokens
	}
	factor := known.slot(p).factor.Load()
	if factor == 0 {
		return p.Tokens
	}
	return min(scaleUp(p.Tokens, factor), most(p.Tokens))
}

// Observe records a prompt for which the provider reported this many tokens.
func (c *Calibration) Observe(p Sample, reported int64) {
	if p.Tokens <= 0 || reported <= 0 || p.Basis >= bases {
		return
	}
	c.of(model{p.Provider, p.Model}).slot(p).observe(ratio(min(reported, most(p.Tokens)), p.Tokens), least(p.Basis))
}

// of returns what is known about m. Models are few and come from the catalogue, so the map is
// copied for each new one.
func (c *Calibration) of(m model) *factors {
	if known := (*c.models.Load())[m]; known != nil {
		return known
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.models.Load()
	if known := old[m]; known != nil {
		return known
	}
	grown := maps.Clone(old)
	grown[m] = &factors{}
	c.models.Store(&grown)
	return grown[m]
}

func (f *factors) slot(p Sample) *slot {
	kind := 0
	if p.Media {
		kind |= 1
	}
	if p.Hosted {
		kind |= 2
	}
	return &f[p.Basis][kind][min(bits.Len64(uint64(p.Tokens))/2, sizes-1)]
}

// Factors are in thousandths. However little a provider reports, at least half of an estimate
// is held, and never less than an exact count. However much it reports, at most four times the
// estimate plus a thousand tokens is held, so that what one client makes a provider do does not
// lock out others.
const (
	unit      = 1000
	floor     = unit / 2
	mostTimes = 4
	mostMore  = 1000
)

func least(b Basis) int64 {
	if b == Exact {
		return unit
	}
	return floor
}

func most(tokens int64) int64 {
	if tokens > (math.MaxInt64-mostMore)/mostTimes {
		return math.MaxInt64
	}
	return tokens*mostTimes + mostMore
}

// ratio returns a/b in thousandths, rounded up; both are above 0 and a is at most most(b).
func ratio(a, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), unit)
	lo, carry := bits.Add64(lo, uint64(b-1), 0)
	n, _ := bits.Div64(hi+carry, lo, uint64(b))
	return int64(n)
}

// scaleUp returns n times a factor, rounded up and saturating.
func scaleUp(n, factor int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(factor))
	lo, carry := bits.Add64(lo, unit-1, 0)
	if hi += carry; hi >= unit {
		return math.MaxInt64
	}
	v, _ := bits.Div64(hi, lo, unit)
	return int64(min(v, math.MaxInt64))
}

// slot follows the largest ratios of reported to estimated tokens.
//
// Of n+1 values from one source, the newest is the largest with a probability of one in n+1,
// and among the two largest with a probability of two in n+1, whatever their distribution. So
// it is enough to keep the two largest of the last few thousand: a hold at the largest of 1000,
// or at the second largest of 2048, is exceeded less than once in a thousand. From 2048 values
// on the second largest is used, so that one stray report does not persist for long.
type slot struct {
	factor  atomic.Int64 // in thousandths; 0 is not known
	mu      sync.Mutex
	current window
	before  window
}

// window holds the two largest of n values.
type window struct{ n, first, second int64 }

const (
	windowSize = 2048 // the last one or two windows count
	enough     = 1000 // values needed before less than the estimate is held
	margin     = 10   // thousandths, to allow for gradual changes
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

// observe records a ratio and updates how much is held, but no less than least. If another
// goroutine is doing so, the value is skipped: no value is important enough for a request to
// wait.
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

// judge returns the factor according to what is known now. A low one needs enough values; a
// high one is used at once.
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
