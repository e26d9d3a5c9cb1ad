package server

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/router/web"
)

// replays keeps answers in memory.
type replays struct {
	mu    sync.Mutex
	names map[[32]byte]replayed
	calls atomic.Int64
	err   error
}

type replayed struct {
	billing.Claimed
	until time.Time
}

func (r *replays) Claim(_ context.Context, c billing.Claim, now, until time.Time) (*billing.Claimed, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls.Add(1)
	if r.err != nil {
		return nil, r.err
	}
	if found, ok := r.names[c.Name]; ok && found.until.After(now) {
		return &found.Claimed, nil
	}
	if r.names == nil {
		r.names = make(map[[32]byte]replayed)
	}
	r.names[c.Name] = replayed{billing.Claimed{RequestID: c.RequestID, Fingerprint: c.Fingerprint, State: billing.ClaimRunning}, until}
	return nil, nil
}

func (r *replays) Keep(_ context.Context, c billing.Claim, answer []byte, until time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls.Add(1)
	r.names[c.Name] = replayed{billing.Claimed{
		RequestID: c.RequestID, Fingerprint: c.Fingerprint, State: billing.StateOf(answer),
		Answer: answer,
	}, until}
	return nil
}

func (r *replays) Forget(_ context.Context, c billing.Claim) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls.Add(1)
	delete(r.names, c.Name)
	return nil
}

// kept returns everything that a database would contain.
func (r *replays) kept() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []byte
	for name, found := range r.names {
		all = append(append(all, name[:]...), found.Fingerprint[:]...)
		all = append(all, found.Answer...)
	}
	return all
}

const orderKey = "order-4711"

// TestRequestSentAgainGetsTheSameAnswer: the same request gets the same answer, whole or
// streamed, and is charged once.
func TestRequestSentAgainGetsTheSameAnswer(t *testing.T) {
	for _, body := range []string{hi, hiStream} {
		g := newRig(t)
		if body == hiStream {
			g.streams(text("hello"), text(" there"), finish(), usageOnly())
		}
		first := g.chat(body, idempotencyHeader, orderKey)
		if first.StatusCode != http.StatusOK || first.Header.Get(replayedHeader) != "" {
			t.Fatalf("%d %s", first.StatusCode, first.body)
		}
		g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
			t.Error("the provider was asked again")
			return plainAnswer(), nil
		}
		for range 3 {
			again := g.chat(body, idempotencyHeader, orderKey)
			if again.StatusCode != http.StatusOK || again.body != first.body || again.Header.Get(replayedHeader) != "true" {
				t.Errorf("%d %v %q, want %q", again.StatusCode, again.Header, again.body, first.body)
			}
			for _, name := range []string{"Content-Type", "X-Tallyroute-Provider", "X-Tallyroute-Cost-Usd", "X-Tallyroute-Attempts"} {
				if again.Header.Get(name) != first.Header.Get(name) {
					t.Errorf("%s: %q, want %q", name, again.Header.Get(name), first.Header.Get(name))
				}
			}
			id := first.Header.Get("X-Request-Id")
			if again.Header.Get(originalHeader) != id || again.Header.Get("X-Request-Id") == id {
				t.Errorf("ids: %v", again.Header)
			}
		}
		if len(g.ledger.rows) != 1 || g.ledger.held.Load() != 0 {
			t.Errorf("%d rows, %d holds", len(g.ledger.rows), g.ledger.held.Load())
		}
		g.verifier.key.Models = []string{"n"}
		if again := g.chat(body, idempotencyHeader, orderKey); again.StatusCode != http.StatusForbidden ||
			again.Header.Get(replayedHeader) != "" {
			t.Errorf("a key that may not use the model any more: %d %s", again.StatusCode, again.body)
		}
	}
}

