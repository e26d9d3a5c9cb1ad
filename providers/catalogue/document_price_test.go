package catalogue

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// usd returns an amount per million tokens.
func usd(t *testing.T, s string) billing.Money {
	t.Helper()
	m, err := billing.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func priced(t *testing.T, price string) []billing.Price {
	t.Helper()
	p, err := Parse("x.yaml", []byte(head+"models:\n  - id: large\n    prices:\n      - "+price+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Models[0].Prices
}

func TestPrice_Kinds(t *testing.T) {
	got := priced(t, `{since: 2026-01-01, prompt: "3", completion: "15", cache_read: "0.3", cache_write: "3.75", cache_write_1h: "6", `+
		`reasoning: "20", audio_prompt: "32", audio_completion: "64", request: "0.001"}`)
	want := billing.Price{
		Input: usd(t, "3"), Output: usd(t, "15"), CacheRead: usd(t, "0.3"), CacheWrite: usd(t, "3.75"), CacheWrite1h: usd(t, "6"),
		Reasoning: usd(t, "20"), AudioInput: usd(t, "32"), AudioOutput: usd(t, "64"), Request: usd(t, "0.001"),
		Provider: "acme", Model: "large", Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Source: "catalog", ServiceTier: "standard",
	}
	want.ID = priceID(want)
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// A kind that is not listed costs as much as the kind that contains it.
	got = priced(t, `{since: 2026-01-01, prompt: "3", completion: "15", cache_write: "4"}`)
	if p := got[0]; p.CacheRead != p.Input || p.CacheWrite1h != p.CacheWrite || p.Reasoning != p.Output || p.AudioInput != p.Input ||
		p.AudioOutput != p.Output {
		t.Errorf("got %+v", p)
	}
}

func TestPrice_Tiers(t *testing.T) {
	list := priced(t, `
          since: 2026-01-01
          prompt: "1.25"
          completion: "10"
          cache_read: "0.125"
          request: "0.01"
          tiers:
            - {over: 200000, prompt: "2.50", completion: "15", cache_read: "0.25"}
            - {service: batch, prompt: "0.625", completion: "5"}
            - {service: batch, over: 200k, prompt: "1.25", completion: "7.50"}
            - {service: priority, prompt: "2.25", completion: "18"}`)
	sheet := billing.NewPriceBook(list).At("acme", "large", time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC))
	seen := make(map[string]bool)
	for _, tt := range []struct {
		tier   string
		prompt int64
		want   string // of input, cached and output; "" for none
	}{
		{"", 0, "1.25 0.125 10"},
		{"", 200_000, "1.25 0.125 10"},
		{"", 200_001, "2.5 0.25 15"},
		{"standard", 1_000_000, "2.5 0.25 15"},
		{"batch", 200_000, "0.625 0.625 5"},
		{"batch", 200_001, "1.25 1.25 7.5"},
		{"priority", 900_000, "2.25 2.25 18"},
		{"flex", 1, ""},
	} {
		p, ok := sheet.Listed(tt.tier, tt.prompt)
		got := ""
		if ok {
			got = p.Input.Short() + " " + p.CacheRead.Short() + " " + p.Output.Short()
			if p.Request != usd(t, "0.01") || p.ID == "" {
				t.Errorf("%s over %d: %+v", tt.tier, tt.prompt, p)
			}
			seen[p.ID] = true
		}
		if got != tt.want {
			t.Errorf("%s, %d tokens: %q, want %q", tt.tier, tt.prompt, got, tt.want)
		}
	}
	if len(seen) != 5 {
		t.Errorf("the five prices have %d ids", len(seen))
	}
}

// A kind that a tier does not list costs no less than in the standard price, if it has a
// surcharge there.
func TestPrice_TierWithoutADearerKind(t *testing.T) {
	list := priced(t, `
          since: 2026-01-01
          prompt: "2"
          completion: "10"
          cache_read: "0.2"
          cache_write: "2.5"
          cache_write_1h: "4"
          reasoning: "12"
          audio_prompt: "32"
          audio_completion: "64"
          tiers:
            - {service: batch, prompt: "1", completion: "5"}
            - {service: batch, over: 1000, prompt: "40", completion: "80", audio_completion: "90"}`)
	batch, long := list[1], list[2]
	if batch.CacheRead != usd(t, "1") || batch.CacheWrite != usd(t, "2.5") || batch.CacheWrite1h != usd(t, "4") ||
		batch.Reasoning != usd(t, "12") || batch.AudioInput != usd(t, "32") || batch.AudioOutput != usd(t, "64") {
		t.Errorf("batch costs %+v", batch)
	}
	if long.CacheRead != usd(t, "40") || long.CacheWrite1h != usd(t, "40") || long.Reasoning != usd(t, "80") ||
		long.AudioInput != usd(t, "40") || long.AudioOutput != usd(t, "90") {
		t.Errorf("a long batch costs %+v", long)
	}
}

func TestPrice_Faults(t *testing.T) {
	const base = `since: 2026-01-01, prompt: "1", completion: "4"`
	for price, want := range map[string]string{
		`{` + base + `, tiers: [{over: 200k, ` +
			`prompt: "2"}]}`: "needs since, prompt and completion",
		`{` + base + `, tiers: [{prompt: "2", ` +
			`completion: "8"}]}`: "two tiers are for the same",
		`{` + base + `, tiers: [{over: 1k, prompt: "2", completion: "8"}, {service: standard, over: 1000, prompt: "2", ` +
			`completion: "8"}]}`: "two tiers are for the same",
		`{` + base + `, tiers: [{service: flex, over: 1k, prompt: "2", ` +
			`completion: "8"}]}`: "service flex needs a price without over",
		`{` + base + `, tiers: [{service: swift, prompt: "2", ` +
			`completion: "8"}]}`: "want one of standard, batch, flex, priority, fast",
		`{` + base + `, tiers: [{over: 0, prompt: "2", ` +
			`completion: "8"}]}`: "want a number of tokens",
		`{` + base + `, tiers: [{over: 1k, since: 2026-01-02, prompt: "2", ` +
			`completion: "8"}]}`: "unknown setting",
		`{` + base + `, reasoning: "0"}`:         "reasoning cannot be free where completion is not",
		`{` + base + `, audio_prompt: "0"}`:      "audio_prompt cannot be free where prompt is not",
		`{` + base + `, audio_completion: "-1"}`: "want dollars per million tokens",
	} {
		_, err := Parse("x.yaml", []byte(head+"models:\n  - id: large\n    prices:\n      - "+price+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", price, err, want)
		}
	}
	if got := priced(t, `{`+base+`, cache_read: "0", cache_write: "0"}`)[0]; got.CacheRead != 0 || got.CacheWrite1h != 0 {
		t.Errorf("a free cache costs %+v", got)
	}
}

// A price keeps its ID when new kinds of tokens are introduced that cost the same as before.
func TestPriceID_OfPlainPrices(t *testing.T) {
	plain := billing.Price{
		Provider: "a", Model: "b", Since: time.Unix(1, 0), Input: 1, CacheRead: 2, CacheWrite: 3, Output: 4, Request: 5,
		Source: "catalog",
	}
	if a, b := priceID(plain), priceID(plain.Resolved()); a != b {
		t.Errorf("%s and %s", a, b)
	}
	ids := map[string]bool{priceID(plain): true}
	for _, change := range []func(p *billing.Price){
		func(p *billing.Price) { p.CacheWrite1h = 9 }, func(p *billing.Price) { p.Reasoning = 9 },
		func(p *billing.Price) { p.AudioInput = 9 },
		func(p *billing.Price) { p.AudioOutput = 9 }, func(p *billing.Price) { p.ServiceTier = "batch" },
		func(p *billing.Price) { p.MinInput = 9 },
	} {
		p := plain
		change(&p)
		ids[priceID(p)] = true
	}
	if len(ids) != 7 {
		t.Errorf("seven prices have %d ids", len(ids))
	}
}

func TestCanonical(t *testing.T) {
	c := build(t, Input{Text: `
providers:
  acme:
    models:
      - {id: large-fast, canonical: large, upstream: large-fast-1, prices: [{since: 2026-01-01, prompt: "5", completion: "9"}]}
      - {id: vectors, can: [embeddings], context: 64k, prices: [{since: 2026-01-01, prompt: "1", completion: "0"}]}
  bolt:
    models:
      - {id: other-x, canonical: other, upstream: other-x-1}
`}, both...)
	for name, want := range map[string]string{
		"large":           "acme/large acme/large-fast bolt/large",
		"large-fast":      "acme/large-fast",
		"acme/large":      "acme/large pinned",
		"acme/large-fast": "acme/large-fast pinned",
		"other":           "bolt/other-x",
		"other-x":         "bolt/other-x",
		"bolt/other":      "bolt/other-x pinned",
		"auto":            "acme/large bolt/large bolt/odd", // large-fast has no known context; vectors is not a chat model
	} {
		if got := targets(c, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, m := range c.Models() {
		if m.ID == "other" && m.OwnedBy == "bolt" {
			return
		}
	}
	t.Error("the canonical name is not listed")
}
