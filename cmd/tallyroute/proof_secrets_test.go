package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/scripted"
	"tallyroute/providers/secret/secrettest"
	"tallyroute/router/identity/identitytest"
)

// TestNoSecretIsLeft has every kind of secret used by traffic of every kind, and looks for each of
// them in all that the router has written and told: files, tables, logs, metrics, answers of both
// listeners, what commands print, and the list of processes.
func TestNoSecretIsLeft(t *testing.T) {
	if os.Getenv("SECRETS") == "" {
		t.Skip("make proof-secrets does it")
	}
	for store, open := range proofStores {
		t.Run(store, func(t *testing.T) {
			database, look := open(t)
			g := newSecretive(t, database)
			g.administer()
			g.traffic()
			g.everythingRead()
			g.commands()
			g.search(look, store == "Postgres")
			send(t, g.process, syscall.SIGKILL) // with a request under way
			_ = g.process.Wait()
			g.search(look, store == "Postgres")
			g.serve()
			g.search(look, store == "Postgres")
			quit(t, g.process)
			g.search(look, store == "Postgres")
			t.Logf("%d secrets, %d MB searched, %d answers of %d kinds", len(g.kinds), g.bytes>>20, g.asked, len(g.statuses))
		})
	}
}

// secretive is a router with every kind of secret.
type secretive struct {
	*program
	needles
	t        *testing.T
	process  *exec.Cmd
	dir      string
	sources  []string // files that secrets are read from
	up       *scripted.Upstream
	vault    *secrettest.Vault
	virtual  string
	admin    string
	asked    int
	statuses map[string]int
}

// fresh returns a secret that every encoding changes.
func fresh(t *testing.T) string {
	t.Helper()
	for {
		b := make([]byte, 32)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		if text := base64.StdEncoding.EncodeToString(b); strings.Contains(text, "/") && strings.Contains(text, "+") {
			return text
		}
	}
}

// env puts a new secret into a variable that the configuration refers to.
func (g *secretive) env(kind, name string) string {
	g.t.Helper()
	text := fresh(g.t)
	g.t.Setenv(name, text)
	g.look(kind, text)
	return text
}

// file puts a secret into a file that the configuration refers to.
func (g *secretive) file(name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.sources = append(g.sources, path)
	return path
}

func newSecretive(t *testing.T, database string) *secretive {
	t.Helper()
	g := &secretive{t: t, needles: needles{t: t}, dir: t.TempDir(), statuses: map[string]int{}}
	g.up = &scripted.Upstream{Script: func(turn scripted.Turn) scripted.Reply {
		r := scripted.Reply{Text: "It is done."}
		for _, kind := range scripted.Faults() {
			if turn.Says("fault-" + string(kind)) {
				r.Fault = scripted.Fault{Kind: kind, After: 2}
			}
		}
		return r
	}}
	upstream := httptest.NewServer(http.HandlerFunc(g.upstream))
	t.Cleanup(func() { upstream.CloseClientConnections(); upstream.Close() })
	hooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(hooks.Close)
	v, idp := secrettest.NewVault(t), identitytest.New(t)
	g.vault = v
	idp.Person = identitytest.Claims{"sub": "u1", "email": "ann@example.com", "email_verified": true, "groups": []string{"owners"}}
	v.Policies["router"] = map[string]secrettest.Caps{"kv/data/router/*": {"read", "create", "update", "delete"}}
	v.Logins["approle/router "+g.env("the secret id of Vault", "S_VAULT")] = "router"
	inVault := fresh(t)
	g.look("a credential in Vault", inVault)
	v.Put("kv/router/gemini", map[string]any{"key": inVault})
	t.Setenv("S_DATABASE", database)
	if u, err := url.Parse(database); err == nil && u.User != nil {
		password, _ := u.User.Password()
		g.look("the password of the database", password)
	}
	g.configure(upstream.URL, hooks.URL, v.URL, idp.URL)
	g.serve()
	return g
}

