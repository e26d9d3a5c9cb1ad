package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

const (
	statementsRate = 1000 // requests per second to which the target applies
	// statementsMost is how many statements per second the whole router may need. The number
	// does not depend on that of the requests, as long as these use few keys. At the rate
	// above, it is 0.02 per request.
	statementsMost = 20
	// first is how long a router that has just started needs more statements, such as for
	// sweeping and for learning how it reaches the database.
	first = time.Minute
)

// TestStatementsPerRequest counts the router's statements under a steady load of one key, as
// the database counts them, for each kind of limit. It takes $STATEMENTS seconds for each,
// because some jobs run once a minute.
func TestStatementsPerRequest(t *testing.T) {
	if _, err := os.Stat("/proc"); err != nil {
		t.Skip("the module that counts statements is looked for on Linux alone")
	}
	if !prove.Timed() {
		t.Skip("counts statements a second: make proof-speed")
	}
	during := time.Duration(prove.Size(t, "STATEMENTS", 60)) * time.Second
	r := newOutageRig(t, "", "shared_preload_libraries=pg_stat_statements")
	db := pgtest.Connect(t, r.dsn)
	db.Exec("CREATE EXTENSION pg_stat_statements")
	r.paced(t, r.keys[0], first)
	many := strconv.Itoa(300 * statementsRate)
	for _, b := range []struct {
		kind  string
		flags []string
	}{
		{"Dollars", []string{"--budget-usd", "100000"}},
		{"Tokens", []string{"--budget-tokens", "1000000000"}},
		{"DollarsAndTokens", []string{"--budget-usd", "100000", "--budget-tokens", "1000000000"}},
		{"Requests", []string{"--budget-requests", "10000000"}},
		{"Minute", []string{"--rpm", many, "--tpm", many + "00"}},
		{"Concurrent", []string{"--concurrent", "64"}},
		{"All", []string{"--rpm", many, "--tpm", many + "00", "--concurrent", "64", "--budget-usd", "100000", "--budget-requests", many}},
	} {
		key := r.p.key(b.flags...)
		t.Run(b.kind, func(t *testing.T) { r.counted(t, db, key, during) })
	}
}

// counted counts the statements for requests of one key.
func (r *outageRig) counted(t *testing.T, db *pgtest.Session, key string, during time.Duration) {
	t.Helper()
	r.paced(t, key, 2*time.Second)
	db.Exec("SELECT pg_stat_statements_reset()")
	began := time.Now()
	requests := r.paced(t, key, during)
	took := time.Since(began).Seconds()
	calls := db.Rows("SELECT coalesce(sum(calls), 0)::text FROM pg_stat_statements JOIN pg_roles ON oid = userid WHERE " +
		"rolname = 'router'")[0][0]
	n, err := strconv.ParseFloat(calls, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f statements for %d requests in %.1f s: %.1f a second, %.4f for each request, %.4f at %d requests a second",
		n, requests, took, n/took, n/float64(requests), n/took/statementsRate, statementsRate)
	for _, row := range db.Rows("SELECT calls::text, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) FROM pg_stat_statements JOIN " +
		"pg_roles ON oid = userid WHERE rolname = 'router' ORDER BY pg_stat_statements.calls DESC LIMIT 10") {
		t.Logf("%s times %s", row[0], row[1])
	}
	if n/took > statementsMost {
		t.Errorf("%.1f statements a second; want at most %d", n/took, statementsMost)
	}
}

// paced sends requests at the rate, or as fast as the machine can, and returns how
// many there were.
func (r *outageRig) paced(t *testing.T, key string, during time.Duration) (requests int) {
	t.Helper()
	const clients = 32
	tick := time.NewTicker(time.Second / statementsRate)
	defer tick.Stop()
	jobs := make(chan struct{}, clients)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range jobs {
				if a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: key, most: 3}); err != nil ||
					a.status != http.StatusOK {
					t.Errorf("%v, %d %s", err, a.status, a.body)
				}
			}
		})
	}
	for over := time.Now().Add(during); time.Now().Before(over); requests++ {
		<-tick.C
		jobs <- struct{}{}
	}
	close(jobs)
	wg.Wait()
	return requests
}

