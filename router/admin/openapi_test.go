package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/billing"
	"tallyroute/router/admin/wire"
)

// contract is the OpenAPI document, used to check answers and bodies.
type contract struct {
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
	document map[string]any
}

// theContract reads the document as clients do. Its structs accept no unnamed members, so that
// answers cannot contain more than the document says.
var theContract = sync.OnceValues(func() (*contract, error) {
	raw, err := json.Marshal(document(operations(), "test"))
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := &contract{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}, document: v.(map[string]any)}
	c.compiler.AssertFormat()
	closeObjects(v)
	return c, c.compiler.AddResource("file:///openapi.json", v)
})

func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// at returns the schema at a JSON pointer into the document.
func (c *contract) at(pointer ...string) (*jsonschema.Schema, error) {
	for i, p := range pointer {
		pointer[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
	}
	where := "file:///openapi.json#/" + strings.Join(pointer, "/")
	if c.schemas[where] == nil {
		s, err := c.compiler.Compile(where)
		if err != nil {
			return nil, err
		}
		c.schemas[where] = s
	}
	return c.schemas[where], nil
}

var contractLock sync.Mutex

// validate checks the answer of an API route against the document.
func validate(t *testing.T, method, path string, a answer) (operation string) {
	t.Helper()
	contractLock.Lock()
	defer contractLock.Unlock()
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	o, found := operationOf(method, path)
	if !found {
		return ""
	}
	route := pathParameter.ReplaceAllString(base+o.path, "{$1}")
	good := slices.Contains(o.statuses, a.status)
	if good && o.out == nil {
		return o.id
	}
	pointer := []string{"components", "responses", "Error", "content", "application/json", "schema"}
	if good {
		pointer = []string{
			"paths", route, strings.ToLower(method), "responses", strconv.Itoa(a.status), "content", "application/json", "schema",
		}
	}
	s, err := c.at(pointer...)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(a.text))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil || !good && a.status < 400 {
		t.Errorf("%s %s: status %d: %v\n%s", method, path, a.status, err, wire.Shorten(a.text))
	}
	if !good {
		return ""
	}
	return o.id
}

func operationOf(method, path string) (operation, bool) {
	path, _, _ = strings.Cut(path, "?")
	for _, o := range operations() {
		if o.method == method && regexp.MustCompile("^"+base+pathParameter.ReplaceAllString(o.path, "[^/]+")+"$").MatchString(path) {
			return o, true
		}
	}
	return operation{}, false
}

func TestDocumentIsServedWithEveryRoute(t *testing.T) {
	g := newRig(t)
	got := g.ask("GET", "/admin/v1/openapi.json", "")
	if got.status != http.StatusOK || got.v["openapi"] != "3.1.0" {
		t.Fatalf("%d %.200s", got.status, got.text)
	}
	ids := map[string]bool{}
	for _, r := range g.engine.Routes() {
		route, below := strings.CutPrefix(r.Path, base)
		if !below {
			continue
		}
		path := pathParameter.ReplaceAllString(base+route, "{$1}")
		there, _ := got.object("paths")[path].(map[string]any)
		o, _ := there[strings.ToLower(r.Method)].(map[string]any)
		id, _ := o["operationId"].(string)
		if id == "" || ids[id] || o["summary"] == "" || o["responses"] == nil {
			t.Errorf("%s %s is not described, or not by an id of its own: %v", r.Method, path, o)
		}
		ids[id] = true
	}
	if len(ids) != len(operations()) {
		t.Errorf("%d ids of %d operations", len(ids), len(operations()))
	}
}

