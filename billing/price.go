package billing

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Tokens is the usage of one attempt in four disjoint kinds. The others are
// inside these: they add nothing to a total, but may have a rate of their own.
type Tokens struct {
	Input      int64 `json:"input"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Output     int64 `json:"output"`
	Reasoning  int64 `json:"reasoning"` // in Output

	CacheWrite1h int64 `json:"cache_write_1h,omitempty"` // in CacheWrite: kept for an hour rather than minutes
	AudioInput   int64 `json:"audio_input,omitempty"`    // in Input
	AudioOutput  int64 `json:"audio_output,omitempty"`   // in Output, beside Reasoning
}

// Total is the number of tokens that a token quota is charged with.
func (t Tokens) Total() int64 {
	return SatAdd(SatAdd(t.Input, t.CacheRead), SatAdd(t.CacheWrite, t.Output))
}

// Plus is both together.
func (t Tokens) Plus(u Tokens) Tokens {
	return Tokens{
		Input: SatAdd(t.Input, u.Input), CacheRead: SatAdd(t.CacheRead, u.CacheRead), CacheWrite: SatAdd(t.CacheWrite, u.CacheWrite),
		Output: SatAdd(t.Output, u.Output), Reasoning: SatAdd(t.Reasoning, u.Reasoning),
		CacheWrite1h: SatAdd(t.CacheWrite1h, u.CacheWrite1h), AudioInput: SatAdd(t.AudioInput, u.AudioInput),
		AudioOutput: SatAdd(t.AudioOutput, u.AudioOutput),
	}
}

// Prompt is everything that was sent: plain, read from and written to a cache.
func (t Tokens) Prompt() int64 {
	return SatAdd(SatAdd(t.Input, t.CacheRead), t.CacheWrite)
}

// The service tiers that have prices of their own.
const (
	TierStandard = "standard"
	TierBatch    = "batch"    // answered within hours
	TierFlex     = "flex"     // answered when there is room
	TierPriority = "priority" // answered first
	TierFast     = "fast"     // generated faster
	TierUS       = "us"       // generated in the United States
	TierFastUS   = "fast-us"  // both
)

// TierOf is the tier by which prices are kept for what a client or a provider
// calls a service tier. Those who ask for none in particular get the standard one.
// A name that is not known keeps its name, and has no price unless one is listed
// for it: a tier that nobody knows may be dearer.
func TierOf(name string) string {
	switch name = strings.ToLower(CleanText(name)); name {
	case "", "auto", "default", "standard_only", "on_demand", "on-demand", "ondemand", "none", "unspecified", "service_tier_unspecified":
		return TierStandard
	}
	return name
}

// Price is what one provider asks for one model from one instant on. Rates are
// nano-dollars per million tokens, so price x tokens / 1e6 is integer
// arithmetic here and in SQL.
type Price struct {
	ID         string    `json:"id"` // stable: the same facts give the same id on every replica
	Provider   string    `json:"provider"`
	Model      string    `json:"model"`
	Since      time.Time `json:"since"`
	Input      Money     `json:"input"`
	CacheRead  Money     `json:"cache_read"`
	CacheWrite Money     `json:"cache_write"`
	Output     Money     `json:"output"`
	Request    Money     `json:"request"` // fee per request, in nano-dollars
	Source     string    `json:"source"`  // "catalog", "contract" or "manual"
	Fees       []FeeRate `json:"fees,omitempty"`

	// Rates of kinds that are inside another. Zero is the rate of that other
	// kind and never free: what nobody has priced must not cost nothing.
	CacheWrite1h Money `json:"cache_write_1h,omitempty"`
	Reasoning    Money `json:"reasoning,omitempty"`
	AudioInput   Money `json:"audio_input,omitempty"`
	AudioOutput  Money `json:"audio_output,omitempty"`

	ServiceTier string `json:"service_tier,omitempty"` // TierStandard where empty
	MinInput    int64  `json:"min_input,omitempty"`    // it holds for prompts of at least so many tokens
}

// Resolved is p with every rate and the tier written out.
func (p Price) Resolved() Price {
	p.CacheWrite1h = cmp.Or(p.CacheWrite1h, p.CacheWrite)
	p.Reasoning = cmp.Or(p.Reasoning, p.Output)
	p.AudioInput = cmp.Or(p.AudioInput, p.Input)
	p.AudioOutput = cmp.Or(p.AudioOutput, p.Output)
	p.ServiceTier = cmp.Or(p.ServiceTier, TierStandard)
	return p
}

// Same reports whether p and other ask the same for everything.
func (p Price) Same(other Price) bool {
	p, other = p.Resolved(), other.Resolved()
	return p.rates() == other.rates() && slices.Equal(p.Fees, other.Fees)
}

// Free reports that nothing costs anything.
func (p Price) Free() bool { return p.rates() == [9]Money{} && len(p.Fees) == 0 }

func (p Price) rates() [9]Money {
	return [9]Money{p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.CacheWrite1h, p.Reasoning, p.AudioInput, p.AudioOutput}
}

// Cost is the price of one attempt by meter. Total is the sum of the others.
type Cost struct {
	Input, CacheRead, CacheWrite, Output, Fee, Total Money
}

// Cost prices t. Each kind that has a rate of its own is rounded to the nearest
// nano-dollar, halves to even, before it is added to the meter of the kind that
// it is part of, and the meters to the total; what does not fit saturates.
func (p Price) Cost(t Tokens) Cost {
	c := Cost{
		Input:      parts{p.Input, t.Input}.less(p.AudioInput, t.AudioInput),
		CacheRead:  meter(p.CacheRead, t.CacheRead),
		CacheWrite: parts{p.CacheWrite, t.CacheWrite}.less(p.CacheWrite1h, t.CacheWrite1h),
		Output:     p.output(t),
		Fee:        p.Request,
	}
	c.Total = c.Input.Add(c.CacheRead).Add(c.CacheWrite).Add(c.Output).Add(c.Fee)
	return c
}

// output is the meter that has two kinds inside.
func (p Price) output(t Tokens) Money {
	reasoning := min(max(t.Reasoning, 0), max(t.Output, 0))
	if p.Reasoning == 0 || p.Reasoning == p.Output {
		reasoning = 0
	}
	rest := parts{p.Output, t.Output - reasoning}.less(p.AudioOutput, t.AudioOutput)
	return rest.Add(meter(p.Reasoning, reasoning))
}

// parts is a quantity of one kind at its rate.
type parts struct {
	rate     Money
	quantity int64
}

// less prices the part of it that has another rate at that; there is never more
// of a part than of the whole.
func (w parts) less(rate Money, part int64) Money {
	if rate == 0 || rate == w.rate || part <= 0 || w.quantity <= 0 {
		return meter(w.rate, w.quantity)
	}
	part = min(part, w.quantity)
	return meter(w.rate, w.quantity-part).Add(meter(rate, part))
}

// meter is rate x quantity / 1e6, halves to even. Negative input counts as none.
func meter(rate Money, quantity int64) Money {
	if rate <= 0 || quantity <= 0 {
		return 0
	}
	const million = 1_000_000
	hi, lo := bits.Mul64(uint64(rate), uint64(quantity))
	if hi >= million {
		return math.MaxInt64
	}
	quo, rem := bits.Div64(hi, lo, million)
	if rem > million/2 || (rem == million/2 && quo%2 == 1) {
		quo++
	}
	if quo > math.MaxInt64 {
		return math.MaxInt64
	}
	return Money(quo)
}
