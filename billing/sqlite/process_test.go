package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/migrations"
)

// TestMain also serves as the other process of the tests below.
func TestMain(m *testing.M) {
	if path := os.Getenv("SQLITE_WORKER"); path != "" {
		if err := work(context.Background(), path, os.Getenv("SQLITE_NAME"), os.Stdout); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// work sends requests until the quota is used up, and writes out the name of each one that was
// acknowledged.
func work(ctx context.Context, path, name string, out io.Writer) error {
	s, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Migrate(ctx); err != nil {
		return err
	}
	k, err := s.KeyByHash(ctx, hashOf("key_1"))
	if err != nil {
		return err
	}
	for i := range 1_000_000 {
		id := fmt.Sprintf("req_%s_%06d", name, i)
		err := request(ctx, s, &k, id, 10)
		if errors.As(err, new(*billing.QuotaError)) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, id); err != nil {
			return err
		}
	}
	return nil
}

func startWorker(t *testing.T, path, name string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SQLITE_WORKER="+path, "SQLITE_NAME="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestSeveralProcessesShareAQuotaExactly lets three processes and this one share a quota of 300
// requests, and exactly 300 are admitted.
func TestSeveralProcessesShareAQuotaExactly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s := open(t, path, Options{})
	k := newKey(t, s, "key_1", limit(3000))
	var mu sync.Mutex
	done := make(map[string]int)
	var wg sync.WaitGroup
	for i := range 3 {
		name := strconv.Itoa(i)
		cmd, lines := startWorker(t, path, name)
		wg.Go(func() {
			for lines.Scan() {
				if !strings.HasPrefix(lines.Text(), "req_") {
					t.Error(lines.Text())
					continue
				}
				mu.Lock()
				done[name]++
				mu.Unlock()
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	own := 0
	for own < 1000 {
		err := request(t.Context(), s, k, fmt.Sprintf("req_own_%d", own), 10)
		if errors.As(err, new(*billing.QuotaError)) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		own++
	}
	wg.Wait()
	sum := own
	for _, n := range done {
		sum += n
	}
	if sum != 300 {
		t.Errorf("admitted %d here and %v, want 300 in all", own, done)
	}
	billingtest.CheckSums(t, s.Contracts(), march)
}

// TestSeveralStoresOnOneFileRace runs the races of the suite on three stores that share one
// file.
func TestSeveralStoresOnOneFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	var stores []billing.Store
	for range 3 {
		stores = append(stores, open(t, path, Options{}).Contracts())
	}
	billingtest.Race(t, stores...)
}

// TestKilledProcessLosesNothingAcknowledged kills a process at random moments. Each request that
// it acknowledged is in the ledger exactly once, each one that it had begun is there after a
// sweep, and nothing stays held.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s := open(t, path, Options{})
	k := newKey(t, s, "key_1", limit(1_000_000))
	rnd := rand.New(rand.NewPCG(5, 5))
	var acknowledged []string
	for round := range 8 {
		cmd, lines := startWorker(t, path, strconv.Itoa(round))
		for range 1 + rnd.IntN(40) {
			if !lines.Scan() {
				t.Fatal("the worker ended by itself")
			}
			acknowledged = append(acknowledged, lines.Text())
		}
		killed := time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			acknowledged = append(acknowledged, lines.Text())
		}
		killed.Stop()
		_ = cmd.Wait() // it was killed
	}
	if _, err := s.Sweep(t.Context(), march.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, id := range acknowledged {
		if !strings.HasPrefix(id, "req_") || len(id) != len("req_0_000000") {
			continue // a torn line
		}
		rows, err := s.Events(t.Context(), billing.EventQuery{RequestID: id})
		if err != nil || len(rows) != 1 || rows[0].Status != billing.StatusOK {
			t.Errorf("%s was acknowledged, but the ledger has %v, %v", id, rows, err)
		}
	}
	if n := number(t, s, `SELECT count(*) FROM holds`); n != 0 {
		t.Errorf("%d holds are left", n)
	}
	if n := number(t, s, `SELECT count(*) FROM spend_events`); int(n) < len(acknowledged) || int(n) > len(acknowledged)+16 {
		t.Errorf("%d rows for %d acknowledged requests", n, len(acknowledged))
	}
	billingtest.CheckSums(t, s.Contracts(), march)
	if n := number(t, s, `SELECT count(*) FROM budget_counters c WHERE c.budget_id = 'bud_1' AND c.held_tokens = 0 AND c.used_tokens = `+
		`(SELECT sum(output_tokens) FROM spend_events)`); n != 1 {
		t.Errorf("the counter of %s is not what the ledger says", k.ID)
	}
}

// TestOpen_SeveralAtOnce opens the same new file several times at once.
func TestOpen_SeveralAtOnce(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "tallyroute.db")
		var wg sync.WaitGroup
		var mu sync.Mutex
		applied := make(map[string]int)
		for range 8 {
			wg.Go(func() {
				s, err := Open(t.Context(), path, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = s.Close() }()
				names, err := s.Migrate(t.Context())
				if err != nil {
					t.Error(err)
				}
				if err := s.Ready(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, name := range names {
					applied[name]++
				}
			})
		}
		wg.Wait()
		all, err := migrations.SQLite()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if applied[m.Name] != 1 {
				t.Errorf("%s was applied %d times", m.Name, applied[m.Name])
			}
		}
	}
}

func migrationOf(version int, text string) migrations.Migration {
	return migrations.Migration{Version: version, Name: "0009_test", SQL: text, Checksum: "x"}
}
