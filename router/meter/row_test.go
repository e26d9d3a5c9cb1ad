package meter

import (
	"math"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/plan"
)

// A hold is for the whole request: what earlier attempts used counts.
func TestOverrunOverSeveralAttempts(t *testing.T) {
	row := func(tokens int64, cost billing.Money) billing.Spend {
		return billing.Spend{Tokens: billing.Tokens{Input: tokens / 2, Output: tokens - tokens/2}, Cost: billing.Cost{Total: cost}}
	}
	for _, c := range []struct {
		name   string
		rows   []billing.Spend
		tokens []int64
		money  []billing.Money
	}{
		{"within", []billing.Spend{row(40, 4), row(60, 6)}, []int64{0, 0}, []billing.Money{0, 0}},
		{"each within, not both", []billing.Spend{row(80, 8), row(80, 8)}, []int64{0, 60}, []billing.Money{0, 6}},
		{"the first beyond", []billing.Spend{row(130, 5), row(20, 6)}, []int64{30, 20}, []billing.Money{0, 1}},
		{"failed ones for nothing", []billing.Spend{row(0, 0), row(0, 0), row(101, 10)}, []int64{0, 0, 1}, []billing.Money{0, 0, 0}},
		{
			"more than there are numbers for",
			[]billing.Spend{row(math.MaxInt64, math.MaxInt64), row(math.MaxInt64, 1)},
			[]int64{math.MaxInt64 - 100, 0},
			[]billing.Money{math.MaxInt64 - 10, 0},
		},
	} {
		Overrun(c.rows, &billing.Hold{Tokens: 100, Money: 10})
		for i, r := range c.rows {
			if r.OverrunTokens != c.tokens[i] || r.OverrunMoney != c.money[i] {
				t.Errorf("%s: attempt %d: %d tokens and $%s", c.name, i+1, r.OverrunTokens, r.OverrunMoney)
			}
		}
	}
}

// The baseline is what the request would have cost at the most expensive candidate that could
// have served it.
func TestRowsOfOneRequest(t *testing.T) {
	out := priced("out", 90, 90)
	out.Why = plan.Unhealthy
	cheap := priced("cheap", 2, 5)
	m := Meter{
		Request: request(t, twice), Row: billing.Spend{RequestID: "req_1", Status: billing.StatusOK},
		Plan: plan.Plan{Candidates: []plan.Candidate{cheap, priced("dear", 3, 7), out}},
	}
	lost := m.Lost(&cheap, 1)
	if lost.Tokens != (billing.Tokens{Input: 120, Output: 100}) || lost.Cost.Total != 120*2+100*5 || lost.Baseline != 120*3+100*7 ||
		!lost.Final || lost.Status != billing.StatusInterrupted || lost.UsageSource != billing.Bounded ||
		lost.RouteReason != billing.RouteCheapest {
		t.Errorf("lost: %+v", lost)
	}
	failed := m.Failed(&cheap, 1, providers.KindRate)
	if failed.Tokens.Total() != 0 || failed.Cost.Total != 0 || failed.Final || failed.Status != billing.StatusError ||
		failed.ErrorKind != "rate" {
		t.Errorf("failed: %+v", failed)
	}
	unpriced := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Hold: 120, MaxOutput: 50}
	used, _ := m.Used(Use{Candidate: &unpriced, Attempt: 2, Status: billing.StatusOK, ResponseID: "resp_1"}, fixed{prompt: 9, text: 3})
	if used.Pricing != billing.Unpriced || used.Cost.Total != 0 || used.Baseline != 0 || used.RouteReason != billing.RouteFailover ||
		used.ProviderRequestID != "resp_1" || used.RequestID != "req_1" || used.Attempt != 2 || !used.Final {
		t.Errorf("used: %+v", used)
	}
}

// A plain call that we cancel is billed in full if the provider goes on.
func TestPlainCallThatGoesOnWithoutUsIsChargedAsHeld(t *testing.T) {
	m := Meter{Request: request(t, twice), Row: billing.Spend{RequestID: "req_1"}}
	slow := priced("slow", 2, 5)
	slow.MaxOutput = 50_000
	u := Unanswered{Candidate: &slow, Attempt: 1, Status: billing.StatusClientAborted, Prompt: 9, Took: 100 * time.Millisecond}
	if got := m.Unanswered(u, fixed{prompt: 9}).Tokens; got != (billing.Tokens{Input: 9, Output: 2 * defaultRate}) {
		t.Errorf("by its time: %+v", got)
	}
	u.Unending = true
	if row := m.Unanswered(u, fixed{prompt: 9}); row.Tokens != (billing.Tokens{Input: 9, Output: 2 * 50_000}) ||
		row.UsageSource != billing.Bounded {
		t.Errorf("going on: %+v", row)
	}
}
