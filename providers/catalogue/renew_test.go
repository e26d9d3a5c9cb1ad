package catalogue

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/catalogue/published"
	"tallyroute/providers/secret"
)

// nothing fails to resolve any reference.
func nothing(context.Context, string) (secret.Value, error) {
	return secret.Value{}, errors.New("secret: not here")
}

func offered(t *testing.T, in Input, name string) Offer {
	t.Helper()
	in.File, in.PricesFile = "tallyroute.yaml", "prices.yaml"
	c, err := Build(t.Context(), in, Options{Data: files(), Secrets: nothing, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	all := c.Offers()
	i := slices.IndexFunc(all, func(o Offer) bool { return o.Name() == name })
	if i < 0 {
		t.Fatalf("%s is not offered", name)
	}
	return all[i]
}

func names(prices []billing.Price) string {
	var words []string
	for _, r := range Rates(prices) {
		words = append(words, r.Name+" "+r.Rate.Short())
	}
	return strings.Join(words, ", ")
}

func TestRenew(t *testing.T) {
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	now := day.Add(10 * time.Hour)
	rates := func(in, out string, more ...billing.Price) published.Entry {
		p := billing.Price{Input: usd(t, in), Output: usd(t, out), CacheRead: usd(t, in), CacheWrite: usd(t, in)}.Resolved()
		return published.Entry{Prices: append([]billing.Price{p}, more...)}
	}
	large := offered(t, Input{}, "acme/large") // 1 and 4
	long := billing.Price{
		Input: usd(t, "2"), Output: usd(t, "8"), CacheRead: usd(t, "2"), CacheWrite: usd(t, "2"),
		MinInput: 200_001,
	}.Resolved()
	for name, tt := range map[string]struct {
		entry published.Entry
		want  string // the rates; "" for no change
		far   string
	}{
		"the same":               {rates("1", "4"), "", ""},
		"dearer":                 {rates("1.5", "4"), "prompt 1.5, completion 4", ""},
		"a step":                 {rates("1", "4", long), "prompt 1, completion 4, over 200000 prompt 2, over 200000 completion 8", ""},
		"twenty times":           {rates("20", "4"), "prompt 20, completion 4", ""},
		"more than twenty":       {rates("20.1", "4"), "prompt 20.1, completion 4", "prompt goes from $1 to $20.1, more than ×20"},
		"a thousandth":           {rates("0.001", "0.004"), "prompt 0.001, completion 0.004", "prompt goes from $1 to $0.001"},
		"free":                   {rates("0", "0"), "prompt 0, completion 0", "prompt goes from $1 to $0"},
		"nothing is known of it": {published.Entry{Left: []string{"per image"}}, "", ""},
	} {
		c, ok := Renew(large, tt.entry, day, now)
		if got := names(c.New); ok != (tt.want != "") || ok && got != tt.want || !strings.HasPrefix(c.Far, tt.far) ||
			(c.Far == "") != (tt.far == "") {
			t.Errorf("%s: %v %q far %q", name, ok, got, c.Far)
		}
		if ok && (!c.New[0].Since.Equal(day) || c.New[0].Source != "catalog" || c.New[0].ID == "" || c.New[0].Model != "large") {
			t.Errorf("%s: %+v", name, c.New[0])
		}
	}
	// If a price began today, the next one begins at the current moment.
	c, _ := Renew(large, rates("2", "4"), large.Prices[0].Since, now)
	if !c.New[0].Since.Equal(now) {
		t.Errorf("since %v", c.New[0].Since)
	}
	if c, ok := Renew(offered(t, Input{}, "bolt/odd"), rates("0", "0"), day, now); ok || len(c.Left) != 1 {
		t.Errorf("what has no price becomes free: %+v", c)
	}
	own := offered(t, Input{Text: "providers:\n  acme: {models: [{id: large, prices: [{since: 2026-01-01, prompt: \"0.9\", " +
		"completion: \"3\"}]}]}"}, "acme/large")
	if c, ok := Renew(own, rates("2", "4"), day, now); ok {
		t.Errorf("a contract is replaced: %+v", c)
	}
}

// What a list leaves out is kept, if the list agrees on the rest.
func TestRenew_KeepsWhatIsNotSaid(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	o := offered(t, Input{Prices: `
providers:
  acme:
    models:
      - id: large
        prices:
          - since: 2026-03-01
            prompt: "1"
            completion: "4"
            cache_read: "0.1"
            request: "0.01"
            tiers: [{service: batch, prompt: "0.5", completion: "2"}]
`}, "acme/large")
	base := billing.Price{Input: usd(t, "1"), Output: usd(t, "4"), CacheRead: usd(t, "1"), CacheWrite: usd(t, "1")}.Resolved()
	if c, ok := Renew(o, published.Entry{Prices: []billing.Price{base}}, now, now); ok {
		t.Errorf("a list that says less changes %s", names(c.New))
	}
	base.Reasoning = usd(t, "5")
	c, ok := Renew(o, published.Entry{Prices: []billing.Price{base}}, now, now)
	if got := names(c.New); !ok || got != "prompt 1, completion 4, cache_read 0.1, reasoning 5, request 0.01, batch prompt 0.5, batch "+
		"completion 2" {
		t.Errorf("got %s", got)
	}
	base.Input, base.CacheRead, base.CacheWrite, base.CacheWrite1h, base.AudioInput = usd(t, "2"), usd(t, "2"), usd(t, "2"), usd(t, "2"),
		usd(t, "2")
	c, _ = Renew(o, published.Entry{Prices: []billing.Price{base}}, now, now)
	if got := names(c.New); got != "prompt 2, completion 4, reasoning 5" {
		t.Errorf("another price keeps %s", got)
	}
}

// What is written can be read back unchanged, with the same IDs.
func TestWritePrices(t *testing.T) {
	const text = `
providers:
  acme:
    models:
      - id: large
        prices:
          - {since: 2026-01-01, prompt: "1", completion: "4"}
          - since: 2026-03-01T12:30:00Z
            force: true
            prompt: "100"
            completion: "400"
            cache_read: "10"
            cache_write: "125"
            cache_write_1h: "200"
            reasoning: "401"
            audio_prompt: "102"
            audio_completion: "403"
            request: "0.01"
            tiers:
              - {over: 1000, prompt: "200", completion: "800", audio_prompt: "201"}
              - {service: flex, prompt: "50", completion: "200", cache_write_1h: "60"}
              - {service: batch, prompt: "50", completion: "200", audio_prompt: "50", reasoning: "200", cache_write: "50",
                  cache_write_1h: "50"}
  bolt:
    models:
      - id: odd
        prices: [{since: 2026-01-01, prompt: "0", completion: "0"}]
`
	large, odd := offered(t, Input{Prices: text}, "acme/large"), offered(t, Input{Prices: text}, "bolt/odd")
	written := WritePrices([]Offer{large, odd})
	if again := offered(t, Input{Prices: written}, "acme/large"); !reflect.DeepEqual(again.Prices, large.Prices) {
		t.Errorf("%s\nreads as\n%+v\nnot\n%+v", written, again.Prices, large.Prices)
	}
	if again := offered(t, Input{Prices: written}, "bolt/odd"); !reflect.DeepEqual(again.Prices, odd.Prices) {
		t.Errorf("got %+v", again.Prices)
	}
	if n := len(large.Price(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))); n != 4 {
		t.Errorf("%d prices are in force", n)
	}
	if p := large.Price(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)); len(p) != 1 || p[0].Input != usd(t, "1") {
		t.Errorf("in February it cost %+v", p)
	}
}

