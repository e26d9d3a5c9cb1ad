package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/sqlite"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
	"tallyroute/router/identity"
	"tallyroute/router/identity/identitytest"
)

// adminRig is an admin listener on a database that the command line can reach, too.
type adminRig struct {
	t   *testing.T
	url string
}

func newAdminRig(t *testing.T, change ...func(*admin.Options)) adminRig {
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
	a := &cli.Context{Ctx: t.Context(), Env: os.Environ()}
	cfg, err := a.Config()
	if err != nil {
		t.Fatal(err)
	}
	read, err := app.ReadPepper(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o := admin.Options{
		Reports: store, Actions: manage.Actions{Store: store.Contracts(), Pepper: read.Pepper},
		Prices: func() []billing.Price { return nil }, Token: func() string { return "the static token" },
	}
	for _, f := range change {
		f(&o)
	}
	s := httptest.NewServer(admin.New(o).Handler)
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
	id := g.does(cli.ExitOK, "principals", "create", "--user", role)
	g.does(cli.ExitOK, append([]string{"principals", "grant", id, role}, args...)...)
	token := g.does(cli.ExitOK, "principals", "token", id)
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
	created := owner(cli.ExitOK, "keys", "create", "--name", "k", "--team", "web", "--project", "shop", "--budget-usd", "5", "-o", "json")
	if err := json.Unmarshal([]byte(created), &key); err != nil || key.ID == "" || !strings.HasPrefix(key.Secret, "sk-") {
		t.Fatalf("%s: %v", created, err)
	}
	month := time.Now().UTC().AddDate(0, -2, 0).Format("2006-01")
	for _, verb := range [][]string{
		{"keys", "update", key.ID, "--name", "renamed", "--budget-usd", "7", "--budget-tokens", "100", "--period", "day", "--rpm", "5"},
		{"keys", "update", key.ID, "--never-expires", "--models", "*", "--anywhere", "--tags", "a=b", "--dry-run"},
		{"keys", "rotate", key.ID, "--overlap", "1h"},
		{"keys", "hand-over", key.ID},
		{"keys", "disable", key.ID},
		{"keys", "enable", key.ID},
		{"teams", "create", "ops"},
		{"teams", "update", "ops", "--owner", "ann@example.com"},
		{"projects", "create", "p", "--team", "ops"},
		{"projects", "update", "ops/p", "--name", "q"},
		{"budgets", "set", "team", "web", "--usd", "10"},
		{"budgets", "set", "org", "--usd", "100"},
		{"period", "close", month},
		{"period", "reopen", month, "--reason", "again"},
		{"principals", "roles"},
		{"prices", "reprice", "--from", "2026-01-01", "--to", "2026-02-01", "--reason", "r"},
		{"audit", "verify"},
		{"policy", "try", key.ID, "--model", "gpt"},
		{"spend", "rejects", "book"},
		{"teams", "archive", "ops"},
		{"spend", "adjust", key.ID, "--amount", "1.50", "--kind", "fee", "--reason", "r"},
	} {
		owner(cli.ExitOK, verb...)
	}
	forecast := regexp.MustCompile(`1\.50\d*`) // of the $1.50 that were adjusted: it changes every second
	for _, verb := range [][]string{
		{"keys", "list"},
		{"keys", "show", key.ID},
		{"keys", "sinks"},
		{"teams", "list"},
		{"projects", "list"},
		{"budgets", "list"},
		{"principals", "list"},
		{"principals", "roles"},
		{"period", "list"},
		{"replicas", "list"},
		{"events", "list"},
		{"audit", "list", "--limit", "1000"},
		{"spend", "rejects", "list"},
		{"report", "spend", "key"},
		{"report", "usage"},
		{"report", "prices"},
	} {
		for _, output := range []string{"json", "table"} {
			verb := append(verb, "-o", output)
			here, there := forecast.ReplaceAllString(g.does(cli.ExitOK, verb...), "1.5"), forecast.ReplaceAllString(owner(cli.ExitOK, verb...), "1.5")
			if here != there && verb[0] != "principals" {
				t.Errorf("%v\nat the router: %s\non the host:   %s", verb, there, here)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	owner(cli.ExitOK, "audit", "export", file)
	g.does(cli.ExitOK, "audit", "verify", "--file", file)
	if got := owner(cli.ExitOK, "audit", "list", "--object", key.ID, "-o", "json"); !strings.Contains(got, `"actor": "owner (user_`) {
		t.Errorf("who did it: %s", got)
	}
}

// TestBudgetsAreChangedByAnyOfTheirFlags, by their id and by what they are set on.
func TestBudgetsAreChangedByAnyOfTheirFlags(t *testing.T) {
	g := newAdminRig(t)
	owner := g.as("owner")
	id, _, _ := strings.Cut(g.does(cli.ExitOK, "budgets", "set", "org", "--requests", "10"), ":")
	start := strings.Fields("--requests 10 --tokens 10 --starts 01-01 --action block --zone UTC --threshold 50")
	changed := func(does func(int, ...string) string, verb, flags, want string) {
		t.Helper()
		does(cli.ExitOK, append([]string{"budgets", "update", id}, start...)...)
		if before := does(cli.ExitOK, "budgets", "list", "-o", "json"); strings.Contains(before, want) {
			t.Errorf("before %s: %s", flags, before)
		}
		does(cli.ExitOK, strings.Fields(verb+" "+flags)...)
		if got := does(cli.ExitOK, "budgets", "list", "-o", "json"); !strings.Contains(got, want) {
			t.Errorf("%s %s: %s", verb, flags, got)
		}
	}
	for _, does := range []func(int, ...string) string{g.does, owner} {
		for flags, want := range map[string]string{
			"--requests 8": `"requests": 8`, "--tokens 7": `"tokens": 7`, "--starts 04-06": `"starts": "04-06"`,
			"--action alert": `"action": "alert"`, "--action downgrade": `"action": "downgrade"`, "--threshold 90": " 90\n", "--zone Europe/Berlin": `"zone": "Europe/Berlin"`,
		} {
			changed(does, "budgets update "+id, flags, want)
			changed(does, "budgets set org", flags, want)
		}
		changed(does, "budgets update "+id, "--no-requests", `"requests": null`)
		does(cli.ExitUsage, "budgets", "update", id, "--action", "downgrade", "--threshold", "100")
		does(cli.ExitUsage, "budgets", "set", "org")
	}
}

// TestVerbsAtARouterAreRefusedByItsRoles: forbidden commands end with a denial, objects that the
// caller can't see are reported as missing, and commands that need the host say so.
func TestVerbsAtARouterAreRefusedByItsRoles(t *testing.T) {
	g := newAdminRig(t)
	g.does(cli.ExitOK, "teams", "create", "web")
	g.does(cli.ExitOK, "teams", "create", "other")
	lead := g.as("team-lead", "--team", "web")
	lead(cli.ExitOK, "keys", "create", "--name", "k", "--team", "web")
	lead(cli.ExitDenied, "keys", "create", "--name", "k", "--team", "other")
	lead(cli.ExitOK, "report", "teams")
	lead(cli.ExitOK, "report", "usage")
	lead(cli.ExitDenied, "principals", "list")
	lead(cli.ExitDenied, "period", "list")
	lead(cli.ExitNotFound, "keys", "show", "key_none")
	lead(cli.ExitUsage, "keys", "create", "--name", "k", "--team", "web", "--owner", "nobody")
	lead(cli.ExitUsage, "backup", filepath.Join(t.TempDir(), "b.db"))
	if got := lead(cli.ExitOK, "teams", "list"); strings.Contains(got, "other") {
		t.Errorf("the lead of web sees: %s", got)
	}
	t.Setenv("TALLYROUTE_TOKEN", "sk-tr-admin-wrong")
	g.does(cli.ExitDenied, "--router", g.url, "keys", "list")
	t.Setenv("TALLYROUTE_TOKEN", "")
	g.does(cli.ExitUsage, "--router", g.url, "keys", "list")
	g.does(cli.ExitUsage, "--router", "router.example.com", "keys", "list")
}

// TestPersonLogsInByTheCommandLine: with a browser on this machine, and on another device.
func TestPersonLogsInByTheCommandLine(t *testing.T) {
	idp := identitytest.New(t)
	idp.Person["groups"] = []string{"owners"}
	g := newAdminRig(t, func(o *admin.Options) {
		o.Login = &admin.Login{
			Provider: identity.New(identity.Config{Issuer: idp.URL, ClientID: identitytest.Client, ClientSecret: identitytest.Secret}),
			Rules: manage.LoginRules{
				Roles: []manage.GroupRole{{Group: "owners", Role: "owner"}}, Idle: time.Hour, Absolute: time.Hour, StepUp: time.Minute,
			},
		}
	})
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("TALLYROUTE_ROUTER", g.url)
	g.does(cli.ExitUsage, "keys", "list")
	for _, how := range []string{"--no-browser", "--device"} {
		said, errs := io.Pipe()
		ended := make(chan int, 1)
		var out bytes.Buffer
		go func() {
			ended <- run(t.Context(), []string{"login", how}, strings.NewReader(""), &out, errs)
			_ = errs.Close()
		}()
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			page, is := strings.CutPrefix(lines.Text(), "Open ")
			switch {
			case is && how == "--no-browser":
				resp, err := http.Get(idp.Browse(page).String())
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			case strings.HasPrefix(lines.Text(), "and enter "):
				idp.Approve()
			}
		}
		if code := prove.Receive(t, "the end of the login", ended); code != cli.ExitOK ||
			!strings.Contains(out.String(), "You are ann@example.com (user_") {
			t.Fatalf("%d: %s", code, out.String())
		}
		g.does(cli.ExitOK, "keys", "create", "--name", "k")
		if me := g.does(cli.ExitOK, "whoami"); !strings.Contains(me, "ann@example.com") || !strings.Contains(me, "owner") {
			t.Error(me)
		}
		if info, err := os.Stat(filepath.Join(home, "tallyroute", "logins.json")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file of tokens: %v, %v", info, err)
		}
		g.does(cli.ExitOK, "sessions", "list")
		g.does(cli.ExitOK, "logout")
		g.does(cli.ExitUsage, "keys", "list")
	}
}

// TestEveryChangeByRESTHasAVerb: every admin API operation that changes something is called by
// some command. Commands can't do anything else, by construction.
func TestEveryChangeByRESTHasAVerb(t *testing.T) {
	files := verbSources(t) // before the rig changes the working directory
	g := newAdminRig(t)
	var document struct{ Paths map[string]map[string]any }
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/admin/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer the static token")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range document.Paths {
		var words []string
		for _, word := range strings.Split(strings.TrimPrefix(path, "/admin/v1/"), "/") {
			if !strings.HasPrefix(word, "{") {
				words = append(words, word)
			}
		}
		for method := range methods {
			if method == "get" || strings.HasSuffix(path, "/policy") { // "policy set" makes the path of its --team or --project
				continue
			}
			call := "adminapi." + strings.ToUpper(method[:1]) + method[1:] + "("
			if !slices.ContainsFunc(files, func(source string) bool { return asks(source, call, words) }) {
				t.Errorf("no verb asks for %s %s", strings.ToUpper(method), path)
			}
		}
	}
}

// verbSources returns the source files of the packages that contain commands.
func verbSources(t *testing.T) (files []string) {
	t.Helper()
	for _, of := range []string{".", "finance", "keys", "offers", "people", "signin", "watch"} {
		all, err := filepath.Glob(filepath.Join(of, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, string(source))
		}
	}
	return files
}

// asks reports whether a source file contains a call and the words of its path, together or
// apart: "/keys/revoke", or "/keys" and "revoke".
func asks(source, call string, words []string) bool {
	if !strings.Contains(source, call) || !strings.Contains(source, `"/`+words[0]) {
		return false
	}
	for _, word := range words[1:] {
		if !strings.Contains(source, `"`+word+`"`) && !strings.Contains(source, "/"+word+`"`) && !strings.Contains(source, "/"+word+"/") {
			return false
		}
	}
	return true
}
