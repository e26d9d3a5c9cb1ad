package billingtest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"tallyroute/billing"
)

// Benchmark measures the database's work for one request, on an empty store: find the key,
// hold on budgets of the key, its team and the organisation, settle one row.
func Benchmark(b *testing.B, s billing.Store) {
	b.Helper()
	k, err := benchKey(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	request := func(ctx context.Context) error { return benchRequest(ctx, s, k, n.Add(1)) }
	b.Run("KeyByHash", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.KeyByHash(b.Context(), hashOf(string(k.ID))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ReserveSettle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := request(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ReserveSettle64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := request(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

func benchKey(ctx context.Context, s billing.Store) (*billing.Key, error) {
	p, err := s.EnsureProject(ctx, billing.Project{Team: "bench", Name: "bench"})
	if err != nil {
		return nil, err
	}
	const plenty = 1_000_000_000_000_000
	limit := amount{plenty, plenty}
	k := billing.Key{ID: "key_bench", Name: "bench", ProjectID: p.ID, Budgets: []billing.Budget{limit.budget("")}}
	if err := s.CreateKey(ctx, k, hashOf("key_bench")); err != nil {
		return nil, err
	}
	for scope, id := range map[billing.Scope]string{billing.ScopeTeam: p.TeamID, billing.ScopeOrg: "org"} {
		above := limit.budget("")
		above.Scope, above.ScopeID = scope, id
		if err := SetBudget(ctx, s, above, noon()); err != nil {
			return nil, err
		}
	}
	k, err = s.KeyByHash(ctx, hashOf("key_bench"))
	return &k, err
}

func benchRequest(ctx context.Context, s billing.Store, k *billing.Key, n int64) error {
	w := &world{now: noon()}
	h := billing.Hold{
		ID: fmt.Sprintf("req_%012d", n), KeyID: k.ID, KeyVersion: k.Version, Tokens: 1000, Money: 1_000_000,
		ExpiresAt: w.now.AddDate(0, 0, 1),
	}
	for _, budget := range k.Budgets {
		window, err := budget.Window(w.now)
		if err != nil {
			return err
		}
		h.Lines = append(h.Lines, billing.HoldLine{Budget: budget, Window: window})
	}
	h.IfLost = w.row(k, h.ID, amount{1000, 1_000_000}, w.now)
	if _, err := s.Reserve(ctx, h, w.now); err != nil {
		return err
	}
	_, err := s.Settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{w.row(k, h.ID, amount{700, 700_000}, w.now)}})
	return err
}
