package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/journal"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/billing/sqlite"
)

// TestInterleavingsObeyTheLaws takes several ledgers on one store through random
// steps, one at a time, so that every interleaving of what processes do can
// come up: holds, settlements, overruns, releases, limits that change, answers
// of the store that are lost, processes that die and come back, and replicas
// that are fenced because they were silent for too long. The budgets are limited
// in tokens, in dollars or in both. After each step the laws must hold.
// $LEASE_RUNS is how many runs, $LEASE_SEED the first of them.
func TestInterleavingsObeyTheLaws(t *testing.T) {
	interleavings(t, prove.Size(t, "LEASE_RUNS", 9), func(t *testing.T, seed uint64) {
		path := NewSQLite(t)
		synctest.Test(t, func(t *testing.T) {
			store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			interleave(t, seed, &walk{store: store.Contracts(), ttl: 5 * time.Minute, sleep: time.Sleep, checks: 1})
		})
	})
}

// TestInterleavingsOnPostgresObeyTheLaws does the same where time cannot be
// made to pass, and so with leases that last for moments.
func TestInterleavingsOnPostgresObeyTheLaws(t *testing.T) {
	interleavings(t, max(3, prove.Size(t, "LEASE_RUNS", 3)/20), func(t *testing.T, seed uint64) {
		store, err := postgres.Open(t.Context(), pgtest.Copy(t, MigratePostgres), patient)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		interleave(t, seed, &walk{
			store: store.Contracts(), ttl: 500 * time.Millisecond, sleep: func(d time.Duration) { time.Sleep(d / 100) },
			checks: 10,
		})
	})
}

// migratedSQLite is a file with the schema.
var migratedSQLite prove.Template

// NewSQLite returns the path of a new database file with the schema.
func NewSQLite(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	migratedSQLite.Copy(t, path, func(path string) error {
		s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
		if err != nil {
			return err
		}
		_, err = s.Migrate(context.Background())
		return errors.Join(err, s.Close())
	})
	return path
}

// patient waits for as long as a crowded machine may take.
var patient = postgres.Options{Acquire: time.Minute, Statement: time.Minute, Lock: time.Minute}

// MigratePostgres makes the schema in a database.
func MigratePostgres(dsn string) error {
	s, err := postgres.Open(context.Background(), dsn, patient)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Migrate(context.Background())
	return err
}

// interleavings performs a number of random runs.
func interleavings(t *testing.T, runs int, run func(t *testing.T, seed uint64)) {
	seed := uint64(prove.Size(t, "LEASE_SEED", int(1+time.Now().UnixNano()%1e9)))
	for range runs {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) }) {
			return // one is enough to look into
		}
		seed++
	}
}

// errLost is an answer that did not arrive.
var errLost = fmt.Errorf("%w: lost on the way", billing.ErrUnavailable)

// unreliable is a store of which questions and answers get lost.
type unreliable struct {
	billing.Store
	random *rand.Rand
	loss   int // of a hundred calls
}

// lost does the call, or not, and says whether its answer arrives.
func lost[T any](u *unreliable, call func() (T, error)) (T, error) {
	var none T
	n := u.random.IntN(200)
	if n < u.loss {
		return none, errLost // it did not arrive
	}
	answer, err := call()
	if n < 2*u.loss {
		return none, errLost
	}
	return answer, err
}

func (u *unreliable) Renew(ctx context.Context, r billing.Replica, j billing.Join) (billing.Heartbeat, error) {
	return lost(u, func() (billing.Heartbeat, error) { return u.Store.Renew(ctx, r, j) })
}

func (u *unreliable) Grant(ctx context.Context, r billing.Replica, w []billing.Want) ([]billing.Granted, bool, error) {
	type answer struct {
		granted []billing.Granted
		ok      bool
	}
	a, err := lost(u, func() (a answer, err error) {
		a.granted, a.ok, err = u.Store.Grant(ctx, r, w)
		return a, err
	})
	return a.granted, a.ok, err
}

