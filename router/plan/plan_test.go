package plan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	"tallyroute/router/health"
	"tallyroute/router/tokens"
)

const (
	hundred = `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
	picture = `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":[{"type":"image_url",` +
		`"image_url":{"url":"https://e.example/a.png"}}]}]}`
)

func request(t *testing.T, body string) *chat.Request {
	t.Helper()
	req, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// offer returns a healthy target with a prompt of at most 1000 tokens, at prices in dollars per
// million tokens.
func offer(t *testing.T, name, prompt, completion string) Offer {
	t.Helper()
	o := Offer{
		Target: &providers.Target{Adapter: openai.New(), Provider: name, Model: "m", Weight: 1, Context: 100_000, MaxOutput: 1000},
		Prompt: tokens.Estimate{Tokens: 1000},
	}
	if prompt == "" {
		return o
	}
	in, err := billing.ParseMoney(prompt)
	if err != nil {
		t.Fatal(err)
	}
	out, err := billing.ParseMoney(completion)
	if err != nil {
		t.Fatal(err)
	}
	o.Prices = billing.NewPriceBook([]billing.Price{{Provider: name, Model: "m", Input: in, Output: out}}).At(name, "m", time.Now())
	return o
}

func input(t *testing.T, offers ...Offer) Input {
	t.Helper()
	return Input{Request: request(t, hundred), Strategy: Cheapest, DefaultMaxOutput: 4096, Offers: offers}
}

func names(p Plan) (out []string) {
	for _, c := range p.Candidates {
		out = append(out, c.Target.Provider)
	}
	return out
}

func TestCandidatesAreOrdered(t *testing.T) {
	a, b, c := offer(t, "a", "1", "2"), offer(t, "b", "2", "1"), offer(t, "c", "3", "3")
	off := offer(t, "off", "0", "0")
	off.Target.Weight = 0
	for name, test := range map[string]struct {
		in    Input
		want  []string
		why   []Exclusion
		shape func(*Input)
	}{
		"cheapest first":      {in: input(t, c, a), want: []string{"a", "c"}},
		"by name where equal": {in: input(t, offer(t, "y", "1", "1"), offer(t, "x", "1", "1")), want: []string{"x", "y"}},
		"weight 0 is out":     {in: input(t, off, a), want: []string{"a", "off"}, why: []Exclusion{NotExcluded, Weightless}},
		"unhealthy is out": {
			in: input(t, a, c), want: []string{"c", "a"}, why: []Exclusion{NotExcluded, Unhealthy},
			shape: func(in *Input) { in.Offers[0].Health = health.State{Status: health.Open, Cause: "rate"} },
		},
		"a trial by its price": {
			in: input(t, c, a), want: []string{"a", "c"},
			shape: func(in *Input) { in.Offers[1].Health = health.State{Status: health.Trial} },
		},
		"cannot see": {
			in: input(t, offer(t, "blind", "0", "0")), want: []string{"blind"}, why: []Exclusion{CannotDo},
			shape: func(in *Input) { in.Request = request(t, picture) },
		},
		"unpriced after priced": {in: input(t, offer(t, "free?", "", ""), c), want: []string{"c", "free?"}},
		"unpriced is out": {
			in: input(t, offer(t, "free?", "", ""), c), want: []string{"c", "free?"},
			why: []Exclusion{NotExcluded, Unpriced}, shape: func(in *Input) { in.NeedsPrice = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.shape != nil {
				test.shape(&test.in)
			}
			p, certain := Make(test.in)
			if !certain || !slices.Equal(names(p), test.want) {
				t.Fatalf("order %v (certain: %t), want %v", names(p), certain, test.want)
			}
			for i, why := range test.why {
				if p.Candidates[i].Why != why {
					t.Errorf("%s: excluded for %d, want %d", p.Candidates[i].Target.Provider, p.Candidates[i].Why, why)
				}
			}
		})
	}
	t.Run("crossing prices need a count", func(t *testing.T) {
		if _, certain := Make(input(t, a, b)); certain {
			t.Error("a is cheaper for short prompts and b for long ones, or the other way round: the bound cannot tell")
		}
	})
	t.Run("near the context the prompt is counted", func(t *testing.T) {
		near := offer(t, "near", "1", "2")
		near.Target.Context = 1050
		if _, certain := Make(input(t, near)); certain {
			t.Error("certain")
		}
	})
}

// The order according to the bound, if it is certain, is the order for any shorter prompt:
// checked against brute force.
func TestCertainOrderHoldsForEveryPrompt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	certainOnes := 0
	for range 20_000 {
		var offers []Offer
		for _, name := range []string{"a", "b", "c"} {
			offers = append(offers, offer(t, name, billing.Money(r.Int64N(5_000_000_000)).String(),
				billing.Money(r.Int64N(5_000_000_000)).String()))
		}
		in := input(t, offers...)
		p, certain := Make(in)
		if !certain {
			continue
		}
		certainOnes++
		n := r.Int64N(1001)
		in.Offers, in.Counted = slices.Clone(offers), true
		for i := range in.Offers {
			in.Offers[i].Prompt = tokens.Estimate{Tokens: n, Exact: true}
		}
		if want, _ := Make(in); !slices.Equal(names(p), names(want)) {
			t.Fatalf("order by bound %v, by the count of %d %v", names(p), n, names(want))
		}
	}
	if certainOnes < 1000 {
		t.Errorf("only %d certain orders: the test does not test much", certainOnes)
	}
}

