package router

import (
	"slices"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
)

func limitsOf(k *billing.Key, crowd *crowd) *partLimits {
	return partLimitsOf(k, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), policy.Groups{"small": {"mini*"}}, crowd)
}

// Which limits apply to a call: those of its model and credential always; those of persons and
// tags only if the key vouches for them.
func TestCallsCountWithTheLimitsOfTheirParts(t *testing.T) {
	key := billing.Key{OwnerID: "prin_1", Tags: map[string]string{"customer": "acme"}, EndUser: "alice"}
	token := billing.Key{OwnerID: "prin_1", Tags: map[string]string{billing.TagIssuer: "https://ci", billing.TagSubject: "job-7"}}
	mini := &providers.Target{Provider: "openai", Model: "mini-1", Account: "main"}
	large := &providers.Target{Provider: "azure", Model: "large"}
	for _, tt := range []struct {
		name   string
		part   billing.Part
		named  string
		key    billing.Key
		target *providers.Target
		counts string // against the budget of this name; "" for none
	}{
		{"each model", billing.PartModel, "", key, mini, "mini-1"},
		{"a model", billing.PartModel, "mini-1", key, mini, "-"},
		{"another model", billing.PartModel, "mini-1", key, large, ""},
		{"a group of models", billing.PartModel, "@small", key, mini, "-"},
		{"a model at a provider", billing.PartModel, "openai/*", key, mini, "-"},
		{"each credential", billing.PartCredential, "", key, mini, "openai/main"},
		{"the only credential", billing.PartCredential, "", key, large, "azure"},
		{"a credential", billing.PartCredential, "openai/main", key, mini, "-"},
		{"a provider", billing.PartCredential, "openai", key, mini, "-"},
		{"another credential", billing.PartCredential, "openai/spare", key, mini, ""},
		{"who owns the key", billing.PartUser, "", key, mini, "prin_1"},
		{"whose identity was exchanged", billing.PartUser, "", token, mini, "https://ci job-7"},
		{"an end user", billing.PartEndUser, "", key, mini, "alice"},
		{"no end user that is vouched for", billing.PartEndUser, "", token, mini, ""},
		{"a tag", "tag:customer", "", key, mini, "acme"},
		{"a value of a tag", "tag:customer", "acme", key, mini, "-"},
		{"another value of a tag", "tag:customer", "other", key, mini, ""},
		{"a tag that the key lacks", "tag:customer", "", token, mini, ""},
	} {
		b := billing.Budget{ID: "bud_1", Scope: billing.ScopeOrg, ScopeID: "org", Period: billing.PeriodDay, Part: tt.part, Named: tt.named}
		tt.key.Budgets = []billing.Budget{{ID: "bud_0", Period: billing.PeriodDay}, b}
		var want []string
		if tt.counts != "" {
			want = []string{b.Below(tt.counts).ID}
		}
		if got := limitsOf(&tt.key, new(crowd)).ids(tt.target); !slices.Equal(got, want) {
			t.Errorf("%s: counted with %q, want %q", tt.name, got, want)
		}
	}
	if partLimitsOf(&billing.Key{Budgets: []billing.Budget{{ID: "bud_0"}}}, time.Time{}, nil, nil) != nil {
		t.Error("a key without limits of parts pays for them")
	}
}

// A name for which there is no room shares a limit, throughout its request and for a while.
func TestNamesWithoutRoomShareALimit(t *testing.T) {
	b := billing.Budget{ID: "bud_1", Period: billing.PeriodDay, Part: billing.PartEndUser}
	key := &billing.Key{EndUser: "alice", Budgets: []billing.Budget{b}}
	crowd, target := new(crowd), &providers.Target{}
	l, own := limitsOf(key, crowd), b.Below("alice").ID
	if l.share(own) {
		t.Error("shared what was not asked for")
	}
	if ids := l.ids(target); !slices.Equal(ids, []string{own}) || !l.share(own) {
		t.Fatalf("counted with %q", ids)
	}
	rest := []string{b.Rest().ID}
	if got := l.ids(target); !slices.Equal(got, rest) || l.share(own) {
		t.Errorf("the same request is counted with %q", got)
	}
	if got := limitsOf(key, crowd).ids(target); !slices.Equal(got, rest) {
		t.Errorf("the next request is counted with %q", got)
	}
}
