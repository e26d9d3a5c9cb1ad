package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
)

// TestWritersTakeLocksInOneOrder has every kind of writer change the same few keys, budgets,
// counters and leases at once, for $WRITES acts each. The server detects no deadlock, and the
// ledger adds up.
func TestWritersTakeLocksInOneOrder(t *testing.T) {
	longest := postgres.Options{Acquire: time.Hour, Statement: time.Hour, Lock: time.Hour}
	first, dsn := open(t, longest)
	c := newContention(t, first, connect(t, dsn, longest), connect(t, dsn, longest))
	acts := []func(w *writer) error{
		(*writer).request, (*writer).request, (*writer).request, (*writer).lease, (*writer).lease, (*writer).forget,
		(*writer).setBudgets, (*writer).setKey, (*writer).correct, (*writer).upkeep, (*writer).tell,
	}
	writes := prove.Size(t, "WRITES", 3)
	together(3*len(acts), func(i int) {
		w := &writer{contention: c, s: c.stores[i%len(c.stores)], random: rand.New(rand.NewPCG(uint64(i), 1)), n: i}
		for range writes {
			if err := acts[i/len(c.stores)](w); err != nil && !expected(err) {
				t.Errorf("act %d: %v", i/len(c.stores), err)
			}
		}
	})
	report, err := first.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: noon})
	if err != nil || report.Breaches != 0 {
		t.Errorf("%d breaches, %s, %v", report.Breaches, report.First, err)
	}
	check := raw(t, dsn)
	if n := deadlocks(t, check, c.stores...); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// expected reports whether a writer may be told err because of what others have just done, or,
// on a crowded machine, because it waited for a lock as long as corrections and upkeep do.
func expected(err error) bool {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "55P03" {
		return true
	}
	for _, e := range []error{billing.ErrStaleKey, billing.ErrFenced, billing.ErrNoHold} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, new(*billing.NotFoundError)) || errors.As(err, new(*billing.ConflictError)) ||
		errors.As(err, new(*billing.QuotaError))
}

// contention is what the writers of a test contend for.
type contention struct {
	testing.TB
	stores  []*postgres.Store
	clients []*client
}

// newContention creates four keys of one project, with budgets of every scope, period and part.
func newContention(t testing.TB, stores ...*postgres.Store) *contention {
	c := &contention{TB: t, stores: stores}
	parts := func(id string, part billing.Part, named string) billing.Budget {
		b := budget(id, billing.ScopeKey, "", 1e12)
		b.Part, b.Named, b.Period = part, named, billing.PeriodDay
		return b
	}
	for i := range 4 {
		n := fmt.Sprint(i)
		once := budget("bud_m"+n, billing.ScopeKey, "", 1e12)
		flying := billing.Budget{ID: "bud_a" + n, Scope: billing.ScopeKey, Period: billing.PeriodConcurrent, Requests: new(int64)}
		*flying.Requests = 1e6
		c.clients = append(c.clients, newClient(t, stores[0], "k"+n, once, flying,
			parts("bud_y"+n, billing.PartEndUser, ""), parts("bud_b"+n, billing.PartModel, "small")))
	}
	k := c.clients[0].key
	for _, b := range []billing.Budget{
		budget("bud_z", billing.ScopeOrg, "org", 1e12), budget("bud_0", billing.ScopeTeam, k.TeamID, 1e12),
		budget("bud_n", billing.ScopeProject, k.ProjectID, 1e12),
	} {
		if err := billingtest.SetBudget(t.Context(), stores[0], b, noon); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// writer is one of the writers.
type writer struct {
	*contention
	s      *postgres.Store
	random *rand.Rand
	n      int
	made   int
}

func (w *writer) name(what string) string {
	w.made++
	return fmt.Sprintf("%s_%d_%d", what, w.n, w.made)
}

// client returns a key as it is now.
func (w *writer) client() (*client, error) {
	c := *w.clients[w.random.IntN(len(w.clients))]
	c.s = w.s
	k, err := w.s.KeyByHash(w.Context(), hash(c.key.Name))
	c.key = k
	return &c, err
}

// lines returns the lines of the key's budgets, of one of five names below those for a part, in
// random order.
func (w *writer) lines(h *billing.Hold) {
	for i := range h.Lines {
		if b := &h.Lines[i].Budget; b.Part != "" {
			*b = b.Below(fmt.Sprint("name", w.random.IntN(5)))
			h.IfLost.Limits = append(h.IfLost.Limits, b.ID)
		}
	}
	w.random.Shuffle(len(h.Lines), func(i, j int) { h.Lines[i], h.Lines[j] = h.Lines[j], h.Lines[i] })
}

// request holds and settles as a router without a journal does.
func (w *writer) request() error {
	c, err := w.client()
	if err != nil {
		return err
	}
	h := c.hold(10, noon)
	w.lines(&h)
	if _, err := w.s.Reserve(w.Context(), h, noon); err != nil {
		return err
	}
	second := c.row(h.ID, 3, noon)
	second.Attempt, second.Model, second.OverrunTokens = 2, []string{"another", "z"}[w.random.IntN(2)], int64(w.random.IntN(2))
	if w.random.IntN(4) == 0 {
		if err := w.s.Retry(w.Context(), h.ID, billing.Amount{Tokens: 5}, []billing.Spend{h.IfLost, second}); err != nil {
			return err
		}
	}
	if w.random.IntN(5) == 0 {
		return w.s.Release(w.Context(), h.ID)
	}
	h.IfLost.Final = false
	_, err = w.s.Settle(w.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost, second}})
	return err
}