// TestIdempotencyKeyThatCannotBeUsedIsRefused: with another body, with another of our keys, and
// while in use.
func TestIdempotencyKeyThatCannotBeUsedIsRefused(t *testing.T) {
	g := newRig(t)
	first := g.chat(hi, idempotencyHeader, orderKey)
	other := strings.Replace(hi, "hi", "ho", 1)
	e := g.chat(other, idempotencyHeader, orderKey).refused(t, http.StatusConflict, "idempotency_conflict")
	if message, _ := e["message"].(string); !strings.Contains(message, first.Header.Get("X-Request-Id")) {
		t.Errorf("the message does not name the request: %s", message)
	}
	g.verifier.key = &billing.Key{ID: "key_2", Name: "another", Version: 1}
	if r := g.chat(other, idempotencyHeader, orderKey); r.StatusCode != http.StatusOK || r.Header.Get(replayedHeader) != "" {
		t.Errorf("keys are not apart: %d %s", r.StatusCode, r.body)
	}
	if n := len(g.ledger.rows); n != 2 {
		t.Errorf("%d rows", n)
	}
	for _, bad := range []string{" ", "a b", "ä", strings.Repeat("x", 256)} {
		req := g.request(http.MethodPost, "/v1/chat/completions", hi)
		req.Header["Idempotency-Key"] = []string{bad}
		if r := g.do(req); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %d %s", bad, r.StatusCode, r.body)
		}
	}
}

// TestDuplicatesAtOnceAreOneCall: of a hundred concurrent requests, one is answered; the others
// are told to wait, and then get its answer.
func TestDuplicatesAtOnceAreOneCall(t *testing.T) {
	g := newRig(t)
	var calls atomic.Int64
	begun, release := make(chan struct{}), make(chan struct{})
	g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
		if calls.Add(1) == 1 {
			close(begun)
		}
		<-release
		return plainAnswer(), nil
	}
	first := make(chan reply, 1)
	go func() { first <- g.chat(hi, idempotencyHeader, orderKey) }()
	<-begun
	var wg sync.WaitGroup
	for range 99 {
		wg.Go(func() {
			r := g.chat(hi, idempotencyHeader, orderKey)
			if r.StatusCode != http.StatusConflict || !strings.Contains(r.body, "idempotency_in_progress") ||
				r.Header.Get("Retry-After") != "1" {
				t.Errorf("%d %v %s", r.StatusCode, r.Header, r.body)
			}
		})
	}
	wg.Wait()
	close(release)
	want := (<-first).body
	if again := g.chat(hi, idempotencyHeader, orderKey); again.body != want {
		t.Errorf("%d %s", again.StatusCode, again.body)
	}
	if calls.Load() != 1 || len(g.ledger.rows) != 1 {
		t.Errorf("%d calls, %d rows", calls.Load(), len(g.ledger.rows))
	}
}

// TestAnswerIsKeptForAClientThatHungUp: an answer is finished for anyone who sends the request
// again.
func TestAnswerIsKeptForAClientThatHungUp(t *testing.T) {
	for _, body := range []string{hi, hiStream} {
		g := newRig(t)
		begun, release := make(chan struct{}), make(chan struct{})
		g.streams(text("hello"), event{do: func(context.Context) { close(begun); <-release }}, text(" there"), finish(), usageOnly())
		if body == hi {
			g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
				close(begun)
				<-release
				return plainAnswer(), nil
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			resp, err := g.client.Do(g.request(http.MethodPost, "/v1/chat/completions", body, idempotencyHeader, orderKey).WithContext(ctx))
			if err == nil {
				resp.Body.Close()
			}
		}()
		<-begun
		cancel()
		<-done
		close(release)
		if row := g.waitSettled().Attempts; len(row) != 1 || row[0].Status != billing.StatusOK || row[0].UsageSource != billing.Reported {
			t.Errorf("rows %+v", row)
		}
		g.waitObserved()
		again := g.chat(body, idempotencyHeader, orderKey)
		if again.StatusCode != http.StatusOK || again.Header.Get(replayedHeader) != "true" || !strings.Contains(again.body, "hello") {
			t.Errorf("%d %v %s", again.StatusCode, again.Header, again.body)
		}
		if body == hiStream && (!strings.Contains(again.body, " there") || !strings.HasSuffix(strings.TrimSpace(again.body), "[DONE]")) {
			t.Errorf("the kept stream is not whole: %s", again.body)
		}
	}
}

