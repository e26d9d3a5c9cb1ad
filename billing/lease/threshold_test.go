package lease

import (
	"testing"
	"time"

	"tallyroute/billing"
)

// TestThresholdsAreEventsOnce: when a window reaches a threshold of a limit, there is one event,
// however many postings and processes notice it.
func TestThresholdsAreEventsOnce(t *testing.T) {
	alone(t, func(w *walk, n *node, _ *hooked) {
		told := func() (ids []string) {
			w.must(n.Flush(w.t.Context()))
			time.Sleep(2 * time.Second)
			events, err := w.store.ListEvents(w.t.Context(), billing.EventFilter{Kind: billing.EventThreshold})
			w.must(err)
			for _, e := range events {
				ids = append(ids, e.Object+" "+e.Data["kind"]+" "+e.Data["threshold"])
			}
			return ids
		}
		time.Sleep(2 * time.Second)
		w.use(n, 400)
		if got := told(); len(got) > 0 {
			t.Errorf("at 40%%: %v", got)
		}
		w.use(n, 200)
		w.use(n, 1)
		if got := told(); len(got) != 1 || got[0] != keyBudget+" tokens 50" {
			t.Errorf("at 60%%: %v", got)
		}
		w.use(n, 399)
		if got := told(); len(got) != 3 {
			t.Errorf("at 100%%: %v", got)
		}
	})
}
