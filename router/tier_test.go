package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
)

// tiered returns a standard price with a step at 1000 tokens, and a price for priority.
func tiered(provider string) []billing.Price {
	p := billing.Price{
		Provider: provider, Model: "m", ID: provider + "_standard", Since: epoch.AddDate(-1, 0, 0),
		Input: 1e9, CacheRead: 1e8, CacheWrite: 1e9, CacheWrite1h: 2e9, Output: 4e9, Reasoning: 5e9, AudioInput: 30e9, AudioOutput: 60e9,
	}
	long, priority := p, p
	long.ID, long.MinInput, long.Input, long.CacheWrite, long.CacheWrite1h, long.Output, long.Reasoning = provider+"_long", 1001, 2e9, 2e9,
		4e9, 8e9, 8e9
	priority.ID, priority.ServiceTier, priority.Input, priority.CacheWrite1h, priority.Output, priority.Reasoning = provider+"_priority",
		"priority", 3e9, 6e9, 12e9, 12e9
	return []billing.Price{p, long, priority}
}

// The hold covers what the most expensive kinds of tokens may cost, in the most expensive of
// the tiers that may serve the request.
func TestHoldsCoverEveryKindAndTier(t *testing.T) {
	money := moneyBudget("100")
	body := func(more string, length int) string {
		return fmt.Sprintf(`{"model":"m","max_tokens":100,%s"messages":[{"role":"user","content":"%s"}]}`, more,
			strings.Repeat("x", length))
	}
	for name, tt := range map[string]struct {
		body           string
		prompt, output billing.Money // nano-dollars per token
	}{
		"short":    {body("", 10), 2000, 5000},
		"long":     {body("", 10_100), 4000, 8000},
		"priority": {body(`"service_tier":"priority",`, 10), 6000, 12000},
		"flex":     {body(`"service_tier":"flex",`, 10), 2000, 5000},
		"voice":    {body(`"modalities":["text","audio"],`, 10), 30000, 60000},
	} {
		a := target("a", "1", "4")
		a.Can.Audio = true
		g := newRig(t, keyWith(money), a)
		g.Prices = billing.NewPriceBook(tiered("a"))
		var h billing.Hold
		g.sender.then(func(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
			for _, h = range g.ledger.holds {
			}
			return plain(&chat.Usage{Input: 5, Output: 7})(ctx, x)
		})
		g.ok(t, tt.body)
		prompt := len(tt.body)
		if g.counter.counted > 0 {
			prompt /= 10 // a prompt that may be a long one is counted
		}
		want := billing.Money(prompt)*tt.prompt + 100*tt.output
		if h.Money != want {
			t.Errorf("%s: $%s is held, want $%s", name, h.Money, want)
		}
	}
}

func TestTiers_WhoMayServe(t *testing.T) {
	plainPrice := tiered("b")[:1]
	a, b := target("a", "1", "4"), target("b", "1", "4")
	g := newRig(t, keyWith(moneyBudget("100")), a, b)
	g.Prices = billing.NewPriceBook(append(tiered("a"), plainPrice...))
	ask := func(tier, served string) billing.Spend {
		g.sender.then(plain(&chat.Usage{Input: 2000, Output: 7, ServiceTier: served}))
		return g.ok(t, `{"model":"m","service_tier":"`+tier+`","max_tokens":9,"messages":[{"role":"user","content":"`+strings.Repeat("x",
			20_000)+`"}]}`).Spend
	}
	for name, tt := range map[string]struct{ asked, served, provider, tier, price string }{
		"the standard one is the cheaper":    {"auto", "default", "b", "standard", "b_standard"},
		"no priority at b":                   {"priority", "priority", "a", "priority", "a_priority"},
		"priority was not to be had":         {"priority", "default", "a", "standard", "a_long"},
		"flex has no price, standard bounds": {"flex", "flex", "b", "flex", "b_standard"},
		// A budget in money is charged all the same, at the highest known price.
		"a tier that nobody knows":      {"", "scale", "b", "scale", "b_standard"},
		"served dearer without a price": {"auto", "priority", "b", "priority", "b_standard"},
	} {
		s := ask(tt.asked, tt.served)
		guessed := s.ServiceTier != "flex" && s.ServiceTier != s.Price.Resolved().ServiceTier
		if s.Provider != tt.provider || s.ServiceTier != tt.tier || s.Price.ID != tt.price || s.Pricing != billing.Priced ||
			s.Cost.Total == 0 || s.Disputed != guessed || guessed && *s.Reported != s.Tokens {
			t.Errorf("%s: %s by %s at %s, %s, $%s, disputed: %t", name, s.ServiceTier, s.Provider, s.Price.ID, s.Pricing, s.Cost.Total,
				s.Disputed)
		}
	}
	g.targets["m"] = []providers.Target{a}
	if s := ask("", "scale"); s.Price.ID != "a_priority" || !s.Disputed || s.ServiceTier != "scale" {
		t.Errorf("of a tier that nobody knows the dearest is charged: %s at %s, disputed: %t", s.ServiceTier, s.Price.ID, s.Disputed)
	}
	// Without such a budget the row has no price rather than a wrong one.
	other := newRig(t, keyWith(), a)
	other.Prices = g.Prices
	other.sender.then(plain(&chat.Usage{Input: 2000, Output: 7, ServiceTier: "scale"}))
	if s := other.ok(t, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`).Spend; s.Pricing != billing.Unpriced {
		t.Errorf("a tier that nobody knows, without a budget: %s, $%s", s.Pricing, s.Cost.Total)
	}
	// Only b is left, and what it would cost is not known.
	g.targets["m"] = []providers.Target{b}
	_, err := g.ask(t.Context(), `{"model":"m","service_tier":"priority","messages":[{"role":"user","content":"x"}]}`)
	if e := (*plan.UnpricedError)(nil); !errors.As(err, &e) {
		t.Errorf("a tier without a price: %v", err)
	}
	// A provider that was not told the tier serves the standard one.
	g.targets["m"] = []providers.Target{a}
	g.sender.then(func(context.Context, providers.Exchange) (*providers.Answer, error) {
		return &providers.Answer{
			Response: &chat.Response{Body: []byte(`{}`), Usage: &chat.Usage{Input: 5, Output: 7}, Text: "seven.."},
			Dropped:  []string{"service_tier"},
		}, nil
	})
	if s := g.ok(t, `{"model":"m","service_tier":"priority","messages":[{"role":"user",`+
		`"content":"x"}]}`).Spend; s.Price.ID != "a_standard" || s.ServiceTier != "standard" {
		t.Errorf("not told of the tier: %s at %s", s.ServiceTier, s.Price.ID)
	}
	// A provider without tiers is not asked for one.
	b.Quirks.Drop = []string{"service_tier"}
	g.targets["m"] = []providers.Target{b}
	if s := ask("priority", ""); s.Price.ID != "b_standard" || s.ServiceTier != "standard" {
		t.Errorf("without tiers: %s at %s", s.ServiceTier, s.Price.ID)
	}
}

func TestEmbeddingModelsAnswerNoChat(t *testing.T) {
	a := target("a", "1", "4")
	a.Can = providers.Abilities{Operation: providers.Embed, Stream: true}
	g := newRig(t, keyWith(), a)
	_, err := g.ask(t.Context(), `{"model":"m","messages":[{"role":"user","content":"x"}]}`)
	if e := (*plan.AbilityError)(nil); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}
