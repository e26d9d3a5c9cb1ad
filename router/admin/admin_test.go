package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tallyroute/billing"
	"tallyroute/billing/sqlite"
)

const token = "sk-tr-admin-test-token-of-some-length-000000"

// rig is the real listener over a real store.
type rig struct {
	t     *testing.T
	url   string
	store billing.Store
	logs  *observer.ObservedLogs
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "t.db"), sqlite.Options{Reporting: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	pepper, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	o := Options{
		Keys: store, Owners: store, Reports: store, Issuer: billing.Issuer{Keys: store, Owners: store, Pepper: pepper},
		Token: func() string { return token }, Health: func() any { return []string{} }, Version: "test", Log: zap.New(core),
		KnownModel: func(name string) (string, bool) { return "chat-cheap", name == "chat-cheap" || name == "openai/*" },
		Metrics:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a_metric 1\n") }),
	}
	if change != nil {
		change(&o)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return &rig{t: t, url: "http://" + l.Addr().String(), store: store, logs: logs}
}

// ask sends a request with the token and decodes the answer.
func (g *rig) ask(method, path, body string) (int, map[string]any) {
	g.t.Helper()
	resp := g.do(method, path, body, "Bearer "+token)
	defer resp.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, v
}

func (g *rig) do(method, path, body, authorization string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp
}

func TestKeyLife(t *testing.T) {
	g := newRig(t, nil)
	status, made := g.ask("POST", "/admin/v1/keys", `{"name":"checkout","team":"payments","project":"shop","environment":"prod",
		"models":["chat-cheap","openai/*"],"budget":{"period":"month","usd":"50.00","tokens":1000,"zone":"Europe/Berlin"},
		"limits":{"requests_per_minute":600},"allowed_cidrs":["10.1.2.3/8"],"expires_in":"90d","tags":{"feature":"checkout"}}`)
	if status != 201 {
		t.Fatalf("status %d: %v", status, made)
	}
	secret, _ := made["secret"].(string)
	if _, err := billing.ParseSecret(secret); err != nil || !strings.HasPrefix(secret, "sk-tr-prod-") {
		t.Errorf("secret: %v", err)
	}
	id := made["id"].(string)

	status, got := g.ask("GET", "/admin/v1/keys/"+id, "")
	text, _ := json.Marshal(got)
	if status != 200 || bytes.Contains(text, []byte(secret)) {
		t.Errorf("status %d: %s", status, text)
	}
	for _, want := range []string{`"usd":"50"`, `"tokens":1000`, `"zone":"Europe/Berlin"`, `"requests_per_minute":600`, `"10.0.0.0/8"`, `"status":"active"`, `"feature":"checkout"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s in %s", want, text)
		}
	}

	// The budget of the same period is changed, not added to.
	before := got["budgets"].([]any)[0].(map[string]any)["id"]
	status, got = g.ask("PATCH", "/admin/v1/keys/"+id, `{"budget":{"period":"month","usd":"75.5","zone":"Europe/Berlin"}}`)
	budgets := got["budgets"].([]any)
	if b := budgets[0].(map[string]any); status != 200 || len(budgets) != 1 || b["id"] != before || b["usd"] != "75.5" || b["tokens"] != nil {
		t.Errorf("status %d, budgets %v", status, budgets)
	}
	if limits := got["limits"].(map[string]any); limits["requests_per_minute"] != 600.0 {
		t.Errorf("limits %v: what a PATCH does not name stays", limits)
	}

	if status, got = g.ask("POST", "/admin/v1/keys/"+id+"/revoke", `{"reason":"leaked"}`); status != 200 || got["status"] != "revoked" || got["revoked_reason"] != "leaked" {
		t.Errorf("status %d: %v", status, got)
	}
	if _, list := g.ask("GET", "/admin/v1/keys?status=active", ""); len(list["data"].([]any)) != 0 {
		t.Errorf("active keys: %v", list)
	}
	for _, entry := range g.logs.All() {
		if strings.Contains(entry.Message, secret) || strings.Contains(entry.ContextMap()["route"].(string), id) {
			t.Errorf("log tells too much: %v", entry)
		}
	}
}

func TestBadInput(t *testing.T) {
	g := newRig(t, nil)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		param  any
	}{
		"A25 mass assignment":      {`{"name":"k","team":"t","project":"p","role":"admin"}`, 422, "unknown_field", "role"},
		"A25 spent":                {`{"name":"k","team":"t","project":"p","spent":0}`, 422, "unknown_field", "spent"},
		"A25 negative limit":       {`{"name":"k","team":"t","project":"p","limits":{"requests_per_minute":-1}}`, 422, "invalid_value", "limits"},
		"A25 negative budget":      {`{"name":"k","team":"t","project":"p","budget":{"period":"day","usd":"-1"}}`, 422, "invalid_value", "budgets[0]"},
		"unknown model":            {`{"name":"k","team":"t","project":"p","models":["cheap-chat"]}`, 422, "unknown_model", "models[0]"},
		"money as a number":        {`{"name":"k","team":"t","project":"p","budget":{"period":"day","usd":1.5}}`, 422, "invalid_value", "usd"},
		"no name":                  {`{"team":"t","project":"p"}`, 422, "invalid_value", "name"},
		"no team":                  {`{"name":"k","project":"p"}`, 422, "invalid_value", "team"},
		"unknown project":          {`{"name":"k","project":"proj_none"}`, 404, "project_not_found", nil},
		"bad zone":                 {`{"name":"k","team":"t","project":"p","budget":{"period":"day","usd":"1","zone":"Mars/One"}}`, 422, "invalid_value", "budgets[0]"},
		"bad cidr":                 {`{"name":"k","team":"t","project":"p","allowed_cidrs":["10.0.0.0/99"]}`, 422, "invalid_value", "allowed_cidrs[0]"},
		"already expired":          {`{"name":"k","team":"t","project":"p","expires_at":"2020-01-01T00:00:00Z"}`, 422, "invalid_value", "expires_at"},
		"unknown environment":      {`{"name":"k","team":"t","project":"p","environment":"qa"}`, 422, "invalid_value", "environment"},
		"not JSON":                 {`{"name":`, 400, "invalid_json", nil},
		"something follows":        {`{"name":"k"}{}`, 422, "invalid_value", nil},
		"larger than it may be":    {`{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "request_too_large", nil},
		"a name of the wrong type": {`{"name":5}`, 422, "invalid_value", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			status, got := g.ask("POST", "/admin/v1/keys", c.body)
			e := got["error"].(map[string]any)
			if status != c.status || e["code"] != c.code || e["param"] != c.param || e["message"] == "" {
				t.Errorf("status %d, error %v; want %d %s %v", status, e, c.status, c.code, c.param)
			}
		})
	}
	if list, err := g.store.ListKeys(t.Context(), billing.KeyFilter{}); err != nil || len(list) != 0 {
		t.Errorf("keys were made: %v, %v", list, err)
	}
}

// A05: hostile searches and page sizes.
func TestA05_Lists(t *testing.T) {
	g := newRig(t, nil)
	for _, name := range []string{"100%", "a_b", "plain"} {
		if status, got := g.ask("POST", "/admin/v1/keys", `{"name":"`+name+`","team":"t","project":"p"}`); status != 201 {
			t.Fatal(got)
		}
	}
	for query, want := range map[string]int{"?q=%25": 1, "?q=_": 1, "?q=%25%25%25_%25": 0, "?team=t&limit=200": 3, "?q=%27%3Bdrop": 0} {
		status, got := g.ask("GET", "/admin/v1/keys"+query, "")
		if status != 200 || len(got["data"].([]any)) != want {
			t.Errorf("%s: status %d, %v", query, status, got)
		}
	}
	for _, query := range []string{"?limit=1000000000", "?limit=0", "?limit=x", "?status=;drop", "?q=%27;drop", "?status=%3Bdrop"} {
		if status, _ := g.ask("GET", "/admin/v1/keys"+query, ""); status != 422 {
			t.Errorf("%s: status %d", query, status)
		}
	}
	_, first := g.ask("GET", "/admin/v1/keys?limit=2", "")
	_, second := g.ask("GET", "/admin/v1/keys?limit=2&after="+first["next_cursor"].(string), "")
	if len(second["data"].([]any)) != 1 || second["has_more"] != false {
		t.Errorf("second page: %v", second)
	}
}

func TestAuthentication(t *testing.T) {
	g := newRig(t, nil)
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + token, token, "Bearer " + token + "x", "Bearer sk-tr-dev-key"} {
		resp := g.do("GET", "/admin/v1/keys", "", authorization)
		resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Errorf("%q: status %d", authorization, resp.StatusCode)
		}
	}
	off := newRig(t, func(o *Options) { o.Token = nil })
	for _, authorization := range []string{"", "Bearer ", "Bearer " + token} {
		resp := off.do("GET", "/admin/v1/keys", "", authorization)
		resp.Body.Close()
		if resp.StatusCode != 503 {
			t.Errorf("without a token, %q: status %d", authorization, resp.StatusCode)
		}
	}
}

