package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "sk-tr-admin-test-token-of-some-length-000000"

// rig is the real listener over a real store.
type rig struct {
	t      *testing.T
	url    string
	client *http.Client
	store  billing.Store
	logs   *observer.ObservedLogs
	engine *gin.Engine
	o      Options
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
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
	key, err := manage.ParseAuditKey(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	o := Options{
		Reports: store, Actions: manage.Actions{
			Store: store.Contracts(), Pepper: pepper, SinkNames: []string{"files"}, Notifiers: listeners, Upstreams: desk{}, AuditKey: key,
			KnownModel: func(name string) (string, bool) { return "chat-cheap", name == "chat-cheap" || name == "openai/*" },
		},
		Token: func() string { return token }, Version: "test", Log: zap.New(core), BaseURL: "http://127.0.0.1:8080/v1",
		Health:  func() Health { return Health{Data: []TargetHealth{{Name: "acme", Status: "healthy"}}} },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a_metric 1\n") }),
	}
	for _, f := range change {
		f(&o)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = s.Shutdown(context.Background())
		<-done
	})
	return &rig{
		t: t, url: "http://" + l.Addr().String(), client: &http.Client{Transport: transport}, store: store.Contracts(), logs: logs,
		engine: Handler(o).(*gin.Engine), o: o,
	}
}

type answer struct {
	status          int
	header, trailer http.Header
	text            string
	v               map[string]any
}

// ask sends a request with the token and decodes the answer.
func (g *rig) ask(method, path, body string) answer {
	g.t.Helper()
	return g.send(method, path, body, "Authorization", "Bearer "+token)
}

func (g *rig) send(method, path, body string, header ...string) answer {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, trailer: resp.Trailer, text: string(text)}
	_ = json.Unmarshal(text, &a.v)
	validate(g.t, method, path, a)
	return a
}

// refused checks for an error in OpenAI's format and returns it.
func (a answer) refused(t *testing.T, status int, code string) map[string]any {
	t.Helper()
	e, _ := a.v["error"].(map[string]any)
	if a.status != status || e["code"] != code {
		t.Fatalf("status %d: %s; want %d %s", a.status, a.text, status, code)
	}
	if e["message"] == "" || e["type"] == "" || e["fix"] == "" || e["request_id"] != a.header.Get("X-Request-Id") {
		t.Errorf("%v", e)
	}
	if _, there := e["param"]; !there {
		t.Error("no param")
	}
	return e
}

func (a answer) data() []any { list, _ := a.v["data"].([]any); return list }

func (a answer) object(name string) map[string]any { o, _ := a.v[name].(map[string]any); return o }

const checkout = `{"name":"checkout","team":"payments","project":"shop","environment":"prod","cost_center":"4711",
	"models":["chat-cheap","openai/*"],"budget":{"period":"month","usd":"50.00","tokens":1000,"zone":"Europe/Berlin","action":"block"},
	"limits":{"requests_per_minute":600},"allowed_cidrs":["10.1.2.3/8","192.0.2.1"],"expires_in":"90d","tags":{"feature":"checkout"}}`

