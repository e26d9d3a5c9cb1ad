package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// TestRotationsLoseNoRequest rotates a key $ROTATIONS times while three routers get 200 requests a
// second. The clients switch to the new secret within a second.
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
	var secrets [2]atomic.Pointer[string] // the newest and the previous one
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

// TestRevocationsReachEveryRouter revokes $REVOCATIONS keys and measures how long one of three
// routers still accepts them: with the database's notifications, and without.
func TestRevocationsReachEveryRouter(t *testing.T) {
	revocations := prove.Size(t, "REVOCATIONS", 0)
	if revocations == 0 {
		t.Skip("REVOCATIONS says how many")
	}
	dsn := pgtest.DSN(t)
	config := writeConfig(t, dsn, "")
	routers := []*program{serve(t, config), serve(t, writeConfig(t, dsn, "")), serve(t, writeConfig(t, dsn, ""))}
	revokeMany(t, "told", config, routers, revocations)
	quiet := exec.CommandContext(t.Context(), pgtest.Tool(t, "psql"), "--dbname="+dsn,
		"--command=ALTER TABLE api_keys DISABLE TRIGGER api_keys_tell")
	if text, err := quiet.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	revokeMany(t, "not told", config, routers, revocations)
}

func revokeMany(t *testing.T, how, config string, routers []*program, n int) {
	t.Helper()
	lags := make([]time.Duration, n)
	for i := range lags {
		secret := routers[0].key("--budget-tokens", "100000")
		var keys []struct{ ID string }
		if err := json.Unmarshal([]byte(command(t, "--config", config, "keys", "list", "-o", "json")), &keys); err != nil {
			t.Fatal(err)
		}
		id := keys[len(keys)-1].ID
		for _, r := range routers {
			prove.Eventually(t, "a new key is accepted", func() bool { got, _, _ := r.asked(secret); return got == http.StatusOK })
		}
		command(t, "--config", config, "keys", "revoke", id)
		began := time.Now()
		var all sync.WaitGroup
		for _, r := range routers {
			all.Go(func() {
				prove.Eventually(t, "a revoked key is refused",
					func() bool { got, _, _ := r.asked(secret); return got == http.StatusUnauthorized })
			})
		}
		all.Wait()
		lags[i] = time.Since(began)
	}
	slices.Sort(lags)
	t.Logf("%d revocations, %s: median %s, p99 %s, longest %s", n, how, lags[n/2], lags[n*99/100], lags[n-1])
	prove.Within(t, "a revocation at every router", lags[n*99/100], time.Second)
}
