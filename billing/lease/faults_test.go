package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
	"tallyroute/billing/postgres/pgtest"
)

// sqlStates has a code of every class that PostgreSQL reports, and those of
// some that must not be mixed up.
var sqlStates = []string{
	"03000", "08006", "09000", "0A000", "0B000", "0F000", "0L000", "0P000", "0Z000", "20000", "21000", "22003", "22021", "22P02",
	"23502", "23503", "23505", "23514", "24000", "25006", "25P02", "26000", "27000", "28000", "2B000", "2D000", "2F000", "34000",
	"38000", "39000", "3B000", "3D000", "3F000", "40001", "40P01", "42501", "42703", "42P01", "44000", "53100", "53300", "54000",
	"55000", "55P03", "57014", "57P01", "58030", "72000", "F0000", "HV000", "P0001", "P0002", "XX000", "XX001", "99999",
}

// TestFaultsOfTheDatabaseLoseAndDoubleNothing lets every statement of the
// ledger fail with SQLSTATEs of every class, while keys with limits in tokens,
// in dollars and in both are in use. Callers get the error that the database is
// unavailable; what was answered is in the ledger once as soon as the fault is
// over; and rows are only rejected for their own data. $FAULTS is the number of
// codes with which each statement fails.
func TestFaultsOfTheDatabaseLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	most := prove.Size(t, "FAULTS", 2)
	r := newFaultRig(t)
	r.traffic("", partitions) // connections are made
	r.proxy.Set(pgtest.Fault{})
	r.traffic("", partitions)
	// The pool asks whether a connection that was idle for a second still lives.
	// It does so on a crowded machine alone.
	statements := slices.DeleteFunc(r.proxy.Seen(), func(s string) bool { return s == "-- ping" })
	for i, statement := range statements {
		step := max(1, len(sqlStates)/most)
		for j := i % step; j < len(sqlStates); j += step {
			r.fail(statement, sqlStates[j])
			if t.Failed() {
				t.Fatalf("SQLSTATE %s at %.120q", sqlStates[j], statement)
			}
		}
		if r.settled(); t.Failed() {
			t.Fatalf("after faults at %.120q", statement)
		}
	}
	t.Logf("%d statements, %d faults, %d requests", len(statements), r.faults, r.requests)
}

// partitions is what makes the partition of a month that has none. It is slow.
const partitions = "SELECT spend_add_partition($1::text::date)"

// TestPreparedStatementsThatAreGoneArePreparedAgain imitates a pooler: the
// connection that gets the next statement knows none of the prepared ones.
func TestPreparedStatementsThatAreGoneArePreparedAgain(t *testing.T) {
	t.Parallel()
	r := newFaultRig(t)
	for range 5 {
		r.traffic("", partitions)
		r.proxy.Deallocate()
	}
	r.settled()
}

// faultRig is a ledger on a database that can be made to fail, with a key for
// each way of limiting.
type faultRig struct {
	t        *testing.T
	proxy    *pgtest.Faulty
	far      billing.Store // behind the proxy
	near     billing.Store
	ledger   *lease.Ledger
	keys     []billing.Key
	now      time.Time
	month    int
	ids      int
	requests int // that were answered
	faults   int
	rejected atomic.Int64
}

