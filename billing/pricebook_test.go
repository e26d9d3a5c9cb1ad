package billing

import (
	"reflect"
	"testing"
	"time"
)

func TestPriceBook_Tiers(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	b := NewPriceBook([]Price{
		{ID: "long", Provider: "p", Model: "m", Since: day(1), Input: 20, Output: 5, CacheWrite: 9, MinInput: 1001},
		{ID: "base", Provider: "p", Model: "m", Since: day(1), Input: 10, Output: 40, CacheRead: 1},
		{ID: "batch", Provider: "p", Model: "m", Since: day(1), Input: 5, ServiceTier: TierBatch},
		{ID: "flat", Provider: "p", Model: "m", Since: day(10), Input: 12, ServiceTier: TierStandard},
	})
	for _, tt := range []struct {
		tier   string
		prompt int64
		day    int
		want   string
	}{
		{"", 0, 1, "base"},
		{"", -5, 1, "base"},
		{"", 1000, 9, "base"},
		{"", 1001, 9, "long"},
		{"standard", 5000, 9, "long"},
		{"", 5000, 10, "flat"}, // the change has no step, and leaves none of the old
		{"batch", 5000, 1, "batch"},
		{"batch", 5000, 20, "batch"},
		{"flex", 0, 1, ""},
	} {
		p, ok := b.At("p", "m", day(tt.day)).Listed(tt.tier, tt.prompt)
		if p.ID != tt.want || ok != (tt.want != "") {
			t.Errorf("%q, %d tokens, day %d: %s %v, want %q", tt.tier, tt.prompt, tt.day, p.ID, ok, tt.want)
		}
	}
	sheet := b.At("p", "m", day(5))
	if p := sheet.Dearest("", 1000); p.Input != 10 || p.CacheWrite1h != 0 || p.AudioOutput != 40 {
		t.Errorf("up to 1000 tokens: %+v", p)
	}
	if p := sheet.Dearest("", 1001); p.Input != 20 || p.Output != 40 || p.CacheRead != 1 || p.CacheWrite != 9 || p.CacheWrite1h != 9 {
		t.Errorf("up to 1001 tokens: %+v", p)
	}
	if p := sheet.Dearest(TierBatch, 1000); p.Input != 10 || p.Output != 40 {
		t.Errorf("a batch may be served at once: %+v", p)
	}
	if p := b.At("p", "other", day(5)).Dearest("", 1000); !reflect.DeepEqual(p, Price{}) {
		t.Errorf("what has no price has a dearest one: %+v", p)
	}
}

// A tier without a price of its own: who asks for it, who was served it.
func TestTierWithoutAPrice(t *testing.T) {
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sheet := NewPriceBook([]Price{
		{ID: "base", Provider: "p", Model: "m", Since: since},
		{ID: "long", Provider: "p", Model: "m", Since: since, MinInput: 1001},
		{ID: "batch", Provider: "p", Model: "m", Since: since, ServiceTier: TierBatch},
	}).At("p", "m", since)
	for _, tt := range []struct {
		tier   string
		prompt int64
		price  string
	}{
		{TierStandard, 1000, "base"},
		{TierBatch, 5000, "batch"},
		{TierFlex, 1000, "base"},
		{TierFlex, 1001, "long"},
		{TierPriority, 1001, ""},
		{"fast", 1, ""},
	} {
		price, known := sheet.Charged(tt.tier, tt.prompt)
		if price.ID != tt.price || known != (tt.price != "") {
			t.Errorf("%s with %d tokens: %q, %t", tt.tier, tt.prompt, price.ID, known)
		}
	}
	var none *PriceSheet
	if _, ok := none.Charged(TierStandard, 1); ok {
		t.Error("no sheet has a price")
	}
}

// The kinds inside others: more of a part than of the whole counts as the whole.
func TestPrice_CostOfParts(t *testing.T) {
	p := Price{Input: 2e6, CacheWrite: 3e6, Output: 5e6, CacheWrite1h: 7e6, Reasoning: 11e6, AudioInput: 13e6, AudioOutput: 17e6}
	for name, tt := range map[string]struct {
		use  Tokens
		want Money
	}{
		"all kinds": {Tokens{
			Input: 10, CacheWrite: 10, Output: 10, CacheWrite1h: 4, Reasoning: 3, AudioInput: 2,
			AudioOutput: 5,
		}, 8*2 + 2*13 + 6*3 + 4*7 + 2*5 + 3*11 + 5*17},
		"parts beyond their whole": {Tokens{
			Input: 1, CacheWrite: 1, Output: 4, CacheWrite1h: 9, Reasoning: 3, AudioInput: 9,
			AudioOutput: 9,
		}, 13 + 7 + 3*11 + 17},
		"parts of nothing": {Tokens{CacheWrite1h: 9, Reasoning: 9, AudioInput: 9, AudioOutput: 9}, 0},
		"parts that are negative": {Tokens{
			Input: 1, CacheWrite: 1, Output: 1, CacheWrite1h: -9, Reasoning: -9, AudioInput: -9,
			AudioOutput: -9,
		}, 2 + 3 + 5},
		"a whole that is negative": {Tokens{Input: -1, Output: -1, Reasoning: 5, AudioInput: 5, AudioOutput: 5}, 0},
	} {
		if got := p.Cost(tt.use).Total; got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	// A kind without a rate of its own is never free.
	plain := Price{Input: 2e6, CacheWrite: 3e6, Output: 5e6}
	use := Tokens{Input: 10, CacheWrite: 10, Output: 10, CacheWrite1h: 4, Reasoning: 3, AudioInput: 2, AudioOutput: 5}
	if got := plain.Cost(use); got.Total != 100 || got != plain.Resolved().Cost(use) {
		t.Errorf("%+v", got)
	}
}
