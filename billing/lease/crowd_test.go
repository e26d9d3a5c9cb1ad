package lease

import (
	"errors"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
)

// TestACrowdAsksOnce: of many requests that lack the same, near the limit of a
// budget, one asks for all; what it is refused, the others are refused with it. One by one they ask 41 and 64 times.
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
