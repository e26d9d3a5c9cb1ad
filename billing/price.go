package billing

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// Tokens is the usage of one attempt in four disjoint kinds. The other fields are parts
// of these: they add nothing to a total, but may have a rate of their own.
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

// Total returns the number of tokens that count against a token quota.
func (t Tokens) Total() int64 {
	return SatAdd(SatAdd(t.Input, t.CacheRead), SatAdd(t.CacheWrite, t.Output))
}

// Plus returns the sum of both.
func (t Tokens) Plus(u Tokens) Tokens {
	return Tokens{
		Input: SatAdd(t.Input, u.Input), CacheRead: SatAdd(t.CacheRead, u.CacheRead), CacheWrite: SatAdd(t.CacheWrite, u.CacheWrite),
		Output: SatAdd(t.Output, u.Output), Reasoning: SatAdd(t.Reasoning, u.Reasoning),
		CacheWrite1h: SatAdd(t.CacheWrite1h, u.CacheWrite1h), AudioInput: SatAdd(t.AudioInput, u.AudioInput),
		AudioOutput: SatAdd(t.AudioOutput, u.AudioOutput),
	}
}

// Prompt returns everything that was sent: plain input, cache reads and cache writes.
func (t Tokens) Prompt() int64 {
	return SatAdd(SatAdd(t.Input, t.CacheRead), t.CacheWrite)
}

// The service tiers that are priced separately.
const (
	TierStandard = "standard"
	TierBatch    = "batch"    // answered within hours
	TierFlex     = "flex"     // answered when there is spare capacity
	TierPriority = "priority" // answered first
	TierFast     = "fast"     // generated faster
	TierUS       = "us"       // generated in the United States
	TierFastUS   = "fast-us"  // both
)

// TierOf returns the tier in the price tables for the service tier that a client or a
// provider names. No tier in particular means the standard one. An unknown name is
// kept, and has no price unless one is listed for it: an unknown tier may be dearer.
func TierOf(name string) string {
	switch name = strings.ToLower(CleanText(name)); name {
	case "", "auto", "default", "standard_only", "on_demand", "on-demand", "ondemand", "none", "unspecified", "service_tier_unspecified":
		return TierStandard
	}
	return name
}

// Price is what one provider charges for one model from a given instant. Rates are in
// nano-dollars per million tokens, so that price x tokens / 1e6 is integer arithmetic
// both here and in SQL.
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

	// The rates of kinds that are part of another kind. Zero means the rate of that
	// other kind, never free: a kind without a price of its own must not cost nothing.
	CacheWrite1h Money `json:"cache_write_1h,omitempty"`
	Reasoning    Money `json:"reasoning,omitempty"`
	AudioInput   Money `json:"audio_input,omitempty"`
	AudioOutput  Money `json:"audio_output,omitempty"`

	ServiceTier string `json:"service_tier,omitempty"` // TierStandard where empty
	MinInput    int64  `json:"min_input,omitempty"`    // applies to prompts of at least this many tokens
}

// Resolved returns p with every rate and the tier filled in.
func (p Price) Resolved() Price {
	p.CacheWrite1h = cmp.Or(p.CacheWrite1h, p.CacheWrite)
	p.Reasoning = cmp.Or(p.Reasoning, p.Output)
	p.AudioInput = cmp.Or(p.AudioInput, p.Input)
	p.AudioOutput = cmp.Or(p.AudioOutput, p.Output)
	p.ServiceTier = cmp.Or(p.ServiceTier, TierStandard)
	return p
}

// Same reports whether p and other charge the same for everything.
func (p Price) Same(other Price) bool {
	p, other = p.Resolved(), other.Resolved()
	return p.rates() == other.rates() && slices.Equal(p.Fees, other.Fees)
}

// Free reports whether everything is free.
func (p Price) Free() bool { return p.rates() == [9]Money{} && len(p.Fees) == 0 }

func (p Price) rates() [9]Money {
	return [9]Money{p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.CacheWrite1h, p.Reasoning, p.AudioInput, p.AudioOutput}
}

// Cost is the price of one attempt by meter. Total is the sum of the other fields.
type Cost struct {
	Input, CacheRead, CacheWrite, Output, Fee, Total Money
}

// Cost prices t. Each kind with a rate of its own is rounded to the nearest
// nano-dollar, halves to even, before it is added to its meter, and the meters are then
// added to the total. Sums saturate.
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

// cacheSavings returns what the tokens of caches would have cost as input, to the nearest
// nano-dollar, less what they cost according to c. It is below zero where writing cost more
// than reading saved. Stores do the same arithmetic.
func (p Price) cacheSavings(t Tokens, c Cost) Money {
	n := Money(t.CacheRead + t.CacheWrite)
	if n <= 0 {
		return 0
	}
	const million = 1_000_000
	asInput := SatAdd(SatMul(n, p.Input/million), (SatMul(n, p.Input%million)+million/2)/million)
	return min(asInput, MostMeter) - c.CacheRead - c.CacheWrite
}

// output prices the output meter, which contains two kinds with rates of their own.
func (p Price) output(t Tokens) Money {
	reasoning := min(max(t.Reasoning, 0), max(t.Output, 0))
	if p.Reasoning == 0 || p.Reasoning == p.Output {
		reasoning = 0
	}
	rest := parts{p.Output, t.Output - reasoning}.less(p.AudioOutput, t.AudioOutput)
	return rest.Add(meter(p.Reasoning, reasoning))
}

// parts is a quantity of one kind and its rate.
type parts struct {
	rate     Money
	quantity int64
}

// less prices a part of the quantity at a different rate and takes it out of w; a part
// never exceeds the whole.
func (w parts) less(rate Money, part int64) Money {
	if rate == 0 || rate == w.rate || part <= 0 || w.quantity <= 0 {
		return meter(w.rate, w.quantity)
	}
	part = min(part, w.quantity)
	return meter(w.rate, w.quantity-part).Add(meter(rate, part))
}

// meter returns rate x quantity / 1e6, rounding halves to even. Negative input counts
// as zero.
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
