package lease

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tallyroute/billing"
)

// refusedAt asks for more than there is, and wants a refusal that says what was
// used and what is free.
func (w *walk) refusedAt(n *node, used, free int64) {
	w.t.Helper()
	_, err := n.Reserve(w.t.Context(), w.request(billing.Amount{Tokens: 5000}), time.Now())
	quota := (*billing.QuotaError)(nil)
	if !errors.As(err, &quota) {
		w.t.Fatalf("got %v", err)
	}
	left, _ := quota.Balance.FreeTokens()
	if quota.Balance.UsedTokens != used || left != free {
		w.t.Errorf("used %d and %d are free, want %d and %d: %+v", quota.Balance.UsedTokens, left, used, free, quota.Balance)
	}
}

// settle790 uses 790 of the 1000 tokens under a hold of all.
func (w *walk) settle790(n *node) {
	w.t.Helper()
	h := w.request(billing.Amount{Tokens: 1000})
	_, err := n.Reserve(w.t.Context(), h, time.Now())
	w.must(err)
	_, err = n.Settle(w.t.Context(), billing.Settlement{
		HoldID: h.ID, Attempts: []billing.Spend{w.row(h.ID, billing.Amount{Tokens: 790}, time.Now())},
	})
	w.must(err)
}

// TestPostingOnItsWayIsCountedOnce: while the database already has a posting but its
// answer has not arrived or was lost, its usage is reported only once.
func TestPostingOnItsWayIsCountedOnce(t *testing.T) {
	for name, answer := range map[string]error{"Late": nil, "Lost": errLost} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(w *walk, n *node, h *hooked) {
				time.Sleep(2 * time.Second)
				committed, goOn := make(chan struct{}), make(chan struct{})
				h.posted = func(err error) error {
					h.posted = nil
					close(committed)
					<-goOn
					return errors.Join(err, answer)
				}
				w.settle790(n)
				<-committed
				w.refusedAt(n, 790, 210)
				w.use(n, 200)
				close(goOn)
				synctest.Wait()
				w.refusedAt(n, 990, 10)
				w.must(n.Flush(w.t.Context()))
				w.refusedAt(n, 990, 10)
				w.use(n, 10)
			})
		})
	}
}

// TestLateAnswerOfAGrantForgetsNothing: usage posted after the grant was requested stays counted.
func TestLateAnswerOfAGrantForgetsNothing(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		time.Sleep(2 * time.Second)
		held := w.request(billing.Amount{Tokens: 1000})
		_, err := n.Reserve(w.t.Context(), held, time.Now())
		w.must(err)
		answered, deliver := make(chan struct{}), make(chan struct{})
		h.onGrant = func(_ []billing.Granted, err error) error {
			h.onGrant = nil
			close(answered)
			<-deliver
			return err
		}
		go func() {
			<-answered
			_, err := n.Settle(w.t.Context(), billing.Settlement{
				HoldID: held.ID, Attempts: []billing.Spend{w.row(held.ID, billing.Amount{Tokens: 790}, time.Now())},
			})
			if err == nil {
				err = n.Flush(w.t.Context())
			}
			if err != nil {
				w.t.Error(err)
			}
			close(deliver)
		}()
		w.refusedAt(n, 790, 210)
		w.use(n, 210)
	})
}
