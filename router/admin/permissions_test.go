package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/rbac"
)

// TestEveryOperationNeedsAPermission: without one, an operation would be open to anyone with
// any role.
func TestEveryOperationNeedsAPermission(t *testing.T) {
	declared := rules()
	for _, o := range operations() {
		r, ok := declared[o.id]
		delete(declared, o.id)
		if !ok || r.permission != rbac.Any && !slices.Contains(rbac.Permissions(), r.permission) {
			t.Errorf("%s needs no permission: give it a rule, in ownerRules or the like", o.id)
		}
		if r.at == nil && strings.Contains(o.path, ":id") && r.permission != rbac.Any {
			t.Errorf("%s names an object in its path and does not look where that is: its rule lacks ofKey or the like", o.id)
		}
	}
	for id := range declared {
		t.Errorf("there is a rule for %s, which is no operation", id)
	}
}

// principal creates a principal with a role, and returns a function that sends requests as it.
func (g *rig) principal(name, role, scope, of string) func(method, path, body string) answer {
	g.t.Helper()
	id, _ := g.ask("POST", base+"/principals", fmt.Sprintf(`{"name":%q}`, name)).v["id"].(string)
	if role != "" {
		got := g.ask("POST", base+"/principals/"+id+"/grants", fmt.Sprintf(`{"role":%q,"scope":%q,"scope_id":%q}`, role, scope, of))
		if got.status != http.StatusCreated {
			g.t.Fatal(got.text)
		}
	}
	secret, _ := g.ask("POST", base+"/principals/"+id+"/tokens", `{"name":"t"}`).v["secret"].(string)
	return func(method, path, body string) answer {
		return g.send(method, base+path, body, "Authorization", "Bearer "+secret)
	}
}

// TestRolesOpenWhatTheyNameWhereTheyCount tries every operation with every role in the
// organisation, in the object's team and in another team. The requests are invalid, so that
// nothing is changed: a caller who is admitted gets that error.
func TestRolesOpenWhatTheyNameWhereTheyCount(t *testing.T) {
	g := newRig(t)
	g.ask("POST", base+"/teams", `{"name":"theirs"}`)
	key := g.ask("POST", base+"/keys", `{"name":"k","team":"ours","project":"p","budget":{"usd":"1"}}`)
	id := key.v["id"].(string)
	budget := key.v["budgets"].([]any)[0].(map[string]any)["id"].(string)
	project := key.v["project"].(map[string]any)["id"].(string)
	declared, objects := rules(), 0
	for role, permissions := range rbac.BuiltIn() {
		for place, grant := range map[string][2]string{"org": {"org", ""}, "ours": {"team", "ours"}, "theirs": {"team", "theirs"}} {
			ask := g.principal(role+" "+place, role, grant[0], grant[1])
			for _, o := range operations() {
				r := declared[o.id]
				path, object := o.path, ""
				switch {
				case strings.HasPrefix(path, "/keys/:id"), strings.HasPrefix(path, "/teams/:id"), strings.HasPrefix(path, "/projects/:id"),
					strings.HasPrefix(path, "/budgets/:id"):
					object = map[string]string{"/k": id, "/t": "ours", "/p": project, "/b": budget}[path[:2]]
					objects++
				}
				path = strings.NewReplacer(":id", object, ":month", "2020-01", ":request", "req_x",
					":grant", "x", ":token", "x").Replace(path)
				if object == "" && strings.Contains(o.path, ":id") {
					path = strings.Replace(o.path, ":id", "none", 1)
					path = strings.NewReplacer(":grant", "x", ":token", "x").Replace(path)
				}
				got := ask(o.method, path+"?nonsense=1", `{"nonsense":1}`)
				may := r.permission == rbac.Any || slices.Contains(permissions, r.permission)
				covers := place == "org" || object != "" && place == "ours"
				want := "let in"
				// The handlers of these operations look up their objects first.
				own := strings.HasPrefix(path, "/team/") || strings.HasPrefix(path, "/raises/") || strings.HasPrefix(path, "/leavers/")
				switch {
				case may && own:
				case !may && (object == "" || place != "theirs"), may && r.at != nil && object == "" && !covers:
					want = "insufficient_role"
				case object != "" && !covers && may:
					want = "not_found"
				case object != "" && !covers:
					want = "insufficient_role or not_found"
				}
				code, is := codeOf(got), "let in"
				switch {
				case code == "insufficient_role":
					is = code
				case got.status == http.StatusNotFound && object != "":
					is = "not_found"
				}
				if !strings.Contains(want, is) {
					t.Errorf("%s in %s, %s %s: %d %s, want %s", role, place, o.method, o.path, got.status, code, want)
				}
			}
		}
	}
	if objects < 300 {
		t.Errorf("only %d requests named an object", objects)
	}
}

