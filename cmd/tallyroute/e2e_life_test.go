package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/demo"
)

// TestDatabaseAwayAtStart: the process stays up, says why it is not ready, refuses with
// 503 and never with 401, and recovers by itself within two seconds.
func TestDatabaseAwayAtStart(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Private(t)
	config := writeConfig(t, cluster.DSN(t), "")
	command(t, "--config", config, "migrate")
	key := (&program{t: t, config: config}).key()
	cluster.Stop(t)

	p := launch(t, config)
	prove.Eventually(t, "readyz says why", func() bool {
		status, body := p.get("public", "/readyz")
		if strings.Contains(body, "postgres") || strings.Contains(body, "127.0.0.1") {
			t.Errorf("readyz says too much: %s", body)
		}
		return status == http.StatusServiceUnavailable && strings.Contains(body, "database: does not answer")
	})
	if status, _ := p.get("public", "/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
	_, err := p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi"))
	var refused *openai.APIError
	if !errors.As(err, &refused) || refused.HTTPStatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the database is away: %v", err)
	}
	cluster.Start(t)
	prove.Within(t, "healing", p.await(http.StatusOK), 2*time.Second)
	if _, err := p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

// TestDatabaseLostInFlight: an answer in flight reaches its client, keys in use keep
// working, requests with other keys are told to retry, and every row is there when the
// database is back.
func TestDatabaseLostInFlight(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Private(t)
	p := serve(t, writeConfig(t, cluster.DSN(t), ""))
	key, fresh := p.key("--budget-tokens", "100000"), p.key("--budget-tokens", "100000")
	s, err := p.client(key).CreateChatCompletionStream(t.Context(), ask("demo-b/story", "[[demo slow=20ms words=50]] go"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cluster.Kill(t)
	words, err := drain(s)
	if err != nil || words != 50 {
		t.Errorf("the stream ended after %d words: %v", words, err)
	}
	if _, err = p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi")); err != nil {
		t.Errorf("a key in use while the database is away: %v", err)
	}
	_, err = p.client(fresh).CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi"))
	var refused *openai.APIError
	if !errors.As(err, &refused) || refused.HTTPStatusCode != http.StatusServiceUnavailable {
		t.Errorf("another key while the database is away: %v", err)
	}
	cluster.Start(t)
	p.await(http.StatusOK)
	prove.Eventually(t, "the rows are there", func() bool { return p.booked()["demo-b"].Attempts == 2 })
	if got, bill := p.booked()["demo-b"].Tokens, p.bills()["demo-b"]; got.Output != bill.CompletionTokens ||
		got.Prompt() != bill.PromptTokens {
		t.Errorf("booked %+v, bill %+v", got, bill)
	}
}

// drain reads a stream to its end and counts the chunks with text.
func drain(s *openai.ChatCompletionStream) (words int, err error) {
	for {
		chunk, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return words, nil
		}
		if err != nil {
			return words, err
		}
		for _, c := range chunk.Choices {
			if c.Delta.Content != "" {
				words++
			}
		}
	}
}

// TestShutdownEndsStreamsWhole: streams in flight are completed, readyz says no at once,
// nothing new is accepted, and the exit code is 0.
func TestShutdownEndsStreamsWhole(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "timeouts: {shutdown_wait: 2s}\n"))
	key := p.key("--budget-tokens", "1000000")
	const streams = 20
	began := make(chan struct{}, streams)
	results := make(chan error, streams)
	for range streams {
		go func() {
			s, err := p.client(key).CreateChatCompletionStream(context.Background(), ask("demo-b/story", "[[demo slow=10ms words=60]] go"))
			if err != nil {
				began <- struct{}{}
				results <- err
				return
			}
			defer s.Close()
			began <- struct{}{}
			words, err := drain(s)
			if err == nil && words != 60 {
				err = errors.New("a stream was cut")
			}
			results <- err
		}()
	}
	for range streams {
		<-began
	}
	p.stop()
	p.await(http.StatusServiceUnavailable)
	for range streams {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if code := p.end(); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
	if status, _ := p.get("public", "/healthz"); status != 0 {
		t.Errorf("still answers: %d", status)
	}
	if got := p.booked()["demo-b"]; got.Requests != streams || got.Errors != 0 {
		t.Errorf("booked %+v", got)
	}
}

// TestShutdownThatTakesTooLongCutsAndBooks: a request that does not end in time is cut
// off with an error to its client, and booked as ended by us.
func TestShutdownThatTakesTooLongCutsAndBooks(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "timeouts: {shutdown_wait: 0s, shutdown: 200ms}\n"))
	key := p.key()
	s, err := p.client(key).CreateChatCompletionStream(t.Context(), ask("demo-b/story", "[[demo slow=50ms words=1000]] go"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the role and a word
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	plain := make(chan error, 1)
	go func() {
		_, err := p.client(key).CreateChatCompletion(t.Context(), ask("demo-b/story", "[[demo slow=1s words=1000]] go"))
		plain <- err
	}()
	prove.Eventually(t, "both are under way", func() bool {
		_, metrics := p.get("admin", "/metrics")
		return strings.Contains(metrics, "tallyroute_requests_in_flight 2\n")
	})
	p.stop()
	_, streamed := drain(s)
	for what, err := range map[string]error{"a stream": streamed, "a plain answer": <-plain} {
		if e := (*openai.APIError)(nil); !errors.As(err, &e) || e.Code != "router_stopping" {
			t.Errorf("%s that was cut off ended with %v", what, err)
		}
	}
	if code := p.end(); code != cli.ExitOK {
		t.Errorf("exit code %d", code)
	}
	cfg, _, err := app.Load(t.Context(), app.Source{File: p.config, Demo: demo.New(nil).Local()})
	if err != nil {
		t.Fatal(err)
	}
	store, err := app.OpenStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	rows, err := store.Events(t.Context(), billing.EventQuery{})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, r := range rows {
		if r.Status != billing.StatusInterrupted || !r.Final || r.Tokens.Output == 0 {
			t.Errorf("booked %+v", r)
		}
	}
}

// TestWrongPepperEndsServe: a wrong pepper would make every key unknown, so the program
// reports it and does not serve.
func TestWrongPepperEndsServe(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "sqlite:"+filepath.Join(t.TempDir(), "t.db"), "")
	(&program{t: t, config: config}).key()
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "pepper"), []byte(strings.Repeat("q", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"--config", config, "serve"}, strings.NewReader(""), io.Discard, &stderr); code != cli.ExitError {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "key_pepper is not the one that this database's keys were made with") {
		t.Error(stderr.String())
	}
}
