package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	"tallyroute/router"
	"tallyroute/router/health"
	"tallyroute/router/limit"
	"tallyroute/router/tokens"
	"tallyroute/router/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = prove.Patience // for what must happen

// rig is the public listener in front of a router with in-memory parts.
type rig struct {
	t        *testing.T
	router   Router
	addr     string
	http     *web.Server
	client   *http.Client
	secret   string
	verifier *verifier
	ledger   *ledger
	sender   *sender
	counts   *counts
	models   *models
	replays  *replays
	log      *syncBuffer
	observed chan string // method, route, status
}

// newRig starts the listener; change may use another router or set limits.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	g := &rig{
		t: t, secret: newSecret(t), verifier: &verifier{key: &billing.Key{ID: "key_1", Name: "checkout", Version: 1}},
		ledger: &ledger{settled: make(chan billing.Settlement, 1000)}, sender: &sender{}, counts: &counts{}, log: &syncBuffer{},
		models: &models{}, replays: &replays{}, observed: make(chan string, 10_000),
	}
	prices := billing.NewPriceBook([]billing.Price{{
		ID: "price_1", Provider: "acme", Model: "m", Since: time.Unix(0, 0), Input: 2_000_000_000, Output: 6_000_000_000,
	}, {
		ID: "price_2", Provider: "other", Model: "m", Since: time.Unix(0, 0), Input: 3_000_000_000, Output: 7_000_000_000,
	}})
	r := router.New(router.Parts{
		Verifier: g.verifier, Ledger: g.ledger, Events: g.ledger, Prices: prices, Catalogue: g.models, Sender: g.sender,
		Tokens: counter{}, Health: health.New(health.Options{}), Observer: nobody{}, Idempotency: g.replays,
		Background: limit.NewCalls(4, 64), Allotments: &allotments{}, Counts: g.counts,
	}, router.Options{Linger: 200 * time.Millisecond})
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), g.log, zap.DebugLevel)
	o := Options{
		Router: r, Log: zap.New(core), KeepAnswers: true,
		Observe: func(method, route string, status int, _ time.Duration) {
			g.observed <- fmt.Sprintf("%s %s %d", method, route, status)
		},
	}
	for _, f := range change {
		f(&o)
	}
	g.router = o.Router
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.addr, g.http = l.Addr().String(), srv
	transport := &http.Transport{DisableCompression: true}
	g.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(Listener(l)) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-done
		g.waitConnectionsGone()
	})
	return g
}

// waitConnectionsGone lets the goroutines of connections end before goleak checks.
func (g *rig) waitConnectionsGone() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = g.http.Shutdown(ctx)
}

func (g *rig) url(path string) string { return "http://" + g.addr + path }

// request returns a request with the key and, for a POST, a JSON body.
func (g *rig) request(method, path, body string, header ...string) *http.Request {
	g.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url(path), r)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.secret)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header[http.CanonicalHeaderKey(header[i])] = nil
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return req
}

// reply is an answer that has been read to the end.
type reply struct {
	*http.Response
	body string
	err  error // from reading the body
}

func (g *rig) do(req *http.Request) reply {
	g.t.Helper()
	resp, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp, string(body), err}
}

func (g *rig) chat(body string, header ...string) reply {
	g.t.Helper()
	return g.do(g.request(http.MethodPost, "/v1/chat/completions", body, header...))
}

func (g *rig) get(path string, header ...string) reply {
	g.t.Helper()
	return g.do(g.request(http.MethodGet, path, "", header...))
}

// object reads the answer as a JSON object.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("status %d, not an object: %q: %v", r.StatusCode, r.body, err)
	}
	return v
}

// refused checks that the answer is this error and returns its object.
func (r reply) refused(t *testing.T, status int, code string) map[string]any {
	t.Helper()
	e, _ := r.object(t)["error"].(map[string]any)
	if r.StatusCode != status || e["code"] != code {
		t.Fatalf("status %d, body %s; want %d %s", r.StatusCode, r.body, status, code)
	}
	if id := r.Header.Get("X-Request-Id"); id == "" || e["request_id"] != id {
		t.Errorf("request_id %v, header %q", e["request_id"], id)
	}
	return e
}