func (u *unreliable) Post(ctx context.Context, p billing.Posting) (billing.Posted, error) {
	return lost(u, func() (billing.Posted, error) { return u.Store.Post(ctx, p) })
}

func (u *unreliable) Return(ctx context.Context, id, keep string) error {
	_, err := lost(u, func() (struct{}, error) { return struct{}{}, u.Store.Return(ctx, id, keep) })
	return err
}

// node is a process: its ledger, its journal, and the requests under way in it.
type node struct {
	name string
	dir  string
	log  *journal.Log
	*Ledger
	holds map[string]billing.Hold
}

// walk is a random run.
type walk struct {
	t      *testing.T
	random *rand.Rand
	store  billing.Store
	links  *unreliable
	key    billing.Key
	nodes  []*node
	ids    int
	steps  int
	trace  []string
	did    map[string]int // how often things came up
	ttl    time.Duration
	sleep  func(time.Duration)
	checks int // the integrity of the store is checked every so many steps
	by     int // what budgets are limited in

	// settled is all that was used, in the ledger or on the way to it. grace is
	// by how much a budget may be passed: what overran its hold, what was spent
	// by a replica after it was fenced, and what was spoken for when a limit
	// was lowered.
	settled billing.Amount
	grace   map[string]billing.Amount
	limits  map[string]billing.Amount
}

const (
	walkNodes = 3
	walkSteps = 250
	keyBudget = "bud_key"
	topBudget = "bud_org"
)

// endless is a limit that never binds.
const endless = 1 << 50

// limited returns the limit with only its tokens, only its money, or both.
func (w *walk) limited(a billing.Amount) billing.Amount {
	switch w.by {
	case 0:
		a.Money = endless
	case 1:
		a.Tokens = endless
	}
	return a
}

func interleave(t *testing.T, seed uint64, w *walk) {
	random := rand.New(rand.NewPCG(seed, 1))
	w.t, w.random, w.by = t, random, int(seed%3)
	w.links = &unreliable{w.store, random, 4}
	w.grace, w.limits, w.did = make(map[string]billing.Amount), make(map[string]billing.Amount), make(map[string]int)
	w.begin()
	for n := range walkNodes {
		w.nodes = append(w.nodes, w.start(fmt.Sprintf("node%d", n), t.TempDir()))
	}
	for w.steps = range walkSteps {
		w.step()
		if w.laws(); t.Failed() {
			break
		}
	}
	if !t.Failed() {
		w.end()
	}
	t.Logf("%v", w.did)
	for _, n := range w.nodes {
		_ = n.log.Close()
	}
	if t.Failed() {
		t.Logf("the last steps: %q", w.trace[max(0, len(w.trace)-40):])
	}
}

func (w *walk) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v, after %q", err, w.trace[max(0, len(w.trace)-10):])
	}
}

func (w *walk) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// begin makes the tables, a key with a budget, and a budget above it.
func (w *walk) begin() {
	ctx := w.t.Context()
	_, err := w.store.Migrate(ctx)
	w.must(err)
	p, err := w.store.EnsureProject(ctx, billing.Project{Team: "web", Name: "shop", CostCenter: "cc", Environment: "prod"})
	w.must(err)
	k := billing.Key{ID: "key_1", Name: "k", Display: "sk-tr-k", ProjectID: p.ID, CreatedAt: time.Now()}
	w.must(w.store.CreateKey(ctx, k, [32]byte{1}))
	w.limit(keyBudget, billing.ScopeKey, "key_1", billing.Amount{Tokens: 4000, Money: 9000, Requests: 100})
	w.limit(topBudget, billing.ScopeOrg, "org", billing.Amount{Tokens: 7000, Money: 5000, Requests: 90})
}