// bodies are valid inputs for the operations that have a body.
var bodies = map[string]string{
	"addProvider":    `{"name":"acme","settings":{"base_url":"https://acme.example/v1"},"reason":"r"}`,
	"updateProvider": `{"settings":{"weight":0},"reason":"r"}`,
	"addCredential": `{"provider":"acme","name":"main","owner":"ann@example.com","weight":2,"secret":"s",` +
		`"expires_at":"2099-01-01T00:00:00Z"}`,
	"changeCredential":  `{"owner":"","weight":0,"expires_at":null,"reason":"r"}`,
	"rotateCredential":  `{"secret":"s","overlap":"0s","expires_at":"2099-01-01T00:00:00Z","reason":"r"}`,
	"disableCredential": `{"reason":"r"}`, "enableCredential": `{"reason":"r"}`, "testCredential": `{"reason":"r"}`,
	"rekeySecrets":  `{"reason":"r"}`,
	"replayAlert":   `{"channel":"ops","reason":"lost"}`,
	"openIncident":  `{"key_id":"key_1","action":"narrow","networks":["10.0.0.0/8"],"since":"2026-11-02T09:00:00Z","reason":"leaked"}`,
	"closeIncident": `{"reason":"rotated"}`,
	"setRules": `{"rules":{"keys":{"max_age":{"high":"90d"},"rotate_within":{"high":"30d"},"expiry":["prod"],"owner":["prod"],"purpose":["prod"],
		"budget":["prod"],"networks":["prod"],"models":["prod"],"sinks":{"prod":["files"]}},"browser":{"max_usd":"5","max_expiry":"30d"},
		"data_classes":{"confidential":["acme"]},"secret_sources":{"prod":["vault"]},"log_level":"info","alerts":["limit"],
		"retention":{"events":{"at_least":"30d","at_most":"400d"}},"reviews":{"every":"90d","complete_within":"14d"}},"reason":"r"}`,
	"acknowledgeRules": `{"version":1,"owner":"ann@example.com","reason":"r"}`,
	"beginReview":      `{"reason":"r"}`,
	"decideReview": `{"kind":"key","object":"key_1","decision":"narrow","models":["m"],"networks":["10.0.0.0/8"],"role":"",` +
		`"reason":"r"}`,
	"testChannel": `{"channel":"ops"}`,
	"createKey":   checkout,
	"changeKey": `{"name":"k","tags":null,"limits":{"tokens_per_minute":5},"budgets":[{"usd":"1","period":"day"}],` +
		`"expires_at":null}`,
	"revokeKey":    `{"reason":"r"}`,
	"setKeyPolicy": policyBody, "setTeamPolicy": policyBody, "setProjectPolicy": policyBody,
	"tryPolicy":   `{"endpoint":"chat","model":"m","features":["tools"],"tags":{"a":"b"},"from":"10.0.0.1","at":"2026-11-02T09:00:00Z"}`,
	"enableKey":   `{"reason":"r"}`,
	"disableKey":  `{"reason":"r"}`,
	"archiveKey":  `{"reason":"r"}`,
	"rotateKey":   `{"overlap":"0s","reason":"r"}`,
	"handOverKey": `{"for":"24h","overlap":"1h","reason":"r"}`,
	"deliverKey":  `{"sink":"files","place":"a/key","overlap":"1h","reason":"r"}`,
	"topUpKey":    `{"usd":"12.50","reference":"PO-1","reason":"r"}`,
	"createOwnKey": `{"name":"k","team":"t2","project":"default","purpose":"tests","models":["m"],"allowed_cidrs":["10.0.0.0/8"],` +
		`"usd":"1","tokens":5,"requests":5,"expires_in":"24h"}`,
	"narrowOwnKey": `{"name":"k","usd":"1","models":["m"],"expires_in":"1h","reason":"r"}`,
	"rotateOwnKey": `{"overlap":"0s","reason":"r"}`,
	"revokeOwnKey": `{"reason":"r"}`,
	"askRaise":     `{"usd":"1","tokens":5,"requests":1,"until":"2099-01-01T00:00:00Z","reason":"r"}`,
	"setCeiling": `{"keys":3,"period":"month","zone":"UTC","usd":"20","tokens":5,"requests":5,"expires_in":"24h",` +
		`"models":["m"],"reason":"r"}`,
	"transferLeaverKey": `{"to":"ann@example.com","rotate":true,"overlap":"1h","reason":"r"}`,
	"keepLeaverKey":     `{"reason":"r"}`,
	"disableLeaverKey":  `{"reason":"r"}`,
	"checkpointAudit":   `{"reason":"r"}`,
	"pruneAudit":        `{"keep":"90d","reason":"r"}`,
	"approveRaise":      `{"reason":"r"}`,
	"declineRaise":      `{"reason":"r"}`,
	"findKey":           `{"secret":"sk-tr-dev-x"}`,
	"revokeSecret":      `{"secret":"sk-tr-dev-x","reason":"r"}`,
	"changeTeam":        `{"name":"t","cost_center":"c","owner_email":"a@example.com","reason":"r"}`,
	"archiveTeam":       `{"reason":"r"}`,
	"changeProject":     `{"name":"p","team":"t","reason":"r"}`,
	"archiveProject":    `{"reason":"r"}`,
	"changeBudget":      `{"usd":"7","tokens":null,"period":"day","zone":"UTC","reason":"r"}`,
	"resetBudget":       `{"reason":"r"}`,
	"raiseBudget":       `{"requests":1,"until":"2099-01-01T00:00:00Z","reason":"r"}`,
	"createTeam":        `{"name":"t","project":"p","cost_center":"c","environment":"dev"}`,
	"createProject":     `{"name":"p","team":"t","environment":"prod"}`,
	"setBudget":         `{"scope":"org","period":"month","usd":"5.00","tokens":null,"zone":"UTC"}`,
	"adjustSpend":       `{"key_id":"key_none","amount_usd":"-1.5","reason":"r","kind":"credit"}`,
	"closePeriod":       `{"accept_unpriced":true}`,
	"reopenPeriod":      `{"reason":"r"}`,
	"archivePeriod":     `{"rows":1,"cost_usd":"0","sha256":"x"}`,
	"reprice":           `{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","dry_run":true,"reason":"r"}`,
	"forgetReplica":     `{}`,
	"bookReject":        `{}`,
	"checkIntegrity":    `{"quick":true}`,
	"eraseAccess":       `{"key_id":"key_none","address":"10.0.0.1","until":"2026-11-01","reason":"r"}`,

	"exportPerson": `{"name":"ann"}`,
	"erasePerson":  `{"name":"ann","dry_run":true,"reason":"r"}`,

	"createPrincipal":  `{"name":"ci","kind":"service","email":"ci@example.com"}`,
	"disablePrincipal": `{"reason":"r"}`,
	"enablePrincipal":  `{"reason":"r"}`,
	"grantRole":        `{"role":"auditor","scope":"org","expires_in":"24h","approved_by":"bob","must":"login.session","reason":"r"}`,
	"tryGrants": `{"operation":"revokeKey","scope":"org","from":"10.0.0.1","at":"2026-11-02T09:00:00Z","session":true,` +
		`"strength":["otp"]}`,
	"createAdminToken": `{"name":"laptop","expires_in":"24h"}`,
	"beginLogin":       `{"redirect_uri":"http://127.0.0.1:1/cb","fresh":true}`,
	"beginDeviceLogin": `{}`,
	"finishLogin":      `{"login":"x","code":"c","state":"s"}`,
	"logout":           `{}`,
}