// configure writes the configuration, in which no secret is written.
func (g *secretive) configure(upstream, hooks, vault, issuer string) {
	t := g.t
	g.admin = strings.TrimSpace(command(t, "admin", "token"))
	t.Setenv("S_ADMIN", g.admin)
	g.look("the admin token", afterPrefix(g.admin))
	pepper, credential := fresh(t), fresh(t)
	g.look("the pepper", pepper)
	g.look("a credential in a file", credential)
	g.look("the secret of the OpenID client", identitytest.Secret)
	t.Setenv("S_OIDC", identitytest.Secret)
	for kind, name := range map[string]string{
		"the key-encryption key": "S_KEK", "the signing key of the audit log": "S_AUDIT", "the secret of webhooks": "S_HOOK",
		"the secret of an alert channel": "S_ALERT", "the secret of a destination of the audit log": "S_LAKE",
		"a credential in a variable": "S_ENV", "a secret access key of AWS": "S_AWS_KEY",
	} {
		g.env(kind, name)
	}
	t.Setenv("S_AWS_ID", "AKIAIOSFODNN7EXAMPLE")
	identity := command(t, "secrets", "age-key")
	key := identity[strings.Index(identity, "AGE-SECRET-KEY-"):]
	g.look("the identity of age", strings.TrimSpace(strings.TrimPrefix(key, "AGE-SECRET-KEY-")))
	recipient := strings.Fields(identity[strings.Index(identity, "age1"):])[0]
	aged := fresh(t)
	g.look("a credential that is encrypted with age", aged)
	var sealed, stderr bytes.Buffer
	if code := run(t.Context(), []string{"secrets", "encrypt", "--to", recipient}, strings.NewReader(aged), &sealed, &stderr); code != 0 {
		t.Fatal(stderr.String())
	}
	auth := map[string]string{
		"openai": `kind: bearer, secret: "env:S_ENV"`, "anthropic": `kind: header, header: x-api-key, secret: "file:` +
			g.file("anthropic", credential) + `"`,
		"gemini":         `kind: header, header: x-goog-api-key, secret: "vault:kv/data/router/gemini#key"`,
		"cohere":         `kind: bearer, secret: "` + strings.TrimSpace(sealed.String()) + `"`,
		"responses":      `kind: bearer, secret: "env:S_ENV"`,
		"ollama":         `kind: header, header: x-token, secret: "env:S_ENV"`,
		"bedrock":        `kind: aws, region: us-east-1, access_key: "env:S_AWS_ID", secret: "env:S_AWS_KEY"`,
		"bedrock-invoke": `kind: aws, region: us-east-1, access_key: "env:S_AWS_ID", secret: "env:S_AWS_KEY"`,
	}
	text := fmt.Sprintf(`listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
database: env:S_DATABASE
key_pepper: "file:%s"
admin_token: env:S_ADMIN
journal: %q
log: {format: json, level: debug}
demo: true
webhook_secret: env:S_HOOK
audit_signing_key: env:S_AUDIT
audit_forward: [{name: lake, address: "https://127.0.0.1:1/audit", secret: "env:S_LAKE"}]
sinks: [v=vault:kv/data/router/keys]
secrets:
  {refresh: 1s, encryption_key: env:S_KEK, age_identity: "file:%s",
   vault: {address: %q, auth: approle, role: router, secret: env:S_VAULT}}
alerts: {every: 1s, channels: [{name: ops, kind: webhook, address: "%s/alerts", secret: env:S_ALERT, private: true}]}
login: {issuer: %q, client_id: tallyroute, client_secret: env:S_OIDC, groups: [{group: owners, role: owner}]}
responses: {keep: 1h}
fingerprints: true
access_keep: 30d
timeouts: {shutdown_wait: 0s, %s}
providers:
`, g.file("pepper", pepper), filepath.Join(g.dir, "journal"), g.file("age", key), vault, hooks, issuer, databasePatience)
	under := map[string]string{"openai": "/v1", "anthropic": "/v1", "responses": "/v1", "gemini": "/v1beta"}
	for _, format := range scripted.Formats() {
		text += fmt.Sprintf(`  at-%[1]s:
    {adapter: %[1]s, base_url: "%[2]s", private: true, auth: {%[3]s}, models: [{
      id: on-%[1]s, upstream: anthropic.claude-x, context: 1000000, max_output: 64000, can: [tools, vision, reasoning],
      prices: [{since: 2026-01-01, prompt: "1.00", completion: "5.00"}]}]}
`, format, upstream+under[format], auth[format])
	}
	g.dir = filepath.Clean(g.dir)
	path := filepath.Join(g.dir, "tallyroute.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.program = &program{t: t, config: path}
}

// afterPrefix returns what is secret of a text: of a key, what follows the characters that are shown,
// of anything else its longest part.
func afterPrefix(text string) string {
	if prefix := keyPrefix.FindString(text); prefix != "" {
		return text[len(prefix)+len("RWCK"):]
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("./=#?&", r) })
	return slices.MaxFunc(parts, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
}

var keyPrefix = regexp.MustCompile(`^sk-tr-[a-z]+-`)

func (g *secretive) serve() {
	before := g.log
	g.program, g.process = spawn(g.t, g.config)
	if before != nil {
		_, _ = g.log.Write([]byte(before.String()))
	}
}

// upstream answers in every format, and has a habit of repeating what it was sent.
func (g *secretive) upstream(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var sent []string
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key", "X-Token"} {
		if value := r.Header.Get(name); value != "" {
			sent = append(sent, strings.TrimPrefix(value, "Bearer "))
			w.Header().Add("X-Echo", value)
			w.Header().Add("X-Request-Id", value)
		}
	}
	status := 0
	for say, is := range map[string]int{"echo-401": 401, "echo-400": 400, "echo-429": 429, "echo-500": 500} {
		if bytes.Contains(body, []byte(say)) {
			status = is
		}
	}
	if status == 0 {
		g.up.ServeHTTP(w, r)
		return
	}
	secret := strings.Join(sent, " ")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"type": "x", "code": secret, "message": fmt.Sprintf("Incorrect key: %s, %s, %s, %x", secret, url.QueryEscape(secret),
			base64.StdEncoding.EncodeToString([]byte("Bearer "+secret)), secret),
	}})
}

