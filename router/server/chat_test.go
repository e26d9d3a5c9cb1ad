package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router"
	"tallyroute/router/web"
)

func TestPlainAnswer(t *testing.T) {
	g := newRig(t)
	limit, money := int64(1000), billing.Money(2_500_000_000)
	g.ledger.balance = []billing.Balance{{
		Budget: billing.Budget{ID: "bud_1", Tokens: &limit, Money: &money}, UsedTokens: 100, UsedMoney: 500_000_000,
		Window: billing.Window{End: day(2027, 1, 1)},
	}}
	perMinute := int64(60)
	g.ledger.balance = append(g.ledger.balance, billing.Balance{
		Budget:       billing.Budget{ID: "bud_2", Period: billing.PeriodMinute, Requests: &perMinute},
		UsedRequests: 1, Window: billing.Window{End: day(2026, 1, 1)},
	})
	r := g.chat(hi)
	if r.StatusCode != 200 {
		t.Fatalf("status %d: %s", r.StatusCode, r.body)
	}
	usage := r.object(t)["usage"].(map[string]any)
	// 10 tokens at $2 and 5 at $6 per million
	if usage["cost"] != 0.00005 || usage["prompt_tokens"] != 10.0 {
		t.Errorf("usage %v", usage)
	}
	details := usage["cost_details"].(map[string]any)
	if details["input"] != 0.00002 || details["output"] != 0.00003 || details["currency"] != "USD" || details["price_id"] != "price_1" {
		t.Errorf("cost_details %v", details)
	}
	for name, want := range map[string]string{
		"X-Tallyroute-Cost-Usd":                "0.00005",
		"X-Tallyroute-Cost-Status":             "exact",
		"X-Tallyroute-Provider":                "acme",
		"X-Tallyroute-Model":                   "m",
		"X-Tallyroute-Requested-Model":         "m",
		"X-Tallyroute-Attempts":                "1",
		"X-Tallyroute-Route-Reason":            "only",
		"X-Tallyroute-Budget-Remaining-Usd":    "2",
		"X-Tallyroute-Budget-Remaining-Tokens": "900",
		"X-Tallyroute-Budget-Reset":            "2027-01-01T00:00:00Z",
		"X-Ratelimit-Limit-Requests":           "60",
		"X-Ratelimit-Remaining-Requests":       "59",
		"X-Ratelimit-Reset-Requests":           "0s",
		"Content-Type":                         "application/json; charset=utf-8",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Openai-Processing-Ms", "X-Tallyroute-Overhead-Ms", "X-Request-Id"} {
		if r.Header.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	want := strings.Replace(completion[:len(completion)-2], `"model":"m-large"`, `"model":"m"`, 1)
	if !strings.HasPrefix(r.body, want) {
		t.Errorf("the answer was changed: %s", r.body)
	}
	if s := g.waitSettled(); s.Attempts[0].RequestID != r.Header.Get("X-Request-Id") {
		t.Errorf("the row is of request %q", s.Attempts[0].RequestID)
	}
}

func TestExplain(t *testing.T) {
	g := newRig(t)
	r := g.chat(hi, "X-Tallyroute-Explain", "1")
	p := r.object(t)["tallyroute"].(map[string]any)
	c := p["candidates"].([]any)[0].(map[string]any)
	if p["requested"] != "m" || p["chosen"] != "acme/m" || p["why"] != "only" || len(p["attempts"].([]any)) != 1 {
		t.Errorf("plan %v", p)
	}
	if c["provider"] != "acme" || c["chosen"] != true || c["excluded"] != nil || c["usd"] == nil {
		t.Errorf("candidate %v", c)
	}
	if _, there := g.chat(hi).object(t)["tallyroute"]; there {
		t.Error("explained without being asked")
	}
}

func TestTags(t *testing.T) {
	g := newRig(t)
	g.verifier.key.Tags = map[string]string{"team": "payments"}
	g.chat(hi, "X-Tallyroute-Tags", " feature=checkout , run=42,team=mine")
	tags := g.waitSettled().Attempts[0].Tags
	if len(tags) != 3 || tags["feature"] != "checkout" || tags["run"] != "42" || tags["team"] != "payments" {
		t.Errorf("tags %v", tags)
	}
	many := make([]string, 17)
	for i := range many {
		many[i] = "a" + strings.Repeat("x", i) + "=1"
	}
	for name, bad := range map[string]string{
		"no value": "feature", "no name": "=x", "space in name": "a b=1", "twice": "a=1,a=2", "too many": strings.Join(many, ","),
		"long name": strings.Repeat("n", 65) + "=1", "long value": "a=" + strings.Repeat("v", 257), "control": "a=b\tc",
	} {
		e := g.chat(hi, "X-Tallyroute-Tags", bad).refused(t, 400, "invalid_value")
		if e["param"] != "x-tallyroute-tags" {
			t.Errorf("%s: param %v", name, e["param"])
		}
	}
}

func TestUnpricedIsNotFree(t *testing.T) {
	g := newRig(t)
	r := g.chat(strings.Replace(hi, `"m"`, `"unpriced"`, 1))
	if r.StatusCode != 200 || r.Header.Get("X-Tallyroute-Cost-Status") != "unpriced" || r.Header.Values("X-Tallyroute-Cost-Usd") != nil {
		t.Errorf("status %d, headers %v", r.StatusCode, r.Header)
	}
	usage := r.object(t)["usage"].(map[string]any)
	if cost, there := usage["cost"]; cost != nil || !there {
		t.Errorf("usage %v", usage)
	}
	id := r.Header.Get("X-Request-Id")
	if got := g.get("/v1/requests/" + id).object(t); got["cost_usd"] != nil {
		t.Errorf("receipt %v", got)
	}
}

func TestAddMember(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: `{"k":1}`, "{\"a\":1}\n": `{"a":1,"k":1}`, `{"a":1 } `: `{"a":1,"k":1}`, `[]`: `[]`, ``: ``,
	} {
		if got := string(addMember([]byte(in), "k", 1)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

func TestLoweredOutputIsTold(t *testing.T) {
	h := http.Header{}
	f := web.NewHeader(h)
	describe(&f, router.Route{Target: &providers.Target{}, MaxOutput: 42, Dropped: []string{"logprobs", "seed"}}, router.Outcome{},
		time.Second)
	if h.Get("X-Tallyroute-Max-Tokens") != "42" || h.Get("X-Tallyroute-Dropped") != "logprobs, seed" ||
		h.Get("Openai-Processing-Ms") != "1000" {
		t.Errorf("%v", h)
	}
}

// A name in another spelling than net/http's would never be found.
func TestFieldNamesAreCanonical(t *testing.T) {
	var names []string
	files, err := filepath.Glob("../*e*/*.go") // of the packages server and web
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\.Set\("([^"]+)"`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	if len(names) < 15 {
		t.Errorf("only %d names found", len(names))
	}
	for _, n := range rateHeaders {
		names = append(names, n.limit, n.remaining, n.reset)
	}
	for _, name := range names {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
}

// What earlier attempts may be billed for is included everywhere that the cost is reported.
func TestCostOfARequestHasItsFailedAttempts(t *testing.T) {
	g := newRig(t)
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		if x.Target.Provider == "acme" {
			return nil, &providers.Error{Provider: "acme", Model: "m", Kind: providers.KindBroken, Sent: true}
		}
		return plainAnswer(), nil
	}
	r := g.chat(strings.Replace(hi, `"m"`, `"two"`, 1))
	rows := g.waitSettled().Attempts
	if len(rows) != 2 || rows[0].Cost.Total == 0 {
		t.Fatalf("%d %s: rows %+v", r.StatusCode, r.body, rows)
	}
	sum := (rows[0].Cost.Total + rows[1].Cost.Total).Short()
	if h := r.Header; h.Get("X-Tallyroute-Cost-Usd") != sum || h.Get("X-Tallyroute-Cost-Status") == "exact" {
		t.Errorf("header %q %q, want %s", h.Get("X-Tallyroute-Cost-Usd"), h.Get("X-Tallyroute-Cost-Status"), sum)
	}
	if !strings.Contains(r.body, `"cost":`+sum+",") || !strings.Contains(r.body, `"failed_attempts":`+rows[0].Cost.Total.Short()) {
		t.Errorf("body %s, want %s", r.body, sum)
	}
}
