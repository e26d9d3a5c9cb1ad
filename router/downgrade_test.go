package router

import (
	"strings"
	"testing"

	"tallyroute/billing"
)

// nearLimit returns a rig whose key has used this much of a budget of 1000 tokens that
// downgrades to the cheapest model from half of it on. The key may use m and cheap, but not
// cheapest; cheap does not support tools.
func nearLimit(t *testing.T, used int64) *rig {
	t.Helper()
	b := tokenBudget(1000)
	b.Action, b.Thresholds = billing.ActionDowngrade, []int{20, 50, 100}
	key := keyWith(b)
	key.Models = []string{"m", "cheap"}
	cheap, cheapest := target("b", "1", "1"), target("c", "0.1", "0.1")
	cheap.Model, cheapest.Model = "cheap", "cheapest"
	cheap.Can.Tools = false
	g := newRig(t, key, target("a", "10", "10"), cheap, cheapest)
	g.ledger.balances["bud_t"] = &billing.Balance{Budget: b, UsedTokens: used}
	return g
}

func TestNearALimitTheCheapestModelAnswers(t *testing.T) {
	tools := strings.Replace(hi, `"max_tokens"`, `"tools":[{"type":"function","function":{"name":"f"}}],"max_tokens"`, 1)
	for name, tt := range map[string]struct {
		used   int64
		body   string
		model  string
		reason billing.RouteReason
	}{
		"below the threshold":                 {400, hi, "m", billing.RouteOnly},
		"from the threshold on":               {500, hi, "cheap", billing.RouteDowngraded},
		"what the cheapest cannot do":         {500, tools, "m", billing.RouteOnly},
		"the cheapest that the key may use":   {500, strings.Replace(hi, `"m"`, `"cheap"`, 1), "cheap", billing.RoutePinned},
		"at a provider that the client named": {500, strings.Replace(hi, `"m"`, `"a/m"`, 1), "cheap", billing.RouteDowngraded},
	} {
		t.Run(name, func(t *testing.T) {
			g := nearLimit(t, tt.used)
			for range 2 { // the first may be the one from which the router learns of it
				a, err := g.ask(t.Context(), tt.body)
				if err != nil {
					t.Fatal(err)
				}
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
				if a.Route.Target.Model != tt.model || a.Route.Reason != tt.reason ||
					a.Route.Downgraded != (tt.reason == billing.RouteDowngraded) {
					t.Errorf("%s answered, %s, downgraded %t", a.Route.Target.Model, a.Route.Reason, a.Route.Downgraded)
				}
			}
			rows := g.ledger.settled(t)
			if len(rows) != 2 || rows[0].Model != tt.model || rows[0].RouteReason != tt.reason ||
				!strings.Contains(tt.body, rows[0].RequestedModel) {
				t.Errorf("rows %+v", rows)
			}
		})
	}
}

func TestWhatHasNoRoomForTheModelIsAskedOfACheaperOne(t *testing.T) {
	g := nearLimit(t, 0)
	m := moneyBudget("0.0001")
	m.Action = billing.ActionDowngrade
	g.key.Budgets = []billing.Budget{m}
	a, err := g.ask(t.Context(), hi)
	if err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if a.Route.Target.Model != "cheap" || !a.Route.Downgraded {
		t.Errorf("%s answered", a.Route.Target.Model)
	}
}

func TestAtTheLimitNoModelAnswers(t *testing.T) {
	g := nearLimit(t, 1000)
	_, err := g.ask(t.Context(), hi)
	wantError[*billing.QuotaError](t, err)
	if held := g.holds.held(); held.Holds != 0 {
		t.Errorf("%+v is held", held)
	}
}
