package billingtest

import (
	"errors"
	"fmt"
	"slices"

	"tallyroute/billing"
)

// post makes the seq-th posting of a replica.
func (w *world) post(r billing.Replica, seq int64, p billing.Posting) billing.Posted {
	w.Helper()
	p.Replica, p.Seq = r, seq
	posted, err := w.Post(w.Context(), p)
	w.must(err)
	return posted
}

// used returns what was used of a budget of the key, regardless of holds.
func (w *world) used(k *billing.Key, budget string) amount {
	w.Helper()
	balances, err := w.Balances(w.Context(), k, w.now)
	w.must(err)
	i := slices.IndexFunc(balances, func(b billing.Balance) bool { return b.Budget.ID == budget })
	if i < 0 {
		w.Fatalf("no balance of %s", budget)
	}
	return standingOf(balances[i]).used
}

func (w *world) wantUsed(k *billing.Key, budget string, want amount) {
	w.Helper()
	if got := w.used(k, budget); got != want {
		w.Errorf("%s has used %+v, want %+v", budget, got, want)
	}
}

// wantBreaches runs the integrity check and wants breaches of exactly these laws.
func (w *world) wantBreaches(laws ...string) {
	w.Helper()
	report, err := w.CheckIntegrity(w.Context(), billing.IntegrityOptions{Now: w.now})
	w.must(err)
	for _, l := range report.Laws {
		if slices.Contains(laws, l.Name) != (l.Breaches > 0) {
			w.Errorf("law %s has %d breaches: %s", l.Name, l.Breaches, l.First)
		}
	}
}

// wantWaiting checks which requests have rejected rows that wait to be booked.
func (w *world) wantWaiting(requests ...string) {
	w.Helper()
	waiting, err := w.ListRejects(w.Context(), "")
	w.must(err)
	var got []string
	for _, r := range waiting {
		got = append(got, r.Row.RequestID)
	}
	if !slices.Equal(got, requests) {
		w.Errorf("rejects of %v, want of %v", got, requests)
	}
}

// rejectCounts: a rejected row counts against every budget, including those created
// later, until it is booked; from then on it counts as a normal row.
func rejectCounts(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{1000, 2000}).budget("bud_1"))
	r := w.replica()
	_, ok := w.grant(r, k, billing.Amount{Tokens: 100, Money: 200}, billing.Amount{})
	if !ok {
		w.Fatal("refused")
	}
	window, err := k.Budgets[0].Window(w.now)
	w.must(err)
	p := billing.Posting{
		Rows:    []billing.Spend{w.row(k, "req_good", amount{30, 60}, w.now)},
		Rejects: []billing.Reject{{Row: w.row(k, "req_bad", amount{50, 100}, w.now), Reason: "a test"}},
		Leases:  []billing.LeaseChange{{BudgetID: "bud_1", WindowStart: window.Start, Down: billing.Amount{Tokens: 80, Money: 160}}},
	}
	for range 2 { // the second time, as if the answer had been lost
		if posted := w.post(r, 1, p); posted.Fenced {
			w.Error("fenced")
		}
		w.wantUsed(k, "bud_1", amount{80, 160})
	}
	w.wantWaiting("req_bad")
	w.wantBreaches("rejects")
	if _, ok := w.grant(w.replica(), k, billing.Amount{Tokens: 901, Money: 1801}, billing.Amount{}); ok {
		w.Error("what was refused is lent again")
	}
	team := w.budget(billing.ScopeTeam, k.TeamID, amount{5000, 5000})
	k = w.reread(k)
	w.wantUsed(k, team, amount{80, 160})

	waiting, err := w.ListRejects(w.Context(), "")
	w.must(err)
	if got := waiting[0]; got.Reason != "a test" || got.Row.Owner.KeyID != k.ID ||
		got.Used() != (billing.Amount{Tokens: 50, Money: 100, Requests: 1}) ||
		got.At.IsZero() {
		w.Errorf("got %+v", got)
	}
	for request, want := range map[string]int{"req_bad": 1, "req_none": 0} {
		if one, err := w.ListRejects(w.Context(), request); err != nil || len(one) != want {
			w.Errorf("%s: %d rows wait, %v", request, len(one), err)
		}
	}
	if n, err := w.BookRejects(w.Context(), "req_bad", "ann"); err != nil || n != 1 {
		w.Errorf("booked %d, %v", n, err)
	}
	w.wantUsed(k, "bud_1", amount{80, 160})
	w.wantUsed(k, team, amount{80, 160})
	if rows := w.events(k); len(rows) != 2 {
		w.Errorf("rows %v", rows)
	}
	w.wantWaiting()
	w.wantBreaches()
	for _, request := range []string{"req_bad", "req_good", "req_none", ""} {
		_, err := w.BookRejects(w.Context(), request, "ann")
		w.wantNotFound(err, "reject")
	}
	w.wantUsed(k, "bud_1", amount{80, 160})
	w.must(w.Return(w.Context(), r.ID, ""))
	w.wantBreaches()
}

// rejectPosted: a journal may post a row again that was rejected before, and this
// time it is accepted.
func rejectPosted(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{1000, 2000}).budget("bud_1"))
	row := w.row(k, "req_1", amount{50, 100}, w.now)
	w.use(k, amount{1, 2}, w.now)
	w.post(billing.Replica{}, 0, billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: "a test"}}})
	w.wantUsed(k, "bud_1", amount{51, 102})
	for range 2 {
		w.post(billing.Replica{}, 0, billing.Posting{Rows: []billing.Spend{row}})
		w.wantUsed(k, "bud_1", amount{51, 102})
	}
	w.wantWaiting()
	w.wantBreaches()
}

