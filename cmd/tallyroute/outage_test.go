package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// swallower is a proxy in front of a database. Once it is closed, it accepts data but never
// answers.
type swallower struct {
	dsn string

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func newSwallower(t *testing.T, dsn string) *swallower {
	t.Helper()
	at := strings.Index(dsn, "@") + 1
	end := at + strings.Index(dsn[at:], "/")
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{dsn: dsn[:at] + l.Addr().String() + dsn[end:]}
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c, dsn[at:end])
		}
	}()
	return s
}

func (s *swallower) serve(client net.Conn, to string) {
	var d net.Dialer
	db, err := d.DialContext(context.Background(), "tcp", to)
	if err != nil {
		_ = client.Close()
		return
	}
	s.mu.Lock()
	s.conns = append(s.conns, client, db)
	s.mu.Unlock()
	go s.copy(db, client)
	s.copy(client, db)
}

// copy passes on what comes, until the swallower is closed; then it reads and keeps it.
func (s *swallower) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if !closed && n > 0 {
			_, _ = to.Write(b[:n])
		}
		if err != nil && !closed {
			_ = to.Close()
		}
		if err != nil {
			return
		}
	}
}

func (s *swallower) shut(closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

// TestSilentDatabaseHoldsUpNothing: while the database accepts everything but never answers, keys in use are
// served and readyz says how, reads by clients are refused within a second, and the process ends in time
// without losing anything.
func TestSilentDatabaseHoldsUpNothing(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Private(t)
	dsn := cluster.DSN(t)
	between := newSwallower(t, dsn)
	biller := newBiller(t, "up0")
	crowd := newCrowd(t)
	config := billedConfig(t, between.dsn, "timeouts: {shutdown_wait: 200ms, shutdown: 5s, "+outagePatience+"}\n", biller)
	p, c := spawnListening(t, config, 2)
	p.config = patiently(t, config)
	key := p.key("--budget-tokens", "100000000")
	ask := func() reply {
		a, err := crowd.ask(t.Context(), question{base: p.base(), key: key, most: 3})
		if err != nil || a.status != http.StatusOK {
			t.Errorf("a request with a leased key: %v, %d %s", err, a.status, a.body)
		}
		return a
	}
	var last reply
	for range 50 {
		last = ask()
	}
	between.shut(true)
	p.awaitReady(http.StatusOK, degraded)
	rewrite(t, config, contentOf(t, config)+"defaults: {max_output_tokens: 500}\n")
	send(t, c, syscall.SIGHUP) // what is known of keys outlives a reload
	p.awaitReloads("ok", 1)
	for range 20 {
		ask()
	}
	for _, path := range []string{"/v1/key", "/v1/requests/" + last.header.Get("X-Request-Id")} {
		began := time.Now()
		status, header, body := read(t, p.base()+path, key)
		prove.Within(t, "a read in an outage", time.Since(began), time.Second)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(body, "ledger_unavailable") {
			t.Errorf("%s: %d %v %s", path, status, header, body)
		}
	}
	began := send(t, c, syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	prove.Within(t, "the end", time.Since(began), 10*time.Second)

	between.shut(false)
	next, c := spawnListening(t, billedAs(t, config, dsn), 2)
	db := pgtest.Connect(t, dsn)
	prove.Eventually(t, "everything is in the ledger", func() bool {
		return db.Rows("SELECT count(*) FROM spend_events WHERE status = 'ok'")[0][0] == "70"
	})
	if status, _, body := read(t, next.base()+"/v1/key", key); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	quit(t, c)
}

// billedAs returns the same configuration with another address for the database.
func billedAs(t *testing.T, config, dsn string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "database:") {
			line = "database: \"" + dsn + "\"\n"
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// read asks for what a key may read.
func read(t *testing.T, url, key string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(body)
}

// TestDeletedJournalIsNoticedAndNothingIsLost: if the journal's directory is deleted under a running router
// while the database is unavailable, what was answered before and after is in the ledger in the end, even
// though the process was killed.
func TestDeletedJournalIsNoticedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	r := newOutageRig(t, "")
	r.load(t, 2*time.Second) // by now as much is leased as the rate asks for
	r.cluster.Stop(t)
	r.load(t, time.Second/2)
	if err := os.RemoveAll(journalOf(r.config)); err != nil {
		t.Fatal(err)
	}
	prove.Eventually(t, "the log says so", func() bool { return strings.Contains(r.p.log.String(), "files were deleted") })
	prove.Eventually(t, "the journal is there again", func() bool {
		_, err := os.Stat(journalOf(r.config) + "/ledger")
		return err == nil
	})
	r.load(t, time.Second/2)
	send(t, r.c, syscall.SIGKILL)
	_ = r.c.Wait() // it was killed
	r.cluster.Start(t)
	r.p, r.c = spawnListening(t, r.config, 2)
	r.arrived(t)
	quit(t, r.c)
	db := pgtest.Connect(t, r.dsn)
	compared(t, db, r.crowd, r.biller)
	clean(t, db, r.commands)
}
