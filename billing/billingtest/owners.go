package billingtest

import (
	"tallyroute/billing"
	"tallyroute/billing/policy"
)

func ownerCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"EnsureProject":            ensureProject,
		"EnsureProjectConflict":    ensureProjectConflict,
		"EnsureProjectByTeamID":    ensureProjectByTeamID,
		"SameNameInOtherTeam":      sameNameInOtherTeam,
		"Lists":                    ownerLists,
		"Names":                    ownerNames,
		"SetBudgetRaisesVersions":  setBudgetVersions,
		"SetBudgetReplaces":        setBudgetReplaces,
		"SetBudgetNeedsItsScope":   setBudgetScope,
		"SetBudgetChecks":          setBudgetChecks,
		"BudgetsKeepTheirScope":    budgetKeepsScope,
		"BudgetsOfKeysAreTheirOwn": keyBudgetsOwn,
		"PoliciesComeWithTheKey":   policiesWithKey,
	}
}

func ensureProject(w *world) {
	p, err := w.EnsureProject(w.Context(), billing.Project{Team: "web", Name: "shop", CostCenter: "4711", Environment: "dev"})
	w.must(err)
	if p.ID == "" || p.TeamID == "" || p.Team != "web" || p.Name != "shop" || p.CostCenter != "4711" || p.Environment != "dev" ||
		p.CreatedAt.IsZero() {
		w.Errorf("made %+v", p)
	}
	again, err := w.EnsureProject(w.Context(), billing.Project{Team: "web", Name: "shop", Environment: "dev"})
	w.must(err)
	w.wantSame("found", again, p)
	second, err := w.EnsureProject(w.Context(), billing.Project{Team: "web", Name: "blog", Environment: "prod"})
	w.must(err)
	if second.ID == p.ID || second.TeamID != p.TeamID || second.CostCenter != "4711" {
		w.Errorf("a second project of the team: %+v", second)
	}
	plain, err := w.EnsureProject(w.Context(), billing.Project{Team: "data", Name: "lake"})
	w.must(err)
	if plain.CostCenter != "unallocated" || plain.Environment != "prod" {
		w.Errorf("without more: %+v", plain)
	}
}

func ensureProjectConflict(w *world) {
	w.project("web", "shop")
	_, err := w.EnsureProject(w.Context(), billing.Project{Team: "web", Name: "shop", Environment: "dev"})
	w.wantConflict(err)
	_, err = w.EnsureProject(w.Context(), billing.Project{Team: "web", Name: "blog", Environment: "moon"})
	w.wantConflict(err)
	_, err = w.EnsureProject(w.Context(), billing.Project{Team: "web"})
	w.wantConflict(err)
	_, err = w.EnsureProject(w.Context(), billing.Project{Name: "shop"})
	w.wantConflict(err)
	projects, err := w.ListProjects(w.Context())
	w.must(err)
	if len(projects) != 1 {
		w.Errorf("refused projects were made: %v", projects)
	}
}

func ensureProjectByTeamID(w *world) {
	p := w.project("web", "shop")
	got, err := w.EnsureProject(w.Context(), billing.Project{TeamID: p.TeamID, Name: "shop", Environment: "prod"})
	w.must(err)
	w.wantSame("found", got, p)
	_, err = w.EnsureProject(w.Context(), billing.Project{TeamID: "team_none", Name: "shop"})
	w.wantNotFound(err, "team")
}

func sameNameInOtherTeam(w *world) {
	a, b := w.project("web", "shop"), w.project("data", "shop")
	if a.ID == b.ID || a.TeamID == b.TeamID {
		w.Errorf("one project: %+v, %+v", a, b)
	}
}

func ownerLists(w *world) {
	shop, lake, blog := w.project("web", "shop"), w.project("data", "lake"), w.project("web", "blog")
	teams, err := w.ListTeams(w.Context())
	w.must(err)
	var names []string
	for _, t := range teams {
		names = append(names, t.Name+" "+t.CostCenter)
	}
	w.wantSame("teams by name", names, []string{"data cc-data", "web cc-web"})
	projects, err := w.ListProjects(w.Context())
	w.must(err)
	w.wantSame("projects by team and name", projects, []billing.Project{lake, blog, shop})
}

