package manage

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// desk keeps keys and projects in memory, as far as the actions need them.
type desk struct {
	billing.Store
	keys     map[billing.KeyID]billing.Key
	hashes   map[[32]byte]billing.KeyID
	projects []billing.Project
}

func newDesk(projects ...billing.Project) *desk {
	return &desk{keys: map[billing.KeyID]billing.Key{}, hashes: map[[32]byte]billing.KeyID{}, projects: projects}
}

func (d *desk) CreateKey(_ context.Context, k billing.Key, hash [32]byte, _ ...*billing.Change) error {
	d.keys[k.ID], d.hashes[hash] = k, k.ID
	return nil
}

func (d *desk) UpdateKey(_ context.Context, id billing.KeyID, change func(*billing.Key) error, _ ...*billing.Change) (
	billing.Key, error,
) {
	k, ok := d.keys[id]
	if !ok {
		return billing.Key{}, &billing.NotFoundError{What: "key", ID: string(id)}
	}
	if err := change(&k); err != nil {
		return billing.Key{}, err
	}
	d.keys[id] = k
	return k, nil
}

func (d *desk) ListKeys(_ context.Context, f billing.KeyFilter) ([]billing.Key, error) {
	if k, ok := d.keys[f.ID]; ok {
		return []billing.Key{k}, nil
	}
	return nil, nil
}

func (*desk) ListRules(context.Context, int) ([]billing.RuleSet, error) { return nil, nil }

func (*desk) ListBudgets(context.Context, billing.BudgetFilter) ([]billing.Budget, error) {
	return nil, nil
}

func (d *desk) ListTeams(context.Context) (teams []billing.Team, _ error) {
	for _, p := range d.projects {
		team := billing.Team{ID: p.TeamID, Name: p.Team, CostCenter: p.CostCenter}
		if p.TeamID == "team_gone" {
			team.ArchivedAt = issuedAt
		}
		teams = append(teams, team)
	}
	return teams, nil
}

func (d *desk) ListProjects(context.Context) ([]billing.Project, error) { return d.projects, nil }

func (d *desk) EnsureProject(_ context.Context, p billing.Project, _ ...*billing.Change) (billing.Project, error) {
	for _, old := range d.projects {
		if old.Name == p.Name && old.ArchivedAt.IsZero() && (old.TeamID == p.TeamID || old.Team == p.Team) {
			if p.Environment != "" && p.Environment != old.Environment {
				return billing.Project{}, &billing.ConflictError{Detail: "another environment"}
			}
			return old, nil
		}
	}
	p.ID = billing.NewID("proj_")
	if p.TeamID == "" {
		p.TeamID = "team_" + p.Team
	}
	d.projects = append(d.projects, p)
	return p, nil
}

var issuedAt = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

func actionsOf(t *testing.T, d *desk) Actions {
	t.Helper()
	return Actions{Store: billing.Store{}.With(d), Pepper: newPepper(t), Clock: func() time.Time { return issuedAt }}
}

