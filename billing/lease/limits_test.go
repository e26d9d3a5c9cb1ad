package lease_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
)

// TestLimitsHoldOverReplicas: three replicas with 64 clients each never exceed a concurrency limit
// or a per-minute limit.
func TestLimitsHoldOverReplicas(t *testing.T) {
	const (
		replicas, clients, tries = 3, 64, 6
		atOnce, perMinute        = 20, 300
		perHold, tokensPerMinute = 10, 2500
	)
	s := openPostgres(t, time.UTC)
	p, err := s.EnsureProject(t.Context(), billing.Project{Team: "web", Name: "shop", CostCenter: "cc", Environment: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	slots, requests, tokens := int64(atOnce), int64(perMinute), int64(tokensPerMinute)
	k := billing.Key{ID: "key_1", Name: "k", ProjectID: p.ID, Budgets: []billing.Budget{
		{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodConcurrent, Requests: &slots},
		{ID: "bud_2", Scope: billing.ScopeKey, Period: billing.PeriodMinute, Requests: &requests, Tokens: &tokens},
	}}
	if err := s.CreateKey(t.Context(), k, [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if k, err = s.KeyByHash(t.Context(), [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC() // of all requests, and so is their minute
	lines, err := k.Lines(now)
	if err != nil {
		t.Fatal(err)
	}
	var underWay, most, admitted atomic.Int64
	row := func(id string) billing.Spend {
		return billing.Spend{
			RequestID: id, Attempt: 1, Final: true, Owner: k.Owner(), OccurredAt: now, Kind: billing.KindUsage,
			Provider: "p", Model: "m", Status: billing.StatusOK, UsageSource: billing.Reported, Pricing: billing.Unpriced,
			Tokens: billing.Tokens{Input: perHold},
		}
	}
	begin := func(ledger billing.Store, id string) bool {
		_, err := ledger.Reserve(t.Context(), billing.Hold{
			ID: id, KeyID: k.ID, KeyVersion: k.Version, Lines: lines, Tokens: perHold, IfLost: row(id), ExpiresAt: now.Add(time.Hour),
		}, now)
		if err != nil {
			if !errors.As(err, new(*billing.QuotaError)) {
				t.Error(err)
			}
			return false
		}
		admitted.Add(1)
		n := underWay.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		return true
	}
	end := func(ledger billing.Store, id string) {
		underWay.Add(-1)
		if _, err := ledger.Settle(t.Context(), billing.Settlement{HoldID: id, Attempts: []billing.Spend{row(id)}}); err != nil {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for r := range replicas {
		ledger := leased(t, s, time.UTC)
		for c := range clients {
			all.Go(func() {
				var before string // is under way until the next was tried
				for n := range tries {
					id := fmt.Sprintf("req_%d_%d_%d", r, c, n)
					begun := begin(ledger, id)
					if before != "" {
						end(ledger, before)
					}
					if before = ""; begun {
						before = id
					}
				}
				if before != "" {
					end(ledger, before)
				}
			})
		}
	}
	all.Wait()
	t.Logf("%d of %d at once; %d admitted in a minute", most.Load(), atOnce, admitted.Load())
	if n := most.Load(); n > atOnce {
		t.Errorf("%d requests were under way at once, of %d", n, atOnce)
	}
	if n := admitted.Load(); n > min(perMinute, tokensPerMinute/perHold) || n == 0 {
		t.Errorf("%d requests were admitted in a minute, of %d, with %d tokens each of %d", n, perMinute, perHold, tokensPerMinute)
	}
}
