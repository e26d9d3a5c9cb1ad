package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/router/identity"
	"tallyroute/router/identity/identitytest"
)

// loginRig is a rig where people log in through its own identity provider.
type loginRig struct {
	*rig
	idp  *identitytest.Server
	skew *atomic.Int64 // nanoseconds by which the listener's clock is ahead
}

func newLoginRig(t *testing.T, change ...func(*Login)) loginRig {
	t.Helper()
	idp, skew := identitytest.New(t), &atomic.Int64{}
	clock := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	g := newRig(t, func(o *Options) {
		o.Login = &Login{
			Provider: identity.New(identity.Config{Issuer: idp.URL, ClientID: identitytest.Client, ClientSecret: identitytest.Secret}),
			URL:      "http://localhost",
			Rules: manage.LoginRules{
				Roles: []manage.GroupRole{
					{Group: "owners", Role: "owner"},
					{Group: "web", Role: "team-lead", Scope: "team", Of: "web"},
					{Group: "gone", Role: "team-lead", Scope: "team", Of: "no such team"},
				},
				Idle: time.Hour, Absolute: 12 * time.Hour, StepUp: 5 * time.Minute,
			},
		}
		for _, f := range change {
			f(o.Login)
		}
		o.Clock, o.Actions.Clock = clock, clock
	})
	return loginRig{g, idp, skew}
}

// logIn logs in the provider's person, as a program does.
func (g loginRig) logIn() answer {
	g.t.Helper()
	begun := g.send("POST", base+"/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	if begun.status != http.StatusOK {
		return begun
	}
	back := g.idp.Browse(begun.v["url"].(string)).Query()
	return g.send("POST", base+"/login/finish", fmt.Sprintf(`{"login":%q,"code":%q,"state":%q}`, begun.v["login"], back.Get("code"),
		back.Get("state")))
}

// person changes the provider's person from now on.
func (g loginRig) person(subject, email string, groups ...string) {
	g.idp.Person = identitytest.Claims{"sub": subject, "email": email, "email_verified": true, "groups": groups}
}

// as sends requests with a token.
func (g loginRig) as(token any) func(method, path, body string) answer {
	return func(method, path, body string) answer {
		g.t.Helper()
		return g.send(method, base+path, body, "Authorization", fmt.Sprint("Bearer ", token))
	}
}

func TestPeopleLogInAndMayWhatTheirGroupsMay(t *testing.T) {
	g := newLoginRig(t)
	g.ask("POST", base+"/teams", `{"name":"web"}`)
	g.ask("POST", base+"/teams", `{"name":"other"}`)
	g.person("u1", "ann@example.com", "web", "unknown", "gone")
	in := g.logIn()
	if in.status != http.StatusOK || !strings.HasPrefix(in.v["actor"].(string), "ann@example.com (user_") {
		t.Fatal(in.text)
	}
	ann := g.as(in.v["token"])
	if got := ann("POST", "/keys", `{"name":"k","team":"web","project":"default"}`); got.status != http.StatusCreated {
		t.Error(got.text)
	}
	ann("POST", "/keys", `{"name":"k","team":"other","project":"default"}`).refused(t, http.StatusForbidden, "insufficient_role")
	if me := ann("GET", "/me", ""); !strings.Contains(me.text, `"role":"team-lead"`) || me.v["session"] == nil {
		t.Error(me.text)
	}
	// The same person logging in again is the same user; outside the group, the user loses all
	// permissions.
	g.person("u1", "ann@example.com", "web")
	if again := g.logIn(); again.v["actor"] != in.v["actor"] {
		t.Errorf("%s after %s", again.text, in.text)
	}
	g.person("u1", "ann@example.com")
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
	ann("GET", "/keys", "").refused(t, http.StatusForbidden, "insufficient_role")
	// A stranger without a group is unknown.
	g.person("u2", "eve@example.com", "others")
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
	if all := g.ask("GET", base+"/principals", ""); strings.Contains(all.text, "eve@example.com") {
		t.Errorf("a stranger was kept: %s", all.text)
	}
	if log := g.ask("GET", base+"/audit?action=login", ""); strings.Count(log.text, `"outcome":"denied"`) != 2 ||
		strings.Count(log.text, `"outcome":"done"`) != 2 {
		t.Errorf("the log: %s", log.text)
	}
}