// TestFailuresAreNotKept: a request that was not answered can be sent again.
func TestFailuresAreNotKept(t *testing.T) {
	g := newRig(t)
	g.refuses(providers.Error{Kind: providers.KindOverload, Status: 503})
	if r := g.chat(hi, idempotencyHeader, orderKey); r.StatusCode < 500 {
		t.Fatalf("%d", r.StatusCode)
	}
	g.sender.play = nil
	if r := g.chat(hi, idempotencyHeader, orderKey); r.StatusCode != http.StatusOK || r.Header.Get(replayedHeader) != "" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	g.streams(text("hello"), event{err: web.ErrBodyCut})
	if r := g.chat(hiStream, idempotencyHeader, "another"); strings.Contains(r.body, "[DONE]") {
		t.Errorf("%s", r.body)
	}
	g.streams(text("hello"), finish(), usageOnly())
	if r := g.chat(hiStream, idempotencyHeader, "another"); r.Header.Get(replayedHeader) != "" || !strings.Contains(r.body, "[DONE]") {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	g.replays.err = billing.ErrUnavailable
	g.chat(hi, idempotencyHeader, "third").refused(t, http.StatusServiceUnavailable, "ledger_unavailable")
}

// TestLargeStreamIsNotKept: an answer that is too large to keep is still given once.
func TestLargeStreamIsNotKept(t *testing.T) {
	g := newRig(t)
	var events []event
	for range 20 {
		long := text(strings.Repeat("x", mostKept/16))
		long.chunk.Text = "x" // with little text: a stream that says too much is cut off
		events = append(events, long)
	}
	g.streams(append(events, finish(), usageOnly())...)
	if r := g.chat(hiStream, idempotencyHeader, orderKey); !strings.HasSuffix(strings.TrimSpace(r.body), "[DONE]") {
		t.Fatalf("%d, %d bytes", r.StatusCode, len(r.body))
	}
	g.chat(hiStream, idempotencyHeader, orderKey).refused(t, http.StatusConflict, "idempotency_answer_too_large")
}

// TestKeptAnswersCannotBeRead: what is stored reveals nothing without the original request.
func TestKeptAnswersCannotBeRead(t *testing.T) {
	g := newRig(t)
	g.chat(hi, idempotencyHeader, orderKey)
	kept := g.replays.kept()
	if len(kept) < 100 {
		t.Fatalf("%d bytes are kept", len(kept))
	}
	for _, word := range []string{"hello", "chatcmpl", orderKey, "acme", "key_1", "Content-Type"} {
		if bytes.Contains(kept, []byte(word)) {
			t.Errorf("%q can be read", word)
		}
	}
}

// TestOnlyWhoAsksForItPaysForIdempotency: nothing is stored for a request without the header,
// even if the client sends its own request id.
func TestOnlyWhoAsksForItPaysForIdempotency(t *testing.T) {
	g := newRig(t)
	for range 2 {
		r := g.chat(hi, "X-Request-Id", "req_of_the_client")
		if r.StatusCode != http.StatusOK || r.Header.Get("X-Request-Id") == "req_of_the_client" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
	}
	if n := g.replays.calls.Load(); n != 0 || len(g.ledger.rows) != 2 {
		t.Errorf("%d calls, %d rows", n, len(g.ledger.rows))
	}
	off := newRig(t, func(o *Options) { o.KeepAnswers = false })
	for range 2 {
		if r := off.chat(hi, idempotencyHeader, orderKey); r.StatusCode != http.StatusOK || r.Header.Get(replayedHeader) != "" {
			t.Errorf("switched off: %d %v", r.StatusCode, r.Header)
		}
	}
}