// limit sets a limit, and allows for what is already committed beyond it.
func (w *walk) limit(id string, scope billing.Scope, of string, limit billing.Amount) {
	limit = w.limited(limit)
	b := billing.Budget{
		ID: id, Scope: scope, ScopeID: of, Period: billing.PeriodMonth, Tokens: &limit.Tokens, Money: &limit.Money,
		Requests: &limit.Requests,
	}
	if limit.Tokens == endless {
		b.Tokens = nil
	}
	if limit.Money == endless {
		b.Money = nil
	}
	if limit.Requests == endless {
		b.Requests = nil
	}
	w.must(billingtest.SetBudget(w.t.Context(), w.store, b, time.Now()))
	had := w.limits[id].Plus(w.grace[id])
	if beyond := had.Minus(limit).AtLeast(billing.Amount{}); beyond != (billing.Amount{}) {
		w.grace[id] = beyond
	} else {
		w.grace[id] = billing.Amount{}
	}
	w.limits[id] = limit
	k, err := w.store.KeyByHash(w.t.Context(), [32]byte{1})
	w.must(err)
	w.key = k
}

// excuse lets every budget be passed by so much.
func (w *walk) excuse(a billing.Amount) {
	a = a.AtLeast(billing.Amount{})
	for id := range w.limits {
		w.grace[id] = w.grace[id].Plus(a)
	}
}

// start starts a process with what is in its journal. The router asks for the
// keys of a request again each second, and so here for each request.
func (w *walk) start(name, dir string) *node {
	log, err := journal.Open(dir, journal.Options{Sync: journal.SyncOff, SegmentBytes: 4 << 10})
	w.must(err)
	l, err := Open(w.links, log, Options{Replica: log.ID(), Name: name, TTL: w.ttl, Batch: 1 + w.random.IntN(4)})
	w.must(err)
	return &node{name: name, dir: dir, log: log, Ledger: l, holds: make(map[string]billing.Hold)}
}

// step does one thing in one process, or to all of them.
func (w *walk) step() {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	ctx := w.t.Context()
	switch dice := w.random.IntN(100); {
	case dice < 34:
		w.hold(n, w.amount())
	case dice < 54:
		w.settle(n)
	case dice < 58:
		w.release(n)
	case dice < 72:
		w.note("%s posts: %t", n.name, n.round(ctx))
	case dice < 80:
		w.note("%s renews: %v", n.name, n.renew(ctx))
		n.returnEarlier(ctx)
	case dice < 84:
		w.note("%s tends", n.name)
		n.tend(time.Now())
	case dice < 88:
		w.note("%s tops up", n.name)
		n.topUp(ctx)
	case dice < 90:
		n.carry()
	case dice < 96:
		w.sleep(time.Duration(w.random.Int64N(int64(8 * time.Second))))
	case dice < 97:
		w.silence(n)
	case dice < 99:
		w.crash(n)
	default:
		w.change()
	}
}

func (w *walk) amount() billing.Amount {
	most := int64(1 + w.random.IntN(400))
	return billing.Amount{Tokens: w.random.Int64N(most), Money: billing.Money(w.random.Int64N(most))}
}

// request returns a hold on the budgets of the key.
func (w *walk) request(a billing.Amount) billing.Hold {
	w.ids++
	now := time.Now()
	h := billing.Hold{
		ID: fmt.Sprintf("req_%d", w.ids), KeyID: w.key.ID, KeyVersion: w.key.Version, Tokens: a.Tokens, Money: a.Money,
		ExpiresAt: now.Add(time.Hour),
	}
	for _, b := range w.key.Budgets {
		window, err := b.Window(now)
		w.must(err)
		h.Lines = append(h.Lines, billing.HoldLine{Budget: b, Window: window})
	}
	h.IfLost = w.row(h.ID, a, now)
	h.IfLost.Status, h.IfLost.UsageSource = billing.StatusInterrupted, billing.Bounded
	return h
}

func (w *walk) row(id string, a billing.Amount, at time.Time) billing.Spend {
	return billing.Spend{
		OccurredAt: at, Kind: billing.KindUsage, RequestID: id, Attempt: 1, Final: true, Owner: w.key.Owner(),
		RequestedModel: "m", Provider: "up", Model: "m", ServiceTier: "standard",
		RouteReason: billing.RouteOnly, Status: billing.StatusOK, UsageSource: billing.Reported,
		Tokens:  billing.Tokens{Input: a.Tokens},
		Pricing: billing.Priced, Price: billing.Price{ID: "price_1", Input: 1, Output: 1},
		Cost: billing.Cost{Input: a.Money, Total: a.Money}, Baseline: a.Money,
	}
}