// lease leases and posts as a router with a journal does. Its leases expire at once.
func (w *writer) lease() error {
	c, err := w.client()
	if err != nil {
		return err
	}
	r := billing.Replica{ID: fmt.Sprint("rep_", w.n%4), Epoch: w.name("epoch"), TTL: 0}
	if _, err := w.s.Renew(w.Context(), r, billing.Joining); err != nil {
		return err
	}
	h := c.hold(10, noon)
	w.lines(&h)
	wants, changes := make([]billing.Want, len(h.Lines)), make([]billing.LeaseChange, len(h.Lines))
	for i, l := range h.Lines {
		wants[i] = billing.Want{HoldLine: l, Need: billing.Amount{Tokens: 10, Money: 10, Requests: 1}}
		changes[i] = billing.LeaseChange{
			BudgetID: l.Budget.ID, WindowStart: l.Window.Start, Down: billing.Amount{Tokens: 9, Money: 9}, Busy: billing.Amount{Tokens: 1},
		}
	}
	if _, _, err := w.s.Grant(w.Context(), r, wants); err != nil {
		return err
	}
	other := w.clients[w.random.IntN(len(w.clients))].row(w.name("req_other"), 2, noon)
	rows := []billing.Spend{h.IfLost, other}
	if w.random.IntN(2) == 0 {
		slices.Reverse(rows)
	}
	if _, err := w.s.Post(w.Context(), billing.Posting{Replica: r, Seq: 1, Rows: rows, Leases: changes}); err != nil {
		return err
	}
	if w.random.IntN(3) == 0 {
		return w.s.Return(w.Context(), r.ID, r.Epoch)
	}
	return nil
}

// forget gives back what dead routers have leased.
func (w *writer) forget() error {
	by := &billing.Change{At: noon, Actor: "ann", Action: "replica.forget", Object: "rep"}
	if _, err := w.s.ForgetReplica(w.Context(), fmt.Sprint("rep_", w.random.IntN(4)), by); err != nil && !expected(err) {
		return err
	}
	if w.random.IntN(3) == 0 {
		_, err := w.s.ForgetLost(w.Context(), 0)
		return err
	}
	_, err := w.s.Renew(w.Context(), billing.Replica{ID: w.name("rep_idle"), Epoch: "1", TTL: time.Minute}, billing.Joining)
	return err
}

// setBudgets changes, raises, resets and ends budgets.
func (w *writer) setBudgets() error {
	ids := []string{"bud_z", "bud_0", "bud_n", "bud_y1", "bud_b2", "bud_m3"}
	id := ids[w.random.IntN(len(ids))]
	by := &billing.Change{At: noon, Actor: "ann", Action: "budget.update", Object: id}
	switch w.random.IntN(4) {
	case 0:
		return w.s.ResetBudget(w.Context(), id, noon, by)
	case 1:
		return w.s.RaiseBudget(w.Context(), billing.Raise{
			BudgetID: id, By: billing.Amount{Tokens: 5}, From: noon, Until: noon.Add(time.Hour), Actor: "ann", Reason: "a test", At: noon,
		}, by)
	case 2:
		b := budget(w.name("bud_x"), billing.ScopeOrg, "org", 1e12)
		b.Period = billing.PeriodYear
		if err := billingtest.SetBudget(w.Context(), w.s, b, noon); err != nil {
			return err
		}
		return w.s.RemoveBudget(w.Context(), b.ID, by)
	}
	_, err := w.s.UpdateBudget(w.Context(), billing.Budget{ID: id}, func(b *billing.Budget, existed bool) error {
		if !existed {
			return &billing.NotFoundError{What: "budget", ID: id}
		}
		more := *b.Tokens + 1
		b.Tokens = &more
		return nil
	}, noon, by)
	return err
}