// TestUsersAreBoundOnceAndByVerifiedAddressesOnly: an email address proves somebody's identity
// only if the provider has verified it and nobody is bound to it yet.
func TestUsersAreBoundOnceAndByVerifiedAddressesOnly(t *testing.T) {
	g := newLoginRig(t)
	id := g.ask("POST", base+"/principals", `{"name":"ann","kind":"user","email":"Ann@example.com"}`).v["id"].(string)
	g.ask("POST", base+"/principals/"+id+"/grants", `{"role":"read-only"}`)
	for _, verified := range []any{false, "false", nil, "yes", 1} {
		g.person("thief", "ann@example.com")
		g.idp.Person["email_verified"] = verified
		g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
	}
	g.person("u1", "ann@example.com")
	if in := g.logIn(); !strings.Contains(fmt.Sprint(in.v["actor"]), id) {
		t.Fatal(in.text)
	}
	g.person("u2", "ann@example.com") // the address was given to somebody else
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
	g.person("u2", "ann@example.com", "owners")
	if in := g.logIn(); strings.Contains(fmt.Sprint(in.v["actor"]), id) {
		t.Errorf("bound again: %s", in.text)
	}
	g.person("u1", "married@example.com") // the person's own address has changed
	if in := g.logIn(); !strings.Contains(fmt.Sprint(in.v["actor"]), id) {
		t.Error(in.text)
	}
	// A service cannot log in.
	bot := g.ask("POST", base+"/principals", `{"name":"bot","email":"bot@example.com"}`).v["id"].(string)
	g.ask("POST", base+"/principals/"+bot+"/grants", `{"role":"owner"}`)
	g.person("u3", "bot@example.com")
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
}

func TestSeveralFactorsAreNeededWhereConfigured(t *testing.T) {
	g := newLoginRig(t, func(l *Login) { l.Rules.MFA = []string{"mfa", "gold"} })
	g.person("u1", "ann@example.com", "owners")
	g.logIn().refused(t, http.StatusForbidden, "mfa_required")
	g.idp.Person["amr"] = []string{"pwd"}
	g.logIn().refused(t, http.StatusForbidden, "mfa_required")
	g.idp.Person["amr"] = []string{"pwd", "mfa"}
	if in := g.logIn(); in.status != http.StatusOK {
		t.Error(in.text)
	}
	delete(g.idp.Person, "amr")
	g.idp.Person["acr"] = "gold"
	if in := g.logIn(); in.status != http.StatusOK {
		t.Error(in.text)
	}
}

