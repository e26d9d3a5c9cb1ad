package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
)

// publicly calls self-service on a listener that anyone can reach.
func (g *rig) publicly(method, path, body string, header ...string) answer {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, "/v1/team"+path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	SelfService(g.o).ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.v)
	return a
}

func (g *rig) publiclyAs(token any) func(method, path, body string) answer {
	return func(method, path, body string) answer {
		g.t.Helper()
		return g.publicly(method, path, body, "Authorization", fmt.Sprint("Bearer ", token))
	}
}

// signIn logs in the provider's person on the public listener.
func (g loginRig) signIn() answer {
	g.t.Helper()
	begun := g.publicly("POST", "/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	if begun.status != http.StatusOK {
		g.t.Fatal(begun.text)
	}
	back := g.idp.Browse(begun.v["url"].(string)).Query()
	return g.publicly("POST", "/login/finish", fmt.Sprintf(`{"login":%q,"code":%q,"state":%q}`, begun.v["login"], back.Get("code"),
		back.Get("state")))
}

func TestMembersSignInAndServeThemselvesWhereAnybodyReaches(t *testing.T) {
	g := newLoginRig(t, func(l *Login) {
		for _, team := range []string{"web", "other"} {
			r := l.Rules.Roles[1]
			r.Group, r.Role, r.Of = "members of "+team, "member", team
			l.Rules.Roles = append(l.Rules.Roles, r)
		}
	})
	g.ask("POST", base+"/teams", `{"name":"web"}`)
	g.ask("POST", base+"/teams", `{"name":"other"}`)
	g.person("u1", "ann@example.com", "members of web")
	ann := g.publiclyAs(g.signIn().v["token"])
	if got := ann("POST", "/keys", `{"name":"early"}`); got.status != http.StatusForbidden || !strings.Contains(got.text, "ceiling") {
		t.Errorf("without a ceiling: %d %s", got.status, got.text)
	}
	g.ask("PUT", base+"/teams/web/ceiling", `{"keys":2,"usd":"20","expires_in":"24h","models":["chat-cheap"]}`)
	made := ann("POST", "/keys", `{"name":"mine"}`)
	if made.status != http.StatusCreated || !strings.HasPrefix(made.v["secret"].(string), "sk-tr-") ||
		made.v["owner"] != "ann@example.com" {
		t.Fatalf("made: %d %s", made.status, made.text)
	}
	key := "/keys/" + made.v["id"].(string)
	for _, one := range []struct {
		method, path, body string
		status             int
	}{
		{"PATCH", key, `{"usd":"11"}`, http.StatusUnprocessableEntity}, // more than the 10 of its share
		{"PATCH", key, `{"usd":"1"}`, http.StatusOK},
		{"POST", "/keys", `{"name":"x","usd":"20"}`, http.StatusUnprocessableEntity},
		{"POST", "/keys", `{"name":"x","team":"other"}`, http.StatusNotFound},
		{"POST", "/keys", `{"name":"x","team":"none"}`, http.StatusNotFound},
		{"POST", key + "/rotate", `{"overlap":"0s"}`, http.StatusCreated},
		{"POST", key + "/raises", `{"usd":"5","until":"` + g.in(time.Hour) + `","reason":"r"}`, http.StatusCreated},
		{"GET", "/raises", "", http.StatusOK},
		{"GET", "/me", "", http.StatusOK},
		{"GET", "/principals", "", http.StatusNotFound}, // not served here
		{"POST", "/keys", `{"name":"second"}`, http.StatusCreated},
		{"POST", "/keys", `{"name":"third"}`, http.StatusConflict},
	} {
		if got := ann(one.method, one.path, one.body); got.status != one.status {
			t.Errorf("%s %s %s: %d %s, want %d", one.method, one.path, one.body, got.status, got.text, one.status)
		}
	}
	raise := g.ask("GET", base+"/raises", "").data()[0].(map[string]any)["id"].(string)
	g.person("u2", "bob@example.com", "members of other")
	bob := g.publiclyAs(g.signIn().v["token"])
	g.person("u3", "lea@example.com", "web")
	lea := g.as(g.logIn().v["token"])
	for _, path := range []string{key, "/keys/key_none"} {
		for _, method := range []string{"GET", "PATCH"} {
			if got := bob(method, path, ""); got.status != http.StatusNotFound {
				t.Errorf("a member of another team, %s %s: %d %s", method, path, got.status, got.text)
			}
		}
		if got := bob("POST", path+"/rotate", ""); got.status != http.StatusNotFound {
			t.Errorf("a member of another team rotates %s: %d %s", path, got.status, got.text)
		}
	}
	if got := lea("POST", "/raises/"+raise+"/approve", ""); got.status != http.StatusOK || got.v["outcome"] != "approved" {
		t.Errorf("the lead approves: %d %s", got.status, got.text)
	}
	if got := ann("GET", key, ""); !strings.Contains(got.text, `"remaining_usd":"6"`) {
		t.Errorf("raised from 1 by 5: %s", got.text)
	}
	if got := ann("POST", key+"/revoke", ""); got.v["status"] != "revoked" {
		t.Errorf("revoked: %s", got.text)
	}
	if got := g.ask("GET", base+"/audit?action=key.create", ""); !strings.Contains(got.text, "ann@example.com (user_") {
		t.Errorf("the audit log: %s", got.text)
	}
}