func TestKeyLife(t *testing.T) {
	g := newRig(t)
	made := g.ask("POST", "/admin/v1/keys", checkout)
	if made.status != http.StatusCreated || made.v["secret_shown_once"] != true || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", made.status, made.text)
	}
	secret, _ := made.v["secret"].(string)
	if s, err := billing.ParseSecret(secret); err != nil || s.Environment() != "prod" {
		t.Errorf("secret: %v", err)
	}
	for _, language := range []string{"python", "node", "go", "curl"} {
		snippet, _ := made.object("snippets")[language].(string)
		if !strings.Contains(snippet, "127.0.0.1:8080/v1") || !strings.Contains(snippet, "chat-cheap") ||
			strings.Contains(snippet, secret) {
			t.Errorf("%s: %q", language, snippet)
		}
	}
	id := made.v["id"].(string)
	path := "/admin/v1/keys/" + id

	got := g.ask("GET", path, "")
	if got.status != 200 || strings.Contains(got.text, secret) {
		t.Errorf("%d %s", got.status, got.text)
	}
	for _, want := range []string{
		`"usd":"50"`, `"tokens":1000`, `"zone":"Europe/Berlin"`, `"requests_per_minute":600`, `"tokens_per_minute":null`, `"10.0.0.0/8"`,
		`"192.0.2.1/32"`, `"status":"active"`, `"feature":"checkout"`, `"cost_center":"4711"`, `"environment":"prod"`, `"used_usd":"0"`,
	} {
		if !strings.Contains(got.text, want) {
			t.Errorf("no %s in %s", want, got.text)
		}
	}

	// The budget for the same period is changed, not added to.
	before := got.v["budgets"].([]any)[0].(map[string]any)["id"]
	got = g.ask("PATCH", path, `{"budget":{"period":"month","usd":"75.5"},"limits":{"tokens_per_minute":5},`+
		`"expires_at":null}`)
	budgets, _ := got.v["budgets"].([]any)
	if b := budgets[0].(map[string]any); len(budgets) != 2 || b["id"] != before || b["usd"] != "75.5" || b["tokens"] != 1000.0 ||
		b["zone"] != "Europe/Berlin" {
		t.Errorf("%d, budgets %v", got.status, budgets)
	}
	if l := got.object("limits"); l["requests_per_minute"] != 600.0 || l["tokens_per_minute"] != 5.0 || got.v["expires_at"] != nil ||
		got.v["name"] != "checkout" {
		t.Errorf("what a PATCH does not name stays: %s", got.text)
	}
	for param, body := range map[string]string{"models": `{"models":[]}`, "allowed_cidrs": `{"allowed_cidrs":[]}`} {
		if e := g.ask("PATCH", path, body).refused(t, 422, "invalid_value"); e["param"] != param {
			t.Errorf("%s: %v", body, e)
		}
		if e := g.ask("POST", "/admin/v1/keys", `{"name":"x",`+body[1:]).refused(t, 422, "invalid_value"); e["param"] != param {
			t.Errorf("%s: %v", body, e)
		}
	}
	g.ask("PATCH", path, `{}`).refused(t, 422, "invalid_value")
	g.ask("PATCH", path, `{"reason":"nothing"}`).refused(t, 422, "invalid_value")
	version := g.ask("GET", path, "").v["version"]
	if again := g.ask("PATCH", path, `{"name":"checkout"}`); again.status != 200 || again.v["version"] != version {
		t.Errorf("what is so already: %s", again.text)
	}
	if got = g.ask("PATCH", path, `{"budgets":[{"tokens":null}]}`); got.v["budgets"].([]any)[0].(map[string]any)["tokens"] != nil {
		t.Errorf("null is no limit: %s", got.text)
	}
	if got = g.ask("PATCH", path, `{"models":null,"tags":{},"allowed_cidrs":null,"name":"new","budgets":[]}`); got.v["models"] != nil ||
		got.v["allowed_cidrs"] != nil ||
		got.v["name"] != "new" || len(got.v["budgets"].([]any)) != 1 { // the per-minute budget appears under limits
		t.Errorf("%s", got.text)
	}

	key := billing.KeyID(strings.TrimPrefix(path, "/admin/v1/keys/"))
	if _, err := g.store.UpdateKey(t.Context(), key, func(k *billing.Key) error { k.StoppedAt = time.Now(); return nil }); err != nil {
		t.Fatal(err)
	}
	if got = g.ask("GET", path, ""); got.v["status"] != "stopped" || got.v["stopped_at"] == nil || got.v["overrun_usd"] != "0" {
		t.Errorf("%s", got.text)
	}
	got = g.ask("POST", path+"/enable", `{"reason":"fixed"}`)
	if got.v["status"] != "active" || got.v["stopped_at"] != nil || got.v["enabled_reason"] != "fixed" || got.v["enabled_by"] != "admin" ||
		got.v["enabled_at"] == nil {
		t.Errorf("%s", got.text)
	}
	if again := g.ask("POST", path+"/enable", ""); again.status != 200 || again.v["enabled_reason"] != "fixed" {
		t.Errorf("again: %s", again.text)
	}

	got = g.ask("POST", path+"/revoke", `{"reason":"leaked"}`)
	if got.v["status"] != "revoked" || got.v["revoked_reason"] != "leaked" || got.v["revoked_at"] == nil {
		t.Errorf("%s", got.text)
	}
	if again := g.ask("POST", path+"/revoke", ""); again.status != 200 || again.v["revoked_at"] != got.v["revoked_at"] {
		t.Errorf("again: %s", again.text)
	}
	g.ask("PATCH", path, `{"name":"x"}`).refused(t, 409, "conflict")
	if list := g.ask("GET", "/admin/v1/keys?status=active", ""); len(list.data()) != 0 {
		t.Errorf("active keys: %s", list.text)
	}
	for _, none := range []answer{
		g.ask("GET", "/admin/v1/keys/key_none", ""), g.ask("PATCH", "/admin/v1/keys/key_none", `{}`),
		g.ask("POST", "/admin/v1/keys/key_none/revoke", `{}`),
	} {
		none.refused(t, 404, "key_not_found")
	}
	for _, entry := range g.logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, secret) || strings.Contains(text, token) {
			t.Errorf("the log tells a secret: %s", text)
		}
	}
}

