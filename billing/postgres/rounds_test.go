package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// rounds counts round trips to the server. A batch counts once, however many
// statements it contains.
type rounds struct{ n atomic.Int64 }

func (r *rounds) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	r.n.Add(1)
	return ctx
}
func (r *rounds) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *rounds) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	r.n.Add(1)
	return ctx
}
func (r *rounds) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (r *rounds) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (r *rounds) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	r.n.Add(1)
	return ctx
}
func (r *rounds) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}

// A request makes one round trip to the database before the call and one after it.
func TestRoundTrips(t *testing.T) {
	r := &rounds{}
	o := patient
	o.Tracer, o.MaxConns = r, 1
	s, _ := open(t, o)
	c := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	if err := billingtest.SetBudget(t.Context(), s, budget("bud_2", billing.ScopeOrg, "org", 1e6), noon); err != nil {
		t.Fatal(err)
	}
	c.refresh()
	c.use(1, noon) // prepares the statements and creates the counters
	if err := s.Release(t.Context(), "none"); err != nil {
		t.Fatal(err)
	}
	kept, given := c.hold(1, noon), c.hold(1, noon)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"KeyByHash", func() error { _, err := s.KeyByHash(t.Context(), hash("a")); return err }},
		{"Reserve", func() error { _, err := s.Reserve(t.Context(), kept, noon); return err }},
		{"another Reserve", func() error { _, err := s.Reserve(t.Context(), given, noon); return err }},
		{"Settle", func() error {
			_, err := s.Settle(t.Context(), billing.Settlement{HoldID: kept.ID, Attempts: []billing.Spend{kept.IfLost}})
			return err
		}},
		{"Release", func() error { return s.Release(t.Context(), given.ID) }},
	} {
		before := r.n.Load()
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if n := r.n.Load() - before; n != 1 {
			t.Errorf("%s takes %d round trips, want 1", step.name, n)
		}
	}
}