func TestCreatedKeyIsFoundByItsSecretAlone(t *testing.T) {
	d := newDesk()
	a := actionsOf(t, d)
	tokens := int64(5)
	k, secret, err := a.CreateKey(t.Context(), KeyRequest{
		Name: " checkout ", Project: "shop", Team: "web", CostCenter: "4711", Environment: "prod", Models: []string{"m", "openai/*"},
		Budgets: []billing.Budget{{Period: billing.PeriodDay, Tokens: &tokens}}, Tags: map[string]string{"a": "b"},
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Limits: KeyLimits{RequestsPerMinute: new(int64(60))},
		ExpiresAt: issuedAt.Add(time.Hour),
	}, By{Actor: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(k.ID), "key_") || k.Name != "checkout" || k.Environment != "prod" || k.Team != "web" ||
		k.CostCenter != "4711" ||
		k.Display != secret.Display() || !k.CreatedAt.Equal(issuedAt) {
		t.Errorf("%+v", k)
	}
	if b := k.Budgets[0]; !strings.HasPrefix(b.ID, "bud_") || b.Scope != billing.ScopeKey || b.ScopeID != string(k.ID) {
		t.Errorf("budget %+v", b)
	}
	if d.hashes[secret.Hash(a.Pepper)] != k.ID || secret.Environment() != "prod" {
		t.Error("the store cannot find the key by its secret")
	}
	if again, err := billing.ParseSecret(secret.Reveal()); err != nil || !again.Equal(secret) {
		t.Error(err)
	}
	if found, err := a.Key(t.Context(), k.ID); err != nil || found.Name != "checkout" {
		t.Errorf("%+v, %v", found, err)
	}
	for _, none := range []billing.KeyID{"", "key_none"} {
		if _, err := a.Key(t.Context(), none); !isNotFound(err, "key") {
			t.Errorf("%q: %v", none, err)
		}
	}
}

func isNotFound(err error, what string) bool {
	var none *billing.NotFoundError
	return errors.As(err, &none) && none.What == what
}

func TestKeysAreMadeForTheOwnerThatIsNamed(t *testing.T) {
	shop := billing.Project{ID: "proj_1", Name: "shop", TeamID: "team_1", Team: "web", Environment: "staging"}
	gone := billing.Project{ID: "proj_2", Name: "gone", TeamID: "team_1", Team: "web", Environment: "prod", ArchivedAt: issuedAt}
	twice := billing.Project{ID: "proj_3", Name: "shop", TeamID: "team_2", Team: "data", Environment: "prod"}
	other := billing.Project{ID: "proj_4", Name: "default", TeamID: "team_2", Team: "data", Environment: "prod"}
	conflict, field := func(err error) bool { return as[*billing.ConflictError](err) },
		func(err error) bool { return as[*billing.FieldError](err) }
	for name, tc := range map[string]struct {
		r        KeyRequest
		projects []billing.Project
		want     string // team project environment
		refused  func(error) bool
	}{
		"nothing said":          {KeyRequest{}, nil, "default default dev", nil},
		"not another's default": {KeyRequest{Project: "default"}, []billing.Project{other}, "default default dev", nil},
		"by id":                 {KeyRequest{Project: "proj_1"}, []billing.Project{shop, twice}, "web shop staging", nil},
		"by name":               {KeyRequest{Project: "shop"}, []billing.Project{shop}, "web shop staging", nil},
		"by name and team":      {KeyRequest{Project: "shop", Team: "data"}, []billing.Project{shop, twice}, "data shop prod", nil},
		"by name and team's id": {KeyRequest{Project: "shop", Team: "team_1"}, []billing.Project{shop, twice}, "web shop staging", nil},
		"new in an old team": {
			KeyRequest{Project: "blog", Team: "web", Environment: "prod"},
			[]billing.Project{shop},
			"web blog prod", nil,
		},
		"same environment":    {KeyRequest{Project: "shop", Environment: "staging"}, []billing.Project{shop}, "web shop staging", nil},
		"ambiguous":           {KeyRequest{Project: "shop"}, []billing.Project{shop, twice}, "", field},
		"another environment": {KeyRequest{Project: "shop", Environment: "prod"}, []billing.Project{shop}, "", conflict},
		"of a team that is archived": {
			KeyRequest{Project: "till", Team: "old"},
			[]billing.Project{{ID: "proj_5", Name: "till", TeamID: "team_gone", Team: "old", Environment: "prod", ArchivedAt: issuedAt}},
			"old till dev", nil,
		},
		"in a team that is archived": {KeyRequest{Project: "till", Team: "team_gone"}, []billing.Project{
			{ID: "proj_5", Name: "other", TeamID: "team_gone", Team: "old", Environment: "prod", ArchivedAt: issuedAt},
		}, "", conflict},
		"archived": {KeyRequest{Project: "gone"}, []billing.Project{gone}, "", conflict},
		"unknown id": {
			KeyRequest{Project: "proj_9"},
			[]billing.Project{shop},
			"",
			func(err error) bool { return isNotFound(err, "project") },
		},
		"id of another's": {
			KeyRequest{Project: "proj_1", Team: "data"},
			[]billing.Project{shop},
			"",
			func(err error) bool { return isNotFound(err, "project") },
		},
		"unknown environment":     {KeyRequest{Environment: "moon"}, nil, "", field},
		"admin is no environment": {KeyRequest{Environment: "admin"}, nil, "", field},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(tc.projects...)
			tc.r.Name = "k"
			k, secret, err := actionsOf(t, d).CreateKey(t.Context(), tc.r, By{})
			if tc.refused != nil {
				if !tc.refused(err) {
					t.Errorf("%v", err)
				}
				if len(d.keys) != 0 || len(d.projects) != len(tc.projects) {
					t.Error("a refused request left something")
				}
				return
			}
			if got := k.Team + " " + k.Project + " " + k.Environment; err != nil || got != tc.want ||
				secret.Environment() != k.Environment {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func newPepper(t *testing.T) billing.Pepper {
	t.Helper()
	p, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestKeysThatCannotBeAreRefusedWithEveryFault(t *testing.T) {
	d := newDesk()
	a := actionsOf(t, d)
	a.KnownModel = func(name string) (string, bool) { return "gpt-4o", name == "gpt-4o" }
	negative, huge, money := int64(-1), int64(1<<62), billing.Money(-5)
	for field, r := range map[string]KeyRequest{
		"name":                       {},
		"limits.requests_per_minute": {Name: "k", Limits: KeyLimits{RequestsPerMinute: &negative}},
		"limits.concurrent_requests": {Name: "k", Limits: KeyLimits{ConcurrentRequests: &negative}},
		"limits.tokens_per_minute":   {Name: "k", Limits: KeyLimits{TokensPerMinute: &huge}},
		"budgets[0]":                 {Name: "k", Budgets: []billing.Budget{{Period: billing.PeriodDay, Tokens: &negative}}},
		"budgets[1]": {Name: "k", Budgets: []billing.Budget{
			{Period: billing.PeriodDay, Tokens: new(int64)},
			{Period: "30d", Money: &money},
		}},
		"models[1]":        {Name: "k", Models: []string{"gpt-4o", "gtp-4o"}},
		"models[0]":        {Name: "k", Models: []string{""}},
		"models":           {Name: "k", Models: make([]string, 201)},
		"allowed_cidrs[0]": {Name: "k", AllowedCIDRs: []netip.Prefix{{}}},
		"expires_at":       {Name: "k", ExpiresAt: issuedAt},
		"tags":             {Name: "k", Tags: map[string]string{"": "x"}},
		"team":             {Name: "k", Team: "a\nb"},
		"project":          {Name: "k", Project: strings.Repeat("x", 101)},
		"cost_center":      {Name: "k", CostCenter: "\x00"},
		"environment":      {Name: "k", Environment: "Prod"},
	} {
		_, _, err := a.CreateKey(t.Context(), r, By{})
		var fe *billing.FieldError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), "billing: "+field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if len(d.keys) != 0 || len(d.projects) != 0 {
		t.Error("a refused request left something")
	}
	_, _, err := a.CreateKey(t.Context(), KeyRequest{Models: []string{"gtp-4o"}, Limits: KeyLimits{RequestsPerMinute: &negative}}, By{})
	if got := err.Error(); strings.Count(got, "\n") != 2 || !strings.Contains(got, `did you mean "gpt-4o"?`) {
		t.Errorf("not every fault is named: %s", got)
	}
}

func TestChangesOfAKeyAreChecked(t *testing.T) {
	d := newDesk()
	a := actionsOf(t, d)
	k, _, err := a.CreateKey(t.Context(), KeyRequest{Name: "k", ExpiresAt: issuedAt.Add(time.Minute)}, By{})
	if err != nil {
		t.Fatal(err)
	}
	five, negative := int64(5), int64(-5)
	got, err := a.ChangeKey(t.Context(), k.ID,
		KeyChange{Edit: func(k *billing.Key) { k.Name = " new "; KeyLimits{RequestsPerMinute: &five}.Set(k) }}, By{})
	if err != nil || got.Name != "new" || *got.Own(billing.PeriodMinute).Requests != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := a.ChangeKey(t.Context(), k.ID, KeyChange{Edit: func(k *billing.Key) { KeyLimits{RequestsPerMinute: &negative}.Set(k) }},
		By{}); !as[*billing.FieldError](err) {
		t.Error(err)
	}
	if _, err := a.ChangeKey(t.Context(), k.ID, KeyChange{Edit: func(k *billing.Key) { k.ExpiresAt = issuedAt.Add(-1) }},
		By{}); !as[*billing.FieldError](err) {
		t.Error(err)
	}
	a.Clock = func() time.Time { return issuedAt.Add(time.Hour) }
	if _, err := a.ChangeKey(t.Context(), k.ID, KeyChange{Edit: func(k *billing.Key) { k.Name = "expired, and named" }}, By{}); err != nil {
		t.Error(err)
	}
	if _, err := a.ChangeKey(t.Context(), "key_none", KeyChange{Edit: func(*billing.Key) {}}, By{}); !isNotFound(err, "key") {
		t.Error(err)
	}
}

func TestRevokedKeyStaysRevoked(t *testing.T) {
	d := newDesk()
	a := actionsOf(t, d)
	k, _, err := a.CreateKey(t.Context(), KeyRequest{Name: "k"}, By{})
	if err != nil {
		t.Fatal(err)
	}
	k, err = a.RevokeKey(t.Context(), k.ID, Ending{}, By{Reason: " leaked "})
	if err != nil || !k.RevokedAt.Equal(issuedAt) || k.RevokedReason != "leaked" {
		t.Errorf("%+v, %v", k, err)
	}
	a.Clock = func() time.Time { return issuedAt.Add(time.Hour) }
	if k, err = a.RevokeKey(t.Context(), k.ID, Ending{}, By{Reason: "again"}); err != nil || !k.RevokedAt.Equal(issuedAt) ||
		k.RevokedReason != "leaked" {
		t.Errorf("revoked again: %+v, %v", k, err)
	}
	if _, err := a.ChangeKey(t.Context(), k.ID, KeyChange{Edit: func(k *billing.Key) { k.RevokedAt = time.Time{} }},
		By{}); !as[*billing.ConflictError](err) {
		t.Errorf("brought back: %v", err)
	}
	if _, err := a.RevokeKey(t.Context(), k.ID, Ending{}, By{Reason: strings.Repeat("x", 501)}); !as[*billing.FieldError](err) {
		t.Error(err)
	}
	if _, err := a.RevokeKey(t.Context(), "key_none", Ending{}, By{Reason: ""}); !isNotFound(err, "key") {
		t.Error(err)
	}
}
