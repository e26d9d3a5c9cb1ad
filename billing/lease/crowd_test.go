package lease

import (
	"errors"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
)

// TestACrowdAsksOnce: if many requests near the limit of a budget lack the same amounts, one of
// them asks for all, and if it is refused, so are the others. Individually, they would ask 41 and
// 64 times.
func TestACrowdAsksOnce(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		time.Sleep(2 * time.Second)
		asked := 0
		h.onGrant = func([]billing.Granted, error) error {
			asked++
			time.Sleep(20 * time.Millisecond) // a busy database
			return nil
		}
		crowd := func(tokens int64) (refused int) {
			var mu sync.Mutex
			var requests sync.WaitGroup
			for range 64 {
				request := w.request(billing.Amount{Tokens: tokens})
				requests.Go(func() {
					_, err := n.Reserve(w.t.Context(), request, time.Now())
					var quota *billing.QuotaError
					if errors.As(err, &quota) {
						mu.Lock()
						refused++
						mu.Unlock()
					} else if err != nil {
						t.Error(err)
					}
				})
			}
			requests.Wait()
			return refused
		}
		if refused := crowd(15); refused > 0 || asked > 12 {
			t.Errorf("64 × 15 of 1000: %d were refused, the database was asked %d times", refused, asked)
		}
		time.Sleep(time.Second)
		asked = 0
		if refused := crowd(50); refused != 64 || asked > 12 {
			t.Errorf("64 × 50 of 40: %d were refused, the database was asked %d times", refused, asked)
		}
	})
}

// TestWhatAMinuteHasUsedUpIsNotAskedForAgain: further requests cost the database nothing until the
// minute is over.
func TestWhatAMinuteHasUsedUpIsNotAskedForAgain(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		ctx, two := w.t.Context(), int64(2)
		_, err := w.store.UpdateKey(ctx, w.key.ID, func(k *billing.Key) error {
			k.Budgets = append(k.Budgets, billing.Budget{
				ID: "bud_minute", Scope: billing.ScopeKey, ScopeID: string(k.ID), Period: billing.PeriodMinute, Requests: &two,
			})
			return nil
		})
		w.must(err)
		keys, err := w.store.ListKeys(ctx, billing.KeyFilter{ID: w.key.ID, Limit: 1, Now: time.Now()})
		w.must(err)
		w.key = keys[0]
		w.use(n, 1)
		w.use(n, 1)
		w.must(n.Flush(ctx))
		asked := 0
		h.onGrant = func([]billing.Granted, error) error { asked++; return nil }
		for range 50 {
			if _, err := n.Reserve(ctx, w.request(billing.Amount{Tokens: 1}), time.Now()); !errors.As(err, new(*billing.QuotaError)) {
				t.Fatalf("got %v, want the limit", err)
			}
		}
		if asked > 2 {
			t.Errorf("for 50 refusals the database was asked %d times", asked)
		}
		time.Sleep(time.Minute)
		w.use(n, 1)
	})
}