// hold is Reserve without waiting, because here other steps do what it would wait
// for.
func (w *walk) hold(n *node, a billing.Amount) bool {
	h := w.request(a)
	err := w.reserve(n, h)
	w.note("%s holds %s of %d/%d: %v", n.name, h.ID, a.Tokens, a.Money, err)
	switch {
	case err == nil:
		n.holds[h.ID] = h
		w.did["held"]++
	case errors.Is(err, errRefused):
		w.did["refused"]++
	case errors.Is(err, errLost):
		w.did["lost"]++
	default:
		w.did["fenced"]++
	}
	return err == nil
}

var errRefused = errors.New("refused")

func (w *walk) reserve(n *node, h billing.Hold) error {
	ctx := w.t.Context()
	lost, err := n.row(h.IfLost)
	w.must(err)
	e := &entry{id: h.ID, hold: h.Amount(), ifLost: []billing.Spend{lost}}
	for range 3 {
		balances, lacking, err := n.take(e, h)
		if err != nil {
			return err
		}
		if balances != nil {
			return n.Ledger.begin(e)
		}
		n.failed.Store(0)
		if err := n.ready(ctx); err != nil {
			return err
		}
		if !n.proven(ctx) {
			return errLost
		}
		if slices.ContainsFunc(lacking, (*lease).unsettled) {
			n.flush(ctx)
		}
		if wants := n.wants(lacking, e, h); len(wants) > 0 {
			if _, ok, err := n.grant(ctx, wants); err != nil {
				return err
			} else if !ok {
				return errRefused
			}
		}
	}
	return errRefused
}

// flush flushes as much as possible.
func (n *node) flush(ctx context.Context) {
	n.mu.Lock()
	n.flushes++
	n.mu.Unlock()
	for n.round(ctx) {
	}
}

// some returns the request in flight with the lowest id, if there is one.
func (w *walk) some(n *node) (billing.Hold, bool) {
	ids := make([]string, 0, len(n.holds))
	for id := range n.holds {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return billing.Hold{}, false
	}
	// The order of a map is not that of the seed.
	least := ids[0]
	for _, id := range ids {
		if len(id) < len(least) || len(id) == len(least) && id < least {
			least = id
		}
	}
	return n.holds[least], true
}

// settle ends a request with less than it held, or now and then with more.
func (w *walk) settle(n *node) {
	h, ok := w.some(n)
	if !ok {
		return
	}
	used := billing.Amount{Tokens: w.random.Int64N(h.Tokens + 1), Money: billing.Money(w.random.Int64N(int64(h.Money) + 1)), Requests: 1}
	if w.random.IntN(12) == 0 {
		used = used.Plus(w.amount())
	}
	w.excuse(used.Minus(h.Amount()))
	w.note("%s settles %s at %d/%d", n.name, h.ID, used.Tokens, used.Money)
	_, err := n.Settle(w.t.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(h.ID, used, h.IfLost.OccurredAt)}})
	w.must(err)
	w.settled = w.settled.Plus(used)
	w.did["settled"]++
	delete(n.holds, h.ID)
}

func (w *walk) release(n *node) {
	h, ok := w.some(n)
	if !ok {
		return
	}
	w.note("%s releases %s", n.name, h.ID)
	w.must(n.Release(w.t.Context(), h.ID))
	delete(n.holds, h.ID)
}

// silence lets a replica be away for so long that its leases are given to
// others. What it has under way or yet to post then has no cover.
func (w *walk) silence(n *node) {
	time.Sleep(n.o.TTL + n.o.TTL/2)
	for _, other := range w.nodes {
		if other != n {
			_ = other.renew(w.t.Context())
		}
	}
	if n.joined.Load() {
		var open billing.Amount
		for _, h := range n.holds {
			open = open.Plus(h.Amount())
		}
		w.excuse(open.Plus(w.unposted(n)))
	}
	var conflict *billing.ConflictError
	_, err := w.store.ForgetReplica(w.t.Context(), n.log.ID())
	w.note("%s is forgotten: %v", n.name, err)
	if errors.As(err, &conflict) {
		w.t.Errorf("%s was silent and is said to be alive", n.name)
	}
}

