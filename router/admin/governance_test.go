package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
)

// broken are requests that break one rule each, and the same requests made to comply.
var broken = map[string]struct{ rules, refused, allowed string }{
	"keys.max_age": {
		`{"keys":{"max_age":{"high":"90d"}}}`,
		`{"name":"k","sensitivity":"high","expires_in":"91d"}`, `{"name":"k","sensitivity":"high","expires_in":"90d"}`,
	},
	"keys.rotate_within": {
		`{"keys":{"rotate_within":{"normal":"30d"}}}`,
		`{"name":"k"}`, `{"name":"k","rotate_every":"30d"}`,
	},
	"keys.expiry": {
		`{"keys":{"expiry":["prod"]}}`, `{"name":"k","environment":"prod"}`,
		`{"name":"k","environment":"prod","expires_in":"1d"}`,
	},
	"keys.owner":   {`{"keys":{"owner":["dev"]}}`, `{"name":"k"}`, `{"name":"k","owner":"ann@example.com"}`},
	"keys.purpose": {`{"keys":{"purpose":["dev"]}}`, `{"name":"k"}`, `{"name":"k","purpose":"tills"}`},
	"keys.budget": {
		`{"keys":{"budget":["dev"]}}`,
		`{"name":"k","budget":{"requests":5,"period":"minute"}}`, `{"name":"k","budget":{"usd":"5","period":"month"}}`,
	},
	"keys.networks": {
		`{"keys":{"networks":["dev"]}}`,
		`{"name":"k","allowed_cidrs":["0.0.0.0/1","128.0.0.0/1"]}`, `{"name":"k","allowed_cidrs":["10.0.0.0/8"]}`,
	},
	"keys.models": {
		`{"keys":{"models":["dev"]}}`,
		`{"name":"k","models":["openai/*"]}`, `{"name":"k","models":["chat-cheap"]}`,
	},
	"keys.sinks": {`{"keys":{"sinks":{"dev":["files"]}}}`, `{"name":"k"}`, `{"name":"k","sink":"files","place":"a/b"}`},
	"browser.origin": {
		`{"browser":{"max_usd":"5","max_expiry":"30d"}}`,
		`{"name":"k","client":"browser","budget":{"usd":"5","period":"month"},"expires_in":"30d"}`,
		`{"name":"k","client":"browser","budget":{"usd":"5","period":"month"},"expires_in":"30d",` +
			`"policy":{"origins":["https://app.example"]}}`,
	},
	"browser.budget": {
		`{"browser":{"max_usd":"5","max_expiry":"30d"}}`,
		`{"name":"k","budget":{"usd":"5.01","period":"month"},"expires_in":"30d","policy":{"origins":["https://app.example"]}}`,
		`{"name":"k","budget":{"usd":"5","period":"month"},"expires_in":"30d","policy":{"origins":["https://app.example"]}}`,
	},
	"browser.expiry": {
		`{"browser":{"max_usd":"5","max_expiry":"30d"}}`,
		`{"name":"k","budget":{"usd":"5","period":"month"},"expires_in":"31d","policy":{"origins":["https://app.example"]}}`,
		`{"name":"k","budget":{"usd":"5","period":"month"},"expires_in":"30d","policy":{"origins":["https://app.example"]}}`,
	},
	"data_classes": {
		`{"data_classes":{"confidential":["acme"]}}`,
		`{"name":"k","project":"files","team":"legal"}`, `{"name":"k","project":"files","team":"legal","policy":{"providers":["acme"]}}`,
	},
}

