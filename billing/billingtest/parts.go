package billingtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// ofPart returns a daily limit of requests on a part: for one name, or for each if named is "".
func ofPart(p billing.Part, named string, n int64, id string) billing.Budget {
	b := onlyRequests(n, id)
	b.Part, b.Named = p, named
	return b
}

// holdFor returns a hold that counts towards the given names of the parts that the key's budgets
// limit. The names are given by the id of the budget.
func (w *world) holdFor(k *billing.Key, names map[string]string) billing.Hold {
	h := w.hold(k, tokens(10))
	h.Lines = w.linesFor(k, names)
	for _, l := range h.Lines {
		if l.Budget.Parent != "" {
			h.IfLost.Limits = append(h.IfLost.Limits, l.Budget.ID)
		}
	}
	return h
}

// linesFor returns hold lines for the key's plain budgets, and for the budgets of the given names
// below its part budgets.
func (w *world) linesFor(k *billing.Key, names map[string]string) (lines []billing.HoldLine) {
	for _, b := range k.Budgets {
		if name, ok := names[b.ID]; ok {
			b = b.Below(name)
		} else if b.Part != "" {
			continue
		}
		window, err := b.Window(w.now)
		w.must(err)
		lines = append(lines, billing.HoldLine{Budget: b, Window: window})
	}
	return lines
}

// settleFor settles a hold with one row that counts towards the given limits.
func (w *world) settleFor(k *billing.Key, h billing.Hold, limits ...string) {
	w.Helper()
	row := w.row(k, h.ID, tokens(10), w.now)
	row.Limits = limits
	_, err := w.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{row}})
	w.must(err)
}

// wantNames expects the names that have a limit of their own below a budget, page by page.
func (w *world) wantNames(parent string, want ...billing.Budget) {
	w.Helper()
	var got []billing.Budget
	for f := (billing.BudgetFilter{Below: parent, Limit: 1}); ; f.After = got[len(got)-1].ID {
		page, err := w.ListBudgets(w.Context(), f)
		w.must(err)
		if got = append(got, page...); len(page) == 0 {
			break
		}
	}
	slices.SortFunc(want, func(a, b billing.Budget) int { return strings.Compare(a.ID, b.ID) })
	same := func(a, b billing.Budget) bool {
		return a.ID == b.ID && a.Parent == b.Parent && a.Part == b.Part && a.Named == b.StoredName()
	}
	if !slices.EqualFunc(got, want, same) {
		w.Errorf("names below %s: %+v; want %+v", parent, got, want)
	}
}

// eachName: each name has the limit to itself, and the key's own budget covers all of them.
func eachName(w *world) {
	k := w.key(onlyRequests(4, "bud_1"), ofPart(billing.PartEndUser, "", 2, "bud_2"))
	alice, bob := map[string]string{"bud_2": "alice"}, map[string]string{"bud_2": "bob"}
	for range 2 {
		h := w.holdFor(k, alice)
		w.reserve(h)
		w.settleFor(k, h, h.IfLost.Limits...)
	}
	parent := k.Budgets[slices.IndexFunc(k.Budgets, func(b billing.Budget) bool { return b.ID == "bud_2" })]
	below := parent.Below("alice").ID
	_, err := w.Reserve(w.Context(), w.holdFor(k, alice), w.now)
	if q := w.refusal(err, below); q.Balance.UsedRequests != 2 || q.Balance.Budget.Named != "" && q.Balance.Budget.Named != "alice" {
		w.Errorf("refused for %+v", q.Balance)
	}
	nobodys := w.holdFor(k, nil) // no name, so the limit does not apply
	w.reserve(nobodys)
	last := w.holdFor(k, bob)
	w.reserve(last)
	w.wantNames("bud_2", parent.Below("alice"), parent.Below("bob"))
	w.wantNames("bud_1")
	_, err = w.Reserve(w.Context(), w.holdFor(k, map[string]string{"bud_2": "carol"}), w.now)
	w.wantRefused(err, "bud_1") // all four requests are taken
	w.settleFor(k, last, last.IfLost.Limits...)
	w.must(w.Release(w.Context(), nobodys.ID))
	budgets, err := w.ListBudgets(w.Context(), billing.BudgetFilter{})
	w.must(err)
	if slices.ContainsFunc(budgets, func(b billing.Budget) bool { return b.Parent != "" }) || len(w.reread(k).Budgets) != 2 {
		w.Errorf("budgets of names are among those that were set: %+v", budgets)
	}
	CheckSums(w, w.Store, w.now)
	w.wantProved()
}