// unposted returns what a node has settled but not posted yet, as far as it knows.
func (w *walk) unposted(n *node) (sum billing.Amount) {
	entries := n.queue
	if n.pending != nil {
		entries = append(entries[:len(entries):len(entries)], n.pending.entries...)
	}
	for _, e := range entries {
		sum = sum.Plus(billing.Sum(e.rows))
	}
	return sum
}

// crash kills a process and starts it again: what was under way is charged as
// it was held.
func (w *walk) crash(n *node) {
	w.note("%s crashes", n.name)
	w.did["crashed"]++
	for id, h := range n.holds {
		w.settled = w.settled.Plus(h.Amount())
		delete(n.holds, id)
	}
	_ = n.log.Close()
	again := w.start(n.name, n.dir)
	n.log, n.Ledger = again.log, again.Ledger
	if w.random.IntN(2) == 0 { // its keeper is faster than its writer
		w.note("%s is known again: %v", n.name, n.joins(w.t.Context()))
		n.returnEarlier(w.t.Context())
	}
}

// change sets a limit to something else.
func (w *walk) change() {
	limit := billing.Amount{
		Tokens: 1000 + w.random.Int64N(9000), Money: billing.Money(1000 + w.random.Int64N(9000)), Requests: 10 + w.random.Int64N(90),
	}
	w.note("limit %d/%d", limit.Tokens, limit.Money)
	if w.random.IntN(2) == 0 {
		w.limit(keyBudget, billing.ScopeKey, "key_1", limit)
	} else {
		w.limit(topBudget, billing.ScopeOrg, "org", limit)
	}
}

// laws checks what must hold after every step.
func (w *walk) laws() {
	w.t.Helper()
	admitted := w.settled
	for _, n := range w.nodes {
		for _, h := range n.holds {
			admitted = admitted.Plus(h.Amount())
		}
	}
	for id, limit := range w.limits {
		if most := limit.Plus(w.grace[id]); !most.Covers(admitted) {
			w.t.Errorf("%s: %+v is admitted of %+v", id, admitted, most)
		}
	}
	states, err := w.store.ListReplicas(w.t.Context())
	w.must(err)
	if w.steps%w.checks == 0 {
		report, err := w.store.CheckIntegrity(w.t.Context(), billing.IntegrityOptions{Now: time.Now()})
		w.must(err)
		if report.Breaches > 0 {
			w.t.Errorf("the store: %+v", report.First)
		}
	}
	w.lawOfWindows(states)
	for _, n := range w.nodes {
		w.lawsOf(n, states)
	}
}

// lawOfWindows checks that the store never commits more of a window than there is.
// For a moment, what earlier epochs had leased may count as both used and leased.
func (w *walk) lawOfWindows(states []billing.ReplicaState) {
	w.t.Helper()
	balances, err := w.store.Balances(w.t.Context(), &w.key, time.Now())
	w.must(err)
	for _, s := range states {
		earlier := !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.replica.Epoch == s.Epoch })
		for i := range balances {
			if earlier {
				balances[i] = balances[i].Stands(balances[i].Used(), balances[i].Held().Minus(s.Leased))
			}
		}
	}
	for _, b := range balances {
		spoken := b.Used().Plus(b.Held())
		if most := w.limits[b.Budget.ID].Plus(w.grace[b.Budget.ID]); !most.Covers(spoken) {
			w.t.Errorf("%s: the store has %+v spoken for of %+v", b.Budget.ID, spoken, most)
		}
	}
}

