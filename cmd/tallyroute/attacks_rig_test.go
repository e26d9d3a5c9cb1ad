package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/logs"
	pt "tallyroute/providers/providertest"
	"tallyroute/router/tokens"
)

// attackCredential is the provider's key. No part of it may ever be seen.
const attackCredential = "canary-Qy5Lp7Kq2Zr9Wm4Xv1Tb6Ns8Pd3Hf"

const (
	attackAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"m","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"hello there","refusal":null},"logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`
	attackHead = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"m",`
	attackWord = attackHead + `"choices":[{"index":0,"delta":{"role":"assistant","content":"hello there"},"logprobs":null,` +
		`"finish_reason":null}]}`
	attackFinish = attackHead + `"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`
	attackUsage  = attackHead + `"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`

	attackPlain  = `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50}`
	attackStream = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"max_tokens":50}`
)

// attackTokens is shared by all of them: loading a vocabulary takes longer than
// most of these tests.
var attackTokens = tokens.New(tokens.Options{})

// attackTarget is the whole program, wired as serve wires it, in front of
// providers that do as they are told.
type attackTarget struct {
	*app.Service
	t      *testing.T
	ups    []*pt.Upstream
	key    billing.Key
	secret string
	out    *attackOutput
	booked int // rows that were expected so far
}

// attackOutput is what the program logs.
type attackOutput struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *attackOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *attackOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// attackProvider describes an upstream; each is dearer than the one before.
func attackProvider(n int, url, more string) string {
	return fmt.Sprintf("  up%d:\n    adapter: openai\n    base_url: %s/v1\n%s    auth: {kind: bearer, secret: \"file:CREDENTIAL\"}\n"+
		"    models:\n      - {id: m, context: 400000, max_output: 4096, can: [stream, tools, vision, json_schema], tokenizer: "+
		"{encoding: o200k_base}, "+
		"prices: [{since: 2026-01-01, prompt: \"%d.00\", completion: \"%d.00\"}]}\n", n, url, more, n+1, 2*(n+1))
}

// attacked starts the program with as many providers as there are replies.
func attacked(t *testing.T, more string, replies ...pt.Reply) *attackTarget {
	t.Helper()
	g := &attackTarget{t: t, out: &attackOutput{}}
	providers := "providers:\n"
	for n, r := range replies {
		u := pt.NewUpstream(t, r)
		g.ups = append(g.ups, u)
		providers += attackProvider(n, u.URL(), "    private: true\n")
	}
	g.start(providers + more)
	return g
}

func (g *attackTarget) start(more string) {
	g.t.Helper()
	dir := g.t.TempDir()
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\nkey_pepper: \"file:%s\"\nlog: {format: json, level: debug}\n",
		filepath.Join(dir, "pepper")) + strings.ReplaceAll(more, "CREDENTIAL", filepath.Join(dir, "credential"))
	if !strings.Contains(more, "database:") {
		text += fmt.Sprintf("database: \"sqlite:%s\"\n", filepath.Join(dir, "t.db"))
	}
	if !strings.Contains(more, "journal:") { // beside PostgreSQL it would lie in the working folder
		text += fmt.Sprintf("journal: \"%s\"\n", filepath.Join(dir, "journal"))
	}
	if !strings.Contains(more, "timeouts:") {
		text += "timeouts: {shutdown_wait: 0s}\n"
	}
	file := filepath.Join(dir, "tallyroute.yaml")
	for name, content := range map[string]string{
		file: text, filepath.Join(dir, "pepper"): strings.Repeat("p", 32),
		filepath.Join(dir, "credential"): attackCredential,
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
	cfg, _, err := app.Load(g.t.Context(), app.Source{File: file})
	if err != nil {
		g.t.Fatal(err)
	}
	if g.Service, err = app.New(context.Background(), cfg, app.Options{Log: logs.New(g.out, cfg.Log), Tokens: attackTokens}); err != nil {
		g.t.Fatal(err)
	}
	ready, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- g.During(context.Background(), func(context.Context) error {
			close(ready)
			<-over
			return nil
		})
	}()
	g.t.Cleanup(func() {
		close(over)
		if err := <-ended; err != nil {
			g.t.Errorf("the program ended with %v", err)
		}
		g.clean("the log", g.out.String())
		if g.t.Failed() {
			g.t.Logf("%.3000s", g.out)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		g.t.Fatal(err)
	}
	tokens, money := int64(10_000_000), billing.Money(1000*billing.NanoPerUSD)
	g.key, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &tokens, Money: &money})
}

func (g *attackTarget) issue(budgets ...billing.Budget) (billing.Key, string) {
	g.t.Helper()
	key, secret, err := g.Actions().CreateKey(g.t.Context(), manage.KeyRequest{
		Name: "test", Team: "web", Project: "shop", Environment: "dev", Budgets: budgets,
		AllowProviderObjects: true,
	}, manage.By{Actor: "test"})
	if err != nil {
		g.t.Fatal(err)
	}
	return key, secret.Reveal()
}

// attackReply is an answer, read to its end.
type attackReply struct {
	status int
	header http.Header
	body   string
	err    error // that reading ended with
}

// code returns the code of the error object, and checks that this has all required members.
func (r attackReply) code(t *testing.T) string {
	t.Helper()
	var e struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Errorf("no error object: %v: %.300s", err, r.body)
		return ""
	}
	for _, member := range []string{"message", "type", "param", "code"} {
		if _, ok := e.Error[member]; !ok {
			t.Errorf("the error has no %s: %s", member, r.body)
		}
	}
	code, _ := e.Error["code"].(string)
	return code
}

// complete asks for a completion with the given body.
func (g *attackTarget) complete(body string, headers ...string) attackReply {
	g.t.Helper()
	return g.ask(http.MethodPost, "/v1/chat/completions", strings.NewReader(body), headers...)
}

// ask sends one request on a connection of its own and checks the answer for
// what no answer may hold.
func (g *attackTarget) ask(method, path string, body io.Reader, headers ...string) attackReply {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), prove.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+g.Address("public")+path, body)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Close = true
	req.Header.Set("Authorization", "Bearer "+g.secret)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := attackClient.Do(req)
	if err != nil {
		return attackReply{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	r := attackReply{resp.StatusCode, resp.Header, string(text), err}
	g.clean("the answer", fmt.Sprint(r.header)+r.body)
	return r
}

// attackClient follows nothing.
var attackClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// clean sees that a text has nothing of the inside.
func (g *attackTarget) clean(where, text string) {
	g.t.Helper()
	for i := 0; i+8 <= len(attackCredential); i++ {
		if strings.Contains(text, attackCredential[i:i+8]) {
			g.t.Errorf("%s shows the provider's key: %.600s", where, text)
			break
		}
	}
	if strings.Contains(text, g.secret) {
		g.t.Errorf("%s shows the client's key", where)
	}
	if where == "the log" {
		return // which may name addresses
	}
	words := []string{"goroutine ", ".go:", "SELECT ", "INSERT ", "sqlite", "SQLSTATE", "127.0.0.1", "dial tcp"}
	for _, u := range g.ups {
		words = append(words, strings.TrimPrefix(u.URL(), "http://"))
	}
	for _, word := range words {
		if strings.Contains(text, word) {
			g.t.Errorf("%s shows %q: %.600s", where, word, text)
		}
	}
}

// metrics returns the metrics as Prometheus reads them.
func (g *attackTarget) metrics() string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.Address("admin")+"/metrics", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	resp, err := attackClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// raw sends bytes and reads until the connection ends.
func (g *attackTarget) raw(text string) string {
	g.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(g.t.Context(), "tcp", g.Address("public"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(prove.Patience))
	_, _ = io.WriteString(c, text)
	got, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as net returns it
		g.t.Errorf("the connection stays open after %.200q", got)
	}
	return string(got)
}

// rows waits until exactly n rows more have been booked, and nothing is held,
// and returns the new ones, oldest first.
func (g *attackTarget) rows(n int) []billing.Spend {
	g.t.Helper()
	g.booked += n
	var all []billing.Spend
	prove.Eventually(g.t, fmt.Sprintf("there are %d rows and no holds", g.booked), func() bool {
		var err error
		if all, err = g.Reports().Events(g.t.Context(), billing.EventQuery{Limit: 1000}); err != nil {
			g.t.Fatal(err)
		}
		balances, err := g.Actions().Store.Balances(g.t.Context(), &g.key, time.Now())
		if err != nil {
			g.t.Fatal(err)
		}
		return len(all) >= g.booked && (len(balances) == 0 || balances[0].HeldTokens == 0)
	})
	if len(all) != g.booked {
		g.t.Fatalf("%d rows, want %d", len(all), g.booked)
	}
	slices.Reverse(all)
	for _, row := range all {
		if row.Cost.Total < 0 || row.Tokens.Prompt() < 0 || row.Tokens.Output < 0 {
			g.t.Errorf("a row below nothing: %+v", row)
		}
	}
	return all[len(all)-n:]
}

// alive sees that the program still answers, without a call to a provider.
func (g *attackTarget) alive() {
	g.t.Helper()
	for _, path := range []string{"/healthz", "/readyz", "/v1/key"} {
		if r := g.ask(http.MethodGet, path, nil); r.status != http.StatusOK {
			g.t.Errorf("%s: %d %s %v", path, r.status, r.body, r.err)
		}
	}
}

// settled waits for goroutines to go.
func (g *attackTarget) settled(base int) {
	g.t.Helper()
	prove.Eventually(g.t, "goroutines are back", func() bool { return runtime.NumGoroutine() <= base+8 })
}

// attackSchema returns a published schema of the OpenAI API.
func attackSchema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	dir := os.Getenv("TALLYROUTE_SPEC")
	if dir == "" {
		t.Skip("no published schemas: TALLYROUTE_SPEC says where they are")
	}
	path := filepath.Join(dir, "openai", name+".schema.json")
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
