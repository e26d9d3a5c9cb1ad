package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/client"
	pt "tallyroute/providers/providertest"
)

// rewrite puts a new text in place of a file, whole.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	next := file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// awaitConfig waits until readyz says of the configuration what is wanted.
func (p *program) awaitConfig(want string) {
	p.t.Helper()
	prove.Eventually(p.t, "readyz says of the configuration: "+want, func() bool {
		status, body := p.get("public", "/readyz")
		return status == http.StatusOK && strings.Contains(body, `"config":"`+want)
	})
}

// awaitReloads waits until so many reloads have ended with outcome.
func (p *program) awaitReloads(outcome string, n int) {
	p.t.Helper()
	line := fmt.Sprintf("tallyroute_config_reloads_total{outcome=%q} %d\n", outcome, n)
	prove.Eventually(p.t, line, func() bool {
		_, text := p.get("admin", "/metrics")
		return strings.Contains(text, line)
	})
}

// TestReloadsUnderLoadFailNoRequest: the real program is told by SIGHUP to read its
// configuration again and again while clients send requests, plain and streamed.
func TestReloadsUnderLoadFailNoRequest(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "")
	p, c := spawn(t, config)
	key, text := p.key("--budget-tokens", "100000000"), contentOf(t, config)
	var sent atomic.Int64
	var clients sync.WaitGroup
	over := make(chan struct{})
	for n := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				router, ask := client.New(p.base()+"/v1", key, nil), client.Client.Plain
				if n%2 == 0 {
					ask = client.Client.Stream
				}
				if told, err := ask(router, t.Context(), "demo-b/echo", "[[demo words=5]] go", io.Discard); err != nil || told.Cost == "" {
					t.Errorf("a request failed: %v", err)
				}
				sent.Add(1)
			}
		})
	}
	reloads := prove.Size(t, "RELOADS", 5)
	for n := range reloads {
		before := sent.Load()
		rewrite(t, config, fmt.Sprintf("%sdefaults: {max_output_tokens: %d}\n", text, 1000+n))
		send(t, c, syscall.SIGHUP)
		p.awaitReloads("ok", n+1)
		prove.Eventually(t, "requests are answered", func() bool { return sent.Load() > before+8 })
	}
	close(over)
	clients.Wait()
	if got := p.booked()["demo-b"]; got.Requests != sent.Load() || got.Errors != 0 {
		t.Errorf("%d requests were answered, booked is %+v", sent.Load(), got)
	}
	t.Logf("%d reloads, %d requests", reloads, sent.Load())
}

// TestBadConfigurationKeepsTheOneBefore, and readyz, the log and a metric say why.
func TestBadConfigurationKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "")
	p := serve(t, config)
	key, good := p.key(), contentOf(t, config)
	answers := func() {
		t.Helper()
		if _, err := p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); err != nil {
			t.Errorf("with the configuration before: %v", err)
		}
	}
	for _, bad := range []struct{ text, says string }{
		{good + "nonsense: 1\n", "rejected: tallyroute.yaml:"},
		{good + "providers: {own: {base_url: x}}\n", "rejected: tallyroute.yaml:"},
		{good + "admin_token: env:TALLYROUTE_TEST_NO_TOKEN\n", "rejected: tallyroute.yaml: admin_token:"},
		{"listen: [\n", "rejected: tallyroute.yaml:"},
		{"", "rejected: the file is empty"},
	} {
		rewrite(t, config, bad.text)
		p.awaitConfig(bad.says)
		answers()
		rewrite(t, config, good)
		p.awaitConfig("reloaded")
	}
	if err := os.Remove(config); err != nil {
		t.Fatal(err)
	}
	p.awaitConfig("rejected: the file is gone")
	answers()
	if _, text := p.get("admin", "/metrics"); !strings.Contains(text, "tallyroute_config_reload_successful 0\n") {
		t.Error("no metric says so")
	}
	if !strings.Contains(p.log.String(), "the one before stays in force") {
		t.Error("the log does not say so")
	}
	rewrite(t, config, good+"log: {format: json, level: debug}\n")
	p.awaitConfig("rejected") // it is set twice
	rewrite(t, config, strings.Replace(good, "listen: 127.0.0.1:0", "listen: 127.0.0.1:1", 1))
	p.awaitConfig("reloaded; these take effect at the next start: listen")
	answers()
}

// TestSwappedLinkIsReloaded: Kubernetes updates mounted files by swapping a link.
func TestSwappedLinkIsReloaded(t *testing.T) {
	t.Parallel()
	written := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "")
	dir := t.TempDir()
	mount := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(dir, version, "tallyroute.yaml"), text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..v1", contentOf(t, written))
	config := filepath.Join(dir, "tallyroute.yaml")
	if err := os.Symlink(filepath.Join("..data", "tallyroute.yaml"), config); err != nil {
		t.Fatal(err)
	}
	p := serve(t, config)
	mount("..v2", contentOf(t, written)+"aliases: {chat: [demo-b/echo]}\n")
	p.awaitReloads("ok", 1)
	if _, err := p.client(p.key()).CreateChatCompletion(t.Context(), ask("chat", "hi")); err != nil {
		t.Error(err)
	}
}