// raw sends bytes and returns everything that comes back until the connection closes.
func (g *rig) raw(text string) string {
	g.t.Helper()
	conn := g.dial()
	if _, err := io.WriteString(conn, text); err != nil {
		g.t.Logf("write: %v", err) // the server may have seen enough
	}
	return g.rest(conn)
}

func (g *rig) dial() net.Conn {
	g.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(g.t.Context(), "tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// rest reads until the server closes the connection, and fails if it does not.
func (g *rig) rest(conn net.Conn) string {
	g.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(conn)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		g.t.Fatalf("the connection was not closed; so far: %q", got)
	}
	return string(got)
}

// waitSettled returns the settlement of the next request that ends.
func (g *rig) waitSettled() billing.Settlement {
	g.t.Helper()
	select {
	case s := <-g.ledger.settled:
		return s
	case <-time.After(patience):
		g.t.Fatal("nothing was settled")
		return billing.Settlement{}
	}
}

func (g *rig) waitObserved() string {
	g.t.Helper()
	select {
	case s := <-g.observed:
		return s
	case <-time.After(patience):
		g.t.Fatal("nothing was observed")
		return ""
	}
}

type verifier struct {
	key   *billing.Key
	err   error
	calls atomic.Int64
	// stranger says that no secret is known to belong to a key.
	stranger bool
}

func (v *verifier) Verify(context.Context, billing.Secret, time.Time) (*billing.Key, error) {
	v.calls.Add(1)
	k := *v.key
	if errors.Is(v.err, billing.ErrRevoked) {
		return &k, v.err
	}
	if v.err != nil {
		return nil, v.err
	}
	return &k, nil
}

func (v *verifier) Recall(billing.Secret, time.Time) (*billing.Key, bool, error) {
	return nil, !v.stranger, nil
}

func (v *verifier) Refresh(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error) {
	return v.Verify(ctx, s, now)
}

// allotments records what one temporary key uses, without a limit.
type allotments struct {
	mu   sync.Mutex
	used billing.Amount
}

func (a *allotments) Allotted(context.Context, string) (billing.Amount, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used, nil
}

func (a *allotments) TakeAllotted(_ context.Context, _ *billing.Allotment, most, _ billing.Amount) (billing.Amount, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = a.used.Plus(most)
	return a.used, nil
}

func (a *allotments) GiveAllotted(_ context.Context, _ string, back billing.Amount) (billing.Amount, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = a.used.Minus(back)
	return a.used, nil
}

// ledger accepts every hold and remembers what was settled.
type ledger struct {
	rejects []billing.RejectedRow
	mu      sync.Mutex
	rows    []billing.Spend
	refuse  error
	balance []billing.Balance
	settled chan billing.Settlement
	held    atomic.Int64
}

func (l *ledger) Reserve(context.Context, billing.Hold, time.Time) ([]billing.Balance, error) {
	if l.refuse != nil {
		return nil, l.refuse
	}
	l.held.Add(1)
	return l.balance, nil
}

func (l *ledger) Settle(_ context.Context, s billing.Settlement) ([]billing.Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held.Add(-1)
	l.rows = append(l.rows, s.Attempts...)
	l.settled <- s
	return l.balance, nil
}

func (l *ledger) Widen(context.Context, string, []billing.HoldLine) error { return nil }

func (l *ledger) Retry(context.Context, string, billing.Amount, []billing.Spend) error { return nil }

func (l *ledger) Release(context.Context, string) error { l.held.Add(-1); return nil }

func (l *ledger) Balances(context.Context, *billing.Key, time.Time) ([]billing.Balance, error) {
	return l.balance, nil
}

func (l *ledger) ListRejects(context.Context, string) ([]billing.RejectedRow, error) {
	return l.rejects, nil
}

func (l *ledger) Events(_ context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []billing.Spend
	for _, s := range l.rows {
		if s.RequestID == q.RequestID && s.Owner.KeyID == q.KeyID {
			out = append([]billing.Spend{s}, out...)
		}
	}
	return out, nil
}

// models knows "m", served by acme, and "openai/gpt-4o-mini".
type models struct {
	more map[string][]providers.Target // by model name
}

func target(provider, model string) providers.Target {
	return providers.Target{
		Adapter:  openai.New(),
		Provider: provider, Model: model, Upstream: model, Weight: 1, Context: 100_000, MaxOutput: 100,
		Can: providers.Abilities{Stream: true},
	}
}

func (m *models) Resolve(name string) ([]providers.Target, bool, bool) {
	if list := m.more[name]; list != nil {
		return list, false, true
	}
	switch name {
	case "m", "acme/m":
		return []providers.Target{target("acme", "m")}, name != "m", true
	case "stops":
		t := target("acme", "m")
		t.Billing.Stops = true
		return []providers.Target{t}, false, true
	case "unpriced":
		return []providers.Target{target("acme", "unpriced")}, false, true
	case "gpt-4o-mini", "openai/gpt-4o-mini":
		return []providers.Target{target("openai", "gpt-4o-mini"), target("azure", "gpt-4o-mini")}, false, true
	case "two":
		return []providers.Target{target("acme", "m"), target("other", "m")}, false, true
	}
	return nil, false, false
}

func (*models) Nearest(string, func(string) bool) string { return "m" }

func (*models) Models() []providers.Listing {
	in, out := int64(150_000_000), int64(600_000_000)
	return []providers.Listing{
		{ID: "m", Created: time.Unix(1700000000, 0), OwnedBy: "acme", ContextLength: 100_000, MaxOutput: 100, Providers: []string{"acme"}},
		{
			ID: "openai/gpt-4o-mini", Created: time.Unix(1700000000, 0), OwnedBy: "openai", Providers: []string{"openai"}, Prompt: &in,
			Completion: &out,
		},
	}
}

type counter struct{}

func (counter) Bound(r *chat.Request, _ tokens.Tokenizer) int64 { return int64(len(r.Body()) / 20) }

func (counter) Prompt(_ context.Context, r *chat.Request, _ tokens.Tokenizer) (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: int64(len(r.Body()) / 20), Exact: true, Likely: 2}, nil
}