// public asks the public listener.
func (g *secretive) public(key, path, body string, header ...string) string {
	g.t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	return g.ask(method, g.base()+path, key, body, header...)
}

// api asks the admin API.
func (g *secretive) api(method, path, body string, header ...string) string {
	g.t.Helper()
	return g.ask(method, "http://"+g.where["admin"]+"/admin/v1"+path, g.admin, body, header...)
}

// ask asks, and searches the answer.
func (g *secretive) ask(method, at, key, body string, header ...string) string {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, at, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "" // cut off by the upstream
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	g.asked++
	g.statuses[fmt.Sprint(method, " ", r.URL.Path, " ", resp.StatusCode)]++
	var head bytes.Buffer
	_ = resp.Header.Write(&head)
	g.nowhere(fmt.Sprint(method, " ", r.URL.Path, " (", resp.StatusCode, "), its header"), head.Bytes())
	found := method == http.MethodPost && r.URL.Path == "/admin/v1/keys" && resp.StatusCode == http.StatusOK
	if !found && resp.Header.Get("Idempotent-Replayed") == "" { // which have the secret again, on purpose
		g.nowhere(fmt.Sprint(method, " ", r.URL.Path, " (", resp.StatusCode, ")"), text)
	}
	return string(text)
}

// member returns the first of some members that an answer has.
func (g *secretive) member(text []byte, names ...string) (string, bool) {
	var v map[string]any
	_ = json.Unmarshal(text, &v)
	for _, name := range names {
		if s, ok := v[name].(string); ok && s != "" {
			return s, true
		}
	}
	return "", false
}

// made is api for what makes a secret, which is searched for from then on.
func (g *secretive) made(kind, path, body string, header ...string) (secret, id string) {
	g.t.Helper()
	text := []byte(g.api(http.MethodPost, path, body, header...))
	secret, ok := g.member(text, "secret", "token", "url")
	if !ok {
		g.t.Fatalf("%s: no secret: %s", path, text)
	}
	if id, _ = g.member(text, "id", "key_id"); kind != "" {
		g.look(kind, afterPrefix(secret))
	}
	return secret, id
}