func TestRefusalIsTheReasonNearestToBeingMended(t *testing.T) {
	down := func(o Offer, cause string, after time.Duration) Offer {
		o.Health = health.State{Status: health.Open, Cause: cause, RetryAfter: after}
		return o
	}
	blind := input(t, offer(t, "blind", "1", "1"))
	blind.Request = request(t, picture)
	full := offer(t, "full", "1", "1")
	full.Target.Context, full.Prompt = 50, tokens.Estimate{Tokens: 45, Exact: true}
	dear := input(t, offer(t, "dear", "", ""), down(offer(t, "b", "1", "1"), "overload", 0))
	dear.NeedsPrice = true
	for name, tt := range map[string]struct {
		in   Input
		want string
	}{
		"cannot":                 {blind, "router: m cannot do [vision]"},
		"too long":               {input(t, full), "router: 45 prompt and 100 output tokens exceed the 50 of m"},
		"one down, one unpriced": {dear, "router: no healthy provider"},
		"down": {input(t, down(offer(t, "a", "1", "1"), "overload", time.Second),
			down(offer(t, "b", "1", "1"), "rate", time.Minute)), "router: no healthy provider"},
	} {
		p, _ := Make(tt.in)
		if err := p.Refusal(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	for _, causes := range [][]string{{"rate", "rate"}, {"rate", "overload"}} {
		in := input(t, down(offer(t, "a", "1", "1"), causes[0], time.Minute), down(offer(t, "b", "1", "1"), causes[1], time.Second))
		p, _ := Make(in)
		err := (*UnhealthyError)(nil)
		if !errors.As(p.Refusal(in), &err) || err.RetryAfter != time.Second || err.RateLimited != (causes[1] == "rate") {
			t.Errorf("%v: %+v", causes, err)
		}
	}
	fine := input(t, offer(t, "a", "1", "1"))
	p, _ := Make(fine)
	if err := p.Refusal(fine); err != nil {
		t.Errorf("refused although there is a candidate: %v", err)
	}
}

func TestCredentialsAreDrawnByWeightTheReadyOnesFirst(t *testing.T) {
	list := []providers.Credential{
		{Name: "a", Weight: 3},
		{Name: "none"},
		{Name: "b", Weight: 1},
		{Name: "c", Weight: 1},
		{Name: "d", Weight: 1},
	}
	states := make([]health.State, len(list))
	draw := func(numbers ...int64) (drawn string) {
		for _, c := range Draw(list, states, func(n int64) int64 {
			next := numbers[0]
			numbers = numbers[1:]
			if next >= n {
				t.Fatalf("a number of %d is asked for, want more than %d", n, next)
			}
			return next
		}) {
			drawn += c.Name
		}
		return drawn
	}
	for _, tt := range []struct {
		numbers []int64
		want    string
	}{
		{[]int64{0, 0, 0, 0}, "abc"},
		{[]int64{2, 0, 0, 0}, "abc"},
		{[]int64{3, 0, 0, 0}, "bac"},
		{[]int64{5, 4, 3, 0}, "dcb"},
	} {
		if got := draw(tt.numbers...); got != tt.want {
			t.Errorf("%v draws %s, want %s", tt.numbers, got, tt.want)
		}
	}
	states[0].Status, states[2].Status = health.Open, health.Trial
	if got := draw(0, 0, 0, 0); got != "cdb" {
		t.Errorf("of which a is down and b on trial: %s", got)
	}
	if best := Best(list, states); best.Status != health.Healthy {
		t.Errorf("the best is %+v", best)
	}
	if best := Best(list[:3], states[:3]); best.Status != health.Trial {
		t.Errorf("without those that are ready the best is %+v: one without a weight takes no calls", best)
	}
}

func TestOperatorsBoundIsTakenWhereTheClientHasNone(t *testing.T) {
	for max, want := range map[int64]int64{4000: 500, 0: 500, 300: 300} {
		in := Input{
			Request: request(t, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`), Operation: providers.Chat,
			MaxOutput: 500, DefaultMaxOutput: 4096,
		}
		if got, _ := in.maxOutput(&Candidate{Target: &providers.Target{MaxOutput: max}}); got != want {
			t.Errorf("%d tokens for a model that can %d, want %d", got, max, want)
		}
	}
}

// What the context leaves is derived from the likely length of the prompt if the exact length
// is not known: a bound above it must not cut answers short, nor refuse what fits.
func TestContextLeavesWhatThePromptProbablyDoesNotTake(t *testing.T) {
	const own, none = 100, 0
	for name, tt := range map[string]struct {
		clients int64
		prompt  tokens.Estimate
		hold    int64
		want    int64
	}{
		"fits by its bound":               {none, tokens.Estimate{Tokens: 400, Likely: 300}, 400, 500},
		"by another vocabulary":           {none, tokens.Estimate{Tokens: 900, Likely: 600}, 900, 250},
		"of which more is known":          {none, tokens.Estimate{Tokens: 900, Likely: 600}, 660, 340},
		"counting ended early":            {none, tokens.Estimate{Tokens: 3000, Likely: 700}, 3000, 125},
		"probably fits":                   {none, tokens.Estimate{Tokens: 4000, Likely: 900}, 4000, 100},
		"does not fit":                    {none, tokens.Estimate{Tokens: 4000, Likely: 1000}, 4000, 0},
		"counted":                         {none, tokens.Estimate{Tokens: 900, Likely: 900, Exact: true}, 900, 100},
		"a client's own bound":            {own, tokens.Estimate{Tokens: 3000, Likely: 890}, 3000, 100},
		"a client's own that cannot be":   {own, tokens.Estimate{Tokens: 3000, Likely: 950}, 3000, 50},
		"a client's own beside a count":   {own, tokens.Estimate{Tokens: 901, Likely: 901, Exact: true}, 901, 0},
		"a client's own that fits by one": {own, tokens.Estimate{Tokens: 900, Likely: 900, Exact: true}, 900, 100},
	} {
		body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
		if tt.clients == own {
			body = hundred
		}
		in := Input{Request: request(t, body), Operation: providers.Chat, MaxOutput: 500, Counted: true}
		c := Candidate{
			Target: &providers.Target{Context: 1000},
			Prompt: tt.prompt.Tokens, Exact: tt.prompt.Exact, Likely: tt.prompt.Likely, Hold: tt.hold,
		}
		if got, sure := in.maxOutput(&c); max(got, 0) != tt.want || !sure {
			t.Errorf("%s: %d (sure: %t), want %d", name, got, sure, tt.want)
		}
	}
}

// Our own bound is not sent to a provider that refuses it, and the real reason is reported.
func TestBoundOfOursBelowTheLeastIsRefusedHere(t *testing.T) {
	const unbounded = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	for name, tt := range map[string]struct {
		body               string
		operators, context int64
		want               string
	}{
		"the operator's":    {unbounded, 5, 0, "router: a bound of 5 tokens of output is below the 16 that m takes"},
		"the context's":     {unbounded, 0, 110, "router: 100 prompt and 0 output tokens exceed the 110 of m"},
		"large enough":      {unbounded, 16, 116, ""},
		"the client's own":  {`{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"hi"}]}`, 0, 110, ""},
		"of another format": {unbounded, 5, 0, ""},
	} {
		o := offer(t, "a", "1", "1")
		o.Target.Context, o.Prompt = tt.context, tokens.Estimate{Tokens: 100, Likely: 100, Exact: true}
		if name != "of another format" {
			o.Target.Adapter.LeastOutput = 16
		}
		in := Input{Request: request(t, tt.body), Strategy: Cheapest, DefaultMaxOutput: 4096, MaxOutput: tt.operators, Offers: []Offer{o}}
		p, _ := Make(in)
		err := p.Refusal(in)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
