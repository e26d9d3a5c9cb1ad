package billingtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/manage"
)

func changeCases() map[string]func(w *world) {
	return map[string]func(w *world){
		"ChangesAreWrittenWithWhatChanged": changesWritten,
		"NoChangeWithoutWhatChanged":       changesFail,
		"AuditLogIsOneChain":               auditChained,
		"OldAuditRecordsGoFromTheFirstOn":  auditPruned,
		"PrincipalsAreKept":                principalsKept,
		"SessionsAreKept":                  sessionsKept,
		"TeamAndProjectAreRenamed":         renameOwners,
		"CostCentreOfRowsStays":            costCentreStays,
		"RemovedBudgetBindsNobody":         removeBudget,
		"ResetBudgetCountsAnew":            resetBudget,
		"TopUpOnceForEachReference":        topUp,
	}
}

func (w *world) note(action, object string) *billing.Change {
	return &billing.Change{
		At: w.now, Actor: "ann", Action: action, Object: object, Reason: "why", Detail: map[string]string{"name": "b"},
	}
}

func changesWritten(w *world) {
	k := w.key()
	n := w.note("key.change", string(k.ID))
	_, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.Name = "b"; return nil }, n)
	w.must(err)
	all, err := w.ListChanges(w.Context(), billing.ChangeFilter{Object: string(k.ID), Actor: "ann", Action: "key.change", Since: w.now})
	w.must(err)
	if len(all) != 1 || all[0].ID < 1 {
		w.Fatalf("a change without an id: %v", all)
	}
	n.ID, n.Outcome, n.Seq, n.Hash = all[0].ID, billing.OutcomeDone, 1, all[0].Hash
	w.wantSame("changes", all, []billing.Change{*n})
	for _, none := range []billing.ChangeFilter{
		{Before: n.ID},
		{Object: "x"},
		{Actor: "x"},
		{Action: "x"},
		{Outcome: billing.OutcomeDenied},
		{Since: w.now.Add(time.Second)},
	} {
		if all, err = w.ListChanges(w.Context(), none); err != nil || len(all) != 0 {
			w.Errorf("%+v: %v, %v", none, all, err)
		}
	}
	made := w.note("project.create", "")
	p, err := w.EnsureProject(w.Context(), billing.Project{Team: "new", Name: "new"}, made)
	w.must(err)
	if made.Object != p.ID {
		w.Errorf("the change is of %q, not of %s", made.Object, p.ID)
	}
	_, err = w.EnsureProject(w.Context(), billing.Project{Team: "new", Name: "new"}, w.note("project.create", ""))
	w.must(err)
	if all, err = w.ListChanges(w.Context(), billing.ChangeFilter{Action: "project.create"}); err != nil || len(all) != 1 {
		w.Errorf("a project that was found: %v, %v", all, err)
	}
}

func changesFail(w *world) {
	k := w.key()
	no := errors.New("no")
	_, err := w.UpdateKey(w.Context(), k.ID, func(*billing.Key) error { return no }, w.note("key.change", string(k.ID)))
	w.wantErr(err, no)
	nobody := w.note("key.change", string(k.ID))
	nobody.Actor = ""
	if _, err := w.UpdateKey(w.Context(), k.ID, func(k *billing.Key) error { k.Name = "b"; return nil }, nobody); err == nil {
		w.Error("a change that nobody made was taken")
	}
	all, err := w.ListChanges(w.Context(), billing.ChangeFilter{})
	w.must(err)
	if name := w.reread(k).Name; len(all) != 0 || name == "b" {
		w.Errorf("%v, name %q", all, name)
	}
}