func TestEveryRuleOfKeysRefusesWhatBreaksIt(t *testing.T) {
	for rule, c := range broken {
		t.Run(rule, func(t *testing.T) {
			g := newRig(t)
			if rule == "data_classes" {
				g.must("POST", "/projects", `{"name":"files","team":"legal","environment":"dev","data_class":"confidential"}`)
			}
			before := g.must("POST", "/keys", c.refused) // there are no rules yet
			g.must("PUT", "/governance", `{"rules":`+c.rules+`,"reason":"r"}`)
			got := g.ask("POST", base+"/keys", c.refused)
			if problem := got.object("error"); got.status != http.StatusUnprocessableEntity || problem["code"] != "rule_broken" ||
				!strings.Contains(got.text, rule+": ") || problem["fix"] == "" {
				t.Errorf("refused as %d %s", got.status, got.text)
			}
			good := g.must("POST", "/keys", strings.Replace(c.allowed, `"k"`, `"good"`, 1))
			report := g.must("GET", "/governance/report", "")
			if !strings.Contains(report.text, `"`+rule+`"`) || !strings.Contains(report.text, before.v["id"].(string)) {
				t.Errorf("reported as %s", report.text)
			}
			g.wantChangeRefused(rule, good.v["id"].(string))
			if renamed := g.ask("PATCH", base+"/keys/"+before.v["id"].(string), `{"name":"other"}`); renamed.status != http.StatusOK {
				t.Errorf("what was broken before keeps it from being renamed: %s", renamed.text)
			}
		})
	}
}

// breaking lists changes by which a compliant key would break a rule.
var breaking = map[string]struct{ method, path, body string }{
	"keys.max_age": {"PATCH", "", `{"expires_at":null}`}, "keys.rotate_within": {"PATCH", "", `{"rotate_every":"31d"}`},
	"keys.expiry": {"PATCH", "", `{"expires_at":null}`}, "keys.owner": {"PATCH", "", `{"owner":""}`},
	"keys.purpose": {"PATCH", "", `{"purpose":""}`}, "keys.budget": {"PATCH", "", `{"budgets":[]}`},
	"keys.networks": {"PATCH", "", `{"allowed_cidrs":null}`}, "keys.models": {"PATCH", "", `{"models":["openai/*"]}`},
	"keys.sinks": {"DELETE", "/sink", ""}, "browser.origin": {"PUT", "/policy", `{"policy":{"endpoints":["chat"]}}`},
	"browser.budget": {"PATCH", "", `{"budgets":[]}`}, "browser.expiry": {"PATCH", "", `{"expires_at":null}`},
	"data_classes": {"PUT", "/policy", `{"policy":{"providers":["acme","other"]}}`},
}

func (g *rig) wantChangeRefused(rule, id string) {
	g.t.Helper()
	c := breaking[rule]
	got := g.ask(c.method, base+"/keys/"+id+c.path, c.body)
	if problem := got.object("error"); got.status != http.StatusUnprocessableEntity || problem["code"] != "rule_broken" ||
		!strings.Contains(got.text, rule+": ") || problem["fix"] == "" {
		g.t.Errorf("changed by %+v: %d %s", c, got.status, got.text)
	}
}

// must sends a request that is expected to succeed.
func (g *rig) must(method, path, body string) answer {
	g.t.Helper()
	got := g.ask(method, base+path, body)
	if got.status >= http.StatusMultipleChoices {
		g.t.Fatalf("%s %s: %d %s", method, path, got.status, got.text)
	}
	return got
}

func TestChangesThatBreakARuleAreRefused(t *testing.T) {
	g := newRig(t)
	g.must("PUT", "/governance", `{"rules":{"keys":{"expiry":["dev"],"budget":["dev"],"owner":["dev"]},
		"data_classes":{"confidential":["acme"]},"browser":{"max_usd":"5","max_expiry":"30d"}},"reason":"r"}`)
	key := g.must("POST", "/keys", `{"name":"k","owner":"ann@example.com","expires_in":"60d","budget":{"usd":"50","period":"month"}}`)
	id, budget := key.v["id"].(string), key.v["budgets"].([]any)[0].(map[string]any)["id"].(string)
	project := key.v["project"].(map[string]any)["id"].(string)
	for _, c := range []struct{ rule, method, path, body string }{
		{"keys.expiry", "PATCH", "/keys/" + id, `{"expires_at":null}`},
		{"keys.owner", "PATCH", "/keys/" + id, `{"owner":""}`},
		{"keys.budget", "PATCH", "/keys/" + id, `{"budgets":[]}`},
		{"keys.budget", "DELETE", "/budgets/" + budget, ""},
		{"keys.budget", "PATCH", "/budgets/" + budget, `{"action":"alert"}`},
		{"browser.budget", "PUT", "/keys/" + id + "/policy", `{"policy":{"origins":["https://app.example"]}}`},
		{"browser.budget", "PATCH", "/keys/" + id, `{"client":"browser"}`},
		{"browser.budget", "PUT", "/projects/" + project + "/policy", `{"policy":{"origins":["https://app.example"]}}`},
		{"data_classes", "PATCH", "/projects/" + project, `{"data_class":"confidential"}`},
	} {
		got := g.ask(c.method, base+c.path, c.body)
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.text, c.rule+": ") ||
			got.object("error")["code"] != "rule_broken" {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, got.status, got.text)
		}
	}
	if got := g.must("GET", "/governance/report", ""); len(got.v["findings"].([]any)) != 0 {
		t.Errorf("the changes were made: %s", got.text)
	}
}

