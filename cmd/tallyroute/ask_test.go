package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/router/admin"
)

// adminRig is an admin listener on a database that the command line can reach, too.
type adminRig struct {
	t   *testing.T
	url string
}

func newAdminRig(t *testing.T) adminRig {
	t.Helper()
	dir := t.TempDir()
	pepper := filepath.Join(dir, "pepper")
	if err := os.WriteFile(pepper, []byte(strings.Repeat("p", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("TALLYROUTE_DATABASE", "sqlite:"+filepath.Join(dir, "t.db"))
	t.Setenv("TALLYROUTE_KEY_PEPPER", "file:"+pepper)
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "t.db"), sqlite.Options{Reporting: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &cli{ctx: t.Context(), env: os.Environ()}
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	read, err := app.ReadPepper(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(admin.New(admin.Options{
		Reports: store, Actions: manage.Actions{Store: store.Contracts(), Pepper: read.Pepper},
		Prices: func() []billing.Price { return nil }, Token: func() string { return "the static token" },
	}).Handler)
	t.Cleanup(s.Close)
	return adminRig{t, s.URL}
}

// does runs the program and wants it to end with an exit code.
func (g adminRig) does(code int, args ...string) string {
	g.t.Helper()
	var out, errs bytes.Buffer
	if got := run(g.t.Context(), args, strings.NewReader(""), &out, &errs); got != code {
		g.t.Errorf("tallyroute %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

// as gives a person a token and returns what runs a verb at the router as him.
func (g adminRig) as(role string, args ...string) func(code int, args ...string) string {
	g.t.Helper()
	id := g.does(exitOK, "principals", "create", "--user", role)
	g.does(exitOK, append([]string{"principals", "grant", id, role}, args...)...)
	token := g.does(exitOK, "principals", "token", id)
	return func(code int, args ...string) string {
		g.t.Helper()
		g.t.Setenv("TALLYROUTE_TOKEN", token)
		return g.does(code, append([]string{"--router", g.url}, args...)...)
	}
}

// TestVerbsSayTheSameAtARouterAndOnTheHost makes things by way of the router and reads
// them both ways.
func TestVerbsSayTheSameAtARouterAndOnTheHost(t *testing.T) {
	g := newAdminRig(t)
	owner := g.as("owner")
	var key struct{ ID, Secret string }
	created := owner(exitOK, "keys", "create", "--name", "k", "--team", "web", "--project", "shop", "--budget-usd", "5", "-o", "json")
	if err := json.Unmarshal([]byte(created), &key); err != nil || key.ID == "" || !strings.HasPrefix(key.Secret, "sk-") {
		t.Fatalf("%s: %v", created, err)
	}
	month := time.Now().UTC().AddDate(0, -2, 0).Format("2006-01")
	for _, verb := range [][]string{
		{"keys", "update", key.ID, "--name", "renamed", "--budget-usd", "7", "--budget-tokens", "100", "--period", "day", "--rpm", "5"},
		{"keys", "update", key.ID, "--never-expires", "--models", "*", "--anywhere", "--tags", "a=b", "--dry-run"},
		{"keys", "rotate", key.ID, "--overlap", "1h"}, {"keys", "hand-over", key.ID}, {"keys", "disable", key.ID}, {"keys", "enable", key.ID},
		{"teams", "create", "ops"}, {"teams", "update", "ops", "--owner", "ann@example.com"}, {"projects", "create", "p", "--team", "ops"},
		{"projects", "update", "ops/p", "--name", "q"}, {"budgets", "set", "team", "web", "--usd", "10"}, {"budgets", "set", "org", "--usd", "100"},
		{"period", "close", month}, {"period", "reopen", month, "--reason", "again"}, {"principals", "roles"},
		{"prices", "reprice", "--from", "2026-01-01", "--to", "2026-02-01", "--reason", "r"}, {"audit", "verify"},
		{"policy", "try", key.ID, "--model", "gpt"}, {"spend", "rejects", "book"}, {"teams", "archive", "ops"},
		{"spend", "adjust", key.ID, "--amount", "1.50", "--kind", "fee", "--reason", "r"},
	} {
		owner(exitOK, verb...)
	}
	for _, verb := range [][]string{
		{"keys", "list"}, {"keys", "show", key.ID}, {"keys", "sinks"}, {"teams", "list"}, {"projects", "list"}, {"budgets", "list"},
		{"principals", "list"}, {"principals", "roles"}, {"period", "list"}, {"replicas", "list"}, {"events", "list"},
		{"audit", "list", "--limit", "1000"}, {"spend", "rejects", "list"}, {"report", "spend", "key"}, {"report", "usage"},
		{"report", "prices"},
	} {
		for _, output := range []string{"json", "table"} {
			verb := append(verb, "-o", output)
			if here, there := g.does(exitOK, verb...), owner(exitOK, verb...); here != there && verb[0] != "principals" {
				t.Errorf("%v\nat the router: %s\non the host:   %s", verb, there, here)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	owner(exitOK, "audit", "export", file)
	g.does(exitOK, "audit", "verify", "--file", file)
	if got := owner(exitOK, "audit", "list", "--object", key.ID, "-o", "json"); !strings.Contains(got, `"actor": "owner (user_`) {
		t.Errorf("who did it: %s", got)
	}
}

// TestVerbsAtARouterAreRefusedByItsRoles: what one may not do ends as a denial, what he
// cannot see as missing, and what needs the host says so.
func TestVerbsAtARouterAreRefusedByItsRoles(t *testing.T) {
	g := newAdminRig(t)
	g.does(exitOK, "teams", "create", "web")
	g.does(exitOK, "teams", "create", "other")
	lead := g.as("team-lead", "--team", "web")
	lead(exitOK, "keys", "create", "--name", "k", "--team", "web")
	lead(exitDenied, "keys", "create", "--name", "k", "--team", "other")
	lead(exitDenied, "principals", "list")
	lead(exitDenied, "period", "list")
	lead(exitNotFound, "keys", "show", "key_none")
	lead(exitUsage, "keys", "create", "--name", "k", "--team", "web", "--owner", "nobody")
	lead(exitUsage, "backup", filepath.Join(t.TempDir(), "b.db"))
	if got := lead(exitOK, "teams", "list"); strings.Contains(got, "other") {
		t.Errorf("the lead of web sees: %s", got)
	}
	t.Setenv("TALLYROUTE_TOKEN", "sk-tr-admin-wrong")
	g.does(exitDenied, "--router", g.url, "keys", "list")
	t.Setenv("TALLYROUTE_TOKEN", "")
	g.does(exitUsage, "--router", g.url, "keys", "list")
	g.does(exitUsage, "--router", "router.example.com", "keys", "list")
}