// setKey changes a key with its budgets, and notes how it was used.
func (w *writer) setKey() error {
	c, err := w.client()
	if err != nil {
		return err
	}
	by := &billing.Change{At: noon, Actor: "ann", Action: "key.update", Object: string(c.key.ID)}
	_, err = w.s.UpdateKey(w.Context(), c.key.ID, func(k *billing.Key) error {
		w.random.Shuffle(len(k.Budgets), func(i, j int) { k.Budgets[i], k.Budgets[j] = k.Budgets[j], k.Budgets[i] })
		k.StoppedAt = time.Time{}
		return nil
	}, by)
	if err != nil {
		return err
	}
	used, uses := make(map[billing.KeyID]time.Time), []billing.SecretUse(nil)
	for _, c := range w.clients {
		used[c.key.ID] = noon.Add(time.Duration(w.random.IntN(1e9)))
		uses = append(uses, billing.SecretUse{KeyID: c.key.ID, Number: 1, At: noon, Requests: 1})
	}
	if err := errors.Join(w.s.TouchKeys(w.Context(), used), w.s.NoteSecretUse(w.Context(), uses)); err != nil {
		return err
	}
	_, err = w.s.EndQuietSecrets(w.Context(), noon)
	return err
}

// correct books adjustments of several keys.
func (w *writer) correct() error {
	var rows []billing.Spend
	for _, i := range w.random.Perm(len(w.clients)) {
		r := w.clients[i].row(w.name("req_adjusted"), 1, noon)
		r.Kind, r.Reason, r.Actor, r.Final = billing.KindAdjustment, "a test", "ann", false
		rows = append(rows, r)
	}
	return w.s.Correct(w.Context(), rows, &billing.Change{At: noon, Actor: "ann", Action: "spend.adjust", Object: "req"})
}

// upkeep removes what is no longer used.
func (w *writer) upkeep() error {
	_, err := w.s.Sweep(w.Context(), noon.Add(-time.Hour))
	return errors.Join(err, w.s.Upkeep(w.Context()))
}

// tell fires the same alerts as others do and notes uses of the same credentials.
func (w *writer) tell() error {
	var f billing.Firing
	var uses []billing.CredentialUse
	var events []billing.Event
	for _, i := range w.random.Perm(4) {
		n := fmt.Sprint(i)
		f.Alerts = append(f.Alerts, billing.Alert{ID: w.name("alrt"), Claim: "claim" + n, Kind: "test", Severity: billing.Info, At: noon})
		uses = append(uses, billing.CredentialUse{Provider: "demo-" + n, UsedAt: noon})
		events = append(events, billing.Event{DedupID: "event" + n, Kind: billing.EventOverrun, Object: n, At: noon, Severity: billing.Info})
		f.Events = append(f.Events, "event"+n)
	}
	ctx := context.WithoutCancel(w.Context())
	_, err := w.s.FireAlerts(ctx, f, noon)
	return errors.Join(w.s.WriteEvents(ctx, events...), err, w.s.UseCredentials(ctx, uses))
}