// lawsOf checks the laws of one process: it has no more than the store leased to
// it, and that covers what it admitted.
func (w *walk) lawsOf(n *node, states []billing.ReplicaState) {
	w.t.Helper()
	var has billing.Amount
	for _, le := range n.leases {
		has = has.Plus(le.amount).Plus(le.owed)
		if free := le.free(); !free.Covers(billing.Amount{}) || !le.held.Covers(billing.Amount{}) ||
			!le.covered.Covers(billing.Amount{}) || !le.owed.Covers(billing.Amount{}) {
			w.t.Errorf("%s: a lease is overdrawn: %+v", n.name, le)
		}
	}
	if n.pending != nil { // it may have arrived
		for _, m := range n.pending.moves {
			has = has.Minus(m.covered).Minus(m.owed)
		}
	}
	for _, s := range states {
		if s.ID == n.log.ID() && s.Epoch == n.replica.Epoch && !s.Leased.Covers(has) {
			w.t.Errorf("%s has %+v and is leased %+v", n.name, has, s.Leased)
		}
	}
}

// end waits until everything has settled: all usage is in the ledger, nothing is
// held or leased, and a single hold can take all that is free.
func (w *walk) end() {
	ctx := w.t.Context()
	w.links.loss = 0
	for _, n := range w.nodes {
		for len(n.holds) > 0 {
			w.settle(n)
		}
		w.must(n.joins(ctx))
		for n.round(ctx) { // what earlier epochs settled, first
		}
		// One whose answer was lost is tried again a second later: that second is over.
		n.returnTried = time.Time{}
		for n.returnEarlier(ctx); n.round(ctx); {
		}
		w.wantNoMoreLeased(n)
		w.must(n.Close(ctx))
		w.must(n.log.Close())
	}
	states, err := w.store.ListReplicas(ctx)
	w.must(err)
	if len(states) > 0 {
		w.t.Errorf("replicas are left: %+v", states)
	}
	w.steps = 0
	w.laws()
	balances, err := w.store.Balances(ctx, &w.key, time.Now())
	w.must(err)
	free := billing.Amount{Tokens: 1 << 40, Money: 1 << 40, Requests: 1 << 40}
	for _, b := range balances {
		if b.Used() != w.settled || b.Held() != (billing.Amount{}) {
			w.t.Errorf("the store has %+v, used was %+v", b, w.settled)
		}
		if b.Budget.Tokens != nil {
			free.Tokens = min(free.Tokens, *b.Budget.Tokens-b.UsedTokens)
		}
		if b.Budget.Money != nil {
			free.Money = min(free.Money, *b.Budget.Money-b.UsedMoney)
		}
		if b.Budget.Requests != nil {
			free.Requests = min(free.Requests, *b.Budget.Requests-b.UsedRequests)
		}
	}
	last := w.start("last", w.t.TempDir())
	one := billing.Amount{Requests: 1}
	if free.Covers(one) && !w.hold(last, free) {
		w.t.Errorf("%+v is free and cannot be had", free)
	}
	if w.hold(last, billing.Amount{Tokens: 1, Money: 1}) && free.Covers(one) {
		w.t.Errorf("more than all was had")
	}
	_ = last.log.Close()
}

// joins renews until the store knows the process, which may first learn that it
// does not.
func (n *node) joins(ctx context.Context) error {
	err := n.renew(ctx)
	if errors.Is(err, billing.ErrFenced) {
		err = n.renew(ctx)
	}
	return err
}

// wantNoMoreLeased wants that a process at rest knows of all that is leased to it.
func (w *walk) wantNoMoreLeased(n *node) {
	w.t.Helper()
	w.must(n.joins(w.t.Context())) // at the latest now an empty lease is thrown away
	n.clearDoubts(w.t.Context())
	var has billing.Amount
	for _, le := range n.leases {
		has = has.Plus(le.amount).Plus(le.owed)
	}
	states, err := w.store.ListReplicas(w.t.Context())
	w.must(err)
	for _, s := range states {
		if s.ID == n.log.ID() && s.Leased != has {
			w.t.Errorf("%s at rest has %+v and is leased %+v", n.name, has, s.Leased)
		}
	}
}