func codeOf(a answer) string {
	e, _ := a.v["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// TestTeamsSeeAndMakeOnlyTheirOwn covers lists and bodies, where no path says which team is
// meant.
func TestTeamsSeeAndMakeOnlyTheirOwn(t *testing.T) {
	g := newRig(t)
	var theirs answer
	for _, team := range []string{"ours", "theirs"} {
		theirs = g.ask("POST", base+"/keys", fmt.Sprintf(`{"name":"k of %s","team":%q,"project":"p","budget":{"usd":"1"}}`, team, team))
		id := func(of string) string { return theirs.v[of].(map[string]any)["id"].(string) }
		g.usedBy(billing.Owner{KeyID: billing.KeyID(theirs.v["id"].(string)), ProjectID: id("project"), TeamID: id("team")}, time.Now())
	}
	lead := g.principal("lead", "team-lead", "team", "ours")
	developer := g.principal("developer", "developer", "project", "ours/p")
	for name, ask := range map[string]func(method, path, body string) answer{"lead": lead, "developer": developer} {
		for _, path := range []string{"/keys", "/projects", "/budgets"} {
			got := ask("GET", path, "")
			if len(got.data()) == 0 || strings.Contains(got.text, "theirs") {
				t.Errorf("%s sees at %s: %s", name, path, got.text)
			}
		}
		for path, body := range map[string]string{
			"/keys":                  `{"name":"x","team":"theirs","project":"p"}`,
			"/keys?":                 `{"name":"x"}`, // of the default team
			"/keys?a":                `{"name":"x","team":"new"}`,
			"/keys/find":             fmt.Sprintf(`{"secret":%q}`, theirs.v["secret"]),
			"/keys/revoke":           fmt.Sprintf(`{"secret":%q}`, theirs.v["secret"]),
			"/budgets":               `{"scope":"org","usd":"100"}`,
			"/budgets?":              `{"scope":"team","scope_id":"theirs","usd":"100"}`,
			"/projects":              `{"name":"x","team":"theirs"}`,
			"/projects?":             `{"name":"x","team":"new"}`,
			"/teams":                 `{"name":"x"}`,
			"/spend/adjustments":     fmt.Sprintf(`{"key_id":%q,"amount_usd":"-1","reason":"r"}`, theirs.v["id"]),
			"/principals":            `{"name":"x"}`,
			"/prices/reprice":        `{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","reason":"r"}`,
			"/integrity":             ``,
			"/periods/2020-01/close": ``,
		} {
			path, _, _ = strings.Cut(path, "?")
			if got := ask("POST", path, body); got.status != http.StatusForbidden && got.status != http.StatusNotFound {
				t.Errorf("%s may POST %s %s: %d %s", name, path, body, got.status, got.text)
			}
		}
		if got := ask("POST", "/keys", `{"name":"mine","team":"ours","project":"p"}`); got.status != http.StatusCreated {
			t.Errorf("%s may not make a key: %s", name, got.text)
		} else if moved := ask("PATCH", "/keys/"+got.v["id"].(string),
			`{"team":"theirs","project":"p"}`); moved.status != http.StatusForbidden {
			t.Errorf("%s moved a key away: %d %s", name, moved.status, moved.text)
		}
		for _, path := range []string{"/spend", "/spend?group_by=key", "/spend?group_by=session,team", "/usage", "/usage?by=project"} {
			got := ask("GET", path, "")
			if got.status != http.StatusOK || strings.Contains(got.text, "theirs") || !strings.Contains(got.text, "ours") {
				t.Errorf("%s reads at %s: %d %s", name, path, got.status, got.text)
			}
			if total, is := got.v["total"].(map[string]any); is && total["requests"] != 1.0 {
				t.Errorf("%s reads the total of all at %s: %s", name, path, got.text)
			}
		}
		if got := ask("GET", "/spend?key_id="+theirs.v["id"].(string), ""); got.status != http.StatusNotFound {
			t.Errorf("%s reads what another team's key spent: %d %s", name, got.status, got.text)
		}
	}
	if got := g.ask("GET", base+"/audit?outcome=denied", ""); len(got.data()) == 0 || !strings.Contains(got.text, "developer") {
		t.Errorf("denials: %s", got.text)
	}
	if got := g.ask("GET", base+"/audit/verify", ""); got.v["ok"] != true {
		t.Errorf("the audit log: %s", got.text)
	}
	var made struct {
		Data []struct{ Actor, Role, Source string }
	}
	if err := json.Unmarshal([]byte(g.ask("GET", base+"/audit?action=key.create&limit=1", "").text), &made); err != nil ||
		len(made.Data) != 1 ||
		made.Data[0].Role == "" || made.Data[0].Source == "" || !strings.Contains(made.Data[0].Actor, "svc_") {
		t.Errorf("who made the key: %+v, %v", made, err)
	}
}

// TestNobodyGivesWhatHeDoesNotHave: neither through a grant nor through somebody else's token.
func TestNobodyGivesWhatHeDoesNotHave(t *testing.T) {
	g := newRig(t)
	boss := g.ask("POST", base+"/principals", `{"name":"boss"}`).v["id"].(string)
	grant := g.ask("POST", base+"/principals/"+boss+"/grants", `{"role":"owner"}`).v["grants"].([]any)[0].(map[string]any)["id"].(string)
	admin := g.principal("admin", "admin", "org", "")
	me := admin("POST", "/principals", `{"name":"puppet"}`).v["id"].(string)
	for path, body := range map[string]string{
		"/principals/" + me + "/grants":    `{"role":"owner"}`,
		"/principals/" + me + "/grants?":   `{"role":"finance"}`, // it can close periods, which an admin cannot
		"/principals/" + boss + "/tokens":  `{"name":"t"}`,
		"/principals/" + boss + "/disable": ``,
	} {
		path, _, _ = strings.Cut(path, "?")
		admin("POST", path, body).refused(t, http.StatusForbidden, "insufficient_role")
	}
	admin("DELETE", "/principals/"+boss+"/grants/"+grant, "").refused(t, http.StatusForbidden, "insufficient_role")
	if got := admin("POST", "/principals/"+me+"/grants", `{"role":"read-only"}`); got.status != http.StatusCreated {
		t.Error(got.text)
	}
	g.ask("DELETE", base+"/principals/"+boss+"/grants/"+grant, "").refused(t, http.StatusConflict, "conflict") // the last owner
	g.ask("POST", base+"/principals/"+boss+"/disable", "").refused(t, http.StatusConflict, "conflict")
}

// TestOnlyOthersWhoMayGrantARoleApproveIt: neither a stranger nor those whom the grant concerns.
func TestOnlyOthersWhoMayGrantARoleApproveIt(t *testing.T) {
	g := newRig(t)
	made := func(body, role string) string {
		id := g.ask("POST", base+"/principals", body).v["id"].(string)
		if role != "" {
			g.ask("POST", base+"/principals/"+id+"/grants", fmt.Sprintf(`{"role":%q}`, role))
		}
		return id
	}
	boss := made(`{"name":"boss","kind":"user","email":"boss@example.com"}`, "owner")
	made(`{"name":"reader"}`, "read-only")
	gone := made(`{"name":"gone"}`, "owner")
	g.ask("POST", base+"/principals/"+gone+"/disable", "")
	me := made(`{"name":"me"}`, "owner")
	secret, _ := g.ask("POST", base+"/principals/"+me+"/tokens", `{"name":"t"}`).v["secret"].(string)
	bot := made(`{"name":"bot"}`, "")
	grant := func(by, role, scope string) answer {
		return g.send("POST", base+"/principals/"+bot+"/grants", fmt.Sprintf(`{"role":%q,"approved_by":%q,%s}`, role, by, scope),
			"Authorization", "Bearer "+secret)
	}
	made(`{"name":"admin"}`, "admin")
	for by, role := range map[string]string{
		"nobody": "auditor", "reader": "auditor", "gone": "auditor", "me": "auditor", me: "auditor", "bot": "auditor", "admin": "owner",
	} {
		grant(by, role, `"scope":"org"`).refused(t, http.StatusUnprocessableEntity, "invalid_value")
	}
	for by, role := range map[string]string{"admin": "auditor", "BOSS@example.com": "finance", boss: "owner"} {
		if got := grant(by, role, `"scope":"org"`); got.status != http.StatusCreated {
			t.Errorf("%s approves %s: %s", by, role, got.text)
		}
	}
	if got := g.ask("GET", base+"/audit?action=principal.grant&limit=3", ""); strings.Count(got.text, `"approved_by"`) != 3 ||
		!strings.Contains(got.text, boss) {
		t.Errorf("the audit log does not name them: %s", got.text)
	}
}

// TestEndedAndExpiredOpenNothing: tokens, grants and principals that have ended or expired.
func TestEndedAndExpiredOpenNothing(t *testing.T) {
	g := newRig(t)
	id := g.ask("POST", base+"/principals", `{"name":"ci"}`).v["id"].(string)
	grant := g.ask("POST", base+"/principals/"+id+"/grants", `{"role":"read-only"}`).v["grants"].([]any)[0].(map[string]any)["id"].(string)
	made := g.ask("POST", base+"/principals/"+id+"/tokens", `{"name":"t"}`)
	ask := func() answer {
		return g.send("GET", base+"/keys", "", "Authorization", "Bearer "+made.v["secret"].(string))
	}
	if got := ask(); got.status != http.StatusOK {
		t.Fatal(got.text)
	}
	g.ask("POST", base+"/principals/"+id+"/disable", "")
	ask().refused(t, http.StatusUnauthorized, "invalid_admin_token")
	g.ask("POST", base+"/principals/"+id+"/enable", "")
	if got := ask(); got.status != http.StatusOK {
		t.Fatal(got.text)
	}
	g.ask("DELETE", base+"/principals/"+id+"/grants/"+grant, "")
	ask().refused(t, http.StatusForbidden, "insufficient_role")
	g.ask("DELETE", base+"/principals/"+id+"/tokens/"+made.v["id"].(string), "")
	ask().refused(t, http.StatusUnauthorized, "invalid_admin_token")
	if got := g.ask("GET", base+"/principals", ""); strings.Contains(got.text, made.v["secret"].(string)) {
		t.Errorf("the secret is shown again: %s", got.text)
	}
}
