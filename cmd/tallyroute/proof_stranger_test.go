package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/cli"
)

// TestProvidersStranger: somebody whom the router does not know signs in, makes a key, gets an
// answer with it and is denied what he may not do, all by the command line. Then his roles are
// taken from him at one router, in every way, and another one is asked when it knows.
func TestProvidersStranger(t *testing.T) {
	p := nodeProvider(t)
	dsn := pgtest.DSN(t)
	settings := fmt.Sprintf(`admin_token: env:PROOF_ADMIN_TOKEN
login: {issuer: %q, client_id: tallyroute, client_secret: env:PROOF_SECRET, scopes: [profile, email, groups],
  groups: [{group: web, role: member, team: web}]}
`, p.issuer)
	first := logsIn{serve(t, writeConfig(t, dsn, settings)), p}
	second := logsIn{serve(t, writeConfig(t, dsn, settings)), p}
	admin := func(method, path, body string) map[string]any {
		t.Helper()
		status, v := first.api(method, path, os.Getenv("PROOF_ADMIN_TOKEN"), body)
		if status >= http.StatusBadRequest {
			t.Fatalf("%s %s: %d %v", method, path, status, v)
		}
		return v
	}
	admin("POST", "/teams", `{"name":"web","project":"shop"}`)
	admin("POST", "/teams", `{"name":"payments","project":"tills"}`)
	admin("PUT", "/teams/web/ceiling", `{"keys":2,"usd":"20"}`)
	others := admin("POST", "/keys", `{"name":"others","team":"payments","budget":{"usd":"1"}}`)["id"].(string)
	p.says(told{"email": "sue@example.com", "email_verified": true, "groups": []string{"web"}}, told{})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	began := time.Now()
	w := stranger{t, "http://" + first.where["admin"]}
	w.signsIn("sue")
	secret := strings.TrimSpace(w.runs(cli.ExitOK, "team", "create", "mine", "--usd", "5"))
	if got, code, _ := second.asked(secret); got != http.StatusOK {
		t.Fatalf("the key of the stranger: %d %s", got, code)
	}
	t.Logf("from the sign-in to the first answer: %s", time.Since(began))
	own := regexp.MustCompile(`key_\w+`).FindString(w.runs(cli.ExitOK, "team", "keys"))
	for _, denied := range []struct {
		args string
		code int
	}{
		{"team create two --usd 16", cli.ExitError}, // 21 of 20 dollars
		{"keys list", cli.ExitDenied},
		{"keys create --name x --team payments", cli.ExitDenied},
		{"keys show " + others, cli.ExitDenied},
		{"team revoke " + others, cli.ExitNotFound},
		{"team narrow " + own + " --usd 50", cli.ExitUsage},
		{"keys revoke " + own, cli.ExitDenied},
		{"principals list", cli.ExitDenied},
		{"audit list", cli.ExitDenied},
		{"audit export " + filepath.Join(t.TempDir(), "x"), cli.ExitDenied},
		{"credentials list", cli.ExitDenied},
		{"spend list", cli.ExitDenied},
		{"budgets list", cli.ExitDenied},
		{"secrets rekey", cli.ExitDenied},
	} {
		w.runs(denied.code, strings.Fields(denied.args)...)
	}
	if text := fmt.Sprint(admin("GET", "/audit?outcome=denied&limit=100", "")); !strings.Contains(text, "sue") {
		t.Errorf("the denials are not in the audit log: %s", text)
	}
	w.runs(cli.ExitOK, "team", "revoke", own)
	prove.Eventually(t, "the key has ended", func() bool { got, _, _ := second.asked(secret); return got == http.StatusUnauthorized })
	w.runs(cli.ExitOK, "logout")
	w.runs(cli.ExitUsage, "team", "keys")
	changesReach(t, admin, first, second)
}

