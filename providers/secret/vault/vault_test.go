package vault_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/providers/secret"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/secret/secrettest"
	"tallyroute/providers/secret/vault"
)

func given(text string) vault.Source {
	return func(context.Context) (secret.Value, error) { return secret.New(text), nil }
}

// start returns a Vault with a role that may read and write below kv/data/app, and its client.
func start(t *testing.T, change func(*vault.Options)) (*secrettest.Vault, *secrettest.Clock, *vault.Vault) {
	t.Helper()
	server, clock := secrettest.NewVault(t), secrettest.NewClock()
	server.Server.Clock = clock.Now
	server.Policies["app"] = map[string]secrettest.Caps{
		"kv/data/app/*": {"read", "create", "update", "delete"}, "old/*": {"read", "update"}, "database/creds/app": {"read"},
	}
	server.Logins["approle/role-1 secret-1"], server.Logins["kubernetes/app jwt-1"], server.Logins["corp/app jwt-2"] = "app", "app", "app"
	o := vault.Options{
		Address: server.URL, Method: vault.AppRole, Role: "role-1", Secret: given("secret-1"), Client: server.Client, Clock: clock.Now,
		Pause: func(context.Context, time.Duration) error { return nil },
	}
	if change != nil {
		change(&o)
	}
	return server, clock, vault.New(o)
}

