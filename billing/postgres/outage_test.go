package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// steady waits longer than the default for a connection, because tests run on a busy
// machine, and uses the defaults for everything else.
var steady = postgres.Options{Acquire: 2 * time.Second}

// inTime fails if do takes longer than a request can wait.
func inTime(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	return prove.Receive(t, what+" returns", done)
}

// heals waits for the store to work again.
func heals(t *testing.T, s *postgres.Store) {
	t.Helper()
	prove.Eventually(t, "the store is ready", func() bool {
		err := s.Ready(t.Context())
		if err != nil {
			wantUnavailable(t, err)
		}
		return err == nil
	})
}

func TestOpenWithoutDatabase(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port where nothing responds
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := connect(t, "postgres://user:geheim@"+address+"/db", postgres.Options{})
	for _, call := range []func() error{
		func() error { return s.Ready(t.Context()) },
		func() error { _, err := s.Migrate(t.Context()); return err },
		func() error { _, err := s.KeyByHash(t.Context(), hash("a")); return err },
	} {
		err := inTime(t, "a call", call)
		wantUnavailable(t, err)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestOpen_BadDSN(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:geheim@h:port/db", "postgres://user:ge/heim@h/db", "postgres://user:geheim@h/db?sslmode=nonsense",
		"postgres://us er:geheim@h/db", "host=h password=geheim sslmode=nonsense", "postgres://user:geheim%zz@h/db", "password='geheim",
		"postgres://user:geheim@h/db?pool_max_conns=many",
	} {
		s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
		if err == nil {
			s.Close()
			t.Errorf("%q is accepted", dsn)
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if text := fmt.Sprintf("%v %#v", e, e); strings.Contains(text, "heim") {
				t.Errorf("the password is in %s", text)
			}
		}
	}
}

// The server stops, crashes and freezes; nothing is lost, and the store recovers.
func TestServerThatGoesAwayLosesNothing(t *testing.T) {
	cluster := pgtest.Private(t)
	dsn := cluster.DSN(t)
	s := connect(t, dsn, steady)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	for name, outage := range map[string]struct{ begin, end func() }{
		"stopped": {func() { cluster.Stop(t) }, func() { cluster.Start(t) }},
		"crashed": {func() { cluster.Kill(t) }, func() { cluster.Start(t) }},
		"frozen":  {func() { cluster.Pause(t) }, cluster.Resume},
	} {
		h := c.hold(100, noon)
		if _, err := s.Reserve(t.Context(), h, noon); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		settlement := billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{c.row(h.ID, 10, noon)}}
		outage.begin()
		wantUnavailable(t, inTime(t, "Settle", func() error { _, err := s.Settle(t.Context(), settlement); return err }))
		wantUnavailable(t, inTime(t, "Reserve", func() error { _, err := s.Reserve(t.Context(), c.hold(1, noon), noon); return err }))
		wantUnavailable(t, inTime(t, "KeyByHash", func() error { _, err := s.KeyByHash(t.Context(), hash("a")); return err }))
		wantUnavailable(t, inTime(t, "Ready", func() error { return s.Ready(t.Context()) }))
		wantUnavailable(t, inTime(t, "Sweep", func() error { _, err := s.Sweep(t.Context(), noon); return err }))
		outage.end()
		heals(t, s)
		for range 2 {
			if _, err := s.Settle(t.Context(), settlement); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := s.Sweep(t.Context(), noon); err != nil { // releases the holds in doubt
		t.Error(err)
	}
	balances, err := s.Balances(t.Context(), &c.key, noon)
	if err != nil || len(balances) != 1 || balances[0].UsedTokens != 30 || balances[0].HeldTokens != 0 {
		t.Errorf("balances %+v, %v", balances, err)
	}
	wantConserved(t, raw(t, dsn))
}

// Errors of a server that is there but cannot do its work mean that it is unavailable.
func TestServerThatCannotServeIsUnavailable(t *testing.T) {
	cluster := pgtest.Private(t, "max_connections=20", "superuser_reserved_connections=3")
	dsn := cluster.DSN(t)
	s := connect(t, dsn, steady)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	newClient(t, s, "a")
	c := raw(t, dsn)
	write := func(s *postgres.Store) error {
		return inTime(t, "a write", func() error { _, err := s.Setting(t.Context(), "a", "b"); return err })
	}
	const forAll = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I %s', current_database(), "

	exec(t, c, forAll+"'SET default_transaction_read_only = on'); END $$")
	wantUnavailable(t, write(connect(t, dsn, steady))) // read-only, like a standby
	exec(t, c, forAll+"'RESET default_transaction_read_only'); END $$")

	cluster.Run(t, "CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 0")
	wantUnavailable(t, write(connect(t, as(dsn, "few", "few"), steady))) // too many clients
	wantUnavailable(t, write(connect(t, as(dsn, "few", "wrong"), steady)))
	wantUnavailable(t, write(connect(t, strings.Replace(dsn, "tallyroute_test_", "no_such_", 1), steady)))

	exec(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tallyroute'")
	heals(t, s)
	if err := write(s); err != nil {
		t.Error(err)
	}
}

// A request that waits too long for a lock, or whose statement takes too long, fails
// because the database is unavailable.
func TestSlowLockIsUnavailable(t *testing.T) {
	s, dsn := open(t, steady)
	k := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	k.use(1, noon)
	c := raw(t, dsn)
	exec(t, c, "BEGIN")
	exec(t, c, "SELECT * FROM budget_counters FOR UPDATE")
	begin := time.Now()
	_, err := s.Reserve(t.Context(), k.hold(1, noon), noon)
	wantUnavailable(t, err)
	if waited := time.Since(begin); waited < 400*time.Millisecond {
		t.Errorf("waited only %s for a lock", waited)
	}
	exec(t, c, "ROLLBACK")
	k.use(1, noon)
	wantConserved(t, c)

	slow := connect(t, dsn, postgres.Options{Acquire: time.Minute, Statement: 100 * time.Millisecond, Lock: time.Minute})
	exec(t, c, "BEGIN")
	exec(t, c, "SELECT * FROM budget_counters FOR UPDATE")
	_, err = slow.Reserve(t.Context(), k.hold(1, noon), noon)
	wantUnavailable(t, err)
	exec(t, c, "ROLLBACK")
}

// If all connections are in use, requests wait for one only briefly.
func TestNobodyWaitsLongForAConnection(t *testing.T) {
	s, dsn := open(t, postgres.Options{MaxConns: 2, Acquire: 2 * time.Second, Lock: time.Minute, Statement: time.Minute})
	k := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	k.use(1, noon)
	c := raw(t, dsn)
	exec(t, c, "BEGIN")
	exec(t, c, "SELECT * FROM budget_counters FOR UPDATE")
	var away, served atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(6, func(int) {
			switch _, err := s.Reserve(t.Context(), k.hold(1, noon), noon); {
			case err == nil:
				served.Add(1)
			case errors.Is(err, billing.ErrUnavailable):
				away.Add(1)
			default:
				t.Error(err)
			}
		})
	}()
	prove.Eventually(t, "four are turned away", func() bool { return away.Load() == 4 })
	if keys, err := s.Contracts().ForOperators().ListKeys(t.Context(), billing.KeyFilter{}); err != nil || len(keys) != 1 {
		t.Errorf("operators are turned away, too: %d keys, %v", len(keys), err)
	}
	exec(t, c, "ROLLBACK")
	<-done
	if served.Load() != 2 {
		t.Errorf("served %d, want those that had the connections", served.Load())
	}
}

func TestReserve_CallerGone(t *testing.T) {
	s, dsn := open(t, patient)
	k := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	k.use(1, noon)
	c := raw(t, dsn)
	exec(t, c, "BEGIN")
	exec(t, c, "SELECT * FROM budget_counters FOR UPDATE")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Reserve(ctx, k.hold(5, noon), noon)
		done <- err
	}()
	check := raw(t, dsn)
	awaitLock(t, check)
	cancel()
	exec(t, c, "ROLLBACK")
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := get[int](t, check, "SELECT count(*) FROM holds"); n != 0 {
		t.Errorf("%d holds are left of a caller that is gone", n)
	}
	wantConserved(t, check)
}

// The server's response to Reserve is lost although the hold was taken: the request is
// refused, so it must not be billed.
func TestReserve_AnswerLost(t *testing.T) {
	_, dsn := open(t, patient)
	p := proxy(t, dsn)
	s := connect(t, p.dsn, postgres.Options{MaxConns: 1, Acquire: 2 * time.Second})
	k := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	k.use(1, noon)
	p.deaf.Store(true)
	_, err := s.Reserve(t.Context(), k.hold(5, noon), noon)
	wantUnavailable(t, err)
	p.deaf.Store(false)
	c := raw(t, dsn)
	if n := get[int](t, c, "SELECT count(*) FROM holds"); n != 1 {
		t.Fatalf("%d holds, want that the lost one was taken", n)
	}
	heals(t, s)
	if n, err := s.Sweep(t.Context(), noon.Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n := get[int](t, c, "SELECT count(*) FROM spend_events"); n != 1 {
		t.Errorf("%d rows: what was refused was billed", n)
	}
	wantConserved(t, c)
}

// A settlement whose response is lost can be repeated.
func TestSettle_AnswerLost(t *testing.T) {
	_, dsn := open(t, patient)
	p := proxy(t, dsn)
	s := connect(t, p.dsn, postgres.Options{MaxConns: 1, Acquire: 2 * time.Second})
	k := newClient(t, s, "a", budget("bud_1", billing.ScopeKey, "", 1e6))
	h := k.hold(5, noon)
	if _, err := s.Reserve(t.Context(), h, noon); err != nil {
		t.Fatal(err)
	}
	settlement := billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost}}
	p.deaf.Store(true)
	_, err := s.Settle(t.Context(), settlement)
	wantUnavailable(t, err)
	p.deaf.Store(false)
	heals(t, s)
	if _, err := s.Settle(t.Context(), settlement); err != nil {
		t.Error(err)
	}
	c := raw(t, dsn)
	if n := get[int](t, c, "SELECT sum(attempts) FROM spend_daily"); n != 1 {
		t.Errorf("%d attempts were billed, want 1", n)
	}
	wantConserved(t, c)
}

// wire is a proxy that can lose the server's response.
type wire struct {
	dsn  string
	deaf atomic.Bool
}

func proxy(t *testing.T, dsn string) *wire {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u.Host = l.Addr().String()
	w := &wire{dsn: u.String()}
	go func() {
		for {
			down, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", target)
			if err != nil {
				down.Close()
				continue
			}
			go func() {
				io.Copy(up, down)
				up.Close()
			}()
			go w.answers(down, up)
		}
	}()
	return w
}

// answers forwards the server's messages, or disconnects the client instead.
func (w *wire) answers(down, up net.Conn) {
	defer down.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := up.Read(buf)
		if err != nil || w.deaf.Load() {
			return
		}
		if _, err := down.Write(buf[:n]); err != nil {
			return
		}
	}
}