// TestStandingOfBudgets checks what is reported as used of a key's budgets.
func TestStandingOfBudgets(t *testing.T) {
	g := newRig(t)
	id := g.ask("POST", "/admin/v1/keys", checkout).v["id"].(string)
	keys, err := g.store.ListKeys(t.Context(), billing.KeyFilter{ID: billing.KeyID(id)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	month := *keys[0].Own(billing.PeriodMonth)
	w, err := month.Window(now)
	if err != nil {
		t.Fatal(err)
	}
	h := billing.Hold{
		ID: "req_1", KeyID: keys[0].ID, KeyVersion: keys[0].Version, Tokens: 7, Money: 2_000_000_000, ExpiresAt: now.Add(time.Hour),
		Lines: []billing.HoldLine{{Budget: month, Window: w}},
		IfLost: billing.Spend{
			RequestID: "req_1", Owner: keys[0].Owner(), OccurredAt: now, Kind: billing.KindUsage, Attempt: 1, Final: true,
			Status: billing.StatusInterrupted, UsageSource: billing.Bounded, Pricing: billing.Unpriced,
		},
	}
	if _, err := g.store.Reserve(t.Context(), h, now); err != nil {
		t.Fatal(err)
	}
	s := g.ask("GET", "/admin/v1/keys/"+id, "").v["budgets"].([]any)[0].(map[string]any)["standing"].(map[string]any)
	if s["held_usd"] != "2" || s["held_tokens"] != 7.0 || s["resets_at"] == nil {
		t.Errorf("%v", s)
	}
}

func TestBadInput(t *testing.T) {
	g := newRig(t)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		param  any
	}{
		"mass assignment": {`{"name":"k","role":"admin"}`, 422, "unknown_field", "role"},
		"spent":           {`{"name":"k","spent":0}`, 422, "unknown_field", "spent"},
		"id":              {`{"name":"k","id":"key_1"}`, 422, "unknown_field", "id"},
		"deep":            {`{"name":"k","limits":{"cost_per_minute":1}}`, 422, "unknown_field", "limits.cost_per_minute"},
		"negative limit": {
			`{"name":"k","limits":{"requests_per_minute":-1}}`, 422, "invalid_value",
			"limits.requests_per_minute",
		},
		"negative budget":  {`{"name":"k","budget":{"period":"day","usd":"-1"}}`, 422, "invalid_value", "budgets[0]"},
		"budget of a team": {`{"name":"k","budget":{"usd":"1","scope":"team"}}`, 422, "unknown_field", "budget.scope"},
		"another case":     {`{"NAME":"k"}`, 422, "unknown_field", "NAME"},
		"twice":            {`{"name":"k","name":"l"}`, 422, "duplicate_field", "name"},
		"twice inside": {
			`{"name":"k","limits":{"tokens_per_minute":1,"tokens_per_minute":0}}`, 422, "duplicate_field",
			"limits.tokens_per_minute",
		},
		"number as text": {`{"name":"k","limits":{"tokens_per_minute":"5"}}`, 422, "invalid_value", "limits.tokens_per_minute"},
		"fraction":       {`{"name":"k","limits":{"tokens_per_minute":1.5}}`, 422, "invalid_value", "limits.tokens_per_minute"},
		"too large": {
			`{"name":"k","limits":{"tokens_per_minute":9223372036854775808}}`, 422, "invalid_value",
			"limits.tokens_per_minute",
		},
		"array":                    {`[]`, 400, "invalid_json", nil},
		"NUL":                      {`{"name":"a\u0000b"}`, 422, "invalid_value", "name"},
		"not UTF-8":                {"{\"name\":\"\xff\"}", 400, "invalid_json", nil},
		"unknown model":            {`{"name":"k","models":["chat-cheap","cheap-chat"]}`, 422, "unknown_model", "models[1]"},
		"money as a number":        {`{"name":"k","budget":{"usd":1.5}}`, 422, "invalid_value", "budget.usd"},
		"money of ten decimals":    {`{"name":"k","budgets":[{"usd":"1"},{"usd":"0.0000000001"}]}`, 422, "invalid_value", "budgets[1].usd"},
		"another action":           {`{"name":"k","budget":{"usd":"1","action":"guess"}}`, 422, "invalid_value", "budget.action"},
		"a budget of nothing":      {`{"name":"k","budget":{}}`, 422, "invalid_value", "budgets[0]"},
		"no hand-over":             {`{"name":"k","handover_for":"1h"}`, 422, "invalid_value", "handover_for"},
		"both budgets":             {`{"name":"k","budget":{"usd":"1"},"budgets":[]}`, 422, "invalid_value", "budget"},
		"budgets of no array":      {`{"name":"k","budgets":{}}`, 422, "invalid_value", "budgets"},
		"limits of no object":      {`{"name":"k","limits":5}`, 422, "invalid_value", "limits"},
		"both expiries":            {`{"name":"k","expires_in":"1d","expires_at":null}`, 422, "invalid_value", "expires_in"},
		"no span":                  {`{"name":"k","expires_in":"soon"}`, 422, "invalid_value", "expires_in"},
		"a negative span":          {`{"name":"k","expires_in":"-24h"}`, 422, "invalid_value", "expires_in"},
		"no instant":               {`{"name":"k","expires_at":"tomorrow"}`, 422, "invalid_value", "expires_at"},
		"already expired":          {`{"name":"k","expires_at":"2020-01-01T00:00:00Z"}`, 422, "invalid_value", "expires_at"},
		"no name":                  {`{}`, 422, "invalid_value", "name"},
		"a name of the wrong type": {`{"name":5}`, 422, "invalid_value", "name"},
		"unknown project":          {`{"name":"k","project":"proj_none"}`, 404, "project_not_found", nil},
		"bad zone":                 {`{"name":"k","budget":{"usd":"1","zone":"Mars/One"}}`, 422, "invalid_value", "budgets[0]"},
		"bad cidr":                 {`{"name":"k","allowed_cidrs":["10.0.0.0/99"]}`, 422, "invalid_value", "allowed_cidrs[0]"},
		"unknown environment":      {`{"name":"k","environment":"qa"}`, 422, "invalid_value", "environment"},
		"not JSON":                 {`{"name":`, 400, "invalid_json", nil},
		"nothing":                  {``, 400, "invalid_json", nil},
		"something follows":        {`{"name":"k"}{}`, 400, "invalid_json", nil},
		"larger than it may be":    {`{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "request_too_large", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := g.ask("POST", "/admin/v1/keys", c.body).refused(t, c.status, c.code)
			if e["param"] != c.param {
				t.Errorf("param %v, want %v", e["param"], c.param)
			}
		})
	}
	e := g.ask("POST", "/admin/v1/keys", `{"name":"","limits":{"requests_per_minute":-1},"models":["cheap-chat"]}`).refused(t, 422,
		"invalid_value")
	for _, want := range []string{"name", "limits.requests_per_minute", `did you mean "chat-cheap"?`} {
		if !strings.Contains(e["message"].(string), want) {
			t.Errorf("not every fault is named: %v", e["message"])
		}
	}
	g.send("POST", "/admin/v1/keys", `{"name":"k"}`, "Authorization", "Bearer "+token, "Content-Type", "text/plain").refused(t, 415,
		"unsupported_media_type")
	if list, err := g.store.ListKeys(t.Context(), billing.KeyFilter{}); err != nil || len(list) != 0 {
		t.Errorf("keys were made: %v, %v", list, err)
	}
	if list, err := g.store.ListProjects(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("projects were made: %v, %v", list, err)
	}
}

func TestListQueriesAreCheckedAndLiteral(t *testing.T) {
	g := newRig(t)
	for _, name := range []string{"100%", "a_b", "plain"} {
		if got := g.ask("POST", "/admin/v1/keys", `{"name":"`+name+`","team":"t","project":"p"}`); got.status != 201 {
			t.Fatal(got.text)
		}
	}
	for query, want := range map[string]int{
		"?q=%25": 1, "?q=_": 1, "?q=%25%25%25_%25": 0, "?team=t&limit=200": 3, "?q=%27%3Bdrop": 0,
		"": 3, "?project=p": 3,
	} {
		if got := g.ask("GET", "/admin/v1/keys"+query, ""); got.status != 200 || len(got.data()) != want {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
	g.ask("GET", "/admin/v1/keys?team=nope", "").refused(t, 404, "team_not_found")
	g.ask("GET", "/admin/v1/keys?project=nope", "").refused(t, 404, "project_not_found")
	for query, param := range map[string]string{
		"?cursor=zzz":       "cursor",
		"?limit=1000000000": "limit", "?limit=0": "limit", "?limit=-5": "limit", "?limit=x": "limit", "?limit=201": "limit",
		"?status=%3Bdrop": "status",
		"?sort=%3Bdrop":   "sort", "?q=a&q=b": "q", "?q=%27;drop": "query", "?q=" + strings.Repeat("x", 300): "q",
	} {
		got := g.ask("GET", "/admin/v1/keys"+query, "")
		if e, _ := got.v["error"].(map[string]any); got.status != 422 || e["param"] != param {
			t.Errorf("%s: %d %s", query, got.status, got.text)
		}
	}
	for _, path := range []string{"/admin/v1/teams", "/admin/v1/projects", "/admin/v1/budgets"} {
		if got := g.ask("GET", path+"?limit=201", ""); got.status != 422 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// TestPages walks every list in pages of two, and sees each item once.
func TestPages(t *testing.T) {
	g := newRig(t)
	for i := range 4 {
		body := fmt.Sprintf(`{"name":"k%d","team":"t%d","project":"p","budget":{"usd":"1"}}`, i, i)
		if got := g.ask("POST", "/admin/v1/keys", body); got.status != 201 {
			t.Fatal(got.text)
		}
	}
	for _, path := range []string{"/admin/v1/keys", "/admin/v1/teams", "/admin/v1/projects", "/admin/v1/budgets"} {
		var seen []string
		pages := 0
		for cursor := ""; ; pages++ {
			got := g.ask("GET", path+"?limit=2&cursor="+cursor, "")
			for _, item := range got.data() {
				seen = append(seen, item.(map[string]any)["id"].(string))
			}
			next, more := got.v["next_cursor"].(string)
			if more != got.v["has_more"].(bool) {
				t.Fatalf("%s: %s", path, got.text)
			}
			if !more {
				break
			}
			cursor = next
		}
		if e := g.ask("GET", path+"?cursor=zzz", "").refused(t, 422, "invalid_value"); e["param"] != "cursor" {
			t.Errorf("%s: %v", path, e)
		}
		if len(seen) != 4 || pages != 1 || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != 4 || !slices.IsSorted(seen) {
			t.Errorf("%s: %d more pages, %v", path, pages, seen)
		}
	}
}

// TestEveryRouteWantsTheToken walks the registered routes, so that new ones are covered.
func TestEveryRouteWantsTheToken(t *testing.T) {
	g, off := newRig(t, func(o *Options) {
		var calls atomic.Int64
		began := time.Now()
		o.Clock = func() time.Time { return began.Add(time.Duration(calls.Add(1)) * time.Second) } // so that no attempt exceeds the limit
	}), newRig(t, func(o *Options) { o.Token = nil })
	virtual, err := billing.NewSecret("dev", strings.NewReader(strings.Repeat("some bytes that are no secret at all", 10)))
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{"/healthz": true, "/readyz": true, "/version": true, "/metrics": true}
	n := 0
	for _, r := range g.engine.Routes() {
		path := strings.NewReplacer(":id", "key_1", ":code", "conflict").Replace(r.Path)
		if open[r.Path] || r.Path == "/docs/errors/:code" {
			if got := g.send(r.Method, path, ""); got.status != 200 {
				t.Errorf("%s: %d", path, got.status)
			}
			continue
		}
		if strings.HasPrefix(strings.TrimPrefix(r.Path, base), "/login") {
			continue // needs no authentication
		}
		n++
		for _, authorization := range []string{
			"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + token, token, "Bearer " + token + "x",
			"Bearer " + token[:20], "Bearer  " + token,
		} {
			g.send(r.Method, path, "{}", "Authorization", authorization).refused(t, 401, "invalid_admin_token")
		}
		g.send(r.Method, path, "{}", "X-Api-Key", token).refused(t, 401, "invalid_admin_token")
		g.send(r.Method, path, "{}", "Authorization", "Bearer "+virtual.Reveal()).refused(t, 403, "insufficient_role")
		g.send(r.Method, path, "{}", "Authorization", "Bearer "+token, "Authorization", "Bearer x").refused(t, 400, "ambiguous_credentials")
		for _, authorization := range []string{"", "Bearer ", "Bearer " + token} {
			off.send(r.Method, path, "{}", "Authorization", authorization).refused(t, 503, "admin_disabled")
		}
	}
	known := slices.DeleteFunc(operations(), func(o operation) bool { return o.opened })
	if n != len(known) {
		t.Errorf("%d routes were looked at", n)
	}
}

func TestOddPathsAndOriginsAreRefused(t *testing.T) {
	g := newRig(t)
	for _, origin := range []string{"https://evil.example", "null"} {
		for _, got := range []answer{
			g.send("OPTIONS", "/admin/v1/keys", "", "Origin", origin, "Access-Control-Request-Method", "POST"),
			g.send("GET", "/admin/v1/keys", "", "Origin", origin, "Authorization", "Bearer "+token),
		} {
			for name := range got.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: %s", origin, name)
				}
			}
		}
	}
	g.send("OPTIONS", "/admin/v1/keys", "").refused(t, 405, "method_not_allowed")
	for _, path := range []string{
		"/", "/admin", "/admin/v1/keys/", "/Admin/v1/keys", "//admin/v1/keys", "/v1/chat/completions",
		"/debug/pprof/",
	} {
		g.ask("GET", path, "").refused(t, 404, "not_found")
	}
	// An absolute URI is for proxies.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://evil.example/admin/v1/keys", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	if g.engine.ServeHTTP(w, r); w.Code != 404 {
		t.Errorf("absolute URI: %d", w.Code)
	}
}

func TestOwnersAndBudgets(t *testing.T) {
	g := newRig(t)
	team := g.ask("POST", "/admin/v1/teams", `{"name":"payments","cost_center":"4711"}`)
	if team.status != 201 || team.v["cost_center"] != "4711" || team.object("project")["name"] != "default" {
		t.Fatal(team.text)
	}
	if again := g.ask("POST", "/admin/v1/teams", `{"name":"payments"}`); again.status != 200 || again.v["id"] != team.v["id"] {
		t.Error(again.text)
	}
	id := team.v["id"].(string)
	project := g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"`+id+`","environment":"prod"}`)
	if project.status != 201 || project.object("team")["id"] != id || project.v["environment"] != "prod" {
		t.Fatal(project.text)
	}
	if again := g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"payments"}`); again.status != 200 ||
		again.v["id"] != project.v["id"] {
		t.Error(again.text)
	}
	g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"payments","environment":"dev"}`).refused(t, 409, "conflict")
	g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"team_none"}`).refused(t, 404, "team_not_found")
	g.ask("POST", "/admin/v1/projects", `{"name":"shop"}`).refused(t, 422, "invalid_value")
	g.ask("POST", "/admin/v1/projects", `{"team":"payments"}`).refused(t, 422, "invalid_value")
	g.ask("POST", "/admin/v1/teams", `{}`).refused(t, 422, "invalid_value")
	g.ask("POST", "/admin/v1/teams", `{"name":"a\nb"}`).refused(t, 422, "invalid_value")

	budget := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"`+id+`","period":"month","usd":"100"}`)
	if budget.status != 201 || budget.v["usd"] != "100" || budget.v["tokens"] != nil || budget.v["zone"] != "UTC" {
		t.Fatal(budget.text)
	}
	raised := g.ask("POST", "/admin/v1/budgets", `{"id":"`+budget.v["id"].(string)+`","scope":"team","scope_id":"`+id+
		`","period":"month","usd":"200"}`)
	if raised.status != 200 || raised.v["usd"] != "200" {
		t.Error(raised.text)
	}
	if org := g.ask("POST", "/admin/v1/budgets", `{"scope":"org","tokens":9}`); org.status != 201 || org.v["scope_id"] != "org" ||
		org.v["period"] != "month" {
		t.Error(org.text)
	}
	again := g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"payments","tokens":7,"zone":"Europe/Berlin"}`)
	if again.v["usd"] != "200" || again.v["tokens"] != 7.0 {
		t.Errorf("what was not said did not stay: %s", again.text)
	}
	if again = g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"payments","usd":"5"}`); again.v["tokens"] != 7.0 ||
		again.v["zone"] != "Europe/Berlin" {
		t.Errorf("what was not said did not stay: %s", again.text)
	}
	for param, body := range map[string]string{
		"usd": `{"scope":"org","usd":"-1"}`, "tokens": `{"scope":"org","tokens":-1}`, "zone": `{"scope":"org","tokens":9,"zone":"Mars/X"}`,
	} {
		if e := g.ask("POST", "/admin/v1/budgets", body).refused(t, 422, "invalid_value"); e["param"] != param {
			t.Errorf("%s: %v", body, e)
		}
	}
	// A key of the team is subject to its own budget and the organisation's.
	key := g.ask("POST", "/admin/v1/keys", `{"name":"k","project":"`+project.v["id"].(string)+`"}`)
	if list, _ := key.v["budgets"].([]any); len(list) != 2 {
		t.Errorf("budgets of the key: %s", key.text)
	}
	for _, bad := range []string{
		`{"scope":"galaxy","usd":"1"}`, `{"scope":"org"}`, `{"scope":"org","tokens":-1}`, `{"scope":"org","period":"30d","tokens":1}`,
		`{"scope":"org","scope_id":"x","tokens":1}`, `{"scope":"org","tokens":1,"action":"guess"}`,
	} {
		g.ask("POST", "/admin/v1/budgets", bad).refused(t, 422, "invalid_value")
	}
	g.ask("POST", "/admin/v1/budgets", `{"scope":"team","scope_id":"team_none","tokens":1}`).refused(t, 404, "team_not_found")
	g.ask("POST", "/admin/v1/budgets", `{"id":"bud_none","scope":"org","tokens":1}`).refused(t, 404, "budget_not_found")
}