func TestSecretsForSinksAreShownToNobody(t *testing.T) {
	g := newRig(t)
	id := g.must("POST", "/keys", `{"name":"k"}`).v["id"].(string)
	g.must("PUT", "/governance", `{"rules":{"keys":{"sinks":{"dev":["files"]}}},"reason":"r"}`)
	refused := func(method, path, body string) {
		t.Helper()
		if got := g.ask(method, base+path, body); got.object("error")["code"] != "rule_broken" || strings.Contains(got.text, "sk-tr") {
			t.Errorf("%s %s: %d %s", method, path, got.status, got.text)
		}
	}
	refused("POST", "/keys/"+id+"/rotate", `{}`)
	refused("POST", "/keys/"+id+"/hand-over", "")
	refused("POST", "/keys", `{"name":"later","handover":true}`)
	g.must("PUT", "/keys/"+id+"/sink", `{"sink":"files","place":"a/key"}`)
	refused("DELETE", "/keys/"+id+"/sink", "")
	made := g.must("POST", "/keys", `{"name":"new","sink":"files","place":"a/new"}`)
	if made.v["secret"] != nil || made.v["secret_shown_once"] != false {
		t.Errorf("made with %s", made.text)
	}
}

func TestRulesOfTheConfigurationAreReported(t *testing.T) {
	setup := governance.Setup{
		LogLevel: "warn", Kept: map[string]time.Duration{"events": 240 * time.Hour, "access_log": governance.Never},
		Secrets: []governance.Secret{{Setting: "providers.acme", Source: "env", Environments: []string{"prod"}}},
	}
	g := newRig(t, func(o *Options) { o.Actions.Setup = func() governance.Setup { return setup } })
	set := g.must("PUT", "/governance", `{"rules":{"keys":{"sinks":{"staging":["vault"]}},"log_level":"info","alerts":["leak"],
		"secret_sources":{"prod":["vault"]},"retention":{"events":{"at_least":"30d"},"access_log":{"at_least":"1d"},
		"audit_log":{"at_least":"365d"}}},"reason":"r"}`)
	for _, want := range []string{`"log_level"`, `"alerts"`, `"secret_sources"`, `"events_keep"`, `"access_keep"`, `"keys.sinks"`} {
		if !strings.Contains(set.text, want) {
			t.Errorf("no %s in %s", want, set.text)
		}
	}
	if n := len(set.v["findings"].([]any)); n != 6 {
		t.Errorf("%d findings: %s", n, set.text)
	}
}