// policyBody replaces a policy.
const policyBody = `{"policy":{"endpoints":["chat"],"features":["stream"],"max_output_tokens":100,` +
	`"hours":[{"days":["mon"],"from":"08:00","until":"18:00","zone":"Europe/Berlin"}],` +
	`"conditions":[{"name":"c","must":"key.team != 'x'"}]},"replaces":"none","reason":"r"}`

// TestBodiesThatViolateTheDocumentAreRefused changes every member of every body to something
// that the document does not allow.
func TestBodiesThatViolateTheDocumentAreRefused(t *testing.T) {
	g := newRig(t)
	c, err := theContract()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, o := range operations() {
		if o.inQuery() {
			continue
		}
		var valid map[string]any
		if err := json.Unmarshal([]byte(bodies[o.id]), &valid); err != nil {
			t.Errorf("%s has no example of a body: add one to bodies (%v)", o.id, err)
			continue
		}
		members := wire.FieldsOf(o.in)
		var s *jsonschema.Schema
		if len(members) > 0 {
			route := pathParameter.ReplaceAllString(base+o.path, "{$1}")
			if s, err = c.at("paths", route, strings.ToLower(o.method), "requestBody", "content", "application/json",
				"schema"); err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(any(valid)); err != nil {
				t.Errorf("%s: the example is not valid: %v", o.id, err)
			}
		}
		refused := func(what, param string, change func(map[string]any)) {
			t.Helper()
			bad := maps.Clone(valid)
			change(bad)
			if s != nil && s.Validate(any(bad)) == nil {
				t.Errorf("%s: the document allows %s", o.id, what)
			}
			raw, _ := json.Marshal(bad)
			got := g.ask(o.method, base+pathParameter.ReplaceAllString(o.path, "x_none"), string(raw))
			e, _ := got.v["error"].(map[string]any)
			if got.status != http.StatusUnprocessableEntity || !strings.HasPrefix(fmt.Sprint(e["param"]), param) {
				t.Errorf("%s: %s is answered with %d: %s", o.id, what, got.status, got.text)
			}
			tried++
		}
		refused("an unknown member", "made_up", func(b map[string]any) { b["made_up"] = 1 })
		for _, f := range members {
			refused("a "+f.Name+" of the wrong type", f.Name, func(b map[string]any) { b[f.Name] = []any{[]any{}} })
			if f.Required {
				refused("no "+f.Name, f.Name, func(b map[string]any) { delete(b, f.Name) })
			}
			if f.Enum != nil {
				refused("another "+f.Name, f.Name, func(b map[string]any) { b[f.Name] = "made-up" })
			}
		}
	}
	if tried < 60 {
		t.Errorf("only %d bodies were tried", tried)
	}
}

