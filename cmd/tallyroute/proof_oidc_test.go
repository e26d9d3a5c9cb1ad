package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
)

// realProvider is an unmodified OpenID provider behind a proxy that can replace the ID token in its
// answers.
type realProvider struct {
	t      *testing.T
	issuer string
	direct string
	swap   atomic.Pointer[string] // the ID token that replaces the real one
	seen   atomic.Pointer[string] // the last real one
}

// providersDir returns the directory where the providers are installed.
func providersDir(t *testing.T) string {
	dir := os.Getenv("OIDC_DIR")
	if dir == "" {
		t.Skip("make proof-oidc does it")
	}
	t.Setenv("PROOF_ADMIN_TOKEN", strings.TrimSpace(command(t, "admin", "token")))
	t.Setenv("PROOF_SECRET", "secret")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func built(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// beginProvider starts a provider behind its proxy.
func beginProvider(t *testing.T, slash string, env []string, name string, args ...string) *realProvider {
	t.Helper()
	at := freeAddress(t)
	_, port, _ := net.SplitHostPort(at)
	p := &realProvider{t: t, direct: "http://" + at}
	to, _ := url.Parse(p.direct)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: p.token, ErrorLog: log.New(io.Discard, "", 0),
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	p.issuer = front.URL + slash
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(append(os.Environ(), "ISSUER="+p.issuer, "PORT="+port), env...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	prove.Eventually(t, "the provider answers", func() bool {
		resp, err := http.Get(strings.TrimSuffix(p.issuer, "/") + "/.well-known/openid-configuration")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// token records the ID token of an answer, and replaces it if a replacement is set.
func (p *realProvider) token(r *http.Response) error {
	if !strings.Contains(r.Request.URL.Path, "token") || r.StatusCode != http.StatusOK {
		return nil
	}
	text, err := io.ReadAll(r.Body)
	var v map[string]any
	if err != nil || json.Unmarshal(text, &v) != nil {
		return err
	}
	if id, ok := v["id_token"].(string); ok {
		if other := p.swap.Load(); other != nil {
			v["id_token"] = *other
		} else {
			p.seen.Store(&id)
		}
	}
	text, _ = json.Marshal(v)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return nil
}

// says sets the claims that the provider makes about people from now on.
func (p *realProvider) says(idToken, userinfo map[string]any, far ...string) {
	p.post("/control", map[string]any{"id_token": idToken, "userinfo": userinfo, "far": far})
}

func (p *realProvider) post(path string, v any) {
	p.t.Helper()
	text, _ := json.Marshal(v)
	resp, err := http.Post(p.direct+path, "application/json", bytes.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

var (
	formAction = regexp.MustCompile(`(?is)<form[^>]*action="([^"]*)"`)
	formInput  = regexp.MustCompile(`(?is)<(?:input|button)[^>]*name="([^"]*)"[^>]*>`)
	inputValue = regexp.MustCompile(`(?is)value="([^"]*)"`)
	errBack    = errors.New("back at the program")
)

// browse goes through the pages of a provider as a person with this name would, until the browser
// is redirected to the loopback address or a page has no form.
func browse(t *testing.T, page, person string) (back *url.URL, text string) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Port() == "1" || r.URL.Path == "/callback" {
			back = r.URL
			return errBack
		}
		return nil
	}}
	resp, err := client.Get(page)
	for range 12 {
		if back != nil {
			return back, ""
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		text = string(body)
		action := formAction.FindStringSubmatch(text)
		if action == nil || resp.StatusCode >= 400 {
			return nil, text
		}
		values := url.Values{}
		for _, input := range formInput.FindAllStringSubmatch(text[strings.Index(text, "<form"):], -1) {
			value := inputValue.FindStringSubmatch(input[0])
			switch input[1] {
			case "login", "username":
				values.Set(input[1], person)
			case "password":
				values.Set(input[1], "verysecure")
			case "abort":
			default:
				if value != nil && !values.Has(input[1]) {
					values.Set(input[1], html.UnescapeString(value[1]))
				}
			}
		}
		to, _ := resp.Request.URL.Parse(html.UnescapeString(action[1]))
		resp, err = client.PostForm(to.String(), values)
	}
	return back, text
}

// logsIn is a router with a provider at which people log in.
type logsIn struct {
	*program
	p *realProvider
}

func (g logsIn) api(method, path, token, body string) (int, map[string]any) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.where["admin"]+"/admin/v1"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&v)
	return resp.StatusCode, v
}

// login logs a person in, and returns the token, or the code of the refusal.
func (g logsIn) login(person string) (token, refusal string) {
	g.t.Helper()
	_, begun := g.api("POST", "/login", "", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	page, _ := begun["url"].(string)
	back, text := browse(g.t, page, person)
	if back == nil {
		g.t.Fatalf("the browser does not come back: %v %s", begun, text)
	}
	return g.finish(begun["login"], back.Query().Get("code"), back.Query().Get("state"))
}

func (g logsIn) finish(login any, code, state string) (token, refusal string) {
	g.t.Helper()
	body, _ := json.Marshal(map[string]any{"login": login, "code": code, "state": state})
	_, v := g.api("POST", "/login/finish", "", string(body))
	if e, ok := v["error"].(map[string]any); ok {
		refusal, _ = e["code"].(string)
	}
	token, _ = v["token"].(string)
	return token, refusal
}

func (g logsIn) want(what, person, refusal string) string {
	g.t.Helper()
	token, got := g.login(person)
	if got != refusal || (token == "") != (refusal != "") {
		g.t.Errorf("%s: refused with %q, want %q", what, got, refusal)
	}
	return token
}

const loginSettings = `admin_token: env:PROOF_ADMIN_TOKEN
login: {issuer: %q, client_id: tallyroute, client_secret: %q, scopes: [profile, email, groups], groups: [{group: owners, role: owner}, ` +
	`{group: readers, role: read-only}]}
`

func nodeProvider(t *testing.T, env ...string) *realProvider {
	dir := providersDir(t)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		built(t, dir, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "oidc-provider@9")
	}
	script, err := filepath.Abs("testdata/oidc/provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	env = append(env, "OIDC_PROVIDER="+filepath.Join(dir, "node_modules/oidc-provider/lib/index.js"))
	return beginProvider(t, "", env, "node", script)
}

type told = map[string]any

// TestProvidersOfNode: login failures with npm oidc-provider, whose access tokens are opaque.
func TestProvidersOfNode(t *testing.T) {
	p := nodeProvider(t)
	g := logsIn{serve(t, writeConfig(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"),
		fmt.Sprintf(loginSettings, p.issuer, "env:PROOF_SECRET"))), p}
	ann := func(more told) told {
		v := told{"email": "ann@example.com", "email_verified": true, "groups": []string{"owners"}}
		for name, value := range more {
			v[name] = value
		}
		return v
	}
	without := func(v told, names ...string) told {
		for _, name := range names {
			delete(v, name)
		}
		return v
	}
	p.says(ann(nil), told{})
	token := g.want("groups in the id token", "ann", "")
	if status, me := g.api("GET", "/me", token, ""); status != http.StatusOK || !strings.Contains(fmt.Sprint(me), "owner") {
		t.Errorf("who logged in: %d %v", status, me)
	}
	p.says(without(ann(nil), "groups"), told{"groups": []string{"owners"}})
	g.want("groups in what it says of users", "ann2", "")
	p.says(without(ann(told{"_claim_names": told{"groups": "far"}, "_claim_sources": told{"far": told{"endpoint": p.issuer + "/groups"}}}),
		"groups"), told{}, "owners")
	g.want("groups that are too many", "ann3", "")
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("group %d", i)
	}
	p.says(ann(told{"groups": append(many, "owners")}), told{})
	g.want("a thousand groups", "ann4", "")
	p.says(ann(told{"groups": []string{"others"}}), told{})
	g.want("no group of ours", "bob", "insufficient_role")

	// A user who was made before is bound by a verified address alone, and never again.
	if status, v := g.api("POST", "/principals", token,
		`{"name":"carol","kind":"user","email":"carol@example.com"}`); status != http.StatusCreated {
		t.Fatal(v)
	}
	p.says(told{"email": "carol@example.com", "email_verified": false}, told{})
	g.want("an address that is not verified", "mallory", "insufficient_role")
	p.says(told{"email": "carol@example.com", "email_verified": "false"}, told{"email_verified": true})
	g.want("an address that is not verified, as a text", "mallory", "insufficient_role")
	p.says(told{"email": "carol@example.com", "email_verified": true, "groups": []string{"readers"}}, told{})
	carol := g.want("a verified address", "carol", "")
	mallory := g.want("the same address of another subject", "mallory", "")
	_, one := g.api("GET", "/me", carol, "")
	_, other := g.api("GET", "/me", mallory, "")
	if one["actor"] == other["actor"] {
		t.Errorf("a subject was bound anew: %v", other["actor"])
	}

	// The keys of the provider change while people log in.
	p.says(ann(nil), told{})
	p.post("/rotate", nil)
	g.want("the provider has other keys", "ann", "")

	// Parts of the answer to somebody else's login.
	_, begun := g.api("POST", "/login", "", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	back, _ := browse(t, begun["url"].(string), "ann")
	code, state := back.Query().Get("code"), back.Query().Get("state")
	_, another := g.api("POST", "/login", "", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	for what, try := range map[string][3]any{
		"another state": {begun["login"], code, "x"}, "no state": {begun["login"], code, ""},
		"another login": {another["login"], code, state}, "no login": {"x", code, state}, "no code": {begun["login"], "", state},
	} {
		if token, refusal := g.finish(try[0], try[1].(string), try[2].(string)); token != "" || refusal == "" {
			t.Errorf("%s: %q", what, refusal)
		}
	}
	if token, refusal := g.finish(begun["login"], code, state); token == "" {
		t.Errorf("the right one, then: %s", refusal)
	}
	if token, _ := g.finish(begun["login"], code, state); token != "" {
		t.Error("a code is good twice")
	}
	p.swap.Store(p.seen.Load())
	g.want("the id token of another login", "ann", "login_failed")
	forged := strings.Replace(*p.seen.Load(), ".", ".e", 1)
	p.swap.Store(&forged)
	g.want("an id token that was changed", "ann", "login_failed")
	p.swap.Store(nil)

	g.device(p)
	if status, _ := g.api("POST", "/logout", token, ""); status != http.StatusOK {
		t.Error("logout")
	}
	if status, _ := g.api("GET", "/me", token, ""); status != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", status)
	}
	if status, v := g.api("GET", "/audit/verify", os.Getenv("PROOF_ADMIN_TOKEN"), ""); v["ok"] != true {
		t.Errorf("the audit log: %d %v", status, v)
	}
}

// device logs in on another device.
func (g logsIn) device(p *realProvider) {
	g.t.Helper()
	_, begun := g.api("POST", "/login/device", "", "")
	page, _ := begun["verification_uri_complete"].(string)
	if page == "" {
		g.t.Fatalf("the device flow: %v", begun)
	}
	done := make(chan string, 1)
	go func() {
		for {
			body, _ := json.Marshal(told{"login": begun["login"]})
			status, v := g.api("POST", "/login/finish", "", string(body))
			if v["pending"] != true || status != http.StatusOK {
				token, _ := v["token"].(string)
				done <- token
				return
			}
		}
	}()
	_, text := browse(g.t, page, "ann")
	if token := prove.Receive(g.t, "the device is logged in: "+text, done); token == "" {
		g.t.Error("the device is refused")
	}
}

// TestProvidersWhoseClocksAreOff: a minute of clock skew is tolerated, an expired token is not.
func TestProvidersWhoseClocksAreOff(t *testing.T) {
	for skew, refusal := range map[string]string{"60": "", "-60": "", "-120": "login_failed"} {
		ttl := map[string]string{"": "3600", "login_failed": "30"}[refusal]
		p := nodeProvider(t, "SKEW="+skew, "TTL="+ttl)
		g := logsIn{serve(t, writeConfig(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"),
			fmt.Sprintf(loginSettings, p.issuer, "env:PROOF_SECRET"))), p}
		p.says(told{"email": "ann@example.com", "email_verified": true, "groups": []string{"owners"}}, told{})
		g.want("a clock that is off by "+skew+" s", "ann", refusal)
		g.end()
	}
}

// TestProvidersOfZitadel: groups and addresses only in the user info, a public client, and new keys after
// each start.
func TestProvidersOfZitadel(t *testing.T) {
	dir := filepath.Join(providersDir(t), "zitadel")
	if _, err := os.Stat(filepath.Join(dir, "provider")); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile("testdata/oidc/zitadel.go.txt")
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"main.go": string(source), "go.mod": "module provider\n\ngo 1.26\n\nrequire github.com/zitadel/oidc/v3 v3.52.0\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		built(t, dir, "go", "mod", "tidy")
		built(t, dir, "go", "build", "-o", "provider", ".")
	}
	users := filepath.Join(t.TempDir(), "users.json")
	text := `{"id1":{"ID":"id1","Username":"ann","Password":"verysecure","Email":"ann@example.com","EmailVerified":true,` +
		`"PreferredLanguage":"en"},` +
		`"id2":{"ID":"id2","Username":"eve","Password":"verysecure","Email":"ann@example.com","EmailVerified":false,` +
		`"PreferredLanguage":"en"}}`
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := beginProvider(t, "/", []string{"USERS_FILE=" + users}, filepath.Join(dir, "provider"))
	g := logsIn{serve(t, writeConfig(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"), fmt.Sprintf(loginSettings, p.issuer, ""))), p}
	began := time.Now()
	ann := g.want("ann", "ann", "")
	eve := g.want("eve, whose address is not verified", "eve", "")
	_, one := g.api("GET", "/me", ann, "")
	_, other := g.api("GET", "/me", eve, "")
	if one["actor"] == other["actor"] || !strings.Contains(fmt.Sprint(one), "owner") {
		t.Errorf("ann is %v, eve %v", one, other)
	}
	_, begun := g.api("POST", "/login", "", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
	back, _ := browse(t, begun["url"].(string), "ann")
	if token, refusal := g.finish(begun["login"], back.Query().Get("code"), "x"); token != "" || refusal == "" {
		t.Errorf("another state: %q", refusal)
	}
	p.swap.Store(p.seen.Load())
	g.want("the id token of another login", "ann", "login_failed")
	t.Logf("two logins took %s", time.Since(began))
}