// TestBudgetsSetAtOnceAreOne: all budgets apply, so a second one would be a limit that nobody
// intended.
func TestBudgetsSetAtOnceAreOne(t *testing.T) {
	g := newRig(t)
	statuses := make([]int, 8)
	var wait sync.WaitGroup
	for i := range statuses {
		wait.Go(func() {
			statuses[i] = g.ask("POST", "/admin/v1/budgets", fmt.Sprintf(`{"scope":"org","usd":"%d"}`, 10+i)).status
		})
	}
	wait.Wait()
	slices.Sort(statuses)
	if statuses[6] != 200 || statuses[7] != 201 || len(g.ask("GET", "/admin/v1/budgets", "").data()) != 1 {
		t.Errorf("%v: %s", statuses, g.ask("GET", "/admin/v1/budgets", "").text)
	}
}

func TestMovedProjectIsRecordedWithBothTeams(t *testing.T) {
	g := newRig(t)
	for _, team := range []string{"growth", "web"} {
		g.ask("POST", "/admin/v1/teams", `{"name":"`+team+`","cost_center":"CC-`+team+`"}`)
	}
	id := g.ask("POST", "/admin/v1/projects", `{"name":"shop","team":"growth"}`).v["id"].(string)
	g.ask("PATCH", "/admin/v1/projects/"+id, `{"team":"web","reason":"moved"}`)
	change := g.ask("GET", "/admin/v1/audit?object="+id+"&action=project.change", "").data()[0].(map[string]any)
	detail := change["detail"].(map[string]any)
	team, _ := detail["team"].(string)
	if from, to, _ := strings.Cut(team, " → "); !strings.HasPrefix(from, "growth (team_") || !strings.HasPrefix(to, "web (team_") ||
		detail["cost_center"] != "CC-growth → CC-web" {
		t.Errorf("%v", change)
	}
}

