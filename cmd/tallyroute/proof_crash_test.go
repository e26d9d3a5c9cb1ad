package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/journal"
	"tallyroute/billing/lease"
	"tallyroute/cmd/tallyroute/app"
)

// TestCrashesLoseNothingAndBookNothingTwice kills the router at random moments under load,
// $CRASHES times, and restarts it with the same journal. In the end every request that a provider
// received is in the ledger exactly once: at the provider's price if its answer was complete, and
// never below it. Replaying a journal again changes nothing.
func TestCrashesLoseNothingAndBookNothingTwice(t *testing.T) {
	t.Parallel()
	for store, open := range proofStores {
		t.Run(store, func(t *testing.T) {
			database, look := open(t)
			crash(t, database, look, max(1, prove.Size(t, "CRASHES", 12)/len(proofStores)))
		})
	}
}

// crash kills a router whose keys have every kind of limit.
func crash(t *testing.T, database string, look func() rowsOf, crashes int) {
	cheap, dear := newBiller(t, "up0"), newBiller(t, "up1")
	cheap.fails, cheap.pace, dear.pace = 15, 2*time.Millisecond, time.Millisecond
	config := billedConfig(t, database, "", cheap, dear)

	p, c := spawnListening(t, config, 2)
	keys := []string{
		p.key("--budget-tokens", "1000000000"), p.key("--budget-usd", "1000000"),
		p.key("--budget-tokens", "1000000000", "--budget-usd", "1000000"), p.key("--budget-tokens", "1000000000"),
	}
	var where atomic.Pointer[string]
	crowd, over := newCrowd(t), make(chan struct{})
	clients := pester(crowd, keys, &where, over)
	var kept []string
	for n := range crashes {
		base := p.base()
		where.Store(&base)
		enough := cheap.asked.Load() + rand.Int64N(40)
		prove.Eventually(t, "the router has asked", func() bool { return cheap.asked.Load() >= enough })
		<-time.After(time.Duration(rand.Int64N(int64(50 * time.Millisecond)))) // any moment will do
		where.Store(nil)
		send(t, c, syscall.SIGKILL)
		_ = c.Wait() // it was killed
		if n%max(1, crashes/4) == 0 {
			kept = append(kept, copied(t, journalOf(config)))
		}
		p, c = spawnListening(t, config, 2)
	}
	base := p.base()
	where.Store(&base)
	prove.Eventually(t, "the last router has answered", func() bool { return crowd.wholeOf(base) > 20 })
	close(over)
	clients.Wait()
	quit(t, c)

	db := look()
	rows := compared(t, db, crowd, cheap, dear)
	clean(t, db, config)
	count := make(map[string]int)
	for _, r := range rows {
		count[r.status]++
	}
	t.Logf("%d crashes, %d whole answers, rows: %v", crashes, len(crowd.acked), count)
	if count["ok"] < crashes || count["interrupted"] == 0 || count["error"] == 0 {
		t.Errorf("too little has happened for a proof")
	}

	before := digested(db)
	for n := range min(10, max(1, crashes/10)) { // each replay is a start of the program
		for _, dir := range kept {
			replayAgain(t, config, copied(t, dir))
		}
		if after := digested(db); after != before {
			t.Fatalf("replayed for the %d. time, the journal changed the ledger: %s\nbefore: %s", n+1, after, before)
		}
	}
	clean(t, db, config)
}

// pester has clients send requests without pause, ignoring failures, until over is closed.
func pester(c *crowd, keys []string, where *atomic.Pointer[string], over <-chan struct{}) *sync.WaitGroup {
	var clients sync.WaitGroup
	for n := range 12 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(n)))
			for {
				select {
				case <-over:
					return
				default:
				}
				base := where.Load()
				if base == nil {
					<-time.After(5 * time.Millisecond)
					continue
				}
				r, err := c.ask(context.Background(), question{
					base: *base, key: keys[n%len(keys)], most: 1 + random.Int64N(30),
					stream: n%2 == 0,
				})
				if err != nil || r.status != http.StatusOK {
					<-time.After(2 * time.Millisecond)
				}
			}
		})
	}
	return &clients
}

// copied returns the directory of a copy of a journal.
func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "journal")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// replayAgain replays a journal as the router does when it starts.
func replayAgain(t *testing.T, config, dir string) {
	t.Helper()
	cfg, _, err := app.Load(t.Context(), app.Source{File: config})
	if err != nil {
		t.Fatal(err)
	}
	store, err := app.OpenStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log, err := journal.Open(dir, journal.Options{Sync: journal.SyncOff})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	l, err := lease.Open(store, log, lease.Options{Replica: log.ID(), Report: func(err error) { t.Log(err) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// digested returns all tables that spend changes, as one line.
func digested(db rowsOf) string {
	text := ""
	for _, query := range []string{
		"SELECT * FROM spend_events ORDER BY request_id, attempt",
		"SELECT * FROM spend_daily ORDER BY report_day, key_id, provider, model, pricing, usage_source",
		"SELECT budget_id, used_tokens, used_nano, held_tokens + leased_tokens FROM budget_counters ORDER BY 1",
	} {
		for _, row := range db.Rows(query) {
			for _, cell := range row {
				text += cell + " "
			}
		}
	}
	return text
}