func (counter) Text(_ context.Context, text string, _ tokens.Tokenizer) (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: int64(len(text)), Exact: true}, nil
}

// counts makes providers that the client calls count tokens; nil makes none count.
type counts struct{ client *providers.Client }

func (c *counts) Count(ctx context.Context, x providers.Exchange) (int64, error) {
	if c.client == nil {
		return 0, providers.ErrUncounted
	}
	return c.client.Count(ctx, x)
}

type nobody struct{}

func (nobody) Observe(router.Record) {}

// sender answers every call as play says.
type sender struct {
	play func(ctx context.Context, x providers.Exchange) (*providers.Answer, error)
}

func (s *sender) Do(ctx context.Context, x providers.Exchange) (*providers.Answer, error) {
	if s.play == nil {
		return plainAnswer(), nil
	}
	return s.play(ctx, x)
}

const completion = `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m-large","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"hello","refusal":null},"finish_reason":"stop","logprobs":null}],` +
	`"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`

func plainAnswer() *providers.Answer {
	return &providers.Answer{
		Response: &chat.Response{Body: []byte(completion), ID: "chatcmpl-1", Usage: &chat.Usage{Input: 10, Output: 5}, Text: "hello"},
		Header:   http.Header{"X-Upstream-Secret": {"sk-upstream"}, "Set-Cookie": {"a=b"}},
	}
}

