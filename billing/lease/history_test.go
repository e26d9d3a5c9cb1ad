package lease

import (
	"os"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/sqlite"
)

// copied returns a store on a copy of the file as it is now.
func (h *hooked) copied(w *walk) billing.Store {
	w.t.Helper()
	to := w.t.TempDir() + "/copy.db"
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(h.path + suffix)
		w.must(err)
		w.must(os.WriteFile(to+suffix, content, 0o600))
	}
	s, err := sqlite.Open(w.t.Context(), to, sqlite.Options{})
	w.must(err)
	w.t.Cleanup(func() { _ = s.Close() })
	return s.Contracts()
}

// wantUsed checks what the ledger says that the key has used.
func (w *walk) wantUsed(s billing.Store, tokens int64) {
	w.t.Helper()
	if balances, err := s.Balances(w.t.Context(), &w.key, time.Now()); err != nil || balances[0].UsedTokens != tokens {
		w.t.Errorf("%+v, %v; want %d used", balances, err, tokens)
	}
	if r, err := s.CheckIntegrity(w.t.Context(), billing.IntegrityOptions{Now: time.Now()}); err != nil || r.Breaches > 0 {
		w.t.Errorf("%+v, %v", r, err)
	}
}

// TestDatabaseThatWasRestoredGetsBackWhatItLost, while the router runs, whether
// its epoch is in the copy or not, and from segments that were posted long ago.
func TestDatabaseThatWasRestoredGetsBackWhatItLost(t *testing.T) {
	for name, before := range map[string]int{"TheEpochIsInTheCopy": 20, "TheEpochIsNot": 0} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(w *walk, n *node, h *hooked) {
				if before == 0 {
					n.joined.Store(false)
				}
				for range before {
					w.use(n, 1)
				}
				if before > 0 {
					w.must(n.Flush(w.t.Context()))
				}
				older := h.copied(w)
				for range 60 {
					w.use(n, 1)
					w.must(n.Flush(w.t.Context()))
				}
				h.Store = older
				time.Sleep(5 * time.Second)
				w.must(n.Flush(w.t.Context()))
				w.wantUsed(older, int64(before+60))
				if got := n.Restored(); got != 60 {
					t.Errorf("%d rows were posted again", got)
				}
				w.use(n, 1)
				w.must(n.Flush(w.t.Context()))
				w.wantUsed(older, int64(before+61))
			})
		})
	}
}

// TestReplicaThatIsForgottenPostsNothingAgain: the database has everything that it confirmed.
func TestReplicaThatIsForgottenPostsNothingAgain(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		w.use(n, 10)
		w.must(n.Flush(w.t.Context()))
		w.must(w.store.Return(w.t.Context(), n.log.ID(), ""))
		posts := 0
		h.onPost = func() error { posts++; return nil }
		time.Sleep(5 * time.Second)
		if n.Restored() != 0 || posts > 0 {
			t.Errorf("%d rows in %d postings", n.Restored(), posts)
		}
		w.wantUsed(w.store, 10)
	})
}

// TestDatabaseRestoredBeforeAStartGetsBackWhatItLost from the journal of the
// process before, which had posted everything.
func TestDatabaseRestoredBeforeAStartGetsBackWhatItLost(t *testing.T) {
	alone(t, func(w *walk, n *node, h *hooked) {
		w.use(n, 10)
		w.must(n.Flush(w.t.Context()))
		older := h.copied(w)
		dir := w.t.TempDir()
		for life := range 3 {
			log, err := journal.Open(dir, journal.Options{Sync: journal.SyncOff, SegmentBytes: 4096, Keep: 10 * time.Minute})
			w.must(err)
			l, err := Open(h, log, Options{Replica: log.ID(), Report: func(err error) { t.Log(err) }})
			w.must(err)
			second := &node{name: "second", log: log, Ledger: l}
			if life < 2 {
				w.must(second.joins(w.t.Context()))
				if !second.proven(w.t.Context()) {
					t.Error("the database has what it has confirmed, and is doubted")
				}
				for range 20 {
					w.use(second, 1)
				}
				h.Store = w.store
				if life == 1 {
					h.Store = older // it is restored after all was posted
					w.wantUsed(older, 10)
					h.Store = w.store
				}
			} else {
				h.Store = older
			}
			for second.round(w.t.Context()) {
			}
			w.must(second.Close(w.t.Context()))
			w.must(log.Close())
		}
		w.wantUsed(older, 50)
	})
}