func renameOwners(w *world) {
	p := w.project("web", "shop")
	w.project("web", "blog")
	w.project("data", "lake")
	k := w.keyIn(p)
	got, err := w.UpdateTeam(w.Context(), p.TeamID, func(t *billing.Team) error {
		t.Name, t.CostCenter, t.OwnerEmail = "growth", "CC-10", "ann@example.com"
		return nil
	}, w.note("team.change", p.TeamID))
	w.must(err)
	project, err := w.UpdateProject(w.Context(), p.ID, func(p *billing.Project) error { p.Name = "store"; return nil })
	w.must(err)
	now := w.reread(k)
	if got.Name != "growth" || project.Name != "store" || now.Team != "growth" || now.Project != "store" || now.CostCenter != "CC-10" ||
		now.Version <= k.Version {
		w.Errorf("%+v, %+v, %+v", got, project, now)
	}
	_, err = w.UpdateTeam(w.Context(), p.TeamID, func(t *billing.Team) error { t.Name = "data"; return nil })
	w.wantConflict(err)
	_, err = w.UpdateProject(w.Context(), p.ID, func(p *billing.Project) error { p.Name = "blog"; return nil })
	w.wantConflict(err)
	_, err = w.UpdateTeam(w.Context(), "team_none", func(*billing.Team) error { return nil })
	w.wantNotFound(err, "team")
	_, err = w.UpdateProject(w.Context(), "proj_none", func(*billing.Project) error { return nil })
	w.wantNotFound(err, "project")
	_, err = w.UpdateProject(w.Context(), p.ID, func(p *billing.Project) error { p.TeamID = "team_none"; return nil })
	w.wantNotFound(err, "team")
}

func costCentreStays(w *world) {
	k := w.key()
	h := w.hold(k, amount{10, 0})
	w.reserve(h)
	w.settle(k, h, amount{10, 5})
	_, err := w.UpdateTeam(w.Context(), k.TeamID, func(t *billing.Team) error { t.CostCenter = "new"; return nil })
	w.must(err)
	rows, err := w.Events(w.Context(), billing.EventQuery{KeyID: k.ID, Limit: 10})
	w.must(err)
	if len(rows) != 1 || rows[0].Owner.CostCenter != "cc-web" || w.reread(k).CostCenter != "new" {
		w.Errorf("rows %+v", rows)
	}
}

func removeBudget(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	id := w.budget(billing.ScopeTeam, k.TeamID, tokens(5))
	k = w.reread(k)
	w.must(w.RemoveBudget(w.Context(), id, w.note("budget.remove", id)))
	now := w.reread(k)
	if len(now.Budgets) != 1 || now.Version <= k.Version {
		w.Errorf("after the budget of the team was removed: %+v", now.Budgets)
	}
	w.wantNotFound(w.RemoveBudget(w.Context(), id), "budget")
	w.reserve(w.hold(now, amount{50, 0}))
}

func resetBudget(w *world) {
	k := w.key(tokens(100).budget("bud_1"))
	h := w.hold(k, amount{80, 0})
	w.reserve(h)
	w.settle(k, h, amount{80, 3})
	w.must(w.ResetBudget(w.Context(), "bud_1", w.now, w.note("budget.reset", "bud_1")))
	k = w.reread(k)
	balances, err := w.Balances(w.Context(), k, w.now)
	w.must(err)
	if len(balances) != 1 || balances[0].UsedTokens != 0 || balances[0].UsedMoney != 0 {
		w.Errorf("after the reset: %+v", balances)
	}
	h = w.hold(k, amount{90, 0})
	w.reserve(h)
	w.settle(k, h, amount{70, 0})
	if balances, err = w.Balances(w.Context(), k, w.now); err != nil || balances[0].UsedTokens != 70 {
		w.Errorf("used after it: %+v, %v", balances, err)
	}
	report, err := w.CheckIntegrity(w.Context(), billing.IntegrityOptions{Now: w.now, Digests: true})
	w.must(err)
	if report.Breaches > 0 {
		w.Errorf("the ledger does not add up: %s", report.First)
	}
	w.wantNotFound(w.ResetBudget(w.Context(), "bud_none", w.now), "budget")
}

func topUp(w *world) {
	money := billing.Money(5)
	limit := billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodOnce, Money: &money}
	k := w.key(limit, tokens(1).budget("bud_2"))
	add := billing.TopUp{BudgetID: "bud_1", Amount: 7, Reference: "PO-1", Actor: "ann", At: w.now}
	existed, err := w.TopUp(w.Context(), add, w.note("budget.top_up", "bud_1"))
	w.must(err)
	again, err := w.TopUp(w.Context(), add, w.note("budget.top_up", "bud_1"))
	w.must(err)
	if got := w.reread(k).Budgets[0]; existed || !again || *got.Money != 12 {
		w.Errorf("topped up once: existed %v, then %v; limit %d", existed, again, *got.Money)
	}
	add.Amount = 8
	_, err = w.TopUp(w.Context(), add)
	w.wantConflict(err)
	add.Reference, add.BudgetID = "PO-2", "bud_2"
	_, err = w.TopUp(w.Context(), add)
	w.wantConflict(err)
	add.BudgetID = "bud_none"
	_, err = w.TopUp(w.Context(), add)
	w.wantNotFound(err, "budget")
	if all, err := w.ListChanges(w.Context(), billing.ChangeFilter{}); err != nil || len(all) != 1 {
		w.Errorf("changes: %v, %v", all, err)
	}
}