// stream plays its events in order, unless the call ends first.
type stream struct {
	told   chat.Told
	ctx    context.Context
	events []event
	data   []byte // of the last chunk returned
	closed atomic.Int64
}

// event is a chunk, an error, or a function to be called first.
type event struct {
	chunk chat.Chunk
	err   error
	do    func(ctx context.Context)
}

func text(s string) event {
	return event{chunk: chat.Chunk{Data: []byte(chunkJSON(`{"content":"`+s+`"}`, "null", "null")), Content: true, Text: s}}
}

func finish() event {
	return event{chunk: chat.Chunk{Data: []byte(chunkJSON(`{}`, `"stop"`, "null")), Finish: "stop"}}
}

func usageOnly() event {
	return event{chunk: chat.Chunk{
		Data: []byte(`{"id":"c","object":"chat.completion.chunk","created":1,"model":"m-large","choices":[],` +
			`"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`),
		Usage: &chat.Usage{Input: 10, Output: 5}, UsageOnly: true,
	}}
}

func chunkJSON(delta, finish, usage string) string {
	return `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m-large","choices":[{"index":0,"delta":` + delta +
		`,"finish_reason":` + finish + `}],"usage":` + usage + `}`
}

func (s *stream) Next() (chat.Chunk, error) {
	clear(s.data) // it was only valid until now
	if err := s.ctx.Err(); err != nil {
		return chat.Chunk{}, err
	}
	if len(s.events) == 0 {
		return chat.Chunk{}, io.EOF
	}
	e := s.events[0]
	s.events = s.events[1:]
	if e.do != nil {
		e.do(s.ctx)
		return s.Next()
	}
	s.data = append(s.data[:0], e.chunk.Data...)
	e.chunk.Data = s.data
	s.told.Note(&e.chunk)
	return e.chunk, e.err
}

func (s *stream) Told() chat.Told { return s.told }

func (s *stream) Close() error { s.closed.Add(1); return nil }

// streams makes the provider stream the events.
func (g *rig) streams(events ...event) *stream {
	s := &stream{events: events}
	g.sender.play = func(ctx context.Context, _ providers.Exchange) (*providers.Answer, error) {
		s.ctx = ctx
		return &providers.Answer{Stream: s}, nil
	}
	return s
}

// refuses makes every provider fail in the same way.
func (g *rig) refuses(e providers.Error) {
	g.sender.play = func(_ context.Context, x providers.Exchange) (*providers.Answer, error) {
		pe := e
		pe.Provider, pe.Model = x.Target.Provider, x.Target.Model
		return nil, &pe
	}
}

// frames returns the data of the events in an event stream.
func frames(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	sc := bufio.NewScanner(strings.NewReader(body))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if line == "" {
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			t.Errorf("a line that is no data: %q", line)
		}
		out = append(out, data)
	}
	return out
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Sync() error { return nil }

func (s *syncBuffer) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.b.String(), "\n"), "\n")
}

// fails is a router that always fails.
type fails struct{ err error }

func (f fails) Count(context.Context, router.Inbound) (*billing.Key, router.Counted, error) {
	return nil, router.Counted{}, f.err
}

func (f fails) Complete(context.Context, router.Inbound) (router.Result, error) {
	return router.Result{}, f.err
}

func (f fails) Models(context.Context, router.Caller) (*billing.Key, []providers.Listing, error) {
	return nil, nil, f.err
}

func (f fails) Self(context.Context, router.Caller) (*billing.Key, []billing.Balance, error) {
	return nil, nil, f.err
}

func (f fails) Identify(context.Context, router.Caller) (*billing.Key, error) { return nil, f.err }

func (f fails) Events(context.Context, router.Caller, string) (*billing.Key, []billing.Spend, error) {
	return nil, nil, f.err
}

func (f fails) Rejected(context.Context, router.Caller, string) ([]billing.RejectedRow, error) {
	return nil, f.err
}

const hi = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

const hiStream = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`

const hiUsage = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`