// in returns a time in the future, by the router's clock.
func (g loginRig) in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func TestSelfServiceTakesNothingThatABrowserSendsByItselfAndNobodysToken(t *testing.T) {
	g := newRig(t)
	g.ask("POST", base+"/teams", `{"name":"web"}`)
	g.ask("PUT", base+"/teams/web/ceiling", `{"keys":2}`)
	id := g.ask("POST", base+"/principals", `{"name":"bot"}`).v["id"].(string)
	g.ask("POST", base+"/principals/"+id+"/grants", `{"role":"member","scope":"team","scope_id":"web"}`)
	secret := g.ask("POST", base+"/principals/"+id+"/tokens", `{"name":"t"}`).v["secret"].(string)
	virtual, err := billing.NewSecret("dev", strings.NewReader(strings.Repeat("x", 200)))
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string][]string{
		"nothing":            nil,
		"cookie":             {"Cookie", sessionCookie + "=" + secret, csrfHeader, csrfToken(secret)},
		"the static token":   {"Authorization", "Bearer " + token},
		"a virtual key":      {"Authorization", "Bearer " + virtual.Reveal()},
		"another scheme":     {"Authorization", "Basic " + secret},
		"another token":      {"Authorization", "Bearer " + strings.Replace(secret, secret[20:24], "zzzz", 1)},
		"two of them":        {"Authorization", "Bearer " + secret, "Authorization", "Bearer " + secret},
		"cookie and a token": {"Cookie", sessionCookie + "=" + secret, "Authorization", "Bearer " + token},
	} {
		if got := g.publicly("POST", "/keys", `{"name":"k"}`, header...); got.status < 400 || got.status > 403 {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
	if got := g.publiclyAs(secret)("POST", "/keys", `{"name":"k"}`); got.status != http.StatusCreated {
		t.Errorf("a token of one's own: %d %s", got.status, got.text)
	}
}

// TestTransferCanEndTheSecretThatALeaverKnows transfers a key to somebody else with a new
// secret.
func TestTransferCanEndTheSecretThatALeaverKnows(t *testing.T) {
	g := newRig(t)
	gone := g.ask("POST", base+"/principals", `{"name":"gone","kind":"user","email":"gone@example.com"}`).v["id"].(string)
	g.ask("POST", base+"/principals", `{"name":"heir","kind":"user","email":"heir@example.com"}`)
	key := g.ask("POST", base+"/keys", `{"name":"k","owner":"gone@example.com"}`)
	g.ask("POST", base+"/principals/"+gone+"/disable", "")
	if err := g.o.Actions.SweepLeavers(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	review, _ := g.ask("GET", base+"/leavers?outcome=open", "").data()[0].(map[string]any)["id"].(string)
	got := g.ask("POST", base+"/leavers/"+review+"/transfer", `{"to":"heir@example.com","rotate":true}`)
	fresh, _ := got.v["secret"].(string)
	if got.status != http.StatusOK || got.v["outcome"] != "transferred" || fresh == "" || fresh == key.v["secret"] {
		t.Fatalf("%d %s", got.status, got.text)
	}
	if found := g.ask("POST", base+"/keys/find", fmt.Sprintf(`{"secret":%q}`, fresh)); found.status != http.StatusOK {
		t.Errorf("the new secret: %s", found.text)
	}
	if versions := g.ask("GET", base+"/keys/"+key.v["id"].(string)+"/versions", ""); len(versions.data()) != 2 ||
		strings.Count(versions.text, `"valid_until":null`) != 1 {
		t.Errorf("versions: %s", versions.text)
	}
}