// TestPagesOfChanges walks the changes, newest first, and sees each once.
func TestPagesOfChanges(t *testing.T) {
	g := newRig(t)
	made := g.ask("POST", "/admin/v1/keys", `{"name":"k","budget":{"usd":"1"}}`)
	path := "/admin/v1/keys/" + made.v["id"].(string)
	for _, name := range []string{"a", "b", "b", "c"} { // the second b changes nothing
		g.ask("PATCH", path, `{"name":"`+name+`"}`)
	}
	var seen []string
	for cursor := ""; ; {
		got := g.ask("GET", "/admin/v1/audit?action=key.change&limit=2&cursor="+cursor, "")
		for _, item := range got.data() {
			seen = append(seen, item.(map[string]any)["detail"].(map[string]any)["name"].(string))
		}
		next, more := got.v["next_cursor"].(string)
		if more != got.v["has_more"].(bool) {
			t.Fatal(got.text)
		}
		if !more {
			break
		}
		cursor = next
	}
	if want := []string{"b → c", "a → b", "k → a"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
	g.ask("GET", "/admin/v1/audit?cursor=zzz", "").refused(t, 422, "invalid_value")

	budget := "/admin/v1/budgets/" + made.v["budgets"].([]any)[0].(map[string]any)["id"].(string)
	for range 2 {
		if got := g.ask("DELETE", budget, ""); got.status != 200 {
			t.Errorf("twice is once: %s", got.text)
		}
	}
	g.ask("DELETE", "/admin/v1/budgets/bud_none", "").refused(t, 404, "budget_not_found")
	if got := g.ask("GET", "/admin/v1/audit?action=budget.remove", ""); len(got.data()) != 1 {
		t.Errorf("removed twice: %s", got.text)
	}
}

func TestSpend(t *testing.T) {
	row := billing.SpendRow{
		Group: []string{"acme", "m"}, Requests: 3, Attempts: 4, Errors: 1, Tokens: billing.Tokens{Input: 10, Output: 5},
		Cost: 1_234_567_890, Savings: 5, Unpriced: 1, NotExact: 2, Overrun: 9, OverrunMoney: 7,
	}
	var asked billing.SpendQuery
	g := newRig(t, func(o *Options) {
		o.Reports = reports(func(q billing.SpendQuery) (billing.SpendReport, error) {
			asked = q
			return billing.SpendReport{Rows: []billing.SpendRow{row}, Total: row, Lines: 1}, nil
		})
		o.Clock = func() time.Time { return time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) }
	})
	got := g.ask("GET", "/admin/v1/spend?group_by=model&key_id=key_1", "")
	line, _ := got.data()[0].(map[string]any)
	group, _ := line["group"].(map[string]any)
	if group["provider"] != "acme" || group["model"] != "m" || line["cost_usd"] != "1.23456789" || line["requests"] != 3.0 ||
		line["overrun_usd"] != "0.000000007" || got.v["from"] != "2026-11-01" || got.v["to"] != "2026-12-01" ||
		got.object("total")["attempts"] != 4.0 || got.v["currency"] != "USD" {
		t.Error(got.text)
	}
	if fmt.Sprint(asked) != fmt.Sprint(billing.SpendQuery{GroupBy: []billing.Dimension{"model"}, Month: "2026-11", KeyID: "key_1"}) {
		t.Errorf("asked for %+v", asked)
	}
	for query, param := range map[string]string{
		"?month=11-2026": "month", "?month=2026-13": "month", "?group_by=1%3Bdrop": "group_by",
		"?group_by=team,key,day": "group_by", "?from=today": "from", "?from=2026-11-02&to=2026-11-02": "to", "?top=0": "top",
		"?top=1000000": "top",
		"?grain=day":   "grain",
	} {
		if e := g.ask("GET", "/admin/v1/spend"+query, ""); e.status != 422 || e.object("error")["param"] != param {
			t.Errorf("%s: %s", query, e.text)
		}
	}
	if got := newRig(t).ask("GET", "/admin/v1/spend?month=2026-11", ""); got.status != 200 || len(got.data()) != 0 {
		t.Errorf("of an empty store: %s", got.text)
	}
}