func newFaultRig(t *testing.T) *faultRig {
	dsn := pgtest.Copy(t, lease.MigratePostgres)
	r := &faultRig{t: t, proxy: pgtest.NewFaulty(t, dsn), near: connect(t, dsn, patient), now: time.Now().UTC()}
	r.far = connect(t, r.proxy.DSN, patient)
	p, err := r.near.EnsureProject(t.Context(), billing.Project{Team: "web", Name: "shop", CostCenter: "cc", Environment: "prod"})
	r.must(err)
	limit, usd := int64(1_000_000_000), billing.Money(1_000_000_000)
	for i, b := range []billing.Budget{{Tokens: &limit}, {Money: &usd}, {Tokens: &limit, Money: &usd}} {
		b.ID, b.Scope, b.Period = fmt.Sprintf("bud_%d", i), billing.ScopeKey, billing.PeriodDay
		k := billing.Key{ID: billing.KeyID(fmt.Sprintf("key_%d", i)), Name: "k", ProjectID: p.ID, Budgets: []billing.Budget{b}}
		r.must(r.near.CreateKey(t.Context(), k, [32]byte{byte(i + 1)}))
		k, err := r.near.KeyByHash(t.Context(), [32]byte{byte(i + 1)})
		r.must(err)
		r.keys = append(r.keys, k)
	}
	last := billing.MonthOf(r.now.AddDate(0, -1, -r.now.Day()).Format(time.DateOnly))
	_, err = r.near.ClosePeriod(t.Context(), billing.PeriodChange{Month: last, Actor: "ann", Now: r.now})
	r.must(err)

	log, err := journal.Open(t.TempDir(), journal.Options{Sync: journal.SyncOff})
	r.must(err)
	r.ledger, err = lease.Open(r.far, log, lease.Options{Replica: log.ID(), Pause: time.Millisecond, Report: func(err error) {
		if strings.Contains(err.Error(), "spend_rejects") {
			r.rejected.Add(1)
		}
	}})
	r.must(err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.ledger.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
		_ = r.ledger.Close(context.WithoutCancel(t.Context())) // a rig that has failed may have something left
		_ = log.Close()
	})
	return r
}

func (r *faultRig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// fail lets a statement fail three times while everything is asked for, and wants
// everything to work after that.
func (r *faultRig) fail(statement, code string) {
	r.t.Helper()
	table := map[string]string{"23503": "budget_counters", "23514": "leases"}[code]
	r.proxy.Set(pgtest.Fault{Statement: statement, Code: code, Table: table, Times: 3})
	r.traffic(code, statement)
	if r.proxy.Hits() == 0 {
		r.t.Errorf("the fault did not come up")
	}
	r.proxy.Set(pgtest.Fault{})
	r.faults++
}

// traffic does everything that a ledger does, each thing until it works, while a
// statement fails with a code. A code of data may be told as it is; every other
// one is an outage.
func (r *faultRig) traffic(code, statement string) {
	ofData := strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
	until := func(what string, do func() error) {
		r.t.Helper()
		for try := 1; ; try++ {
			err := do()
			if err == nil {
				return
			}
			if try > 20 || !ofData && !errors.Is(err, billing.ErrUnavailable) {
				r.t.Errorf("%s, try %d: %v", what, try, err)
				return
			}
		}
	}
	ctx := r.t.Context()
	r.now = r.now.Add(time.Microsecond)
	for i := range r.keys {
		k := &r.keys[i]
		h := r.hold(k, r.now)
		until("Reserve", func() error { _, err := r.ledger.Reserve(ctx, h, r.now); return err })
		_, err := r.ledger.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost}})
		r.must(err)
		r.requests++
	}
	until("Flush", func() error { return r.ledger.Flush(ctx) })

	// What another replica does, step by step.
	k := &r.keys[r.ids%len(r.keys)]
	other := billing.Replica{ID: "rep_other", Epoch: fmt.Sprint("epoch_", r.ids), TTL: time.Minute}
	tomorrow := r.now.AddDate(0, 0, 1+r.ids)
	line := r.hold(k, tomorrow).Lines[0] // of a window without a counter
	until("Renew", func() error { _, err := r.far.Renew(ctx, other, billing.Joining); return err })
	until("Grant", func() error {
		_, _, err := r.far.Grant(ctx, other, []billing.Want{{HoldLine: line, Need: billing.Amount{Tokens: 1, Money: 1}}})
		return err
	})
	late, refused := r.row(k, r.now.AddDate(0, -1, -r.now.Day())), r.row(k, r.now)
	p := billing.Posting{Replica: other, Seq: 1, Rows: []billing.Spend{late}, Rejects: []billing.Reject{{Row: refused, Reason: "a test"}}}
	until("Post", func() error { _, err := r.far.Post(ctx, p); return err })
	if statement == partitions {
		r.month++
		future := r.row(k, r.now.AddDate(0, 3+r.month, 0))
		until("Post of a new month", func() error { _, err := r.far.Post(ctx, billing.Posting{Rows: []billing.Spend{future}}); return err })
		r.requests++
	}
	until("BookRejects", func() error {
		_, err := r.far.BookRejects(ctx, refused.RequestID, "ann")
		if errors.As(err, new(*billing.NotFoundError)) {
			err = nil // the answer of the try before was lost
		}
		return err
	})
	wrong := billing.Posting{Replica: other, Seq: 7} // which ends its epoch
	until("Post out of turn", func() error { _, err := r.far.Post(ctx, wrong); return err })
	until("Renew", func() error { _, err := r.far.Renew(ctx, other, billing.Joining); return err })
	until("Return", func() error { return r.far.Return(ctx, other.ID, "") })
	r.requests += 2

	// The ledger without a journal.
	kept, given, lost := r.hold(k, r.now), r.hold(k, r.now), r.hold(k, r.now)
	lost.ExpiresAt = r.now.Add(-time.Minute)
	for _, h := range []billing.Hold{kept, given, lost} {
		until("Reserve in the database", func() error { _, err := r.far.Reserve(ctx, h, r.now); return err })
	}
	until("Retry", func() error { return r.far.Retry(ctx, kept.ID, billing.Amount{}, []billing.Spend{kept.IfLost}) })
	until("Settle", func() error {
		_, err := r.far.Settle(ctx, billing.Settlement{HoldID: kept.ID, Attempts: []billing.Spend{kept.IfLost}})
		return err
	})
	until("Release", func() error { return r.far.Release(ctx, given.ID) })
	until("Sweep", func() error { _, err := r.far.Sweep(ctx, r.now); return err })
	until("Balances", func() error { _, err := r.far.Balances(ctx, k, r.now); return err })
	r.requests += 2
}

