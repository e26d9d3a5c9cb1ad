package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/web"
)

func TestModels(t *testing.T) {
	g := newRig(t)
	all := g.get("/v1/models").object(t)
	data := all["data"].([]any)
	if all["object"] != "list" || len(data) != 2 {
		t.Fatalf("%v", all)
	}
	mini := data[1].(map[string]any)
	p := mini["pricing"].(map[string]any)
	if p["prompt"] != "0.00000015" || p["completion"] != "0.0000006" || p["prompt_per_million"] != "0.15" ||
		p["completion_per_million"] != "0.6" {
		t.Errorf("pricing %v", p)
	}
	first := data[0].(map[string]any)
	if first["id"] != "m" || first["object"] != "model" || first["created"] != 1700000000.0 || first["context_length"] != 100000.0 ||
		first["pricing"] != nil {
		t.Errorf("%v", first)
	}
	if s := schema(t, "ListModelsResponse"); s != nil {
		if err := s.Validate(any(all)); err != nil {
			t.Error(err)
		}
	}
	for path, id := range map[string]string{
		"openai/gpt-4o-mini": "openai/gpt-4o-mini", "m": "m", "acme/m": "acme/m",
		"openai%2Fgpt-4o-mini": "openai/gpt-4o-mini",
	} {
		if got := g.get("/v1/models/" + path).object(t); got["id"] != id {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, none := range []string{"other/m", "x", "%2e%2e/%2e%2e/etc/passwd", strings.Repeat("x", 1000)} {
		g.get("/v1/models/"+none).refused(t, http.StatusNotFound, "model_not_found")
	}
	g.verifier.key.Models = []string{"openai/*"}
	if data := g.get("/v1/models").object(t)["data"].([]any); len(data) != 1 {
		t.Errorf("not filtered: %v", data)
	}
	g.get("/v1/models/m").refused(t, http.StatusNotFound, "model_not_found")
	g.get("/v1/models", "Authorization", "").refused(t, http.StatusUnauthorized, "invalid_api_key")
}

func TestPerToken(t *testing.T) {
	for rate, want := range map[billing.Money]string{
		150_000_000: "0.00000015", 1: "0.000000000000001", 1_000_000_000_000_000: "1", 2_500_000_000_000_000: "2.5", 0: "0",
	} {
		if got := *perToken(&rate); got != want {
			t.Errorf("%d: %s, want %s", rate, got, want)
		}
	}
}

func TestSelf(t *testing.T) {
	g := newRig(t)
	tokens, money, little := int64(1000), billing.Money(10_000_000_000), billing.Money(1_000_000_000)
	*g.verifier.key = billing.Key{
		ID: "key_1", Name: "checkout", Display: "sk-tr-dev-…x7qd", ProjectID: "proj_1", Project: "shop", TeamID: "team_1", Team: "web",
		Environment: "dev", ExpiresAt: day(2027, 2, 1), Models: []string{"m"},
	}
	g.ledger.balance = []billing.Balance{
		{
			Budget:     billing.Budget{ID: "bud_1", Scope: billing.ScopeKey, Period: billing.PeriodMonth, Tokens: &tokens, Money: &money},
			Window:     billing.Window{Start: day(2026, 11, 1), End: day(2026, 12, 1)},
			UsedTokens: 400, HeldTokens: 100, UsedMoney: 1,
		},
		{
			Budget: billing.Budget{ID: "bud_2", Scope: billing.ScopeTeam, Period: billing.PeriodDay, Money: &little},
			Window: billing.Window{End: day(2026, 11, 25)},
		},
	}
	perMinute := int64(60)
	g.verifier.key.Budgets = []billing.Budget{{ID: "bud_3", Scope: billing.ScopeKey, Period: billing.PeriodMinute, Requests: &perMinute}}
	r := g.get("/v1/key")
	k := r.object(t)
	if k["id"] != "key_1" || k["team"].(map[string]any)["name"] != "web" || k["expires_at"] != "2027-02-01T00:00:00Z" {
		t.Errorf("%v", k)
	}
	limits := k["limits"].(map[string]any)
	if limits["requests_per_minute"] != 60.0 || limits["tokens_per_minute"] != nil {
		t.Errorf("limits %v", limits)
	}
	left := k["remaining"].(map[string]any)
	if left["usd"] != "1" || left["tokens"] != 500.0 || left["resets_at"] != "2026-11-25T00:00:00Z" {
		t.Errorf("remaining %v", left)
	}
	b := k["budgets"].([]any)[0].(map[string]any)
	s := b["standing"].(map[string]any)
	if b["tokens"] != 1000.0 || s["used_tokens"] != 400.0 || s["held_tokens"] != 100.0 || s["remaining_tokens"] != 500.0 {
		t.Errorf("tokens %v", b)
	}
	if b["usd"] != "10" || s["used_usd"] != "0.000000001" || s["remaining_usd"] != "9.999999999" {
		t.Errorf("usd %v", b)
	}
	if b["zone"] != "UTC" || s["resets_at"] != "2026-12-01T00:00:00Z" || s["since"] == nil ||
		k["budgets"].([]any)[1].(map[string]any)["tokens"] != nil {
		t.Errorf("budgets %v", k["budgets"])
	}
	if r.Header.Get("X-Tallyroute-Budget-Remaining-Usd") != "1" {
		t.Errorf("headers %v", r.Header)
	}
	if strings.Contains(r.body, g.secret) {
		t.Error("the secret is repeated")
	}
}

// TestReceipt reads back the result of a request with a failed attempt.
func TestReceipt(t *testing.T) {
	g := newRig(t)
	first := true
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		if first {
			first = false
			return nil, &providers.Error{Provider: x.Target.Provider, Kind: providers.KindOverload, Status: 503}
		}
		return plainAnswer(), nil
	}
	g.verifier.key.AllowUnpriced = true
	r := g.chat(strings.Replace(hi, `"m"`, `"two"`, 1))
	if r.Header.Get("X-Tallyroute-Attempts") != "2" || r.Header.Get("X-Tallyroute-Route-Reason") != "failover" {
		t.Fatalf("%d %v", r.StatusCode, r.Header)
	}
	id := r.Header.Get("X-Request-Id")
	got := g.get("/v1/requests/" + id).object(t)
	list := got["attempts"].([]any)
	if got["id"] != id || got["status"] != "ok" || got["model"] != "two" || got["tokens"] != 15.0 || len(list) != 2 {
		t.Fatalf("%v", got)
	}
	a, b := list[0].(map[string]any), list[1].(map[string]any)
	if a["attempt"] != 1.0 || a["error"] != "overload" || a["status"] != "error" || b["status"] != "ok" ||
		b["route_reason"] != "failover" || b["usage_source"] != "reported" {
		t.Errorf("%v\n%v", a, b)
	}
	for _, none := range []string{"req_01JDXXXXXXXXXXXXXXXXXXXXXX", "req_1", "x", "%27;drop", id[:len(id)-1]} {
		g.get("/v1/requests/"+none).refused(t, http.StatusNotFound, "request_not_found")
	}
	g.verifier.key.ID = "key_2"
	g.get("/v1/requests/"+id).refused(t, http.StatusNotFound, "request_not_found")
}

// TestReceiptOfARejectedRowSaysSo: a request whose row the ledger refused does not look as if
// it had never been made.
func TestReceiptOfARejectedRowSaysSo(t *testing.T) {
	g := newRig(t)
	r := g.chat(hi)
	id := r.Header.Get("X-Request-Id")
	row := g.ledger.rows[0]
	g.ledger.rows = nil
	g.ledger.rejects = []billing.RejectedRow{{Reject: billing.Reject{Row: row, Reason: "a rule of the database"}}}
	got := g.get("/v1/requests/" + id)
	receipt := got.object(t)
	list := receipt["attempts"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["rejected"] != true || receipt["cost_usd"] != row.Cost.Total.Short() {
		t.Errorf("%v", receipt)
	}
	g.verifier.key.ID = "key_2"
	g.get("/v1/requests/"+id).refused(t, http.StatusNotFound, "request_not_found")
}

type reasoned struct{ error }

func (reasoned) Reason() string { return "shutting down" }

func TestProbes(t *testing.T) {
	var state error
	g := newRig(t, func(o *Options) {
		o.Ready = func(context.Context) (map[string]string, error) {
			return map[string]string{"status": "degraded"}, state
		}
	})
	for _, tc := range []struct {
		err    error
		status int
		reason any
	}{
		{nil, 200, nil},
		{fmt.Errorf("%w: dial secret-host.internal:5432", billing.ErrUnavailable), 503, "the database does not answer"},
		{errors.New("secret-host.internal"), 503, "starting or stopping"},
		{fmt.Errorf("x: %w", reasoned{errors.New("secret-host.internal")}), 503, "shutting down"},
	} {
		state = tc.err
		r := g.get("/readyz", "Authorization", "")
		if r.StatusCode != tc.status || r.object(t)["reason"] != tc.reason || strings.Contains(r.body, "secret-host") {
			t.Errorf("%v: %d %s", tc.err, r.StatusCode, r.body)
		}
		if r := g.get("/healthz", "Authorization", ""); r.StatusCode != 200 {
			t.Errorf("alive: %d", r.StatusCode)
		}
	}
	if n := g.verifier.calls.Load(); n != 0 {
		t.Errorf("%d look-ups", n)
	}
}

// TestLogCannotBeForged sends texts that would forge or break log lines.
func TestLogCannotBeForged(t *testing.T) {
	g := newRig(t)
	evil := "a\u2028b\u202ec\x1b[31m{\"level\":\"fatal\"}" + strings.Repeat("x", 5000)
	conn := g.dial()
	fmt.Fprintf(conn, "GET /v1/models/%%0a%%0d%%1b?q=%%0a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: "+
		"%s\r\nX-Request-Id: %s\r\n\r\n",
		strings.Repeat("u", 10_000), strings.ReplaceAll(evil, "\x1b", "\t"))
	g.rest(conn)
	g.waitObserved()
	lines := g.log.lines()
	if len(lines) != 1 || len(lines[0]) > 1000 || strings.ContainsAny(lines[0], "\u2028\u202e\x1b") {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
	if got := web.Label(evil, 256); len(got) > 256 || strings.ContainsAny(got, "\u2028\u202e\x1b\n\r") ||
		!strings.HasPrefix(got, "a·b·c·[31m") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := web.Label("\xff\xfeé\x00", 5); got != "·é" {
		t.Errorf("%q", got)
	}
}

func TestLogHasNoSecretAndNoText(t *testing.T) {
	g := newRig(t)
	g.chat(strings.Replace(hi, "hi", "canary-in-the-body", 1), "X-Request-Id", "mine", "X-Tallyroute-Tags", "a=canary-in-a-header",
		"X-Stainless-Retry-Count", "2")
	g.get("/v1/key?x=canary-in-the-query")
	g.get("/canary-in-the-path")
	all := strings.Join(g.log.lines(), "\n")
	if strings.Contains(all, "canary") || strings.Contains(all, g.secret[10:20]) {
		t.Error(all)
	}
	for _, want := range []string{
		`"key_id":"key_1"`, `"client_request_id":"mine"`, `"route":"/v1/chat/completions"`, `"status":200`,
		`"client_retry":2`, `"route":"unknown"`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
}

// TestPublicListenerHasNothingOfTheInside: nothing from the admin API, and no labels that a
// client can make up.
func TestPublicListenerHasNothingOfTheInside(t *testing.T) {
	g := newRig(t)
	for _, path := range []string{"/metrics", "/debug/pprof/", "/admin", "/admin/v1/keys", "/version"} {
		g.get(path).refused(t, http.StatusNotFound, "not_found")
		if got := g.waitObserved(); got != "GET unknown 404" {
			t.Errorf("observed %q", got)
		}
	}
	for path, want := range map[string]string{
		"/v1/models/" + strings.Repeat("x", 100): "GET /v1/models/*id 404", "/v1/requests/abc": "GET /v1/requests/:id 404",
	} {
		g.get(path)
		if got := g.waitObserved(); got != want {
			t.Errorf("observed %q", got)
		}
	}
	g.do(g.request("MADEUP", "/v1/key", ""))
	if got := g.waitObserved(); got != "other unknown 405" {
		t.Errorf("observed %q", got)
	}
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("served without a router")
	}
	s, err := New(Options{Router: fails{}})
	if err != nil {
		t.Fatal(err)
	}
	if s.ReadHeaderTimeout != 5*time.Second || s.IdleTimeout != time.Minute || s.MaxHeaderBytes != 32<<10 || s.WriteTimeout != 0 {
		t.Errorf("%+v", s)
	}
	if !s.Protocols.HTTP2() || s.Protocols.UnencryptedHTTP2() || !s.Protocols.HTTP1() {
		t.Error("protocols")
	}
	l := Limits{}.withDefaults()
	if l.Body != 10<<20 || l.Fields != 100 || l.Connections != 4096 || l.ReadBody != 30*time.Second || l.Write != 15*time.Second {
		t.Errorf("%+v", l)
	}
}

// A key with a budget in money cannot use models without a price, and so does not see them.
func TestModelsWithoutAPriceAreNotListedForKeysThatNeedOne(t *testing.T) {
	g := newRig(t)
	money := billing.Money(1)
	g.verifier.key.Budgets = []billing.Budget{{Money: &money}}
	if body := g.get("/v1/models").body; strings.Contains(body, `"id":"m"`) || !strings.Contains(body, "openai/gpt-4o-mini") {
		t.Error(body)
	}
}