// widerHold: a hold can be widened to further budgets, to all of them or none, and its usage
// counts towards those that its row names.
func widerHold(w *world) {
	k := w.key(ofPart(billing.PartCredential, "main", 1, "bud_1"), ofPart(billing.PartCredential, "spare", 1, "bud_2"),
		ofPart(billing.PartModel, "", 1, "bud_3"))
	first := w.holdFor(k, map[string]string{"bud_1": "main", "bud_3": "small"})
	w.reserve(first)
	w.must(w.Widen(w.Context(), first.ID, w.linesFor(k, map[string]string{"bud_2": "spare"})))
	second := w.holdFor(k, map[string]string{"bud_3": "large"})
	w.reserve(second)
	err := w.Widen(w.Context(), second.ID, w.linesFor(k, map[string]string{"bud_1": "main"}))
	w.wantRefused(err, "bud_1~")
	err = w.Widen(w.Context(), second.ID, w.linesFor(k, map[string]string{"bud_1": "main", "bud_2": "spare"}))
	if q := (*billing.QuotaError)(nil); !errors.As(err, &q) {
		w.Errorf("widened into budgets without room: %v", err)
	}
	w.settleFor(k, first, "bud_2~", first.IfLost.Limits[1]) // the spare one served, so the main one is free again
	w.must(w.Widen(w.Context(), second.ID, w.linesFor(k, map[string]string{"bud_1": "main"})))
	_, err = w.Reserve(w.Context(), w.holdFor(k, map[string]string{"bud_2": "spare"}), w.now)
	w.wantRefused(err, "bud_2~")
	w.must(w.Release(w.Context(), second.ID))
	if err := w.Widen(w.Context(), second.ID, nil); !errors.Is(err, billing.ErrNoHold) {
		w.Errorf("what is not there was widened: %v", err)
	}
	w.reserve(w.holdFor(k, map[string]string{"bud_1": "main"}))
	CheckSums(w, w.Store, w.now)
	w.wantProved()
}

// partChanges: changing, resetting or removing a part budget does the same to the budgets of its
// names.
func partChanges(w *world) {
	k := w.key(ofPart(billing.Part("tag:customer"), "", 1, "bud_1"))
	acme := map[string]string{"bud_1": "acme"}
	h := w.holdFor(k, acme)
	w.reserve(h)
	w.settleFor(k, h, h.IfLost.Limits...)
	below := h.Lines[0].Budget.ID
	_, err := w.Reserve(w.Context(), w.holdFor(k, acme), w.now)
	w.wantRefused(err, below)
	_, err = w.UpdateBudget(w.Context(), billing.Budget{ID: "bud_1"}, func(b *billing.Budget, _ bool) error {
		b.Requests = new(int64)
		*b.Requests = 2
		return nil
	}, w.now)
	w.must(err)
	k = w.reread(k)
	h = w.holdFor(k, acme)
	w.reserve(h)
	w.settleFor(k, h, h.IfLost.Limits...)
	_, err = w.Reserve(w.Context(), w.holdFor(k, acme), w.now)
	w.wantRefused(err, below)
	w.must(w.ResetBudget(w.Context(), "bud_1", w.now))
	k = w.reread(k)
	h = w.holdFor(k, acme)
	w.reserve(h)
	w.must(w.Release(w.Context(), h.ID))
	w.must(w.RemoveBudget(w.Context(), "bud_1"))
	if k = w.reread(k); len(k.Budgets) != 0 {
		w.Errorf("what was removed binds: %+v", k.Budgets)
	}
	w.wantProved()
}

// manyNames: billing.MostNames names have a limit each, and all other names share one.
func manyNames(w *world) {
	if prove.Size(w, "NAMES", 0) == 0 {
		w.Skip("takes long: make proof-limits")
	}
	once := ofPart(billing.Part("tag:job"), "", 2, "bud_1")
	once.Period = billing.PeriodOnce // so that every name is used in the current window
	k := w.key(once)
	parent := k.Budgets[0]
	holdOn := func(budgets ...billing.Budget) billing.Hold {
		h := w.hold(k, tokens(10))
		h.Lines = nil
		for _, b := range budgets {
			window, err := b.Window(w.now)
			w.must(err)
			h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: window})
			h.IfLost.Limits = append(h.IfLost.Limits, b.ID)
		}
		return h
	}
	const atOnce = 20
	for n := 0; n < billing.MostNames; n += atOnce {
		var names []billing.Budget
		for i := range atOnce {
			names = append(names, parent.Below(fmt.Sprintf("job %d", n+i)))
		}
		h := holdOn(names...)
		w.reserve(h)
		w.must(w.Release(w.Context(), h.ID))
	}
	var crowded *billing.CrowdedError
	for _, late := range []string{"one", "another"} {
		if _, err := w.Reserve(w.Context(), holdOn(parent.Below(late)), w.now); !errors.As(err, &crowded) ||
			crowded.BudgetID != parent.Below(late).ID {
			w.Fatalf("a name too many: %v", err)
		}
		h := holdOn(parent.Rest())
		w.reserve(h)
		w.settleFor(k, h, parent.Rest().ID)
	}
	_, err := w.Reserve(w.Context(), holdOn(parent.Rest()), w.now)
	w.wantRefused(err, parent.Rest().ID)
	w.reserve(holdOn(parent.Below("job 7"))) // still has its own
	w.wantProved()
}
