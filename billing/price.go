package billing

import (
	"math"
	"math/bits"
	"sort"
	"time"
)

// Tokens is the usage of one attempt in four disjoint kinds. Reasoning is
// informational: those tokens are already inside Output.
type Tokens struct {
	Input      int64 `json:"input"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Output     int64 `json:"output"`
	Reasoning  int64 `json:"reasoning"`
}

// Total is the number of tokens that a token quota is charged with.
func (t Tokens) Total() int64 {
	return saturatingAdd(saturatingAdd(t.Input, t.CacheRead), saturatingAdd(t.CacheWrite, t.Output))
}

// Prompt is everything that was sent: plain, read from and written to a cache.
func (t Tokens) Prompt() int64 {
	return saturatingAdd(saturatingAdd(t.Input, t.CacheRead), t.CacheWrite)
}

// Price is what one provider asks for one model from one instant on. The four
// rates are nano-dollars per million tokens, so price x tokens / 1e6 is
// integer arithmetic here and in SQL.
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
}

// Cost is the price of one attempt by meter. Total is the sum of the others.
type Cost struct {
	Input, CacheRead, CacheWrite, Output, Fee, Total Money
}

// Cost prices t. Each meter is rounded to the nearest nano-dollar, halves to
// even, before the meters are added; what does not fit saturates.
func (p Price) Cost(t Tokens) Cost {
	c := Cost{
		Input:      meter(p.Input, t.Input),
		CacheRead:  meter(p.CacheRead, t.CacheRead),
		CacheWrite: meter(p.CacheWrite, t.CacheWrite),
		Output:     meter(p.Output, t.Output),
		Fee:        p.Request,
	}
	c.Total = c.Input.Add(c.CacheRead).Add(c.CacheWrite).Add(c.Output).Add(c.Fee)
	return c
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

// PriceBook answers what a model cost at an instant. Old prices are kept. It
// is built once and then only read.
type PriceBook struct {
	prices map[priceKey][]Price // by Since, ascending
}

type priceKey struct{ provider, model string }

// NewPriceBook builds a book of dated prices, in any order.
func NewPriceBook(prices []Price) *PriceBook {
	b := &PriceBook{prices: make(map[priceKey][]Price)}
	for _, p := range prices {
		k := priceKey{p.Provider, p.Model}
		b.prices[k] = append(b.prices[k], p)
	}
	for _, list := range b.prices {
		sort.SliceStable(list, func(i, j int) bool { return list[i].Since.Before(list[j].Since) })
	}
	return b
}

// At is the price in force at t: the last one whose Since is not after t.
// It reports false where no price is known, which is never the same as free.
func (b *PriceBook) At(provider, model string, t time.Time) (Price, bool) {
	list := b.prices[priceKey{provider, model}]
	i := sort.Search(len(list), func(i int) bool { return list[i].Since.After(t) })
	if i == 0 {
		return Price{}, false
	}
	return list[i-1], true
}

// All lists every price in the book, for the prices table.
func (b *PriceBook) All() []Price {
	var all []Price
	for _, list := range b.prices {
		all = append(all, list...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}