// replica returns a router whose leases have expired.
func (g *rig) replica() string {
	g.t.Helper()
	_, err := g.store.Renew(g.t.Context(), billing.Replica{ID: "rep_1", Name: "gone", Epoch: "e1", TTL: time.Nanosecond}, billing.Joining)
	if err != nil {
		g.t.Fatal(err)
	}
	return "rep_1"
}

// rehearse performs a dry run, which must change nothing and answer as documented.
func (g *rig) rehearse(method, path, body string) {
	g.t.Helper()
	was := g.dump()
	if method == http.MethodDelete {
		before, after, _ := strings.Cut(path, "?")
		path = before + "?dry_run=true&" + after
	} else {
		body = `{"dry_run":true,` + strings.TrimPrefix(cmp.Or(body, "{}"), "{")
		body = strings.Replace(body, ",}", "}", 1)
	}
	got := g.ask(method, base+path, body)
	if validate(g.t, method, base+path, got); got.v["dry_run"] != true || got.v["changes"] == nil {
		g.t.Errorf("%s %s rehearsed: %d %s", method, path, got.status, got.text)
	}
	for i, now := range g.dump() {
		if now != was[i] {
			g.t.Errorf("%s %s: a dry run changes\n%s\nto\n%s", method, path, was[i], now)
		}
	}
}

// dump returns the contents of the database that administrators can change.
func (g *rig) dump() (all []string) {
	g.t.Helper()
	ctx := g.t.Context()
	add := func(list any, err error) {
		text, failed := json.Marshal(list)
		if err := errors.Join(err, failed); err != nil {
			g.t.Fatal(err)
		}
		all = append(all, string(text))
	}
	changes, err := g.store.ListChanges(ctx, billing.ChangeFilter{Limit: 1000})
	add(len(changes), err)
	keys, err := g.store.ListKeys(ctx, billing.KeyFilter{})
	add(keys, err)
	teams, err := g.store.ListTeams(ctx)
	add(teams, err)
	budgets, err := g.store.ListBudgets(ctx, billing.BudgetFilter{})
	add(budgets, err)
	people, err := g.store.ListPrincipals(ctx)
	add(people, err)
	deliveries, err := g.store.ListDeliveries(ctx, "")
	add(deliveries, err)
	credentials, err := g.store.ListCredentials(ctx)
	add(credentials, err)
	return all
}

// TestChangesTakeTheValuesThatCreationsDo: a member that takes a few values takes the same ones
// in every operation on a kind of object that declares them.
func TestChangesTakeTheValuesThatCreationsDo(t *testing.T) {
	type member struct{ noun, name string }
	enums := map[member]string{}
	for _, o := range operations() {
		if o.method == get {
			continue
		}
		noun, _, _ := strings.Cut(o.path[1:], "/")
		for _, f := range wire.FieldsOf(o.in) {
			if f.Enum == nil {
				continue
			}
			m, values := member{noun, f.Name}, strings.Join(f.Enum, ",")
			if before, known := enums[m]; known && before != values {
				t.Errorf("%s: %s is one of %q; in another operation on %s it is one of %q", o.id, f.Name, values, noun, before)
			}
			enums[m] = values
		}
	}
}

