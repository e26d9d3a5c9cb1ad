package router

import (
	"math/rand/v2"
	"slices"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/tokens"
)

func input(targets ...providers.Target) planInput {
	in := planInput{targets: targets, choices: 1, clientMax: 100, defaultMax: 4096}
	for _, t := range targets {
		in.prompts = append(in.prompts, tokens.Estimate{Tokens: 1000})
		in.health = append(in.health, health.State{Status: health.Healthy})
		in.prices = append(in.prices, billing.NewPriceBook(pricesOf(t)).At(t.Provider, t.Model, epoch))
		in.tiers = append(in.tiers, billing.TierStandard)
	}
	return in
}

func names(list []Candidate) (out []string) {
	for _, c := range list {
		out = append(out, c.Target.Provider)
	}
	return out
}

func TestOrder(t *testing.T) {
	a, b, c := target("a", "1", "2"), target("b", "2", "1"), target("c", "3", "3")
	blind := target("blind", "0", "0")
	off := target("off", "0", "0")
	off.Weight = 0
	for name, test := range map[string]struct {
		in    planInput
		want  []string
		why   []exclusion
		shape func(*planInput)
	}{
		"cheapest first":        {in: input(c, a), want: []string{"a", "c"}},
		"by name where equal":   {in: input(target("y", "1", "1"), target("x", "1", "1")), want: []string{"x", "y"}},
		"weight 0 is out":       {in: input(off, a), want: []string{"a", "off"}, why: []exclusion{notExcluded, weightless}},
		"unhealthy is out":      {in: input(a, c), want: []string{"c", "a"}, why: []exclusion{notExcluded, unhealthy}, shape: func(in *planInput) { in.health[0] = health.State{Status: health.Open, Cause: "rate"} }},
		"a trial by its price":  {in: input(c, a), want: []string{"a", "c"}, shape: func(in *planInput) { in.health[1] = health.State{Status: health.Trial} }},
		"cannot see":            {in: input(blind), want: []string{"blind"}, why: []exclusion{cannotDo}, shape: func(in *planInput) { in.needs = chat.Needs{Vision: true} }},
		"unpriced after priced": {in: input(target("free?", "", ""), c), want: []string{"c", "free?"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.shape != nil {
				test.shape(&test.in)
			}
			list, certain := order(test.in)
			if !certain || !slices.Equal(names(list), test.want) {
				t.Fatalf("order %v (certain: %t), want %v", names(list), certain, test.want)
			}
			for i, why := range test.why {
				if list[i].why != why {
					t.Errorf("%s: excluded for %d, want %d", list[i].Target.Provider, list[i].why, why)
				}
			}
		})
	}
	t.Run("crossing prices need a count", func(t *testing.T) {
		if _, certain := order(input(a, b)); certain {
			t.Error("a is cheaper for short prompts and b for long ones, or the other way round: the bound cannot tell")
		}
	})
	t.Run("near the context the prompt is counted", func(t *testing.T) {
		in := input(a)
		in.targets[0].Context = 1050
		if _, certain := order(in); certain {
			t.Error("certain")
		}
	})
}

// The order that the bound gives, when it is certain, is the order that any
// shorter prompt gives: checked against brute force.
func TestCertainOrderHoldsForEveryPrompt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	certainOnes := 0
	for range 20_000 {
		var targets []providers.Target
		for _, name := range []string{"a", "b", "c"} {
			p := target(name, billing.Money(r.Int64N(5_000_000_000)).String(), billing.Money(r.Int64N(5_000_000_000)).String())
			targets = append(targets, p)
		}
		in := input(targets...)
		list, certain := order(in)
		if !certain {
			continue
		}
		certainOnes++
		exact := input(targets...)
		n := r.Int64N(1001)
		for i := range exact.prompts {
			exact.prompts[i] = tokens.Estimate{Tokens: n, Exact: true}
		}
		exact.last = true
		if want, _ := order(exact); !slices.Equal(names(list), names(want)) {
			t.Fatalf("order by bound %v, by the count of %d %v", names(list), n, names(want))
		}
	}
	if certainOnes < 1000 {
		t.Errorf("only %d certain orders: the test does not test much", certainOnes)
	}
}