func ownerNames(w *world) {
	shop := w.project("web", "shop")
	k := w.keyIn(shop)
	daily := tokens(5).budget("bud_day")
	daily.Scope, daily.ScopeID, daily.Period = billing.ScopeProject, shop.ID, billing.PeriodDay
	w.must(w.SetBudget(w.Context(), daily, w.now))
	ofTeam, all := w.budget(billing.ScopeTeam, shop.TeamID, tokens(5)), w.budget(billing.ScopeOrg, "org", tokens(5))
	names, err := w.Names(w.Context(), string(k.ID), shop.ID, shop.TeamID, "bud_day", ofTeam, all, "key_none", "")
	w.must(err)
	w.wantSame("names", names, map[string]string{
		string(k.ID): k.Name, shop.ID: "web/shop", shop.TeamID: "web", "bud_day": "daily budget of project web/shop",
		ofTeam: "monthly budget of team web", all: "monthly budget of the organisation",
	})
}

func setBudgetVersions(w *world) {
	shop, blog, lake := w.project("web", "shop"), w.project("web", "blog"), w.project("data", "lake")
	keys := []*billing.Key{w.keyIn(shop), w.keyIn(shop), w.keyIn(blog), w.keyIn(lake)}
	tests := []struct {
		scope  billing.Scope
		id     string
		raised []bool
	}{
		{billing.ScopeKey, string(keys[0].ID), []bool{true, false, false, false}},
		{billing.ScopeProject, shop.ID, []bool{true, true, false, false}},
		{billing.ScopeTeam, shop.TeamID, []bool{true, true, true, false}},
		{billing.ScopeOrg, "org", []bool{true, true, true, true}},
	}
	for _, tt := range tests {
		w.budget(tt.scope, tt.id, tokens(5))
		for i, k := range keys {
			now := w.reread(k)
			if raised := now.Version > k.Version; raised != tt.raised[i] {
				w.Errorf("a budget of scope %s: version of key %d from %d to %d", tt.scope, i, k.Version, now.Version)
			}
			keys[i] = now
		}
	}
}

func setBudgetReplaces(w *world) {
	k := w.key()
	id := w.budget(billing.ScopeTeam, k.TeamID, tokens(5))
	b := amount{7, 9}.budget(id)
	b.Scope, b.ScopeID, b.Period, b.Zone = billing.ScopeTeam, k.TeamID, billing.PeriodWeek, "Asia/Kolkata"
	b.Action, b.Thresholds = billing.ActionAlert, []int{}
	before := w.reread(k)
	w.must(w.SetBudget(w.Context(), b, w.now))
	all, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	w.wantSame("list", all, []billing.Budget{b})
	after := w.reread(k)
	w.wantSame("of the key", after.Budgets, all)
	if after.Version <= before.Version {
		w.Error("the version was not raised")
	}
	same := b
	same.ID, same.Zone, *same.Tokens = "", "UTC", 8
	w.must(w.SetBudget(w.Context(), same, w.now))
	other := same
	other.ID, other.Period = "", billing.PeriodDay
	w.must(w.SetBudget(w.Context(), other, w.now))
	all, err = w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	same.ID = id
	if len(all) != 2 || all[0].ID != id || all[0].Zone != "UTC" || all[1].ID == "" {
		w.Errorf("one that is the same is changed, another gets an id: %+v", all)
	}
	other.ID = all[1].ID
	other.Period = billing.PeriodWeek
	w.wantConflict(w.SetBudget(w.Context(), other, w.now))
	other.ID = "bud_third"
	w.wantConflict(w.SetBudget(w.Context(), other, w.now))
}

func setBudgetScope(w *world) {
	for scope, what := range map[billing.Scope]string{billing.ScopeKey: "key", billing.ScopeProject: "project", billing.ScopeTeam: "team"} {
		b := tokens(1).budget("bud_1")
		b.Scope, b.ScopeID = scope, "none"
		w.wantNotFound(w.SetBudget(w.Context(), b, w.now), what)
	}
}

