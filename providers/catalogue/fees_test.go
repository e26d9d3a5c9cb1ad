package catalogue

import (
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

const withFees = `name: acme
base_url: https://acme.example/v1
api_key: env:ACME_KEY
fees:
  - {since: 2026-02-01, web_search: "0.01", maps: "0.02"}
  - {since: 2026-04-01, web_search: "0.03"}
models:
  - {id: plain, prices: [{since: 2026-01-01, prompt: "1", completion: "2"}, {since: 2026-03-01, prompt: "5", completion: "6"}]}
  - {id: own, fees: [{since: 2026-01-15, web_search: "0.5"}], prices: [{since: 2026-01-01, prompt: "1", completion: "2",
      tiers: [{service: batch, prompt: "1", completion: "1"}]}]}
  - {id: none}
`

// Fees apply alongside prices from their dates on, and change no price.
func TestFeesAreDatedBesidePrices(t *testing.T) {
	p, err := Parse("acme.yaml", []byte(withFees))
	if err != nil {
		t.Fatal(err)
	}
	var all []billing.Price
	plain := make(map[string]bool)
	for _, m := range p.Models {
		for _, price := range m.Prices {
			plain[price.ID] = true
		}
		m.Fees = over(p.Fees, m.Fees)
		all = append(all, m.Dated()...)
	}
	book := billing.NewPriceBook(all)
	if listed := book.All(); len(listed) != len(plain) {
		t.Errorf("%d prices are recorded, there are %d", len(listed), len(plain))
	}
	at := func(model, day, tier, meter string) billing.Money {
		t.Helper()
		when, _ := time.Parse(time.DateOnly, day)
		price, ok := book.At("acme", model, when).Listed(tier, 0)
		if !ok || !plain[price.ID] {
			t.Fatalf("%s on %s has %+v, %t", model, day, price, ok)
		}
		unit, _ := price.Fee(meter, 1)
		return unit
	}
	const mill = billing.NanoPerUSD / 1000
	for _, tt := range []struct {
		model, day, tier, meter string
		want                    billing.Money
	}{
		{"plain", "2026-01-10", "", "web_search", 35 * mill}, // the most expensive one known
		{"plain", "2026-02-01", "", "web_search", 10 * mill},
		{"plain", "2026-03-02", "", "web_search", 10 * mill},
		{"plain", "2026-03-02", "", "maps", 20 * mill},
		{"plain", "2026-05-01", "", "web_search", 30 * mill},
		{"plain", "2026-05-01", "", "maps", 20 * mill},
		{"own", "2026-01-20", "", "web_search", 500 * mill},
		{"own", "2026-05-01", "", "web_search", 500 * mill},
		{"own", "2026-05-01", "batch", "maps", 20 * mill},
	} {
		if got := at(tt.model, tt.day, tt.tier, tt.meter); got != tt.want {
			t.Errorf("%s of %s on %s costs %d, want %d", tt.meter, tt.model, tt.day, got, tt.want)
		}
	}
}

func TestFeesThatAreNone(t *testing.T) {
	for fees, want := range map[string]string{
		`[{web_search: "0.01"}]`:                         "fees need since and at least one meter",
		`[{since: 2026-01-01}]`:                          "fees need since and at least one meter",
		`[{since: 2026-01-01, elephants: "1"}]`:          "elephants",
		`[{since: 2026-01-01, web_search: "-1"}]`:        "want dollars",
		`[{since: 2026-01-01, web_search: "1 euro"}]`:    "want dollars",
		`[{since: 2026-13-01, web_search: "1"}]`:         "want a date",
		`{since: 2026-01-01, web_search: "1"}`:           "want a list",
		`[{since: 2026-01-01, web_search: ["1", "2"]}]`:  "want a single value",
		`[{since: 2026-01-01, web_search: "999999999"}]`: "want dollars",
	} {
		_, err := Parse("acme.yaml", []byte("name: acme\nbase_url: https://acme.example/v1\napi_key: env:ACME_KEY\nfees: "+fees+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", fees, err, want)
		}
	}
}