func TestRulesAreVersionedAndAcknowledged(t *testing.T) {
	g := newRig(t)
	g.must("POST", "/keys", `{"name":"k","owner":"ann@example.com"}`)
	g.must("PUT", "/governance", `{"rules":{"log_level":"info"},"reason":"first"}`)
	g.must("PUT", "/governance", `{"rules":{"log_level":"info"},"reason":"the same"}`)
	second := g.must("PUT", "/governance", `{"rules":{"log_level":"warn"},"replaces":1,"reason":"second"}`)
	if second.v["version"] != 2.0 {
		t.Errorf("the second is %s", second.text)
	}
	if got := g.ask("PUT", base+"/governance", `{"rules":{},"replaces":1,"reason":"late"}`); got.status != http.StatusConflict {
		t.Errorf("a change of an old version: %d %s", got.status, got.text)
	}
	if got := g.ask("PUT", base+"/governance", `{"rules":{"log_level":"loud","alerts":["nothing"]},"reason":"r"}`); got.status !=
		http.StatusUnprocessableEntity || !strings.Contains(got.text, "rules.log_level") || !strings.Contains(got.text, "rules.alerts") {
		t.Errorf("rules that cannot be: %d %s", got.status, got.text)
	}
	if got := g.must("GET", "/governance/acknowledgements", ""); !strings.Contains(got.text, `"missing":["ann@example.com"]`) {
		t.Errorf("before: %s", got.text)
	}
	if got := g.must("POST", "/governance/acknowledgements", `{"owner":"ann@example.com"}`); !strings.Contains(got.text, `"missing":[]`) {
		t.Errorf("after: %s", got.text)
	}
	events := g.must("GET", "/events?kind=governance", "")
	if len(events.data()) != 4 { // per version: one to everyone, and one to the owner
		t.Errorf("told: %s", events.text)
	}
	if got := g.must("GET", "/audit?action=governance.", ""); len(got.data()) != 3 {
		t.Errorf("recorded: %s", got.text)
	}
}

func TestReviewsCarryOutWhatIsDecided(t *testing.T) {
	g := newRig(t)
	ids := make([]string, 3)
	for i := range ids {
		ids[i] = g.must("POST", "/keys", `{"name":"k","models":["openai/*"]}`).v["id"].(string)
	}
	bot := g.must("POST", "/principals", `{"name":"ci"}`).v["id"].(string)
	granted := g.must("POST", "/principals/"+bot+"/grants", `{"role":"admin","reason":"r"}`)
	grant := granted.v["grants"].([]any)[0].(map[string]any)["id"].(string)
	review := g.must("POST", "/reviews", "")
	if len(review.data()) != 4 || review.v["open"] != 4.0 {
		t.Fatalf("the review is %s", review.text)
	}
	for role, want := range map[string]int{"read-only": http.StatusForbidden, "auditor": http.StatusOK, "security": http.StatusOK} {
		ask := g.principal("a "+role, role, "org", "")
		if got := ask("GET", "/reviews/1", ""); got.status != want {
			t.Errorf("%s reads who administers and how keys are used: %d %s", role, got.status, got.text)
		}
	}
	if got := g.ask("POST", base+"/reviews", ""); got.status != http.StatusConflict {
		t.Errorf("another one beside it: %d", got.status)
	}
	decide := func(body string) answer { return g.ask("POST", base+"/reviews/1/decide", body) }
	for _, body := range []string{
		`{"kind":"key","object":"` + ids[0] + `","decision":"narrow","reason":"r"}`,
		`{"kind":"key","object":"` + ids[0] + `","decision":"narrow","models":["other"],"reason":"r"}`,
		`{"kind":"grant","object":"` + grant + `","decision":"narrow","role":"owner","reason":"r"}`,
	} {
		if got := decide(body); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
	for _, body := range []string{
		`{"kind":"key","object":"` + ids[0] + `","decision":"narrow","models":["openai/*"],"networks":["10.0.0.0/8"],"reason":"r"}`,
		`{"kind":"key","object":"` + ids[1] + `","decision":"revoke","reason":"unused"}`,
		`{"kind":"key","object":"` + ids[2] + `","decision":"keep","reason":"used daily"}`,
		`{"kind":"grant","object":"` + grant + `","decision":"narrow","role":"read-only","reason":"r"}`,
	} {
		if got := decide(body); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", body, got.status, got.text)
		}
	}
	if got := decide(`{"kind":"key","object":"` + ids[2] + `","decision":"revoke","reason":"again"}`); got.status != http.StatusConflict {
		t.Errorf("decided twice: %d", got.status)
	}
	narrowed, revoked := g.must("GET", "/keys/"+ids[0], ""), g.must("GET", "/keys/"+ids[1], "")
	if !strings.Contains(narrowed.text, "10.0.0.0/8") || revoked.v["status"] != "revoked" {
		t.Errorf("%s %s", narrowed.text, revoked.text)
	}
	if got := g.must("GET", "/principals", ""); !strings.Contains(got.text, "read-only") || strings.Contains(got.text, `"role":"admin"`) {
		t.Errorf("%s", got.text)
	}
	if got := g.must("GET", "/reviews", ""); got.data()[0].(map[string]any)["status"] != "completed" {
		t.Errorf("%s", got.text)
	}
}