func setBudgetChecks(w *world) {
	k := w.key()
	bad := []billing.Budget{
		{},
		tokens(-2).budget("none"), tokens(1).budget("zone"), tokens(1).budget("period"),
		amount{-1, -1}.budget("none"),
	}
	bad[2].Zone, bad[3].Period = "Mars/Olympus", "30d"
	for _, b := range bad {
		b.Scope, b.ScopeID = billing.ScopeTeam, k.TeamID
		if err := w.SetBudget(w.Context(), b, w.now); err == nil {
			w.Errorf("%+v is accepted", b)
		}
		b.Scope = billing.ScopeKey
		_, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error {
			k.Budgets = append(k.Budgets, b)
			return nil
		})
		if err == nil {
			w.Errorf("%+v is accepted for a key", b)
		}
		if err := w.CreateKey(w.Context(), billing.Key{ID: "key_bad", ProjectID: k.ProjectID, Budgets: []billing.Budget{b}},
			hashOf("bad")); err == nil {
			w.Errorf("%+v is accepted for a new key", b)
		}
	}
	all, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	if len(all) != 0 || w.reread(k).Version != k.Version {
		w.Errorf("refused budgets left something: %v", all)
	}
}

// budgetKeepsScope: what a budget has used belongs to its scope.
func budgetKeepsScope(w *world) {
	k := w.key(tokens(5).budget("bud_own"))
	id := w.budget(billing.ScopeTeam, k.TeamID, tokens(5))
	b := tokens(5).budget(id)
	b.Scope, b.ScopeID = billing.ScopeOrg, "org"
	w.wantConflict(w.SetBudget(w.Context(), b, w.now))
	other := w.key()
	stolen := tokens(9).budget("bud_own")
	_, err := w.UpdateKey(w.Context(), other.ID, func(k *billing.Key) error {
		k.Budgets = []billing.Budget{stolen}
		return nil
	})
	w.wantConflict(err)
	w.wantStanding(w.reread(k), "bud_own", w.now, standing{})
}

// keyBudgetsOwn: changing a key changes its own budgets and no others.
func keyBudgetsOwn(w *world) {
	k := w.key(tokens(5).budget("bud_1"), tokens(6).budget("bud_2"))
	team := w.budget(billing.ScopeTeam, k.TeamID, tokens(7))
	got := w.change(k, func(k *billing.Key) {
		k.Budgets = []billing.Budget{tokens(9).budget("bud_2"), tokens(3).budget("")}
	})
	all, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	w.wantSame("of the key", got.Budgets, all)
	limits := make(map[string]int64)
	for _, b := range all {
		if b.ID != team && b.ID != "bud_2" {
			b.ID = "new"
		}
		limits[b.ID] = *b.Tokens
	}
	w.wantSame("limits", limits, map[string]int64{team: 7, "bud_2": 9, "new": 3})
	got = w.change(k, func(k *billing.Key) { k.Budgets = nil })
	if len(got.Budgets) != 1 || got.Budgets[0].ID != team {
		w.Errorf("without its own: %v", got.Budgets)
	}
}

func policiesWithKey(w *world) {
	shop := w.project("web", "shop")
	k := w.keyIn(shop)
	if k.Policies != (policy.Layers{}) {
		w.Errorf("a new key has policies: %+v", k.Policies)
	}
	team, project := &policy.Policy{Models: []string{"gpt-*"}}, &policy.Policy{MaxOutputTokens: 7}
	own := &policy.Policy{Conditions: []policy.Condition{{Name: "c", Must: "request.stream"}}}
	t, err := w.UpdateTeam(w.Context(), shop.TeamID, func(t *billing.Team) error { t.Policy = team; return nil })
	w.must(err)
	p, err := w.UpdateProject(w.Context(), shop.ID, func(p *billing.Project) error {
		p.Policy, p.DataClass = project, "confidential"
		return nil
	})
	w.must(err)
	_, err = w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.Policies.Key = own; return nil })
	w.must(err)
	now := w.reread(k)
	w.wantSame("policies of the key", now.Policies, policy.Layers{Team: team, Project: project, Key: own})
	w.wantSame("policy of the team", t.Policy, team)
	w.wantSame("policy of the project", p.Policy, project)
	w.wantSame("data class", []string{p.DataClass, now.DataClass}, []string{"confidential", "confidential"})
	if now.Version <= k.Version+1 {
		w.Errorf("the version went from %d to %d", k.Version, now.Version)
	}
	_, err = w.UpdateTeam(w.Context(), shop.TeamID, func(t *billing.Team) error { t.Policy = nil; return nil })
	w.must(err)
	_, err = w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.Name = "renamed"; return nil })
	w.must(err)
	w.wantSame("policies that are left", w.reread(k).Policies, policy.Layers{Project: project, Key: own})
}