type reports func(billing.SpendQuery) (billing.SpendReport, error)

func (f reports) Spend(_ context.Context, q billing.SpendQuery) (billing.SpendReport, error) {
	return f(q)
}

func (reports) Events(context.Context, billing.EventQuery) ([]billing.Spend, error) { return nil, nil }

func (reports) Usage(context.Context, billing.UsageQuery) ([]billing.UsageRow, error) {
	return nil, nil
}

func (reports) ListPrices(context.Context, string, string) ([]billing.Price, error) { return nil, nil }

func (reports) PricedUsage(context.Context, billing.SpendQuery, string, string) ([]billing.PricedUsage, error) {
	return nil, nil
}

// TestFailures checks that internal errors disclose nothing.
func TestFailures(t *testing.T) {
	var fail func() error
	g := newRig(t, func(o *Options) {
		o.Reports = reports(func(billing.SpendQuery) (billing.SpendReport, error) { return billing.SpendReport{}, fail() })
	})
	for _, tc := range []struct {
		fail   func() error
		status int
		code   string
	}{
		{func() error { return fmt.Errorf("%w: dial secret-host.internal", billing.ErrUnavailable) }, 503, "ledger_unavailable"},
		{func() error { return context.DeadlineExceeded }, 503, "ledger_unavailable"},
		{func() error { return errors.New("secret-host.internal") }, 500, "internal_error"},
		{func() error { panic("secret-host.internal") }, 500, "internal_error"},
		{func() error { var none map[int]int; return fmt.Errorf("%d", none[0]/none[1]) }, 500, "internal_error"},
		{func() error { return billing.ErrDuplicate }, 409, "conflict"},
	} {
		fail = tc.fail
		got := g.ask("GET", "/admin/v1/spend", "")
		got.refused(t, tc.status, tc.code)
		if strings.Contains(got.text, "secret-host") || (got.header.Get("Retry-After") == "") != (tc.code != "ledger_unavailable") {
			t.Errorf("%s, %v", got.text, got.header)
		}
	}
	for _, entry := range g.logs.FilterMessage("panic").All() {
		if strings.Contains(fmt.Sprint(entry.ContextMap()["what"]), "secret-host") {
			t.Errorf("%v", entry.ContextMap())
		}
	}
}