func (r *faultRig) hold(k *billing.Key, at time.Time) billing.Hold {
	row := r.row(k, at)
	w, err := k.Budgets[0].Window(at)
	r.must(err)
	return billing.Hold{
		ID: row.RequestID, KeyID: k.ID, KeyVersion: k.Version, Tokens: 10, Money: 20, ExpiresAt: at.Add(time.Hour), IfLost: row,
		Lines: []billing.HoldLine{{Budget: k.Budgets[0], Window: w}},
	}
}

func (r *faultRig) row(k *billing.Key, at time.Time) billing.Spend {
	r.ids++
	return billing.Spend{
		OccurredAt: at, Kind: billing.KindUsage, RequestID: fmt.Sprintf("req_%d", r.ids), Attempt: 1, Final: true, Owner: k.Owner(),
		RequestedModel: "m", Provider: "up", Model: "m", ServiceTier: "standard", RouteReason: billing.RouteOnly,
		Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 10},
		Pricing: billing.Priced, Cost: billing.Cost{Input: 20, Total: 20}, Baseline: 20,
	}
}

// settled wants that everything that was answered is in the ledger once, that
// only codes of data have put rows aside, and that the ledger adds up.
func (r *faultRig) settled() {
	r.t.Helper()
	ctx := r.t.Context()
	waiting, err := r.near.ListRejects(ctx, "")
	r.must(err)
	for _, w := range waiting {
		if !strings.Contains(w.Reason, "SQLSTATE 22") {
			r.t.Errorf("%s was rejected: %s", w.Row.RequestID, w.Reason)
		}
		_, err := r.near.BookRejects(ctx, w.Row.RequestID, "ann")
		r.must(err)
	}
	r.must(r.ledger.Flush(ctx))
	report, err := r.near.CheckIntegrity(ctx, billing.IntegrityOptions{Now: r.now})
	r.must(err)
	if report.Breaches > 0 {
		r.t.Errorf("integrity: %s", report.First)
	}
	attempts := int64(0)
	for _, k := range r.keys {
		for _, month := range r.months() {
			found, err := r.near.Spend(ctx, billing.SpendQuery{Month: month, KeyID: k.ID})
			r.must(err)
			attempts += found.Total.Attempts
		}
	}
	if attempts != int64(r.requests) {
		r.t.Errorf("%d requests were answered, %d are in the ledger", r.requests, attempts)
	}
}

// months returns all months that rows may be in.
func (r *faultRig) months() []billing.Month {
	all := make([]billing.Month, 0, r.month+8)
	for n := -2; n < r.month+5; n++ {
		first := time.Date(r.now.Year(), r.now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		all = append(all, billing.MonthOf(first.Format(time.DateOnly)))
	}
	return all
}
