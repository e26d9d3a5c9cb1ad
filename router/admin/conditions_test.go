package admin

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// grants gives a principal a role under a condition, and returns the answer.
func (g *rig) grants(id, role, must string) answer {
	g.t.Helper()
	return g.ask("POST", base+"/principals/"+id+"/grants", fmt.Sprintf(`{"role":%q,"must":%q}`, role, must))
}

// TestGrantsCountOnlyUnderTheirConditions calls with a token whose grant has a true condition,
// and one whose condition is false.
func TestGrantsCountOnlyUnderTheirConditions(t *testing.T) {
	g := newRig(t)
	for must, want := range map[string]int{
		"in_range(address, '127.0.0.0/8')":                            http.StatusOK,
		"in_range(address, '10.0.0.0/8')":                             http.StatusForbidden,
		"act.permission == 'keys.read'":                               http.StatusOK,
		"act.operation != 'listKeys'":                                 http.StatusForbidden,
		"principal.kind == 'service' and time.hour >= 0":              http.StatusOK,
		"login.session and login.age_minutes <= 5":                    http.StatusForbidden,
		"not login.session and login.age_minutes > 100000":            http.StatusOK,
		"'otp' in login.strength":                                     http.StatusForbidden,
		"time.weekday in ['mon','tue','wed','thu','fri','sat','sun']": http.StatusOK,
	} {
		id := g.ask("POST", base+"/principals", fmt.Sprintf(`{"name":%q}`, must)).v["id"].(string)
		if got := g.grants(id, "admin", must); got.status != http.StatusCreated {
			t.Fatalf("%s: %s", must, got.text)
		}
		secret := g.ask("POST", base+"/principals/"+id+"/tokens", `{"name":"t"}`).v["secret"].(string)
		got := g.send("GET", base+"/keys", "", "Authorization", "Bearer "+secret)
		if got.status != want || want != http.StatusOK && !strings.Contains(got.text, "has a condition that is not true: ") {
			t.Errorf("%s: %d %s", must, got.status, got.text)
		}
		trial := g.ask("POST", base+"/principals/"+id+"/try", `{"operation":"listKeys","from":"127.0.0.1"}`)
		if trial.v["allowed"] != (want == http.StatusOK) {
			t.Errorf("the trial of %s: %s", must, trial.text)
		}
		if draft := g.ask("POST", base+"/principals/"+id+"/try", `{"operation":"listKeys","must":"false"}`); draft.v["allowed"] != false {
			t.Errorf("a draft that is never true: %s", draft.text)
		}
	}
	id := g.ask("POST", base+"/principals", `{"name":"x"}`).v["id"].(string)
	for _, must := range []string{"1", "nonsense", "key.id == 'x'", "all([1], # > 0)", strings.Repeat("true and ", 200) + "true"} {
		g.grants(id, "admin", must).refused(t, http.StatusUnprocessableEntity, "invalid_value")
	}
}

// TestConditionsCannotBeCastOff by a principal whose grant has one.
func TestConditionsCannotBeCastOff(t *testing.T) {
	g := newRig(t)
	boss := g.ask("POST", base+"/principals", `{"name":"boss"}`).v["id"].(string)
	last := g.grants(boss, "owner", "").v["grants"].([]any)[0].(map[string]any)["id"].(string)
	id := g.ask("POST", base+"/principals", `{"name":"guarded"}`).v["id"].(string)
	const office = "in_range(address, '127.0.0.1/32')"
	if got := g.grants(id, "owner", office); got.status != http.StatusCreated {
		t.Fatal(got.text)
	}
	secret := g.ask("POST", base+"/principals/"+id+"/tokens", `{"name":"t"}`).v["secret"].(string)
	ask := func(method, path, body string) answer {
		return g.send(method, base+path, body, "Authorization", "Bearer "+secret)
	}
	puppet := ask("POST", "/principals", `{"name":"puppet"}`).v["id"].(string)
	for path, body := range map[string]string{
		"/principals/" + id + "/grants":     `{"role":"owner"}`,
		"/principals/" + puppet + "/grants": `{"role":"read-only","must":"true"}`,
		"/principals/" + boss + "/tokens":   `{"name":"t"}`,
	} {
		ask("POST", path, body).refused(t, http.StatusForbidden, "insufficient_role")
	}
	if got := ask("POST", "/principals/"+puppet+"/grants",
		fmt.Sprintf(`{"role":"read-only","must":%q}`, office)); got.status != http.StatusCreated {
		t.Errorf("under the same condition: %s", got.text)
	}
	g.ask("DELETE", base+"/principals/"+boss+"/grants/"+last, "").refused(t, http.StatusConflict, "conflict") // the other's may never hold
}

// TestAgeOfALoginCanBeACondition on what people may do through their groups.
func TestAgeOfALoginCanBeACondition(t *testing.T) {
	g := newLoginRig(t, func(l *Login) { l.Rules.Roles[0].Must = "login.session and login.age_minutes < 30" })
	g.person("u1", "ann@example.com", "owners")
	ann := g.as(g.logIn().v["token"])
	if got := ann("GET", "/keys", ""); got.status != http.StatusOK {
		t.Fatal(got.text)
	}
	g.skew.Store(int64(31 * time.Minute))
	ann("GET", "/keys", "").refused(t, http.StatusForbidden, "insufficient_role")
	if me := ann("GET", "/me", ""); !strings.Contains(me.text, `"holds":false`) {
		t.Errorf("who asks: %s", me.text)
	}
}