type reason struct{ error }

func (reason) Reason() string { return "stopping" }

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
		{fmt.Errorf("%w: dial tcp 10.0.0.1: refused", billing.ErrUnavailable), 503, "the database does not answer"},
		{errors.New("10.0.0.1"), 503, "starting or stopping"},
		{reason{errors.New("10.0.0.1")}, 503, "stopping"},
	} {
		state = tc.err
		if got := g.send("GET", "/readyz", ""); got.status != tc.status || got.v["reason"] != tc.reason ||
			strings.Contains(got.text, "10.0.0.1") {
			t.Errorf("%v: %d %s", tc.err, got.status, got.text)
		}
	}
	if got := g.send("GET", "/metrics", ""); got.text != "a_metric 1\n" {
		t.Errorf("%q", got.text)
	}
	if got := g.send("GET", "/version", ""); got.v["version"] != "test" {
		t.Error(got.text)
	}
	if got := g.ask("GET", "/admin/v1/health", ""); len(got.data()) != 1 {
		t.Error(got.text)
	}
	if got := newRig(t, func(o *Options) { o.Metrics, o.Health = nil, nil }); got.send("GET", "/metrics", "").status != 404 ||
		got.ask("GET", "/admin/v1/health", "").status != 200 {
		t.Error("without metrics and health")
	}
}

