package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// outageRig is a router with its own PostgreSQL, and clients with keys for which it holds leases.
type outageRig struct {
	cluster  *pgtest.Cluster
	dsn      string
	config   string
	commands string // the same configuration for commands, which wait longer on a busy machine
	biller   *biller
	crowd    *crowd
	p        *program
	c        *exec.Cmd
	keys     []string // always in use
	short    time.Duration
}

// outagePatience is how long the router waits for its database.
const outagePatience = "database_acquire: 1s, database_statement: 2s, database_lock: 1s"

// patiently returns a configuration for commands that run beside the router. They are not under
// test, so they wait as long as a busy machine may need.
func patiently(t *testing.T, config string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tallyroute.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), outagePatience, databasePatience, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// prompt is how soon a router must be ready once its database is back.
const prompt = 2 * time.Second

func newOutageRig(t *testing.T, more string, settings ...string) *outageRig {
	t.Helper()
	r := &outageRig{cluster: pgtest.Private(t, settings...), biller: newBiller(t, "up0"), crowd: newCrowd(t)}
	r.short = time.Duration(prove.Size(t, "OUTAGE", 1)) * time.Second
	r.biller.pace = time.Millisecond
	r.cluster.Run(t, "CREATE ROLE router LOGIN CREATEROLE PASSWORD 'router'")
	r.dsn = r.cluster.DSN(t)
	pgtest.Connect(t, r.dsn).Exec("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO router', current_database()); END $$; GRANT " +
		"ALL ON SCHEMA public TO router")
	r.config = billedConfig(t, asRouter(r.dsn), "timeouts: {shutdown_wait: 0s, "+outagePatience+"}\n"+more, r.biller)
	r.commands = patiently(t, r.config)
	r.p, r.c = spawnListening(t, r.config, 2)
	r.p.config = r.commands
	r.keys = []string{
		r.p.key("--budget-usd", "100000"), r.p.key("--budget-tokens", "1000000000"),
		r.p.key("--budget-tokens", "1000000000", "--budget-usd", "100000"),
		r.p.key("--budget-usd", "100000"),
	}
	return r
}

// asRouter returns a connection string for a role to which all limits apply.
func asRouter(dsn string) string {
	_, rest, _ := strings.Cut(dsn, "@")
	return "postgres://router:router@" + rest
}

// load keeps the keys in use for a while and checks that every answer is complete. It returns how
// long the answers took, the fastest first.
func (r *outageRig) load(t *testing.T, during time.Duration) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var clients sync.WaitGroup
	over := time.Now().Add(during)
	for n := range 2 * len(r.keys) {
		clients.Go(func() {
			for time.Now().Before(over) && !t.Failed() {
				a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: r.keys[n%len(r.keys)], most: 3, stream: n%2 == 0})
				if err != nil || a.status != http.StatusOK {
					t.Errorf("a request with a leased key: %v, %d %s", err, a.status, a.body)
				}
				mu.Lock()
				took = append(took, a.took)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	slices.Sort(took)
	return took
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100].Round(100 * time.Microsecond)
}

// refuse checks that a request is refused because of the ledger, with a time to retry, and not
// because of its key.
func (r *outageRig) refuse(t *testing.T, key string) {
	t.Helper()
	a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: key, most: 3})
	if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" ||
		!strings.Contains(string(a.body), "ledger_unavailable") {
		t.Errorf("without the database: %v, %d %v %s; want 503, ledger_unavailable and Retry-After", err, a.status, a.header, a.body)
	}
}

// arrived waits until every answer that a client got is in the database.
func (r *outageRig) arrived(t *testing.T) {
	t.Helper()
	db := pgtest.Connect(t, r.dsn)
	defer db.Close()
	r.crowd.mu.Lock()
	want := fmt.Sprint(len(r.crowd.acked))
	r.crowd.mu.Unlock()
	began := time.Now()
	prove.Eventually(t, "the database has "+want+" answers", func() bool {
		return db.Rows("SELECT count(*) FROM spend_events WHERE status = 'ok'")[0][0] == want
	})
	prove.Within(t, "storing what was answered", time.Since(began), 10*time.Second)
}

