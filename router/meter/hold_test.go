package meter

import (
	"math"
	"math/rand/v2"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/plan"
)

// priced returns a candidate with rates in nano-dollars per token.
func priced(name string, input, output billing.Money) plan.Candidate {
	sheet := billing.NewPriceBook([]billing.Price{{
		Provider: name, Model: "m", Since: epoch, Input: input * 1e6,
		Output: output * 1e6,
	}}).At(name, "m", epoch)
	c := plan.Candidate{
		Target: &providers.Target{Provider: name, Model: "m"}, Prices: sheet, Tier: billing.TierStandard, Prompt: 100,
		Hold: 120, MaxOutput: 50,
	}
	c.Price, c.Priced = sheet.Charged(c.Tier, c.Prompt)
	return c
}

// Two choices of 50 tokens each.
const twice = `{"model":"m","n":2,"messages":[{"role":"user","content":"x"}]}`

func TestHoldCoversTheDearestCandidate(t *testing.T) {
	long := priced("long", 1, 1)
	long.MaxOutput = 500
	m := Meter{Request: request(t, twice), Try: []plan.Candidate{priced("cheap", 2, 5), priced("dear", 3, 7), long}}
	want := Amounts{
		Tokens: 120 + 1000, Money: max(120*3+100*7, 120+1000),
		HeadroomTokens: headroom * 100, HeadroomMoney: headroom * 100 * 3,
	}
	if got := m.Hold(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.Plan.Counted, m.Lowered = true, 10
	if got := m.Hold(); got != (Amounts{Tokens: 140, Money: 120*3 + 20*7}) {
		t.Errorf("counted and lowered: %+v", got)
	}
}

// An output that Fits reports does fit, and one more token per choice does not, except for the
// token spared for rounding.
func TestOutputThatFits(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	fitted := 0
	for range 2000 {
		m := Meter{Request: request(t, twice), Plan: plan.Plan{Counted: true}, Try: []plan.Candidate{
			priced("a", billing.Money(random.Int64N(9)), billing.Money(1+random.Int64N(9))),
			priced("b", billing.Money(random.Int64N(9)), billing.Money(1+random.Int64N(9))),
		}}
		for i := range m.Try {
			m.Try[i].MaxOutput, m.Try[i].Members.Extra = math.MaxInt32, random.Int64N(20)
		}
		tokens, money := random.Int64N(2000), billing.Money(random.Int64N(20_000))
		free := []billing.Balance{{Budget: billing.Budget{Tokens: &tokens}}, {Budget: billing.Budget{Money: &money}}}
		within := func(lowered int64) bool {
			m.Lowered = lowered
			a := m.Hold()
			return a.Tokens <= tokens && a.Money <= money
		}
		fits := m.Fits(free)
		if fits > 0 && !within(fits) {
			t.Fatalf("%d tokens do not fit into %d tokens and $%s", fits, tokens, money)
		}
		if within(fits + 2) {
			t.Fatalf("%d tokens would fit into %d tokens and $%s, not only %d", fits+2, tokens, money, fits)
		}
		if fits > 0 {
			fitted++
		}
	}
	if fitted < 500 {
		t.Errorf("only %d fitted: the test does not test much", fitted)
	}
}

func TestBoundThatIsSent(t *testing.T) {
	for _, tt := range []struct {
		body          string
		most, lowered int64
		want          int64
	}{
		{`{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"}]}`, 50, 0, 0},
		{`{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"x"}]}`, 40, 0, 40},
		{`{"model":"m","messages":[{"role":"user","content":"x"}]}`, 40, 0, 40},
		{`{"model":"m","messages":[{"role":"user","content":"x"}]}`, 40, 7, 7},
		{`{"model":"m","messages":[{"role":"user","content":"x"}]}`, 40, 70, 40},
	} {
		m := Meter{Request: request(t, tt.body), Lowered: tt.lowered}
		if got := m.MaxOutput(&plan.Candidate{Target: &providers.Target{MaxOutput: 80}, MaxOutput: tt.most}); got != tt.want {
			t.Errorf("%s: %d is sent, want %d", tt.body, got, tt.want)
		}
		if got := m.MaxOutput(&plan.Candidate{
			Target:    &providers.Target{MaxOutput: tt.most},
			MaxOutput: tt.most,
		}); m.Request.MaxOutput() == 0 && tt.lowered != 7 && got != 0 {
			t.Errorf("%s: %d is sent, which is all that the model can", tt.body, got)
		}
	}
}