// auditChained: many write at once, some of them in transactions that fail, and the
// chain has every record that was written and no other.
func auditChained(w *world) {
	k := w.key()
	no := errors.New("no")
	const writers, acts = 4, 10
	each(w.Context(), writers, func(ctx context.Context, _ int) {
		for n := range acts {
			_, err := w.UpdateKey(ctx, k.ID, func(k *billing.Key) error {
				if n%3 == 2 {
					return no
				}
				k.Purpose += "x"
				return nil
			}, w.note("key.change", string(k.ID)))
			if err != nil && !errors.Is(err, no) {
				w.Error(err)
			}
			odd := w.note("login", "ann\x00\xff")
			odd.Outcome, odd.Role, odd.Source, odd.At = billing.OutcomeDenied, "owner", "192.0.2.1", w.now.Add(999*time.Nanosecond)
			if err := w.Record(ctx, odd); err != nil {
				w.Error(err)
			}
		}
	})
	r := w.verifyAudit()
	if want := int64(writers * (acts + acts - acts/3)); r.Fault != nil || r.Records != want || r.Last.Seq != want {
		w.Errorf("%+v, want %d records", r, want)
	}
}

func (w *world) verifyAudit() audit.Report {
	w.Helper()
	r, err := manage.Actions{Store: w.Store}.VerifyAudit(w.Context())
	w.must(err)
	return r
}

// auditPruned: records go from the first on, whatever their times, and the chain
// goes on from the first that is kept.
func auditPruned(w *world) {
	for n, age := range []time.Duration{4, 3, 1, 5, 0} { // the fourth is older, but comes after one that is younger
		c := w.note("login", fmt.Sprint(n))
		c.At = w.now.Add(-age * time.Hour)
		w.must(w.Record(w.Context(), c))
	}
	n, err := w.PruneAudit(w.Context(), w.now.Add(-2*time.Hour), w.note("audit.prune", ""))
	w.must(err)
	if r := w.verifyAudit(); n != 2 || r.Fault != nil || r.Records != 4 || r.Last.Seq != 6 {
		w.Errorf("%d are gone, %+v", n, r)
	}
	if n, err = w.PruneAudit(w.Context(), w.now.Add(-2*time.Hour), w.note("audit.prune", "")); n != 0 || err != nil {
		w.Errorf("%d are gone, %v", n, err)
	}
}

// principalsKept: with their grants and tokens, each of which only ends; a change that
// fails leaves all as it was.
func principalsKept(w *world) {
	p := billing.Principal{
		ID: "svc_1", Kind: billing.PrincipalService, Name: "ci", Email: "ci@example.com", CreatedAt: w.now, CreatedBy: "ann",
	}
	w.must(w.CreatePrincipal(w.Context(), p, w.note("principal.create", p.ID)))
	again := p
	again.ID = "svc_2"
	w.wantConflict(w.CreatePrincipal(w.Context(), again))
	grant := billing.Grant{
		ID: "grant_1", Role: "auditor", Scope: billing.ScopeTeam, ScopeID: "team_1", CreatedAt: w.now, CreatedBy: "ann", ApprovedBy: "bob",
		Reason: "why", ExpiresAt: w.now.Add(time.Hour), FromGroup: "auditors",
	}
	token := billing.AdminToken{
		ID: "token_1", Name: "laptop", Display: "sk-tr-admin-x", Hash: hashOf("token"), CreatedAt: w.now, CreatedBy: "ann",
		ExpiresAt: w.now.Add(time.Hour),
	}
	update := func(change func(p *billing.Principal) error) (billing.Principal, error) {
		return w.UpdatePrincipal(w.Context(), p.ID, func(p *billing.Principal, all []billing.Principal) error {
			if len(all) != 1 {
				w.Errorf("there are %d principals", len(all))
			}
			return change(p)
		}, w.note("principal.change", p.ID))
	}
	_, err := update(func(p *billing.Principal) error {
		p.Grants, p.Tokens = append(p.Grants, grant), append(p.Tokens, token)
		return nil
	})
	w.must(err)
	no := errors.New("no")
	_, err = update(func(p *billing.Principal) error { p.Name, p.Grants[0].EndedAt = "x", w.now; return no })
	w.wantErr(err, no)
	token.Hash = [32]byte{} // is not told
	p.Grants, p.Tokens = []billing.Grant{grant}, []billing.AdminToken{token}
	all, err := w.ListPrincipals(w.Context())
	w.must(err)
	w.wantSame("principals", all, []billing.Principal{p})
	w.must(w.TouchToken(w.Context(), token.ID, w.now.Add(time.Minute)))
	w.must(w.TouchToken(w.Context(), token.ID, w.now)) // never back
	_, err = update(func(p *billing.Principal) error {
		p.DisabledAt, p.Grants[0].EndedAt, p.Tokens[0].EndedAt = w.now, w.now, w.now
		return nil
	})
	w.must(err)
	p.LastSeenAt, p.DisabledAt, p.Grants[0].EndedAt = w.now.Add(time.Minute), w.now, w.now
	p.Tokens[0].LastUsedAt, p.Tokens[0].EndedAt = p.LastSeenAt, w.now
	got, found, err := w.PrincipalByToken(w.Context(), hashOf("token"))
	w.must(err)
	w.wantSame("the one with the token", got, p)
	w.wantSame("the token", found, p.Tokens[0])
	_, _, err = w.PrincipalByToken(w.Context(), hashOf("other"))
	w.wantErr(err, billing.ErrUnknownToken)
	_, err = w.UpdatePrincipal(w.Context(), "svc_none", func(*billing.Principal, []billing.Principal) error { return nil })
	w.wantNotFound(err, "principal")
}