// TestPeriods closes a month and reopens it.
func TestPeriods(t *testing.T) {
	g := newRig(t)
	if got := g.ask("GET", "/admin/v1/periods", ""); got.status != 200 || len(got.v["data"].([]any)) != 0 {
		t.Fatalf("%d %s", got.status, got.text)
	}
	closed := g.ask("POST", "/admin/v1/periods/2020-01/close", `{"accept_unpriced":true}`)
	if closed.status != 200 || closed.v["status"] != "closed" || closed.v["cost_usd"] != "0" || closed.v["closed_by"] != "admin" ||
		len(closed.v["sha256"].(string)) != 64 {
		t.Fatalf("%d %s", closed.status, closed.text)
	}
	if got := g.ask("GET", "/admin/v1/periods", ""); len(got.v["data"].([]any)) != 1 {
		t.Errorf("%s", got.text)
	}
	for _, c := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"2020-01/close", "", 409, "conflict"},
		{"2999-01/close", "", 409, "conflict"},
		{"2020-1/close", "", 422, "invalid_value"},
		{"2020-01/reopen", "", 422, "invalid_value"},
		{"2020-01/reopen", `{"why":"x"}`, 422, "unknown_field"},
		{"2020-01/reopen", `{"reason":"the bill was wrong"}`, 200, ""},
		{"2020-01/reopen", `{"reason":"again"}`, 409, "conflict"},
	} {
		got := g.ask("POST", "/admin/v1/periods/"+c.path, c.body)
		problem, _ := got.v["error"].(map[string]any)
		if code, _ := problem["code"].(string); got.status != c.status || code != c.code {
			t.Errorf("%s %s: %d %s", c.path, c.body, got.status, got.text)
		}
	}
}

// TestSecretsAreTakenOnlyWhereTheyBelong: no name, tag, reason or filter may have the secret of a key
// in it, which would be stored and shown.
func TestSecretsAreTakenOnlyWhereTheyBelong(t *testing.T) {
	g := newRig(t)
	secret := g.ask("POST", base+"/keys", `{"name":"k","team":"web"}`).v["secret"].(string)
	for _, body := range []string{
		`{"name":"%s","team":"web"}`, `{"name":"k","team":"x %s"}`, `{"name":"k","tags":{"a":"%s"}}`, `{"name":"k","tags":{"%s":"a"}}`,
	} {
		g.ask("POST", base+"/keys", fmt.Sprintf(body, secret)).refused(t, http.StatusUnprocessableEntity, "invalid_value")
	}
	g.ask("GET", base+"/audit?actor="+secret, "").refused(t, http.StatusUnprocessableEntity, "invalid_value")
	if got := g.ask("POST", base+"/keys/find", fmt.Sprintf(`{"secret":%q}`, secret)); got.status != http.StatusOK {
		t.Errorf("where it belongs: %d %s", got.status, got.text)
	}
}