// A15: no page of another origin may call the admin API.
func TestA15_NoCORS(t *testing.T) {
	g := newRig(t, nil)
	for _, origin := range []string{"https://evil.example", "null"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, g.url+"/admin/v1/keys", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		req.Header.Set("Access-Control-Request-Method", "POST")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.StatusCode < 400 {
			t.Errorf("%s: status %d, header %v", origin, resp.StatusCode, resp.Header)
		}
	}
}

func TestOwnersBudgetsAndSpend(t *testing.T) {
	g := newRig(t, nil)
	status, project := g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"payments","cost_center":"4711","environment":"prod"}`)
	if status != 201 {
		t.Fatal(project)
	}
	team := project["team"].(map[string]any)["id"].(string)
	status, budget := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"`+team+`","period":"month","usd":"100"}`)
	if status != 201 || budget["usd"] != "100" {
		t.Fatal(budget)
	}
	// A key of the team is bound by the team's budget.
	_, key := g.ask("POST", "/admin/v1/keys", `{"name":"k","project":"`+project["id"].(string)+`"}`)
	if list := key["budgets"].([]any); len(list) != 1 || list[0].(map[string]any)["scope"] != "team" {
		t.Errorf("budgets of the key: %v", list)
	}
	if status, got := g.ask("POST", "/admin/v1/budgets", `{"scope":"galaxy","period":"month","usd":"1"}`); status != 422 {
		t.Errorf("status %d: %v", status, got)
	}
	for path, want := range map[string]int{"/admin/v1/teams": 1, "/admin/v1/projects": 1, "/admin/v1/budgets": 1, "/admin/v1/spend?month=2026-11": 0} {
		status, got := g.ask("GET", path, "")
		if status != 200 || len(got["data"].([]any)) != want {
			t.Errorf("%s: status %d, %v", path, status, got)
		}
	}
	for _, path := range []string{"/admin/v1/spend?month=11-2026", "/admin/v1/spend?group_by=1;drop"} {
		if status, got := g.ask("GET", path, ""); status != 422 {
			t.Errorf("%s: status %d, %v", path, status, got)
		}
	}
}

type reason struct{ error }

func (reason) Reason() string { return "database: does not answer" }

func TestProbesNeedNoToken(t *testing.T) {
	g := newRig(t, func(o *Options) {
		o.Ready = func(context.Context) error { return reason{errors.New("dial tcp 10.0.0.1: refused")} }
	})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/version": 200, "/nothing": 404} {
		resp := g.do("GET", path, "", "")
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || bytes.Contains(body, []byte("10.0.0.1")) {
			t.Errorf("%s: status %d, %s", path, resp.StatusCode, body)
		}
	}
}