// sessionsKept: sessions end once, are listed with their owner, and are deleted long after they
// expired.
func sessionsKept(w *world) {
	p := billing.Principal{
		ID: "user_1", Kind: billing.PrincipalUser, Name: "ann", Issuer: "https://i.example.com", Subject: "s", CreatedAt: w.now,
		CreatedBy: "login",
	}
	w.must(w.CreatePrincipal(w.Context(), p, w.note("principal.create", p.ID)))
	twin := p
	twin.ID, twin.Name = "user_2", "bob"
	if err := w.CreatePrincipal(w.Context(), twin); err == nil {
		w.Errorf("two users are the same subject")
	}
	begin := func(id string, at time.Time) billing.Session {
		s := billing.Session{
			ID: id, PrincipalID: p.ID, Hash: hashOf(id), CreatedAt: at, AuthenticatedAt: at.Add(-time.Minute), ExpiresAt: at.Add(time.Hour),
			LastUsedAt: at, Source: "10.0.0.1", UserAgent: "curl", Strength: "mfa",
		}
		w.must(w.CreateSession(w.Context(), s, w.note("login", id)))
		s.Hash = [32]byte{} // is not told
		return s
	}
	begin("session_0", w.now.Add(-100*24*time.Hour))
	one, two := begin("session_1", w.now), begin("session_2", w.now)
	_, _, err := w.SessionByHash(w.Context(), hashOf("session_0"))
	w.wantErr(err, billing.ErrUnknownToken)
	list := func(of string, at time.Time, want ...billing.Session) {
		all, err := w.ListSessions(w.Context(), of, at)
		w.must(err)
		w.wantSame("sessions", append([]billing.Session(nil), all...), want) // nil and empty are equal here
	}
	list("", w.now, two, one)
	list("user_none", w.now)
	list(p.ID, w.now.Add(time.Hour))
	w.must(w.TouchSession(w.Context(), one.ID, w.now.Add(time.Minute)))
	w.must(w.TouchSession(w.Context(), one.ID, w.now)) // never back
	w.must(w.EndSession(w.Context(), two.ID, w.now.Add(time.Minute), w.note("session.end", two.ID)))
	w.must(w.EndSession(w.Context(), two.ID, w.now.Add(2*time.Minute)))
	w.wantNotFound(w.EndSession(w.Context(), "session_none", w.now), "session")
	one.LastUsedAt, p.LastSeenAt = w.now.Add(time.Minute), w.now.Add(time.Minute)
	two.EndedAt = w.now.Add(time.Minute)
	list(p.ID, w.now, one)
	got, who, err := w.SessionByHash(w.Context(), hashOf("session_1"))
	w.must(err)
	w.wantSame("the session", got, one)
	w.wantSame("whose it is", who, p)
	got, _, err = w.SessionByHash(w.Context(), hashOf("session_2"))
	w.must(err)
	w.wantSame("the session that ended", got, two)
}