// TestPriceTakesEffectWithTheNextRequest, and what was booked before stays.
func TestPriceTakesEffectWithTheNextRequest(t *testing.T) {
	t.Parallel()
	u := pt.NewUpstream(t, pt.JSON(200, attackAnswer))
	priced := func(more string) string {
		return fmt.Sprintf("providers:\n  own:\n    adapter: openai\n    base_url: %s/v1\n    private: true\n    auth: {kind: none}\n"+
			"    models:\n      - {id: m, context: 8000, max_output: 100, prices: [{since: 2026-01-01, prompt: 1, completion: 1}%s]}\n",
			u.URL(), more)
	}
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", priced(""))
	p := serve(t, config)
	key, text := p.key("--budget-usd", "1"), contentOf(t, config)
	cost := func() string {
		t.Helper()
		told, err := client.New(p.base()+"/v1", key, nil).Plain(t.Context(), "own/m", "hi", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return told.Cost
	}
	if got := cost(); got != "0.00001" { // 8 and 2 tokens
		t.Errorf("before: %s", got)
	}
	newer := fmt.Sprintf(", {since: %s, prompt: 3, completion: 3}", time.Now().UTC().Format(time.DateOnly))
	rewrite(t, config, strings.Replace(text, priced(""), priced(newer), 1))
	p.awaitReloads("ok", 1)
	if got := cost(); got != "0.00003" {
		t.Errorf("after: %s", got)
	}
	rewrite(t, config, strings.Replace(text, "prompt: 1, completion: 1", "prompt: 9, completion: 9", 1))
	p.awaitConfig("rejected: the price of m at own since 2026-01-01 is recorded with other rates")
	if got := cost(); got != "0.00003" {
		t.Errorf("after a change of the past: %s", got)
	}
	if row := p.booked()["own"]; row.Requests != 3 {
		t.Errorf("%+v", row)
	}
}

// TestStreamOutlivesTheReloadThatRemovesItsProvider: the stream is completed and booked, and the
// next request for the model finds no provider.
func TestStreamOutlivesTheReloadThatRemovesItsProvider(t *testing.T) {
	t.Parallel()
	removed := make(chan struct{})
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", attackWord)
		_ = http.NewResponseController(w).Flush()
		<-removed
		fmt.Fprintf(w, "data: %s\n\ndata: %s\n\ndata: %s\n\ndata: [DONE]\n\n", attackWord, attackFinish, attackUsage)
	}))
	t.Cleanup(u.Close)
	own := fmt.Sprintf("providers:\n  own:\n    adapter: openai\n    base_url: %s/v1\n    private: true\n    auth: {kind: none}\n"+
		"    models:\n      - {id: m, context: 8000, max_output: 100, can: [stream], prices: [{since: 2026-01-01, prompt: 1, "+
		"completion: 1}]}\n", u.URL)
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", own)
	p := serve(t, config)
	key := p.key("--budget-usd", "1", "--budget-requests", "1")
	s, err := p.client(key).CreateChatCompletionStream(t.Context(), ask("own/m", "hi"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	rewrite(t, config, strings.Replace(contentOf(t, config), own, "", 1))
	p.awaitReloads("ok", 1)
	close(removed)
	if words, err := drain(s); err != nil || words != 1 {
		t.Errorf("%d words, %v", words, err)
	}
	var refused *openai.APIError
	if _, err := p.client(key).CreateChatCompletion(t.Context(), ask("own/m", "hi")); !errors.As(err, &refused) ||
		refused.HTTPStatusCode != http.StatusNotFound {
		t.Errorf("a removed provider: %v", err)
	}
	if _, err := p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); !errors.As(err, &refused) ||
		refused.HTTPStatusCode != http.StatusTooManyRequests {
		t.Errorf("the second request of one: %v", err)
	}
	if row := p.booked()["own"]; row.Requests != 1 || row.Errors != 0 || row.CostUSD == billing.Money(0).String() {
		t.Errorf("booked %+v", row)
	}
}

// TestHealthOutlivesAReload: a target that asked not to be called for an hour is not
// called after a reload either.
func TestHealthOutlivesAReload(t *testing.T) {
	t.Parallel()
	limited := pt.JSON(http.StatusTooManyRequests, `{"error":{"message":"slow down","type":"rate_limit_error"}}`)
	u := pt.NewUpstream(t, limited.With("Retry-After", "3600"))
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", fmt.Sprintf("providers:\n  own:\n    adapter: openai\n    base_url: %s/v1\n"+
		"    private: true\n    auth: {kind: none}\n    models:\n      - {id: m, context: 8000, max_output: 100, prices: "+
		"[{since: 2026-01-01, prompt: 1, completion: 1}]}\n", u.URL()))
	p := serve(t, config)
	key := p.key()
	refused := func() {
		t.Helper()
		if _, err := p.client(key).CreateChatCompletion(t.Context(), ask("own/m", "hi")); err == nil {
			t.Error("a provider without capacity answered")
		}
	}
	refused()
	calls := len(u.Calls())
	rewrite(t, config, contentOf(t, config)+"defaults: {max_output_tokens: 500}\n")
	p.awaitReloads("ok", 1)
	if refused(); calls == 0 || len(u.Calls()) != calls {
		t.Errorf("%d calls before the reload, then %d", calls, len(u.Calls()))
	}
}