// TestWorkThatADeadlockAbortsIsDoneOnce has somebody else's transactions lock the counters in
// another order, so that the server aborts each kind of work once. It is done again, and counts
// once.
func TestWorkThatADeadlockAbortsIsDoneOnce(t *testing.T) {
	first, dsn := open(t, patient)
	check := raw(t, dsn)
	exec(t, check, "ALTER DATABASE "+get[string](t, check, "SELECT current_database()")+" SET deadlock_timeout = '10ms'")
	s := connect(t, dsn, patient)
	c := newClient(t, s, "k", budget("bud_a", billing.ScopeKey, "", 1e12), budget("bud_b", billing.ScopeKey, "", 1e12),
		budget("bud_c", billing.ScopeKey, "", 1e12))
	c.use(1, noon)
	r := billing.Replica{ID: "rep_1", Epoch: "epoch", TTL: time.Hour}
	if _, err := s.Renew(t.Context(), r, billing.Joining); err != nil {
		t.Fatal(err)
	}
	settled, released := c.hold(10, noon), c.hold(100, noon)
	var wants []billing.Want
	var changes []billing.LeaseChange
	for _, l := range settled.Lines {
		wants = append(wants, billing.Want{HoldLine: l, Need: billing.Amount{Tokens: 1000, Money: 1000, Requests: 1}})
		changes = append(changes, billing.LeaseChange{
			BudgetID: l.Budget.ID, WindowStart: l.Window.Start, Down: billing.Amount{Tokens: 7, Money: 7, Requests: 1},
		})
	}
	posting := billing.Posting{Replica: r, Seq: 1, Rows: []billing.Spend{c.row("req_posted", 7, noon)}, Leases: changes}
	acts := []struct {
		name       string
		do         func() error
		used, held int64 // by then
	}{
		{"Reserve", func() error { return second(s.Reserve(t.Context(), settled, noon)) }, 1, 10},
		{"Retry", func() error {
			return s.Retry(t.Context(), settled.ID, billing.Amount{Tokens: 5, Money: 5}, []billing.Spend{settled.IfLost})
		}, 1, 15},
		{"Settle", func() error {
			return second(s.Settle(t.Context(), billing.Settlement{HoldID: settled.ID, Attempts: []billing.Spend{settled.IfLost}}))
		}, 11, 0},
		{"ReserveAnother", func() error { return second(s.Reserve(t.Context(), released, noon)) }, 11, 100},
		{"Release", func() error { return s.Release(t.Context(), released.ID) }, 11, 0},
		{"Grant", func() error {
			_, _, err := s.Grant(t.Context(), r, wants)
			return err
		}, 11, 1000},
		{"Post", func() error { return second(s.Post(t.Context(), posting)) }, 18, 993},
		{"Return", func() error { return s.Return(t.Context(), r.ID, "") }, 18, 0},
	}
	for _, a := range acts {
		deadlocked(t, dsn, a.name, a.do)
		for _, id := range []string{"bud_a", "bud_b", "bud_c"} {
			used := get[int64](t, check, "SELECT used_tokens FROM budget_counters WHERE budget_id = $1", id)
			held := get[int64](t, check, "SELECT held_tokens + leased_tokens FROM budget_counters WHERE budget_id = $1", id)
			if used != a.used || held != a.held {
				t.Errorf("%s: %s has used %d and holds %d, want %d and %d", a.name, id, used, held, a.used, a.held)
			}
		}
	}
	wantConserved(t, check)
	if n := deadlocks(t, check, first, s); n < len(acts) { // the work may lock bud_a again before the other does
		t.Errorf("%d deadlocks of %d", n, len(acts))
	}
}

func second[T any](_ T, err error) error { return err }