func TestPricesFile_Faults(t *testing.T) {
	for text, want := range map[string]string{
		"providers: {nobody: " +
			"{models: []}}": "prices.yaml:1: providers.nobody: no built-in provider has that name",
		"providers: {acme: {models: [{id: none, prices: []}]}}":                 `the provider has no model "none"`,
		"providers: {acme: {base_url: https://evil.example}}":                   "providers.acme.base_url: unknown setting",
		"providers: {acme: {models: [{id: large, upstream: other}]}}":           "upstream: unknown setting",
		"providers: {acme: {models: [{id: large, prices: [{prompt: \"1\"}]}]}}": "needs since, prompt and completion",
		"aliases: {}": "aliases: unknown setting",
		"providers: {acme: {models: [{id: large, prices: [{since: 2026-07-01, prompt: \"50\", completion: \"4\"}]}]}}": "add force: true",
	} {
		_, err := Build(t.Context(), Input{Prices: text, PricesFile: "prices.yaml"}, Options{Data: files(), Secrets: nothing})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// The configuration takes precedence.
	o := offered(t, Input{
		Prices: "providers: {acme: {models: [{id: large, prices: [{since: 2026-02-01, prompt: \"2\", completion: \"4\"}]}]}}",
		Text:   "providers:\n  acme: {models: [{id: large, prices: [{since: 2026-01-01, prompt: \"0.9\", completion: \"3\"}]}]}",
	}, "acme/large")
	if len(o.Prices) != 1 || o.Prices[0].Input != usd(t, "0.9") || !o.Own {
		t.Errorf("got %+v", o)
	}
}

// Two lists adopted within one second make two prices, one after the other.
func TestRenew_WithinASecond(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 900_000_000, time.UTC)
	o := offered(t, Input{Prices: `
providers:
  acme:
    models:
      - id: large
        prices:
          - {since: "2026-11-25T10:00:00Z", prompt: "1", completion: "4"}
`}, "acme/large")
	c, ok := Renew(o, published.Entry{Prices: []billing.Price{{Input: usd(t, "2"), Output: usd(t, "4")}}}, now.Truncate(24*time.Hour), now)
	if want := time.Date(2026, 11, 25, 10, 0, 1, 0, time.UTC); !ok || !c.New[0].Since.Equal(want) {
		t.Errorf("%t, in force from %v, want %v", ok, c.New, want)
	}
}