// TestSensitiveActsNeedALoginOfTheLastMinutes: a person's token does not count as one, and a
// service needs none.
func TestSensitiveActsNeedALoginOfTheLastMinutes(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	ann := g.as(g.logIn().v["token"])
	key := ann("POST", "/keys", `{"name":"k"}`).v["id"].(string)
	sensitive := map[string][2]string{
		"/keys/" + key + "/rotate": {"POST", ""}, "/keys/" + key + "/hand-over": {"POST", ""}, "/audit/export": {"GET", ""},
		"/principals":     {"POST", `{"name":"x"}`},
		"/prices/reprice": {"POST", `{"from":"2026-01-01","to":"2026-02-01","dry_run":true,"reason":"r"}`},
	}
	for path, c := range sensitive {
		if got := ann(c[0], path, c[1]); got.status >= 300 {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	id := strings.Trim(strings.Fields(ann("GET", "/me", "").v["actor"].(string))[1], "()")
	token := g.as(ann("POST", "/principals/"+id+"/tokens", `{"name":"laptop"}`).v["secret"])
	g.skew.Store(int64(6 * time.Minute))
	for path, c := range sensitive {
		ann(c[0], path, c[1]).refused(t, http.StatusForbidden, "login_too_old")
		token(c[0], path, c[1]).refused(t, http.StatusForbidden, "login_too_old")
	}
	if got := ann("GET", "/keys", ""); got.status != http.StatusOK {
		t.Error(got.text)
	}
	// The time of authentication that the provider states counts, not the time of the login
	// here.
	g.idp.Person["auth_time"] = time.Now().Add(-time.Hour).Unix()
	old := g.as(g.logIn().v["token"])
	old("GET", "/audit/export", "").refused(t, http.StatusForbidden, "login_too_old")
	bot := g.principal("bot", "owner", "org", "")
	if got := bot("POST", "/keys/"+key+"/rotate", ""); got.status >= 300 {
		t.Error(got.text)
	}
}

func TestLoginsEndByThemselvesAndByOthers(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	ann, second := g.as(g.logIn().v["token"]), g.as(g.logIn().v["token"])
	if got := ann("GET", "/sessions", ""); len(got.data()) != 2 {
		t.Errorf("sessions: %s", got.text)
	}
	id := second("GET", "/me", "").v["session"].(map[string]any)["id"].(string)
	ann("DELETE", "/sessions/"+id+"?reason=lost", "")
	second("GET", "/me", "").refused(t, http.StatusUnauthorized, "invalid_admin_token")
	ann("DELETE", "/sessions/session_none", "").refused(t, http.StatusNotFound, "session_not_found")
	if got := ann("POST", "/logout", ""); got.status != http.StatusOK {
		t.Error(got.text)
	}
	ann("GET", "/me", "").refused(t, http.StatusUnauthorized, "invalid_admin_token")

	idle := g.as(g.logIn().v["token"])
	for range 4 { // used in time, the session lasts
		g.skew.Add(int64(50 * time.Minute))
		if got := idle("GET", "/me", ""); got.status != http.StatusOK {
			t.Fatal(got.text)
		}
	}
	g.skew.Add(int64(61 * time.Minute))
	idle("GET", "/me", "").refused(t, http.StatusUnauthorized, "invalid_admin_token")

	long := g.as(g.logIn().v["token"])
	for range 14 { // twelve hours is the maximum
		g.skew.Add(int64(50 * time.Minute))
		long("GET", "/me", "")
	}
	g.skew.Add(int64(30 * time.Minute))
	long("GET", "/me", "").refused(t, http.StatusUnauthorized, "invalid_admin_token")

	last := g.logIn()
	user := strings.Trim(strings.Fields(last.v["actor"].(string))[1], "()")
	g.ask("POST", base+"/principals/"+user+"/grants", `{"role":"owner"}`)
	g.principal("other", "owner", "org", "") // so that ann is not the last owner
	g.ask("POST", base+"/principals/"+user+"/disable", "")
	g.as(last.v["token"])("GET", "/me", "").refused(t, http.StatusUnauthorized, "invalid_admin_token")
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
}

// TestLastOwnerIsNotLockedOutByHisGroups: the provider may drop a group.
func TestLastOwnerIsNotLockedOutByHisGroups(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	g.logIn()
	g.person("u1", "ann@example.com")
	if in := g.logIn(); in.status != http.StatusOK {
		t.Fatal(in.text)
	}
	g.person("u2", "bob@example.com", "owners")
	g.logIn()
	g.person("u1", "ann@example.com")
	g.logIn().refused(t, http.StatusForbidden, "insufficient_role")
}

// TestOnlyWhoBeganALoginFinishesIt: somebody else's code does not work, nor does a sealed
// attempt that was altered or has expired, and codes are sent to the loopback only.
func TestOnlyWhoBeganALoginFinishesIt(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	for _, to := range []string{
		"https://evil.example.com/cb", "http://evil.example.com:80/cb", "http://127.0.0.1.evil.example.com:1/cb", "http://a@127.0.0.1:1/cb",
		"http://user:pass@localhost:1/", "//127.0.0.1:1/cb", "javascript:alert(1)", "http://127.0.0.1/cb", "",
	} {
		g.send("POST", base+"/login", fmt.Sprintf(`{"redirect_uri":%q}`, to)).refused(t, 422, "invalid_value")
	}
	begin := func() (string, url.Values) {
		a := g.send("POST", base+"/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
		return a.v["login"].(string), g.idp.Browse(a.v["url"].(string)).Query()
	}
	mine, my := begin()
	theirs, their := begin()
	finish := func(login, code, state string) answer {
		return g.send("POST", base+"/login/finish", fmt.Sprintf(`{"login":%q,"code":%q,"state":%q}`, login, code, state))
	}
	finish(mine, their.Get("code"), their.Get("state")).refused(t, http.StatusForbidden, "login_failed")
	finish(mine, their.Get("code"), my.Get("state")).refused(t, http.StatusForbidden, "login_failed") // PKCE
	finish(mine+"x", my.Get("code"), my.Get("state")).refused(t, http.StatusForbidden, "login_failed")
	finish("", my.Get("code"), my.Get("state")).refused(t, http.StatusForbidden, "login_failed")
	finish(theirs, "", their.Get("state")).refused(t, http.StatusForbidden, "login_failed")
	g.skew.Store(int64(11 * time.Minute))
	finish(mine, my.Get("code"), my.Get("state")).refused(t, http.StatusForbidden, "login_failed")
}

func TestLoginOnAnotherDevice(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	begun := g.send("POST", base+"/login/device", "")
	if begun.v["user_code"] != "ABCD-EFGH" || strings.Contains(begun.text, "device_code") {
		t.Fatal(begun.text)
	}
	g.idp.Approve()
	in := g.send("POST", base+"/login/finish", fmt.Sprintf(`{"login":%q}`, begun.v["login"]))
	if got := g.as(in.v["token"])("GET", "/keys", ""); got.status != http.StatusOK {
		t.Errorf("%s: %s", in.text, got.text)
	}
}

// browser sends a request with cookies, as a browser does.
func (g loginRig) browser(method, path string, cookies []*http.Cookie, header ...string) *http.Response {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := g.client.Transport.RoundTrip(req)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// TestPagesLogInByCookie: the cookie is secure, new with every login, and useless to other
// sites' pages.
func TestPagesLogInByCookie(t *testing.T) {
	g := newLoginRig(t)
	g.person("u1", "ann@example.com", "owners")
	for _, back := range []string{"//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "evil", "/%0d\nx"} {
		if got := g.browser("GET", "/login?return="+url.QueryEscape(back), nil); got.StatusCode != http.StatusForbidden {
			t.Errorf("return to %q: %d %s", back, got.StatusCode, got.Header.Get("Location"))
		}
	}
	begun := g.browser("GET", "/login?return=/console/keys", nil)
	back := g.idp.Browse(begun.Header.Get("Location"))
	if back.Host != "localhost" || back.Path != "/login/callback" {
		t.Fatal(back)
	}
	callback := "/login/callback?" + back.RawQuery
	if got := g.browser("GET", callback, nil); got.StatusCode != http.StatusForbidden { // in somebody else's browser
		t.Errorf("without the cookie: %d", got.StatusCode)
	}
	planted := &http.Cookie{Name: sessionCookie, Value: "sk-tr-admin-planted"}
	done := g.browser("GET", callback, append(begun.Cookies(), planted))
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/console/keys" {
		t.Fatalf("%d %v", done.StatusCode, done.Header)
	}
	var session *http.Cookie
	for _, c := range done.Cookies() {
		if c.Name == sessionCookie {
			session = c
		}
	}
	if session == nil || !session.Secure || !session.HttpOnly || session.SameSite != http.SameSiteLaxMode || session.Path != "/" ||
		session.Domain != "" || session.Value == planted.Value {
		t.Fatalf("the cookie is %+v", session)
	}
	mine := []*http.Cookie{session}
	me := g.send("GET", base+"/me", "", "Cookie", session.Name+"="+session.Value)
	csrf, _ := me.v["csrf_token"].(string)
	if csrf == "" {
		t.Fatal(me.text)
	}
	host := strings.TrimPrefix(g.url, "http://")
	for name, c := range map[string]struct {
		header []string
		want   int
	}{
		"no token":         {nil, 403},
		"a wrong token":    {[]string{csrfHeader, "x"}, 403},
		"another's origin": {[]string{csrfHeader, csrf, "Origin", "https://evil.example.com"}, 403},
		"a foreign page":   {[]string{csrfHeader, csrf, "Sec-Fetch-Site", "cross-site"}, 403},
		"a sibling":        {[]string{csrfHeader, csrf, "Sec-Fetch-Site", "same-site"}, 403},
		"our page":         {[]string{csrfHeader, csrf, "Origin", "http://" + host, "Sec-Fetch-Site", "same-origin"}, 200},
	} {
		if got := g.browser("POST", base+"/integrity", mine, c.header...); got.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, got.StatusCode, c.want)
		}
	}
	if got := g.browser("GET", base+"/keys", mine, "Sec-Fetch-Site", "cross-site"); got.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign page reads: %d", got.StatusCode)
	}
	out := g.browser("POST", base+"/logout", mine, csrfHeader, csrf)
	if out.StatusCode != http.StatusOK || g.browser("GET", base+"/me", mine).StatusCode != http.StatusUnauthorized {
		t.Errorf("logout: %d", out.StatusCode)
	}
}

func TestLoginsAreTriedAFewTimesAMinute(t *testing.T) {
	g := newLoginRig(t)
	g.skew.Store(int64(-time.Since(time.Now().Truncate(time.Hour)))) // far enough from the end of the minute
	refused := 0
	for range 2 * loginsPerMinute {
		if g.send("POST", base+"/login/finish", `{"login":"x"}`).status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < loginsPerMinute/2 {
		t.Errorf("%d of %d were refused", refused, 2*loginsPerMinute)
	}
}

func TestNobodyLogsInWhereNothingIsConfigured(t *testing.T) {
	g := newRig(t)
	g.send("POST", base+"/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`).refused(t, http.StatusNotFound, "login_disabled")
	g.send("GET", "/login", "").refused(t, http.StatusNotFound, "login_disabled")
}