// changesReach changes what principals may do at one router, and measures how long after the
// answer another one still goes by what they could do before.
func changesReach(t *testing.T, admin func(method, path, body string) map[string]any, first, second logsIn) {
	t.Helper()
	ways := map[string]func(id, grant, token, session string){
		"a role is granted":       func(id, _, _, _ string) { admin("POST", "/principals/"+id+"/grants", `{"role":"auditor"}`) },
		"a role is revoked":       func(id, grant, _, _ string) { admin("DELETE", "/principals/"+id+"/grants/"+grant, "") },
		"a principal is disabled": func(id, _, _, _ string) { admin("POST", "/principals/"+id+"/disable", "") },
		"a token is ended":        func(id, _, token, _ string) { admin("DELETE", "/principals/"+id+"/tokens/"+token, "") },
		"a login is ended":        func(_, _, _, session string) { admin("DELETE", "/sessions/"+session, "") },
	}
	for what, change := range ways {
		lags := make([]time.Duration, 20)
		for i := range lags {
			name := fmt.Sprintf("%s %d", what, i)
			id := admin("POST", "/principals", fmt.Sprintf(`{"name":%q}`, name))["id"].(string)
			granted := admin("POST", "/principals/"+id+"/grants", `{"role":"read-only"}`)
			grant := granted["grants"].([]any)[0].(map[string]any)["id"].(string)
			made := admin("POST", "/principals/"+id+"/tokens", `{"name":"t"}`)
			by, session, path, want := made["secret"].(string), "", "/keys", http.StatusOK
			if what == "a login is ended" {
				first.p.says(told{"email": fmt.Sprintf("p%d@example.com", i), "email_verified": true, "groups": []string{"web"}}, told{})
				by, path = first.want(what, fmt.Sprintf("p%d", i), ""), "/me"
				_, me := first.api("GET", "/me", by, "")
				session = me["session"].(map[string]any)["id"].(string)
			}
			if what == "a role is granted" {
				path, want = "/audit", http.StatusForbidden
			}
			if status, v := second.api("GET", path, by, ""); status != want {
				t.Fatalf("%s: before, the other router answers with %d %v", what, status, v)
			}
			change(id, grant, made["id"].(string), session)
			lags[i] = until(func() bool { status, _ := second.api("GET", path, by, ""); return status != want })
		}
		slices.Sort(lags)
		t.Logf("%s: median %s, longest %s of %d", what, lags[len(lags)/2], lags[len(lags)-1], len(lags))
		prove.Within(t, what+", at another router", lags[len(lags)-1], time.Second)
	}
}

// until returns how long it takes until something is true.
func until(is func() bool) time.Duration {
	began := time.Now()
	for !is() {
		if time.Since(began) > prove.Patience {
			break
		}
	}
	return time.Since(began)
}

// stranger is a person at the command line of a machine that has no configuration.
type stranger struct {
	t      *testing.T
	router string
}

// runs runs a verb, and returns what it prints.
func (w stranger) runs(code int, args ...string) string {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	got := run(w.t.Context(), append([]string{"--router", w.router}, args...), strings.NewReader(""), &stdout, &stderr)
	if got != code {
		w.t.Errorf("tallyroute %v: exit code %d, want %d: %s%s", args, got, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// signsIn runs the login, and goes through the pages of the provider meanwhile.
func (w stranger) signsIn(person string) {
	w.t.Helper()
	said := &pages{opened: make(chan string, 1)}
	done := make(chan int, 1)
	go func() {
		done <- run(w.t.Context(), []string{"--router", w.router, "login", "--no-browser"}, strings.NewReader(""), said, said)
	}()
	back, text := browse(w.t, prove.Receive(w.t, "the page of the login", said.opened), person)
	if back == nil {
		w.t.Fatalf("the browser does not come back: %s", text)
	}
	resp, err := http.Get(back.String())
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if code := prove.Receive(w.t, "the login ends", done); code != cli.ExitOK {
		w.t.Fatalf("login: exit code %d: %s", code, said)
	}
}

// pages collects what a login prints, and passes on the page that it tells to open.
type pages struct {
	mu     sync.Mutex
	text   bytes.Buffer
	opened chan string
}

var openPage = regexp.MustCompile(`Open (http\S+)\n`)

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	if page := openPage.FindStringSubmatch(p.text.String()); page != nil {
		select {
		case p.opened <- page[1]:
		default: // it was told before
		}
	}
	return len(b), nil
}

func (p *pages) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}