// TestEveryOperationAnswersAsDescribed performs every operation once. All answers that the tests
// of this package get are checked against the document.
func TestEveryOperationAnswersAsDescribed(t *testing.T) {
	people := newLoginRig(t)
	g := people.rig
	done := map[string]bool{}
	ask := func(method, path, body string) answer {
		t.Helper()
		if o, _ := operationOf(method, base+path); o.rehearses() {
			g.rehearse(method, path, body)
		}
		got := g.ask(method, base+path, body)
		if id := validate(t, method, base+path, got); id != "" {
			done[id] = true
		} else {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.text)
		}
		return got
	}
	key := ask("POST", "/keys", checkout).v["id"].(string)
	ask("GET", "/keys?limit=1&q=check", "")
	ask("GET", "/keys/"+key, "")
	ask("PATCH", "/keys/"+key, `{"name":"renamed"}`)
	ask("POST", "/keys/"+key+"/enable", "")
	ask("POST", "/spend/adjustments", `{"key_id":"`+key+`","amount_usd":"1.25","reason":"r"}`)
	ask("POST", "/keys/"+key+"/disable", `{"reason":"suspicious"}`)
	ask("POST", "/keys/"+key+"/enable", "")
	secret := ask("POST", "/keys/"+key+"/rotate", `{"overlap":"1h"}`).v["secret"].(string)
	ask("GET", "/keys/"+key+"/versions", "")
	ask("POST", "/keys/"+key+"/hand-over", "")
	if found := ask("POST", "/keys/find", `{"secret":"`+secret+`"}`); found.v["id"] != key || strings.Contains(found.text, secret) {
		t.Errorf("found %s", found.text)
	}
	ask("PUT", "/keys/"+key+"/sink", `{"sink":"files","place":"a/key"}`)
	ask("GET", "/sinks", "")
	ask("DELETE", "/keys/"+key+"/sink", "")
	ask("PUT", "/keys/"+key+"/policy", policyBody)
	if got := ask("GET", "/keys/"+key+"/policy", ""); !strings.Contains(got.text, "max_output_tokens") {
		t.Errorf("the policy is %s", got.text)
	}
	if got := ask("POST", "/keys/"+key+"/policy/try", `{"endpoint":"embeddings"}`); got.v["rule"] != "key.endpoints" {
		t.Errorf("tried: %s", got.text)
	}
	ask("GET", "/access?limit=1&since=2026-11-01&address=10.0.0.1", "")
	ask("POST", "/access/erase", `{"address":"10.0.0.1"}`)
	ask("POST", "/persons/export", `{"name":"ann"}`)
	ask("POST", "/persons/erase", `{"name":"10.0.0.9","reason":"asked for"}`)
	ask("GET", "/shared-keys?key_id="+key, "")
	ask("GET", "/key-rights?limit=1", "")
	ask("PUT", "/governance", bodies["setRules"])
	ask("GET", "/governance", "")
	ask("GET", "/governance/versions", "")
	ask("GET", "/governance/report", "")
	ask("GET", "/governance/document", "")
	ask("POST", "/governance/acknowledgements", `{"owner":"ann@example.com"}`)
	ask("GET", "/governance/acknowledgements", "")
	ask("PUT", "/governance", `{"rules":{"keys":{}},"replaces":1,"reason":"over"}`)
	ask("POST", "/reviews", "")
	ask("GET", "/reviews", "")
	ask("GET", "/reviews/1", "")
	ask("POST", "/reviews/1/decide", `{"kind":"key","object":"`+key+`","decision":"keep","reason":"used daily"}`)
	ask("POST", "/keys/"+key+"/revoke", `{"reason":"lost"}`)
	ask("POST", "/keys/revoke", `{"secret":"`+secret+`","reason":"leaked"}`)
	ask("POST", "/keys/"+key+"/archive", "")
	prepaid := ask("POST", "/keys", `{"name":"prepaid","budget":{"usd":"0","period":"once"}}`).v["id"].(string)
	ask("POST", "/keys/"+prepaid+"/top-up", `{"usd":"12.50","reference":"PO-1"}`)
	ask("POST", "/keys", `{"name":"later","handover":true,"purpose":"tills","owner":"ann@example.com","sensitivity":"high"}`)
	ask("POST", "/teams", `{"name":"t2"}`)
	ask("PATCH", "/teams/t2", `{"name":"t3","cost_center":"CC-1"}`)
	ask("PATCH", "/teams/t3", `{"name":"t2"}`)
	ask("GET", "/teams", "")
	ask("GET", "/teams/t2", "")
	ask("PUT", "/teams/t2/policy", policyBody)
	ask("GET", "/teams/t2/policy", "")
	ask("POST", "/projects", `{"name":"p2","team":"t2"}`)
	ask("GET", "/projects", "")
	project := ask("POST", "/projects", `{"name":"p3","team":"t2"}`).v["id"].(string)
	ask("PATCH", "/projects/"+project, `{"name":"p4"}`)
	ask("PUT", "/projects/"+project+"/policy", policyBody)
	ask("GET", "/projects/"+project+"/policy", "")
	ask("GET", "/projects/"+project, "")
	ask("POST", "/projects/"+project+"/archive", "")
	ask("POST", "/teams/t2/archive", `{"reason":"over"}`)
	budget := ask("POST", "/budgets", `{"scope":"org","usd":"100"}`).v["id"].(string)
	ask("GET", "/budgets", "")
	ask("GET", "/budgets/"+budget, "")
	ask("GET", "/budgets/"+budget+"/names?name=ann&limit=1", "")
	ask("PATCH", "/budgets/"+budget, `{"usd":"7","tokens":100}`)
	ask("PATCH", "/budgets/"+budget, `{"requests":5,"starts":"04-06","action":"alert","thresholds":[90]}`)
	ask("POST", "/budgets/"+budget+"/reset", `{"reason":"a new contract"}`)
	ask("POST", "/budgets/"+budget+"/raise", `{"requests":5,"until":"2099-01-01T00:00:00Z","reason":"a launch"}`)
	ask("DELETE", "/budgets/"+budget+"?reason=over", "")
	if text := ask("GET", "/audit", "").text; strings.Contains(text, secret) || !strings.Contains(text, "a new contract") {
		t.Errorf("changes: %s", text)
	}
	if got := ask("GET", "/audit/verify", ""); got.v["ok"] != true {
		t.Errorf("the audit log: %s", got.text)
	}
	if got := ask("GET", "/audit/export", ""); strings.Contains(got.text, secret) || !strings.Contains(got.text, "a new contract") {
		t.Errorf("the audit log: %s", got.text)
	}
	ask("POST", "/audit/prune", `{"keep":"90d"}`)
	ask("GET", "/audit/destinations", "")
	ask("GET", "/spend?group_by=team", "")
	ask("GET", "/usage?by=key", "")
	ask("GET", "/prices?month=2026-11", "")
	ask("POST", "/periods/2020-01/close", "")
	ask("GET", "/periods", "")
	ask("POST", "/periods/2020-01/reopen", `{"reason":"late"}`)
	ask("POST", "/periods/2020-01/close", "")
	rows := ask("GET", "/periods/2020-01/rows", "")
	digest := rows.trailer.Get("X-Tallyroute-Sha256")
	ask("POST", "/periods/2020-01/archive", `{"rows":0,"cost_usd":"0","sha256":"`+digest+`"}`)
	ask("POST", "/prices/reprice", `{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","dry_run":true,"reason":"r"}`)
	replica := g.replica()
	ask("GET", "/replicas", "")
	ask("POST", "/replicas/"+replica+"/forget", "")
	g.reject("req_1")
	ask("GET", "/rejects", "")
	ask("POST", "/rejects/req_1/book", "")
	ask("GET", "/events?limit=5", "")
	ask("GET", "/anomalies?limit=5", "")
	ask("GET", "/keys/"+prepaid+"/usual", "")
	ask("POST", "/alerts/test", `{"channel":"ops"}`)
	ask("POST", "/alerts/"+g.alert()+"/replay", `{"channel":"ops"}`)
	if got := ask("GET", "/alerts?status=pending", ""); !strings.Contains(got.text, "a limit") {
		t.Errorf("alerts: %s", got.text)
	}
	inc := ask("POST", "/incidents", `{"key_id":"`+prepaid+`","action":"revoke","reason":"leaked"}`)
	ask("GET", "/incidents", "")
	if got := ask("GET", "/incidents/"+inc.v["id"].(string), ""); !strings.Contains(got.text, "leaked") ||
		ask("GET", "/keys/"+prepaid, "").v["status"] != "revoked" {
		t.Errorf("the incident: %s", got.text)
	}
	ask("POST", "/incidents/"+inc.v["id"].(string)+"/close", `{"reason":"rotated"}`)
	ask("POST", "/integrity", "")
	ask("GET", "/me", "")
	ask("GET", "/roles", "")
	bot := ask("POST", "/principals", `{"name":"ci"}`).v["id"].(string)
	granted := ask("POST", "/principals/"+bot+"/grants", `{"role":"developer","reason":"r"}`)
	made := ask("POST", "/principals/"+bot+"/tokens", `{"name":"laptop"}`)
	ask("POST", "/principals/"+bot+"/try", `{"operation":"revokeKey","must":"time.hour < 25"}`)
	ask("GET", "/principals", "")
	ask("POST", "/teams", `{"name":"own"}`)
	ask("PUT", "/teams/own/ceiling", `{"keys":3,"usd":"20","models":["chat-cheap"]}`)
	ask("GET", "/teams/own/ceiling", "")
	self := func(method, path, body string) answer {
		t.Helper()
		got := people.as(made.v["secret"])(method, path, body)
		if id := validate(t, method, base+path, got); id != "" && got.status < http.StatusBadRequest {
			done[id] = true
			return got
		}
		t.Errorf("%s %s: %d %s", method, path, got.status, got.text)
		return got
	}
	own := self("POST", "/team/keys", `{"name":"mine","team":"own"}`).v["id"].(string)
	self("GET", "/team", "")
	self("GET", "/team/keys", "")
	self("GET", "/team/keys/"+own, "")
	self("PATCH", "/team/keys/"+own, `{"usd":"2"}`)
	self("POST", "/team/keys/"+own+"/rotate", "")
	for _, decide := range []string{"approve", "decline"} {
		until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		asked := self("POST", "/team/keys/"+own+"/raises", `{"usd":"1","until":"`+until+`","reason":"r"}`)
		ask("POST", "/raises/"+asked.v["id"].(string)+"/"+decide, "")
	}
	ask("GET", "/raises?outcome=approved", "")
	self("GET", "/team/raises", "")
	self("POST", "/team/keys/"+own+"/revoke", "")
	ask("DELETE", "/teams/own/ceiling", "")
	gone := ask("POST", "/principals", `{"name":"gone","kind":"user","email":"gone@example.com"}`).v["id"].(string)
	heir := ask("POST", "/principals", `{"name":"heir","kind":"user","email":"heir@example.com"}`).v["id"].(string)
	ask("POST", "/principals/"+gone+"/disable", "")
	for _, decide := range []string{"transfer", "keep", "disable"} {
		ask("POST", "/keys", `{"name":"left `+decide+`","team":"own","owner":"gone@example.com","expires_in":"24h"}`)
		if err := g.o.Actions.SweepLeavers(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		open := ask("GET", "/leavers?outcome=open", "").data()
		if len(open) != 1 {
			t.Fatalf("open: %v", open)
		}
		body := `{"reason":"r"}`
		if decide == "transfer" {
			body = `{"to":"` + heir + `"}`
		}
		ask("POST", "/leavers/"+open[0].(map[string]any)["id"].(string)+"/"+decide, body)
	}
	ask("POST", "/audit/checkpoint", "")
	ask("DELETE", "/principals/"+bot+"/tokens/"+made.v["id"].(string), "")
	ask("DELETE", "/principals/"+bot+"/grants/"+granted.v["grants"].([]any)[0].(map[string]any)["id"].(string)+"?reason=over", "")
	ask("POST", "/principals/"+bot+"/disable", "")
	ask("POST", "/principals/"+bot+"/enable", "")
	g.upstreams(ask)
	people.person("u1", "ann@example.com", "owners")
	ask("POST", "/login/device", "")
	ask("POST", "/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	for _, end := range []func(method, path, body string) answer{
		people.as(people.logIn().v["token"]),
		people.as(people.logIn().v["token"]),
	} {
		listed := end("GET", "/sessions", "").data()
		done["finishLogin"], done["listSessions"] = true, len(listed) > 0
		if id := end("GET", "/me", "").v["session"].(map[string]any)["id"].(string); !done["endSession"] {
			done["endSession"] = end("DELETE", "/sessions/"+id, "").status == http.StatusOK
			continue
		}
		done["logout"] = end("POST", "/logout", "").status == http.StatusOK
	}
	ask("GET", "/health", "")
	ask("GET", "/openapi.json", "")
	for _, o := range operations() {
		if !done[o.id] {
			t.Errorf("%s was not asked for: call it in this test by ask", o.id)
		}
	}
}