// administer makes what administrators make.
func (g *secretive) administer() {
	var id string
	g.virtual, id = g.made("a virtual key", "/keys", `{"name":"k","team":"web","project":"shop","keep_responses":true,"budget":{"usd":"50"}}`,
		"Idempotency-Key", "once")
	g.made("", "/keys", `{"name":"k","team":"web","project":"shop","keep_responses":true,"budget":{"usd":"50"}}`, "Idempotency-Key", "once")
	g.virtual, _ = g.made("a rotated key", "/keys/"+id+"/rotate", `{"overlap":"1h"}`, "Idempotency-Key", "twice")
	g.made("a hand-over", "/keys/"+id+"/hand-over", `{"for":"1h"}`)
	_, other := g.made("another key", "/keys", `{"name":"delivered","team":"web","project":"shop","budget":{"usd":"5"}}`)
	g.api(http.MethodPut, "/keys/"+other+"/sink", `{"sink":"v","place":"web#token","overlap":"1h"}`)
	delivered := ""
	prove.Eventually(g.t, "the secret is in Vault", func() bool {
		g.vault.Do(func() {
			if all := g.vault.KV["kv/router/keys/web"]; len(all) > 0 {
				delivered, _ = all[len(all)-1].Data["token"].(string)
			}
		})
		return delivered != ""
	})
	g.look("a delivered key", afterPrefix(delivered))
	bot, _ := g.member([]byte(g.api(http.MethodPost, "/principals", `{"name":"bot"}`)), "id")
	g.api(http.MethodPost, "/principals/"+bot+"/grants", `{"role":"owner"}`)
	token, _ := g.made("a token of a principal", "/principals/"+bot+"/tokens", `{"name":"t"}`)
	g.ask(http.MethodGet, "http://"+g.where["admin"]+"/admin/v1/me", token, "")
	stored, next := fresh(g.t), fresh(g.t)
	g.look("a stored credential", stored)
	g.look("a stored credential that was rotated", next)
	g.api(http.MethodPost, "/credentials",
		fmt.Sprintf(`{"provider":"at-openai","name":"main","owner":"a@example.com","weight":5,"secret":%q}`, stored),
		"Idempotency-Key", "stored")
	g.api(http.MethodPost, "/credentials/at-openai%2Fmain/rotate", fmt.Sprintf(`{"secret":%q,"overlap":"1h"}`, next))
	g.api(http.MethodPost, "/credentials/at-openai%2Fmain/test", "")
	g.api(http.MethodPost, "/secrets/rekey", `{"reason":"r"}`)
	g.api(http.MethodPost, "/audit/checkpoint", `{"reason":"r"}`)
	g.api(http.MethodPost, "/alerts/test", `{"channel":"ops"}`)
	g.api(http.MethodPost, "/keys/find", fmt.Sprintf(`{"secret":%q}`, g.virtual))
	for _, wrong := range []string{ // secrets where they do not belong
		`{"name":"` + g.virtual + `","team":"web"}`, `{"name":"k","team":"` + g.virtual + `"}`, `{"name":"k","tags":{"a":"` + g.virtual + `"}}`,
	} {
		g.api(http.MethodPost, "/keys", wrong)
	}
	g.login()
}