// moveImpossible: if a posting takes more from a lease than there is in it, the
// replica loses its leases, but no row is lost.
func moveImpossible(w *world, limited func(amount) amount) {
	k := w.key(limited(amount{1000, 2000}).budget("bud_1"))
	r, other := w.replica(), w.replica()
	for _, r := range []billing.Replica{r, other} {
		if _, ok := w.grant(r, k, billing.Amount{Tokens: 100, Money: 200}, billing.Amount{}); !ok {
			w.Fatal("refused")
		}
	}
	window, err := k.Budgets[0].Window(w.now)
	w.must(err)
	down := billing.LeaseChange{BudgetID: "bud_1", WindowStart: window.Start, Down: billing.Amount{Tokens: 101, Money: 1}}
	p := billing.Posting{Rows: []billing.Spend{w.row(k, "req_1", amount{101, 1}, w.now)}, Leases: []billing.LeaseChange{down}}
	for range 2 {
		if posted := w.post(r, 1, p); !posted.Fenced {
			w.Errorf("posted %+v, want it fenced", posted)
		}
	}
	w.wantUsed(k, "bud_1", amount{101, 1})
	if beat, err := w.Renew(w.Context(), r, billing.Staying); err != nil || !beat.Fenced {
		w.Errorf("it may stay: %+v, %v", beat, err)
	}
	if beat, err := w.Renew(w.Context(), other, billing.Staying); err != nil || beat.Fenced {
		w.Errorf("the other may not stay: %+v, %v", beat, err)
	}
	w.wantBreaches()
	if got, ok := w.grant(other, k, billing.Amount{Tokens: 1000 - 100 - 101, Money: 2000 - 200 - 1}, billing.Amount{}); !ok {
		w.Errorf("what was leased to it stays away: %+v", got)
	}
}

// onPost calls do with every posting until the test ends.
func (l *Link) onPost(w *world, do func(p *billing.Posting) error) {
	l.OnPost.Store(&do)
	w.Cleanup(func() { l.OnPost.Store(nil) })
}

// leaseRejects: of many requests, only the one that the database refuses is set
// aside, and it still counts.
func leaseRejects(w *world, limited func(amount) amount) {
	leased, link := w.link()
	k := w.key(limited(amount{10_000, 20_000}).budget("bud_1"))
	link.Cut.Store(true) // so that they are posted together
	link.onPost(w, func(p *billing.Posting) error {
		if slices.ContainsFunc(p.Rows, func(s billing.Spend) bool { return s.RequestID == "req_bad" }) {
			return &billing.RowError{Index: -1, Err: errors.New("a test")}
		}
		return nil
	})
	link.Cut.Store(false)
	for i := range 20 {
		h := w.hold(k, amount{10, 20})
		if i == 7 {
			h.ID, h.IfLost.RequestID = "req_bad", "req_bad"
		}
		w.reserve(h)
		w.settle(k, h, amount{10, 20})
	}
	w.must(leased.Ledger.Flush(w.Context()))
	w.wantWaiting("req_bad")
	w.wantUsed(k, "bud_1", amount{200, 400})
	if rows := w.events(k); len(rows) != 19 {
		w.Errorf("%d rows, want 19", len(rows))
	}
	w.wantBreaches("rejects")
	n, err := w.BookRejects(w.Context(), "req_bad", "ann")
	if n != 1 || err != nil {
		w.Errorf("booked %d, %v", n, err)
	}
	w.wantUsed(k, "bud_1", amount{200, 400})
	w.wantBreaches()
}

// leaseKeepsBatch: an error that looks like the fault of a row, but occurs without
// the row as well, rejects nothing.
func leaseKeepsBatch(w *world, limited func(amount) amount) {
	leased, link := w.link()
	k := w.key(limited(amount{10_000, 20_000}).budget("bud_1"))
	tried := 0
	link.onPost(w, func(p *billing.Posting) error {
		if len(p.Rows) > 0 {
			tried++
		}
		if len(p.Rows)+len(p.Rejects) > 0 && tried < 6 {
			return &billing.RowError{Index: -1, Err: fmt.Errorf("the %d. fault of the database", tried)}
		}
		return nil
	})
	for range 5 {
		w.use(k, amount{10, 20}, w.now)
	}
	w.must(leased.Ledger.Flush(w.Context()))
	w.wantWaiting()
	w.wantUsed(k, "bud_1", amount{50, 100})
	if rows := w.events(k); len(rows) != 5 {
		w.Errorf("%d rows, want 5", len(rows))
	}
	w.wantBreaches()
}

// leaseImpossible: if a posting takes more from a lease than there is in it, the
// ledger loses its leases; requests go on, and every row is posted once.
func leaseImpossible(w *world, limited func(amount) amount) {
	leased, link := w.link()
	k := w.key(limited(amount{10_000, 20_000}).budget("bud_1"))
	w.use(k, amount{10, 20}, w.now)
	w.must(leased.Ledger.Flush(w.Context()))
	spoilt := false
	link.onPost(w, func(p *billing.Posting) error {
		if !spoilt && len(p.Leases) > 0 {
			spoilt = true
			p.Leases = slices.Clone(p.Leases)
			p.Leases[0].Down = billing.Amount{Tokens: 1 << 40, Money: 1 << 40}
		}
		return nil
	})
	for range 20 {
		w.use(k, amount{10, 20}, w.now)
		w.must(leased.Ledger.Flush(w.Context()))
	}
	w.wantUsed(k, "bud_1", amount{210, 420})
	if rows := w.events(k); len(rows) != 21 || !spoilt {
		w.Errorf("%d rows, want 21; a posting was spoilt: %t", len(rows), spoilt)
	}
	w.wantBreaches()
}