// TestOutagesServeKeysInUseAndLoseNothing: however the database fails, keys in use continue with what is
// leased for them, others are told to retry, and in the end everything is in the ledger once. $OUTAGE is
// the length of each outage in seconds.
func TestOutagesServeKeysInUseAndLoseNothing(t *testing.T) {
	t.Parallel()
	r := newOutageRig(t, "")
	r.load(t, 2*time.Second) // by then the leases match the rate of use
	var locks *pgtest.Session
	admin := func(statements ...string) func(*testing.T) {
		return func(t *testing.T) {
			for _, s := range statements { // one at a time: some may not be in a transaction
				r.cluster.Run(t, s)
			}
		}
	}
	const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'router'"
	for _, o := range []struct {
		name       string
		begin, end func(t *testing.T)
		again      func(t *testing.T) // repeated throughout the outage
		away       bool               // /readyz reports it
	}{
		{name: "frozen", begin: func(t *testing.T) { r.cluster.Pause(t) }, end: func(*testing.T) { r.cluster.Resume() }, away: true},
		{name: "stopped", begin: func(t *testing.T) { r.cluster.Stop(t) }, end: func(t *testing.T) { r.cluster.Start(t) }, away: true},
		{name: "crashed", begin: func(t *testing.T) { r.cluster.Kill(t) }, end: func(t *testing.T) { r.cluster.Start(t) }, away: true},
		{name: "locked", begin: func(t *testing.T) {
			locks = pgtest.Connect(t, r.dsn)
			locks.Exec("BEGIN")
			locks.Exec("LOCK TABLE budget_counters, spend_daily, api_keys IN ACCESS EXCLUSIVE MODE")
		}, end: func(*testing.T) { locks.Exec("ROLLBACK"); locks.Close() }},
		{
			name: "no connections", begin: admin("ALTER ROLE router CONNECTION LIMIT 0", cut),
			end: admin("ALTER ROLE router CONNECTION LIMIT -1"), away: true,
		},
		{name: "connections cut", begin: admin(cut), again: admin(cut), end: admin(cut)},
		{
			name: "read only", begin: admin("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"),
			end: admin("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"),
		},
	} {
		t.Run(o.name, func(t *testing.T) {
			fresh := r.p.key("--budget-tokens", "1000000")
			before := r.load(t, time.Second)
			o.begin(t)
			var beside sync.WaitGroup
			over := make(chan struct{})
			if o.again == nil {
				beside.Go(func() { r.refuse(t, fresh) })
				if o.away {
					beside.Go(func() { r.p.awaitReady(http.StatusOK, degraded) })
				}
			} else {
				beside.Go(func() {
					for {
						select {
						case <-over:
							return
						case <-time.After(50 * time.Millisecond):
							o.again(t)
						}
					}
				})
			}
			during := r.load(t, r.short)
			close(over)
			beside.Wait()
			if status, body := r.p.get("public", "/healthz"); status != http.StatusOK {
				t.Errorf("healthz: %d %s", status, body)
			}
			o.end(t)
			healed := r.p.await(http.StatusOK)
			r.arrived(t)
			t.Logf("answers took %s, %s at the 99th percentile and %s at most; before, %s, %s and %s; recovered in %s",
				percentile(during, 50), percentile(during, 99), percentile(during, 100), percentile(before, 50), percentile(before, 99),
				percentile(before, 100), healed)
			prove.Within(t, "recovery of readyz", healed, prompt)
			prove.Within(t, "an answer while the database does not answer", percentile(during, 99), 3*percentile(before, 99)+crowded)
			if a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: fresh, most: 3}); err != nil ||
				a.status != http.StatusOK {
				t.Errorf("once the database is back: %v, %d %s", err, a.status, a.body)
			}
		})
	}
	quit(t, r.c)
	db := pgtest.Connect(t, r.dsn)
	compared(t, db, r.crowd, r.biller)
	clean(t, db, r.commands)
}

// crowded is how much longer anything may take on a busy machine.
const crowded = 250 * time.Millisecond

// TestOutageAtTheStartLosesNothing: a router that is killed while the database is unavailable, and started
// again before it is back, loses nothing and never says that a valid key is invalid.
func TestOutageAtTheStartLosesNothing(t *testing.T) {
	t.Parallel()
	r := newOutageRig(t, "")
	r.load(t, 2*time.Second)
	r.cluster.Stop(t)
	r.load(t, r.short/2)
	send(t, r.c, syscall.SIGKILL)
	_ = r.c.Wait() // it was killed
	r.p, r.c = spawnOpen(t, r.config, 2)
	if status, body := r.p.get("public", "/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := r.p.get("public", "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d %s", status, body)
	}
	r.refuse(t, r.keys[0])
	r.cluster.Start(t)
	prove.Within(t, "recovery of readyz", r.p.await(http.StatusOK), prompt)
	r.load(t, 100*time.Millisecond)
	r.arrived(t)
	quit(t, r.c)
	db := pgtest.Connect(t, r.dsn)
	compared(t, db, r.crowd, r.biller)
	clean(t, db, r.commands)
}
