package governance

import (
	"net/netip"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

func TestHoldersReadEveryKindOfRuleAndLimitInPlainWords(t *testing.T) {
	dollars, tokens, requests := billing.Money(50_000_000_000), int64(1000), int64(5)
	k := &billing.Key{
		Name: "app", Team: "web", Project: "shop", Environment: "prod", AllowUnpriced: true,
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Budgets: []billing.Budget{
			{ID: "a", Scope: billing.ScopeKey, Period: billing.PeriodMonth, Zone: "Europe/Berlin", Money: &dollars, Tokens: &tokens},
			{ID: "b", Scope: billing.ScopeKey, Period: billing.PeriodConcurrent, Requests: &requests},
			{ID: "c", Scope: billing.ScopeTeam, Period: billing.PeriodMinute, Tokens: &tokens},
			{
				ID: "d", Scope: billing.ScopeOrg, Period: billing.PeriodYear, Starts: "04-06", Money: &dollars,
				Action: billing.ActionDowngrade,
			},
			{ID: "e", Scope: billing.ScopeProject, Period: billing.PeriodDay, Money: &dollars, Action: billing.ActionAlert},
			{ID: "f", Scope: billing.ScopeKey, Period: billing.PeriodOnce, Money: &dollars, Part: billing.PartModel, Named: "gpt-4o"},
			{ID: "g", Scope: billing.ScopeTeam, Period: billing.PeriodWeek, Requests: &requests, Part: "tag:feature"},
		},
		Policies: policy.Layers{Team: &policy.Policy{
			Models: []string{"openai/*"}, DenyModels: []string{"openai/o1"}, Providers: []string{"openai"}, DenyProviders: []string{"x"},
			Endpoints: []string{"chat"}, Features: []string{"server_tools"}, MaxOutputTokens: 1, MaxPromptTokens: 2, MaxBodyBytes: 3,
			MaxRepeats: 4, MaxSessionRequests: 5, MaxSessionCents: 605,
			AllowedCIDRs: []string{"10.0.0.0/8"}, DeniedCIDRs: []string{"10.1.0.0/16"},
			Origins: []string{"https://a.example"}, Referers: []string{"https://a.example/*"}, RequiredTags: []string{"feature"},
			Hours: []policy.Hours{
				{Days: []string{"mon", "tue", "wed", "fri"}, From: "22:00", Until: "06:00", Zone: "Europe/Berlin"},
				{From: "12:00", Until: "13:00"},
			},
			Conditions: []policy.Condition{{Name: "small", Must: "request.max_output <= 1000"}},
		}},
	}
	want := []string{
		`This is key "app" of project web/shop, for prod.`,
		`It does not expire.`,
		`It may ask for every model that the policies below allow.`,
		`It may be used from these addresses: 10.0.0.0/8.`,
		`Key "app" may use $50 and 1000 tokens per month by the clocks of Europe/Berlin; what does not fit is refused.`,
		`Key "app" may use 5 requests that are under way at the same time; what does not fit is refused.`,
		`Team "web" may use 1000 tokens per minute; what does not fit is refused.`,
		`The organisation may use $50 per year, in years that begin on 04-06; from 80 % on the cheapest model answers, ` +
			`and what does not fit is refused.`,
		`Project "web/shop" is watched from $50 per day; nothing is refused because of it.`,
		`Key "app" may use $50 once and for all for model "gpt-4o"; what does not fit is refused.`,
		`Team "web" may use 5 requests per week for each value of tag "feature"; what does not fit is refused.`,
		`It may use models whose price is not known.`,
		`By the policy of its team, only these models may be asked for: openai/*.`,
		`By the policy of its team, no model may be asked for that is or is like: openai/o1.`,
		`By the policy of its team, only these providers are called: openai.`,
		`By the policy of its team, none of these providers is called: x.`,
		`By the policy of its team, only these endpoints may be called: chat.`,
		`By the policy of its team, requests may use these features and no others: server tools.`,
		`By the policy of its team, requests may come from these addresses only: 10.0.0.0/8.`,
		`By the policy of its team, requests may not come from these addresses: 10.1.0.0/16.`,
		`By the policy of its team, only pages of these origins may use it: https://a.example.`,
		`By the policy of its team, only pages whose address (Referer) is like this may use it: https://a.example/*.`,
		`By the policy of its team, every request must have these tags: feature.`,
		`By the policy of its team, an answer has at most 1 tokens.`,
		`By the policy of its team, a prompt has at most 2 tokens.`,
		`By the policy of its team, the body of a request has at most 3 bytes.`,
		`By the policy of its team, the same request that comes more than 4 times within moments is stopped for a while.`,
		`By the policy of its team, a session is stopped for a while after 5 requests.`,
		`By the policy of its team, a session is stopped for a while once it has spent $6.05.`,
		`By the policy of its team, requests may come only on Monday to Wednesday, Friday from 22:00 to 06:00 of the next day ` +
			`(Europe/Berlin), or every day from 12:00 to 13:00 (UTC).`,
		`By the policy of its team, a request must fulfil "small", which is: request.max_output <= 1000.`,
	}
	for i, got := range Plain(k, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)) {
		if i >= len(want) || got != want[i] {
			t.Errorf("line %d: %s", i, got)
		}
	}
}
