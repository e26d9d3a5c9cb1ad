package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/cli"
)

// TestRotationsLoseNoRequest rotates a key $ROTATIONS times under 200 requests a second at
// three routers, whose clients take up the new secret within a second.
func TestRotationsLoseNoRequest(t *testing.T) {
	rotations := prove.Size(t, "ROTATIONS", 0)
	if rotations == 0 {
		t.Skip("ROTATIONS says how many")
	}
	dsn := pgtest.DSN(t)
	config := writeConfig(t, dsn, "")
	routers := []*program{serve(t, config), serve(t, writeConfig(t, dsn, "")), serve(t, writeConfig(t, dsn, ""))}
	first := routers[0].key("--budget-tokens", "100000000")
	id := routers[0].shown().ID
	var secrets [2]atomic.Pointer[string] // the newest, and the one before
	secrets[0].Store(&first)
	secrets[1].Store(&first)
	ctx, stop := context.WithCancel(t.Context())
	var asked, failed atomic.Int64
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-tick.C
			all.Go(func() {
				asked.Add(1)
				if got, code, _ := routers[n%3].asked(*secrets[n/3%2].Load()); got != http.StatusOK {
					failed.Add(1)
					t.Errorf("request %d: %d %s", n, got, code)
				}
			})
		}
	})
	for range rotations {
		<-time.After(time.Second)
		fresh := strings.TrimSpace(command(t, "--config", config, "keys", "rotate", id, "--overlap", "4s", "--secret-only"))
		secrets[1].Store(secrets[0].Load())
		secrets[0].Store(&fresh)
	}
	stop()
	all.Wait()
	t.Logf("%d rotations, %d requests, %d failed", rotations, asked.Load(), failed.Load())
}

// TestRevocationsReachEveryRouter revokes $REVOCATIONS keys and looks how long after the
// answer the last of three routers accepts one: while the database tells of it, while the
// connections that it tells by are ended by the server or cut on the network, while it tells
// nothing, and behind a pooler.
func TestRevocationsReachEveryRouter(t *testing.T) {
	n := prove.Size(t, "REVOCATIONS", 0)
	if n == 0 {
		t.Skip("REVOCATIONS says how many")
	}
	const told, looked = 50 * time.Millisecond, time.Second
	t.Run("Told", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		newRevoker(t, dsn, dsn).revoke(n, told, func() {})
	})
	t.Run("ListenersEnded", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		db := pgtest.Connect(t, dsn)
		newRevoker(t, dsn, dsn).revoke(n, looked, func() {
			db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND " +
				"application_name = 'tallyroute keys'")
		})
	})
	t.Run("ListenersCut", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		link := newSwallower(t, dsn)
		r := newRevoker(t, dsn, link.dsn)
		link.shut(true)
		r.revoke(n, looked, func() {})
		link.shut(false)
	})
	t.Run("NotTold", func(t *testing.T) {
		dsn := pgtest.DSN(t)
		r := newRevoker(t, dsn, dsn)
		pgtest.Connect(t, dsn).Exec("ALTER TABLE api_keys DISABLE TRIGGER api_keys_tell")
		r.revoke(n, looked, func() {})
	})
	t.Run("Pooled", func(t *testing.T) {
		database, _ := pooled(t)
		newRevoker(t, database, "").revoke(n, looked, func() {})
	})
}

// revoker is three routers on one database, on which keys are revoked.
type revoker struct {
	*testing.T
	routers []*program
}

// newRevoker starts the routers. They listen for changes over the direct connection, where one
// is given.
func newRevoker(t *testing.T, database, direct string) *revoker {
	t.Helper()
	more := ""
	if direct != "" {
		more = fmt.Sprintf("database_direct: %q\n", direct)
	}
	r := &revoker{T: t}
	for range 3 {
		r.routers = append(r.routers, serve(t, writeConfig(t, database, more)))
	}
	return r
}

// revoke makes n keys and revokes each, after before.
func (r *revoker) revoke(n int, within time.Duration, before func()) {
	r.Helper()
	lags, config := make([]time.Duration, n), r.routers[0].config
	for i := range lags {
		secret := r.routers[0].key("--budget-tokens", "100000")
		var key manage.KeyView
		if err := json.Unmarshal([]byte(r.find(secret)), &key); err != nil {
			r.Fatal(err)
		}
		r.each("a new key is accepted", secret, http.StatusOK)
		before()
		command(r.T, "--config", config, "keys", "revoke", key.ID)
		began := time.Now()
		r.each("a revoked key is refused", secret, http.StatusUnauthorized)
		lags[i] = time.Since(began)
	}
	slices.Sort(lags)
	r.Logf("%d revocations: median %s, p99 %s, longest %s", n, lags[n/2], lags[n*99/100], lags[n-1])
	prove.Within(r.T, "a revocation at every router", lags[n*99/100], within)
}

// find returns the key that a secret belongs to, as JSON.
func (r *revoker) find(secret string) string {
	r.Helper()
	var out, errs bytes.Buffer
	args := []string{"--config", r.routers[0].config, "keys", "find", "-o", "json"}
	if code := run(r.Context(), args, strings.NewReader(secret), &out, &errs); code != cli.ExitOK {
		r.Fatalf("%d: %s", code, errs.String())
	}
	return out.String()
}

// each asks every router, again and again and for nothing that takes time, until it answers with
// a status.
func (r *revoker) each(what, secret string, status int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), prove.Patience)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range r.routers {
		all.Go(func() {
			for got := 0; got != status; {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base()+"/v1/models", nil)
				if err != nil {
					r.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+secret)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					r.Errorf("still waiting until %s: %v", what, err)
					return
				}
				got = resp.StatusCode
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	all.Wait()
}