// login logs a person in and out.
func (g *secretive) login() {
	begun := []byte(g.api(http.MethodPost, "/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`))
	page, _ := g.member(begun, "url")
	sealed, _ := g.member(begun, "login")
	back, text := browse(g.t, page, "ann")
	if back == nil {
		g.t.Fatalf("no login: %s %s", begun, text)
	}
	code := back.Query().Get("code")
	g.look("the code of a login", code)
	body, _ := json.Marshal(map[string]string{"login": sealed, "code": code, "state": back.Query().Get("state")})
	token, _ := g.made("the token of a login", "/login/finish", string(body))
	g.ask(http.MethodGet, "http://"+g.where["admin"]+"/admin/v1/sessions", token, "")
}

// traffic sends requests of every kind to every provider.
func (g *secretive) traffic() {
	temporary, _ := g.member([]byte(g.public(g.virtual, "/v1/key/tokens", `{"expires_in":600}`)), "api_key", "token", "secret")
	if temporary == "" {
		g.t.Fatal("no temporary key")
	}
	g.look("a temporary key", afterPrefix(temporary))
	says := []string{"hi", "echo-401", "echo-400", "echo-429", "echo-500"}
	for _, kind := range scripted.Faults() {
		if kind != scripted.Stalled {
			says = append(says, "fault-"+string(kind))
		}
	}
	for _, format := range scripted.Formats() {
		for _, say := range says {
			for _, stream := range []bool{false, true} {
				for path, body := range map[string]string{
					"/v1/chat/completions": `{"model":"on-%s","max_tokens":50,"stream":%t,"messages":[{"role":"user","content":%q}]}`,
					"/v1/responses":        `{"model":"on-%s","max_output_tokens":50,"stream":%t,"input":%q}`,
					"/v1/messages":         `{"model":"on-%s","max_tokens":50,"stream":%t,"messages":[{"role":"user","content":%q}]}`,
				} {
					g.public(g.virtual, path, fmt.Sprintf(body, format, stream, say))
				}
			}
		}
		g.public(temporary, "/v1/chat/completions", fmt.Sprintf(`{"model":"on-%s","messages":[{"role":"user","content":"hi"}]}`, format),
			"Idempotency-Key", format)
	}
	chat := `{"model":"on-openai","messages":[{"role":"user","content":"hi"}]}`
	g.public("", "/v1/chat/completions?api_key="+url.QueryEscape(g.virtual), chat)
	g.public("", "/v1/chat/completions", chat, "X-Api-Key", g.virtual, "User-Agent", g.virtual, "X-Forwarded-For", g.virtual)
	g.public(g.virtual+"x", "/v1/chat/completions", chat)
	g.public(g.virtual, "/v1/chat/completions", `{"model":"`+g.virtual+`","user":"`+g.virtual+`","messages":[]}`, "Idempotency-Key", g.virtual)
	g.public(g.virtual, "/v1/"+url.PathEscape(g.virtual), "")
	for _, path := range []string{"/v1/models", "/v1/key", "/v1/requests", "/healthz", "/readyz", "/metrics"} {
		g.public(g.virtual, path, "")
	}
}

// everythingRead reads whatever the admin API has to read.
func (g *secretive) everythingRead() {
	prove.Eventually(g.t, "the rows are there", func() bool {
		return strings.Contains(g.api(http.MethodGet, "/spend?group_by=team", ""), "web")
	})
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(g.api(http.MethodGet, "/openapi.json", "")), &document); err != nil {
		g.t.Fatal(err)
	}
	ids := map[string]string{}
	for _, list := range []string{"keys", "teams", "projects", "budgets", "principals", "credentials", "providers"} {
		ids[list] = member(g.t, g.api(http.MethodGet, "/"+list, ""), "data.0.id")
	}
	for path, methods := range document.Paths {
		if _, reads := methods["get"]; !reads {
			continue
		}
		path = strings.TrimPrefix(path, "/admin/v1")
		noun := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 2)[0]
		g.api(http.MethodGet, strings.NewReplacer("{id}", ids[noun], "{month}", "2026-11").Replace(path), "")
	}
	for _, path := range []string{"/metrics", "/readyz", "/version"} {
		_, text := g.get("admin", path)
		g.nowhere(path, []byte(text))
	}
}

// commands runs what prints something of the configuration and of the database.
func (g *secretive) commands() {
	for _, line := range []string{
		"config print", "config check", "doctor", "keys list -o json", "credentials list -o json", "providers list -o json",
		"audit list --limit 1000 -o json",
		"events list -o json", "principals list -o json", "access list -o json", "alerts list -o json", "spend list -o json", "report --by key",
		"integrity", "models", "audit export " + filepath.Join(g.dir, "audit.jsonl"), "audit destinations",
		"audit export --format csv " + filepath.Join(g.dir, "audit.csv"), "governance document", "backup " + filepath.Join(g.dir, "copy.db"),
	} {
		var stdout, stderr bytes.Buffer
		code := run(g.t.Context(), append([]string{"--config", g.config}, strings.Fields(line)...), strings.NewReader(""), &stdout, &stderr)
		g.statuses[fmt.Sprint(line, " ", code)]++
		g.nowhere("tallyroute "+line, stdout.Bytes())
		g.nowhere("tallyroute "+line+", its errors", stderr.Bytes())
	}
}

// search looks through files, tables, the log and the list of processes.
func (g *secretive) search(look func() rowsOf, postgres bool) {
	g.t.Helper()
	g.files(g.dir, g.sources...)
	db := look()
	g.tables(db, postgres)
	if postgres {
		g.files(db.Rows("SHOW data_directory")[0][0])
	} else if path, ok := strings.CutPrefix(os.Getenv("S_DATABASE"), "sqlite:"); ok {
		g.files(filepath.Dir(path))
	}
	g.nowhere("the log", []byte(g.log.String()))
	g.processes()
}