func fetch(t *testing.T, v *vault.Vault, name string) manager.Secret {
	t.Helper()
	s, err := v.Fetch(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVaultTakesEveryLogin(t *testing.T) {
	for name, change := range map[string]func(*vault.Options){
		"approle":    nil,
		"kubernetes": func(o *vault.Options) { o.Method, o.Role, o.Secret = vault.Kubernetes, "app", given("jwt-1") },
		"jwt": func(o *vault.Options) {
			o.Method, o.Mount, o.Role, o.Secret = vault.JWT, "corp", "app", given("jwt-2")
		},
		"token": func(o *vault.Options) { o.Method, o.Secret = vault.Token, given("root") },
	} {
		t.Run(name, func(t *testing.T) {
			server, _, v := start(t, change)
			server.Put("kv/app/openai", map[string]any{"key": "sk-1"})
			if s := fetch(t, v, "kv/data/app/openai"); s.Text.Reveal() != `{"key":"sk-1"}` || s.Version != "1" {
				t.Errorf("%s of version %s", s.Text.Reveal(), s.Version)
			}
		})
	}
}

func TestVaultReadsVersionsAndNamespaces(t *testing.T) {
	server, _, v := start(t, func(o *vault.Options) { o.Namespace = "team/a" })
	server.Namespace = "team/a"
	server.Put("kv/app/x", map[string]any{"key": "one"})
	server.Put("kv/app/x", map[string]any{"key": "two"})
	server.V1["old/x"] = map[string]any{"key": "v1"}
	for name, want := range map[string]string{
		"kv/data/app/x": `{"key":"two"}`, "kv/data/app/x?version=1": `{"key":"one"}`, "old/x": `{"key":"v1"}`,
	} {
		if s := fetch(t, v, name); s.Text.Reveal() != want {
			t.Errorf("%s: %s", name, s.Text.Reveal())
		}
	}
	_, err := v.Fetch(t.Context(), "kv/data/app/x?version=9")
	if !manager.Is(err, manager.NotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	for _, bad := range []string{"", "../sys/seal", "kv/data/app/../../sys", "kv/data/app/x?list=true"} {
		if _, err := v.Fetch(t.Context(), bad); err == nil || strings.Contains(err.Error(), "answer") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err = v.Fetch(t.Context(), "old/app")
	if err == nil || !strings.Contains(err.Error(), "old/data/app") {
		t.Errorf("%v does not say how a path with versions is written", err)
	}
}

// A token is renewed as long as possible, and replaced when it expires or is revoked.
func TestVaultKeepsItsLogin(t *testing.T) {
	server, clock, v := start(t, nil)
	server.Life, server.MaxLife = time.Hour, 150*time.Minute
	server.Put("kv/app/x", map[string]any{"key": "1"})
	logins := func() int { return server.Asked("POST /v1/auth/approle/login") }
	fetch(t, v, "kv/data/app/x")
	for range 6 { // renewed once or twice in an hour
		clock.Add(10 * time.Minute)
		fetch(t, v, "kv/data/app/x")
	}
	if server.Asked("POST /v1/auth/token/renew-self") == 0 || logins() != 1 {
		t.Errorf("%d logins, %d renewals", logins(), server.Asked("POST /v1/auth/token/renew-self"))
	}
	for range 18 { // beyond its maximum lifetime
		clock.Add(10 * time.Minute)
		fetch(t, v, "kv/data/app/x")
	}
	if logins() < 2 {
		t.Error("the login was not renewed at the end of its life")
	}
	before := logins()
	server.RevokeTokens()
	fetch(t, v, "kv/data/app/x")
	if logins() != before+1 {
		t.Errorf("%d logins after the token was revoked", logins()-before)
	}
	clock.Add(1000 * time.Hour)
	fetch(t, v, "kv/data/app/x")
}

func TestVaultTellsWhatIsWrong(t *testing.T) {
	server, clock, v := start(t, nil)
	if _, err := v.Fetch(t.Context(), "kv/data/other"); !manager.Is(err, manager.Denied) {
		t.Errorf("another's path: %v", err)
	}
	if n := server.Asked("POST /v1/auth/approle/login"); n != 1 {
		t.Errorf("logged in %d times for a path that is denied", n)
	}
	_, _, wrong := start(t, func(o *vault.Options) { o.Secret = given("canary-secret-id") })
	_, err := wrong.Fetch(t.Context(), "kv/data/app/x")
	if !manager.Is(err, manager.Expired) || strings.Contains(fmt.Sprintf("%+v", err), "canary") {
		t.Errorf("a wrong secret id: %+v", err)
	}
	server.Grant("short", "app", time.Minute)
	_, _, short := start(t, func(o *vault.Options) {
		o.Address, o.Clock, o.Method, o.Secret = server.URL, clock.Now, vault.Token, given("short")
	})
	server.Put("kv/app/x", map[string]any{"key": "1"})
	fetch(t, short, "kv/data/app/x")
	clock.Add(time.Hour)
	if _, err := short.Fetch(t.Context(), "kv/data/app/x"); !manager.Is(err, manager.Expired) {
		t.Errorf("a token that has expired: %v", err)
	}
}

func TestVaultWaitsWhereItIsThrottledOrAway(t *testing.T) {
	server, _, v := start(t, nil)
	server.Put("kv/app/x", map[string]any{"key": "1"})
	fetch(t, v, "kv/data/app/x")
	server.Fail(secrettest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "1"}, secrettest.Fault{Status: 473})
	fetch(t, v, "kv/data/app/x")
	server.Fail(secrettest.Fault{Status: http.StatusTooManyRequests, RetryAfter: "60", Body: `{"errors":["rate limit quota"]}`})
	if _, err := v.Fetch(t.Context(), "kv/data/app/x"); !manager.Is(err, manager.Throttled) {
		t.Errorf("told to wait for a minute: %v", err)
	}
	server.Down(3)
	if _, err := v.Fetch(t.Context(), "kv/data/app/x"); !manager.Is(err, manager.Unavailable) {
		t.Errorf("sealed: %v", err)
	}
}

// Concurrent writers of different fields in one secret do not undo each other's changes.
func TestVaultWritesAreChecked(t *testing.T) {
	server, _, v := start(t, nil)
	server.Put("kv/app/keys", map[string]any{"other": "stays"})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if err := v.Write(t.Context(), fmt.Sprintf("kv/data/app/keys#k%d", i), fmt.Sprint("v", i), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want := `{"k0":"v0","k1":"v1","k2":"v2","k3":"v3","other":"stays"}`
	if s := fetch(t, v, "kv/data/app/keys"); s.Text.Reveal() != want {
		t.Errorf("%s, want %s", s.Text.Reveal(), want)
	}
	before := len(server.KV["kv/app/keys"])
	if err := v.Write(t.Context(), "kv/data/app/keys#k1", "v1", nil); err != nil || len(server.KV["kv/app/keys"]) != before {
		t.Errorf("the same once more: %v, %d versions", err, len(server.KV["kv/app/keys"]))
	}
	for _, place := range []string{"kv/data/app/new", "kv/data/app/new", "kv/data/app/none", "kv/data/app/keys#k1"} {
		if place == "kv/data/app/new" {
			if err := v.Write(t.Context(), place, "s", nil); err != nil {
				t.Error(err)
			}
		}
		if err := v.Delete(t.Context(), place); err != nil {
			t.Errorf("delete %s: %v", place, err)
		}
	}
	if s := fetch(t, v, "kv/data/app/keys"); strings.Contains(s.Text.Reveal(), "k1") {
		t.Errorf("k1 is still there: %s", s.Text.Reveal())
	}
	if err := v.Write(t.Context(), "old/x", "s", nil); err != nil || server.V1["old/x"]["api-key"] != "s" {
		t.Errorf("version 1: %v, %v", err, server.V1["old/x"])
	}
}

// A database user is lent once and renewed; a new one is created before the old one expires.
func TestVaultRenewsLeases(t *testing.T) {
	server, clock, v := start(t, nil)
	server.Rotate, server.MaxLife, server.Life = time.Hour, 150*time.Minute, 1000*time.Hour
	first := fetch(t, v, "database/creds/app")
	for range 10 {
		clock.Add(5 * time.Minute)
		if s := fetch(t, v, "database/creds/app"); s.Text.Reveal() != first.Text.Reveal() {
			t.Fatalf("another user after %s", clock.Now())
		}
	}
	for range 60 {
		clock.Add(5 * time.Minute)
		if s := fetch(t, v, "database/creds/app"); !s.Expires.After(clock.Now().Add(5 * time.Minute)) {
			t.Fatalf("%s ends at %s, and it is %s", s.Version, s.Expires, clock.Now())
		}
	}
	if n := server.Asked("GET /v1/database/creds/app"); n < 2 || n > 6 {
		t.Errorf("%d users were made in six hours", n)
	}
}

func TestVaultTellsOfTokensThatReachTooFar(t *testing.T) {
	server, _, v := start(t, nil)
	names := manager.Use{Names: []string{"kv/data/app/x"}}
	if wide, err := v.Reach(t.Context(), names); err != nil || len(wide) != 0 {
		t.Errorf("a narrow token: %q, %v", wide, err)
	}
	server.Policies["app"]["kv/*"] = secrettest.Caps{"read", "list"}
	server.Policies["app"]["sys/*"] = secrettest.Caps{"sudo"}
	wide, err := v.Reach(t.Context(), names)
	if err != nil || len(wide) != 5 || !strings.Contains(strings.Join(wide, "\n"), "read at kv/data/…/other") {
		t.Errorf("a wide token: %q, %v", wide, err)
	}
	_, _, root := start(t, func(o *vault.Options) { o.Method, o.Secret = vault.Token, given("root") })
	if wide, err := root.Reach(t.Context(), names); err != nil || len(wide) != 1 || !strings.Contains(wide[0], "root") {
		t.Errorf("root: %q, %v", wide, err)
	}
}