// deadlocked does work that locks the counters of bud_a, bud_b and bud_c, in this order, while one
// transaction holds bud_b and another bud_c. The latter waits for bud_a before the work waits for
// bud_c, so it is the work that finds the deadlock.
func deadlocked(t *testing.T, dsn, name string, work func() error) {
	t.Helper()
	first, last, watch := raw(t, dsn), raw(t, dsn), raw(t, dsn)
	const lock = "SELECT FROM budget_counters WHERE budget_id = $1 FOR UPDATE"
	for c, id := range map[*pgx.Conn]string{first: "bud_b", last: "bud_c"} {
		exec(t, c, "SET deadlock_timeout = '1min'")
		exec(t, c, "BEGIN")
		exec(t, c, lock, id)
	}
	done, locked := make(chan error, 1), make(chan error, 1)
	go func() { done <- work() }()
	awaitLocks(t, watch, 1)
	go func() {
		_, err := last.Exec(t.Context(), lock, "bud_a")
		locked <- err
	}()
	awaitLocks(t, watch, 2)
	exec(t, first, "COMMIT")
	if err := prove.Receive(t, name+": the other transaction goes on", locked); err != nil {
		t.Errorf("%s: the other transaction: %v", name, err)
	}
	exec(t, last, "COMMIT")
	if err := prove.Receive(t, name+" ends", done); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestNamesAreNotRemovedUnderARequest has a router lease a slot of a name's limit while the name
// is being removed because nobody used it.
func TestNamesAreNotRemovedUnderARequest(t *testing.T) {
	s, dsn := open(t, patient)
	of := budget("bud_1", billing.ScopeKey, "", 0)
	of.Tokens, of.Requests, of.Period, of.Part = nil, new(int64), billing.PeriodConcurrent, billing.PartEndUser
	*of.Requests = 2
	c := newClient(t, s, "k", of)
	h := c.hold(1, noon)
	h.Lines[0].Budget = h.Lines[0].Budget.Below("alice")
	if _, err := s.Reserve(t.Context(), h, noon); err != nil { // creates the name's limit
		t.Fatal(err)
	}
	if err := s.Release(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	r := billing.Replica{ID: "rep_1", Epoch: "epoch", TTL: time.Hour}
	if _, err := s.Renew(t.Context(), r, billing.Joining); err != nil {
		t.Fatal(err)
	}
	lease, check := raw(t, dsn), raw(t, dsn)
	exec(t, lease, "BEGIN")
	exec(t, lease, "UPDATE budget_counters SET leased_requests = 1 WHERE budget_id = $1", h.Lines[0].Budget.ID)
	done := make(chan error, 1)
	go func() { done <- s.Upkeep(t.Context()) }()
	awaitLock(t, check)
	exec(t, lease, `INSERT INTO leases (budget_id, window_start, replica_id, epoch, requests)
		SELECT budget_id, window_start, 'rep_1', 'epoch', 1 FROM budget_counters WHERE budget_id = $1`, h.Lines[0].Budget.ID)
	exec(t, lease, "COMMIT")
	if err := prove.Receive(t, "names are removed", done); err != nil {
		t.Fatal(err)
	}
	if n := get[int](t, check, "SELECT count(*) FROM leases l JOIN budget_counters c USING (budget_id) WHERE c.leased_requests = 1"); n != 1 {
		t.Error("the name was removed although a slot of it is leased")
	}
}

// TestSlotsAreGivenBackOnce has another router give back the slots of one whose leases have
// expired, while that one posts that a request in a slot has ended.
func TestSlotsAreGivenBackOnce(t *testing.T) {
	s, dsn := open(t, patient)
	most := int64(10)
	c := newClient(t, s, "k", billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodConcurrent, Requests: &most})
	h := c.hold(1, noon)
	want := []billing.Want{{HoldLine: h.Lines[0], Need: billing.Amount{Requests: 1}}}
	expired := billing.Replica{ID: "rep_1", Epoch: "epoch"}
	living := billing.Replica{ID: "rep_2", Epoch: "epoch", TTL: time.Hour}
	join := func(r billing.Replica) {
		_, err := s.Renew(t.Context(), r, billing.Joining)
		if err == nil {
			_, _, err = s.Grant(t.Context(), r, want)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	join(living)
	join(expired)
	lock, check := raw(t, dsn), raw(t, dsn)
	exec(t, lock, "BEGIN")
	exec(t, lock, "SELECT FROM budget_counters FOR UPDATE")
	renewed, posted := make(chan error, 1), make(chan error, 1)
	go func() { renewed <- second(s.Renew(t.Context(), living, billing.Staying)) }()
	awaitLocks(t, check, 1)
	go func() {
		posted <- second(s.Post(t.Context(), billing.Posting{
			Replica: expired, Seq: 1,
			Leases: []billing.LeaseChange{{BudgetID: "bud_1", WindowStart: h.Lines[0].Window.Start, Down: billing.Amount{Requests: 1}}},
		}))
	}()
	awaitLocks(t, check, 2)
	exec(t, lock, "COMMIT")
	for what, done := range map[string]chan error{"the renewal": renewed, "the posting": posted} {
		if err := prove.Receive(t, what, done); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := get[int](t, check, "SELECT leased_requests FROM budget_counters"); n != 1 {
		t.Errorf("%d requests are leased, want the one of the living router", n)
	}
	silent := billing.Replica{ID: "rep_3", Epoch: "epoch"}
	join(silent)
	for _, r := range []billing.Replica{living, silent} {
		if h, err := s.Renew(t.Context(), r, billing.Staying); err != nil || h.Fenced != (r == silent) {
			t.Errorf("%s, whose slots were given back if it is rep_3: %+v, %v", r.ID, h, err)
		}
	}
}