// TestTenLimitsCostLittle compares the router's CPU time for requests of a key with ten limits
// and of one without.
func TestTenLimitsCostLittle(t *testing.T) {
	if _, err := os.Stat("/proc"); err != nil || !prove.Timed() {
		t.Skip("measures processor time on Linux: make proof-speed")
	}
	const rounds, requests, most = 8, 1500, 1.05
	r := newOutageRig(t, "")
	free, limited := r.p.key(), r.p.key("--team", "limited", "--rpm", "1000000", "--tpm", "100000000", "--concurrent", "1000")
	id := strings.Fields(command(t, "--config", r.commands, "keys", "list", "--team", "limited"))
	of := id[slices.IndexFunc(id, func(word string) bool { return strings.HasPrefix(word, "key_") })]
	set := func(args ...string) {
		command(t, append([]string{"--config", r.commands, "budgets", "set"}, args...)...)
	}
	for _, period := range []string{"day", "week", "month", "year"} {
		set("key", of, "--period", period, "--requests", "100000000", "--tokens", "10000000000", "--usd", "1000000")
	}
	set("key", of, "--period", "day", "--part", "model", "--requests", "10000000")
	set("key", of, "--period", "day", "--part", "credential", "--tokens", "1000000000")
	set("team", "limited", "--period", "month", "--usd", "1000000", "--tokens", "10000000000", "--requests", "100000000")
	set("project", "limited/shop", "--period", "month", "--usd", "1000000", "--tokens", "10000000000", "--requests", "100000000")
	without, with := leastTimes(rounds, func() time.Duration { return r.burst(t, free, requests) },
		func() time.Duration { return r.burst(t, limited, requests) })
	ratio := float64(with) / float64(without)
	t.Logf("%s a request without limits, %s with ten: %.3f times", without/requests, with/requests, ratio)
	if ratio > most {
		t.Errorf("ten limits cost %.1f %% more; want at most %.0f", (ratio-1)*100, (most-1)*100)
	}
}

// TestAccessRecordCostsLittle compares the CPU time for requests of a router that keeps a record
// of access and of one that does not.
func TestAccessRecordCostsLittle(t *testing.T) {
	if _, err := os.Stat("/proc"); err != nil || !prove.Timed() {
		t.Skip("measures processor time on Linux: make proof-speed")
	}
	const rounds, requests, most = 8, 1500, 1.03
	off, on := newOutageRig(t, "access_keep: off\n"), newOutageRig(t, "")
	without, with := leastTimes(rounds, func() time.Duration { return off.burst(t, off.keys[0], requests) },
		func() time.Duration { return on.burst(t, on.keys[0], requests) })
	ratio := float64(with) / float64(without)
	t.Logf("%s a request without a record of access, %s with one: %.3f times", without/requests, with/requests, ratio)
	if ratio > most {
		t.Errorf("a record of access costs %.1f %% more; want at most %.0f", (ratio-1)*100, (most-1)*100)
	}
}

// leastTimes does two things in turns and returns the least time of each.
func leastTimes(rounds int, a, b func() time.Duration) (leastA, leastB time.Duration) {
	for range rounds {
		if took := a(); leastA == 0 || took < leastA {
			leastA = took
		}
		if took := b(); leastB == 0 || took < leastB {
			leastB = took
		}
	}
	return leastA, leastB
}

// burst sends the given number of requests, as fast as a few clients can, and returns the CPU
// time that the router used.
func (r *outageRig) burst(t *testing.T, key string, requests int) time.Duration {
	t.Helper()
	const clients = 8
	before := processorTime(t, r.c.Process.Pid)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range requests / clients {
				if a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: key, most: 3}); err != nil ||
					a.status != http.StatusOK {
					t.Errorf("%v, %d %s", err, a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	return processorTime(t, r.c.Process.Pid) - before
}

// processorTime returns the CPU time that the threads of a process have used.
func processorTime(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}