// TestRulesTellMembersACommandThatWorks: if a member's own key is refused, the error gives the
// complete command with what was missing, and no flags that the command does not have.
func TestRulesTellMembersACommandThatWorks(t *testing.T) {
	people := newLoginRig(t)
	g := people.rig
	team := g.must("POST", "/teams", `{"name":"own"}`).v["id"].(string)
	g.must("POST", "/projects", `{"name":"shop","team":"own","environment":"dev"}`)
	g.must("PUT", "/teams/own/ceiling", `{"keys":3,"usd":"20"}`)
	bot := g.must("POST", "/principals", `{"name":"ci"}`).v["id"].(string)
	g.must("POST", "/principals/"+bot+"/grants", `{"role":"member","scope":"team","scope_id":"own","reason":"r"}`)
	token := g.must("POST", "/principals/"+bot+"/tokens", `{"name":"laptop"}`).v["secret"]
	g.must("PUT", "/governance",
		`{"rules":{"keys":{"purpose":["dev"],"expiry":["dev"],"networks":["dev"],"max_age":{"normal":"30d"}}},"reason":"r"}`)
	got := people.as(token)("POST", "/team/keys", `{"name":"Ann's","team":"own","project":"shop","usd":"2"}`)
	fix, _ := got.object("error")["fix"].(string)
	begins, ends := `tallyroute team create 'Ann'\''s' --team `+team+` --project `,
		` --usd 2 --purpose "what it is for" --from 10.0.0.0/8 --for 720h0m0s`
	if got.status != http.StatusUnprocessableEntity || !strings.HasPrefix(fix, begins) ||
		!strings.HasSuffix(fix, ends) || strings.Contains(got.text, "keys update") {
		t.Errorf("%d %s", got.status, got.text)
	}
	if made := people.as(token)("POST", "/team/keys",
		`{"name":"Ann's","team":"own","project":"shop","usd":"2","purpose":"tills","allowed_cidrs":["10.0.0.0/8"],`+
			`"expires_in":"720h0m0s"}`); made.status >= 300 {
		t.Errorf("what it says is refused: %d %s", made.status, made.text)
	}
}

func TestIncidentsSealWhatTheKeyDid(t *testing.T) {
	g := newRig(t)
	g.must("POST", "/projects", `{"name":"files","team":"legal","environment":"dev","data_class":"confidential"}`)
	id := g.must("POST", "/keys", `{"name":"k","project":"files","team":"legal","owner":"ann@example.com","allowed_cidrs":["10.0.0.0/8"]}`).
		v["id"].(string)
	open := func(action string) answer {
		return g.ask("POST", base+"/incidents", `{"key_id":"`+id+`","reason":"leaked",`+action+`}`)
	}
	if got := open(`"action":"narrow","networks":["0.0.0.0/0"]`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a key cannot be narrowed to more: %d %s", got.status, got.text)
	}
	for action, done := range map[string]string{
		`"action":"narrow","networks":["10.1.0.0/16"]`: `"allowed_cidrs":["10.1.0.0/16"]`, `"action":"disable"`: `"status":"disabled"`,
	} {
		got := open(action)
		bundle, _ := got.v["bundle"].(string)
		sum := sha256.Sum256([]byte(bundle))
		var e manage.Evidence
		if err := json.Unmarshal([]byte(bundle), &e); err != nil || got.v["sha256"] != hex.EncodeToString(sum[:]) ||
			e.DataClass != "confidential" || e.Owner != "ann@example.com" || !e.Temporary.Ended || e.Key.Name != "k" {
			t.Errorf("%v %s", err, got.text)
		}
		if key := g.must("GET", "/keys/"+id, ""); !strings.Contains(key.text, done) {
			t.Errorf("no %s in %s", done, key.text)
		}
	}
}
