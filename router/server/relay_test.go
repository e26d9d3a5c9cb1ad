package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
)

func TestStream(t *testing.T) {
	g := newRig(t)
	g.streams(text("hel"), text("lo"), finish(), usageOnly())
	r := g.chat(hiStream)
	if r.StatusCode != 200 || r.err != nil || r.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %v %v", r.StatusCode, r.err, r.Header)
	}
	got := frames(t, r.body)
	if len(got) != 4 || got[3] != "[DONE]" || strings.Contains(r.body, "prompt_tokens") {
		t.Errorf("%q", got)
	}
	// 2 prompt tokens at $2 and 100 output tokens, the model's maximum, at $6 per million
	if h := r.Header; h.Get("X-Tallyroute-Cost-Status") != "estimated" || h.Get("X-Tallyroute-Cost-Estimate-Usd") == "" ||
		h.Get("X-Tallyroute-Cost-Usd") != "" || h.Get("X-Tallyroute-Provider") != "acme" {
		t.Errorf("headers %v", h)
	}
	if s := g.waitSettled().Attempts[0]; s.Status != billing.StatusOK || s.Tokens.Total() != 15 || s.UsageSource != billing.Reported {
		t.Errorf("row %+v", s)
	}
}

// running returns a chunk from a provider that reports the usage so far with each chunk.
func running(s string) event {
	return event{chunk: chat.Chunk{
		Data:  []byte(chunkJSON(`{"content":"`+s+`"}`, "null", `{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}`)),
		Usage: &chat.Usage{Input: 10, Output: 1}, Content: true, Text: s,
	}}
}

func TestUsageOnlyForThoseWhoAsked(t *testing.T) {
	mixed := event{chunk: chat.Chunk{
		Data:  []byte(chunkJSON(`{}`, `"stop"`, `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`)),
		Usage: &chat.Usage{Input: 10, Output: 5}, Finish: "stop",
	}}
	const cost, counted = `"cost":0.00005,"cost_details":{`, `"cost":0.000016,"cost_details":{`
	for name, tc := range map[string]struct {
		body   string
		events []event
		want   int // frames including [DONE]
		usage  int // frames that show usage
		cost   bool
	}{
		"asked":     {hiUsage, []event{text("a"), finish(), usageOnly()}, 4, 1, true},
		"not asked": {hiStream, []event{text("a"), finish(), usageOnly()}, 3, 0, false},
		"set to false": {
			strings.Replace(hiUsage, "true}", "false}", 1),
			[]event{text("a"), finish(), usageOnly()},
			3, 0, false,
		},
		"with the last choice":     {hiUsage, []event{text("a"), mixed}, 3, 1, true},
		"with the last, not asked": {hiStream, []event{text("a"), mixed}, 3, 1, false},
		"twice":                    {hiUsage, []event{text("a"), mixed, usageOnly()}, 4, 2, true},
		"with every chunk":         {hiUsage, []event{running("x"), running("y"), finish(), usageOnly()}, 5, 3, true},
		"none reported, but asked": {hiUsage, []event{text("a"), finish()}, 4, 1, true},
		"none reported, not asked": {hiStream, []event{text("a"), finish()}, 3, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			g.streams(tc.events...)
			r := g.chat(tc.body)
			got := frames(t, r.body)
			if len(got) != tc.want || got[len(got)-1] != "[DONE]" {
				t.Errorf("%d frames, want %d: %q", len(got), tc.want, got)
			}
			if n := strings.Count(r.body, `"prompt_tokens"`); n != tc.usage {
				t.Errorf("%d frames with usage, want %d", n, tc.usage)
			}
			cost := cost
			if strings.HasPrefix(name, "none") {
				cost = counted
			}
			if strings.Contains(r.body, cost) != tc.cost {
				t.Errorf("cost told: %t: %q", !tc.cost, got)
			}
			if tc.cost && !strings.Contains(got[len(got)-2], cost) {
				t.Errorf("the cost is not in the last chunk: %q", got)
			}
		})
	}
}

// TestEventsAreFlushedAtOnce checks that each event arrives before the next one is created.
func TestEventsAreFlushedAtOnce(t *testing.T) {
	g := newRig(t)
	next := make(chan struct{})
	wait := event{do: func(ctx context.Context) {
		select {
		case <-next:
		case <-ctx.Done():
		}
	}}
	g.streams(text("one"), wait, running("two"), wait, text("three"), wait, finish())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := g.client.Do(g.request(http.MethodPost, "/v1/chat/completions", hiUsage).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"one", "two", "three", "stop", "[DONE]"} {
		for lines.Scan() && lines.Text() == "" {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
		if want != "stop" && want != "[DONE]" {
			select {
			case next <- struct{}{}:
			case <-ctx.Done():
				t.Fatal("the next event was asked for too early")
			}
		}
	}
}

// TestBrokenStreamEndsWithAnErrorEvent: every broken stream ends with an error event, without
// [DONE], and with a connection that is closed before the end of the answer.
func TestBrokenStreamEndsWithAnErrorEvent(t *testing.T) {
	timeout := &providers.Error{Provider: "acme", Kind: providers.KindTimeout, Err: errors.New("secret-host.internal")}
	for name, tc := range map[string]struct {
		err  error
		code string
	}{
		"closes mid-chunk": {io.ErrUnexpectedEOF, "upstream_truncated"},
		"stalls":           {timeout, "upstream_timeout"},
		"reset":            {&net.OpError{Op: "read", Err: errors.New("secret-host.internal: connection reset")}, "upstream_error"},
		"endless line":     {&sse.TooLargeError{What: "line", Limit: sse.MaxLine}, "upstream_error"},
		"malformed":        {fmt.Errorf("openai: %w", chat.ErrMalformed), "upstream_error"},
		"error event":      {&chat.Error{Message: "secret-host.internal", Type: "server_error"}, "upstream_error"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			s := g.streams(text("hel"), event{err: tc.err})
			r := g.chat(hiUsage)
			got := frames(t, r.body)
			if len(got) != 2 || !strings.Contains(got[1], `{"error":{`) || !strings.Contains(got[1], `"code":"`+tc.code+`"`) {
				t.Fatalf("%q", got)
			}
			if id := r.Header.Get("X-Request-Id"); !strings.Contains(got[1], id) {
				t.Errorf("no request id: %s", got[1])
			}
			if strings.Contains(r.body, "[DONE]") || strings.Contains(r.body, "secret-host") {
				t.Errorf("%q", r.body)
			}
			if !errors.Is(r.err, io.ErrUnexpectedEOF) {
				t.Errorf("the answer looks whole: %v", r.err)
			}
			row := g.waitSettled().Attempts[0]
			if row.Status != billing.StatusUpstreamAborted || row.Tokens.Output == 0 {
				t.Errorf("row %+v", row)
			}
			g.waitObserved()
			if n := s.closed.Load(); n != 1 {
				t.Errorf("the stream was closed %d times", n)
			}
		})
	}
}

func TestStreamThatFailsAtOnceIsAnOrdinaryError(t *testing.T) {
	g := newRig(t)
	g.streams(event{err: io.ErrUnexpectedEOF})
	g.chat(hiStream).refused(t, http.StatusBadGateway, "upstream_truncated")
}

// TestClientThatNeverReadsIsCutAndCharged because of the write deadline.
func TestClientThatNeverReadsIsCutAndCharged(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Limits.Write = 500 * time.Millisecond })
	big := strings.Repeat("x", 64<<10)
	g.streams(endless(big)...)
	conn := g.dial()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", g.secret,
		len(hiStream), hiStream)
	row := g.waitSettled().Attempts[0]
	if row.Status != billing.StatusClientAborted || row.Tokens.Output == 0 {
		t.Errorf("row: %s, %+v", row.Status, row.Tokens)
	}
	if got := g.waitObserved(); got != "POST /v1/chat/completions 499" {
		t.Errorf("observed %q", got)
	}
}

// endless returns more than any buffer between us and a client can hold, with little text: a
// stream that says too much is cut off.
func endless(s string) []event {
	list := make([]event, 500)
	for i := range list {
		list[i] = text(s)
		list[i].chunk.Text = "x"
	}
	return list
}

// TestClientThatHangsUpEndsTheCallAndIsCharged hangs up after the n-th event, for every n.
func TestClientThatHangsUpEndsTheCallAndIsCharged(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newRig(t)
			begun, gone := make(chan struct{}), make(chan struct{})
			until := event{do: func(ctx context.Context) { <-ctx.Done(); close(gone) }}
			events := []event{text("a"), text("b"), text("c")}
			if n == 0 {
				g.sender.play = func(ctx context.Context, _ providers.Exchange) (*providers.Answer, error) {
					close(begun)
					<-ctx.Done()
					close(gone)
					return nil, ctx.Err()
				}
			} else {
				g.streams(append(events[:n:n], until)...)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req := g.request(http.MethodPost, "/v1/chat/completions", hiStream).WithContext(ctx)
			if n == 0 {
				go func() {
					<-begun
					cancel()
				}()
			}
			resp, err := g.client.Do(req)
			if n > 0 {
				if err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewScanner(resp.Body)
				for seen := 0; seen < n && lines.Scan(); {
					if lines.Text() != "" {
						seen++
					}
				}
				cancel()
				resp.Body.Close()
			}
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatal("the provider's call goes on")
			}
			row := g.waitSettled().Attempts
			if len(row) != 1 || row[0].Status != billing.StatusClientAborted || row[0].Tokens.Total() == 0 {
				t.Errorf("rows %+v", row)
			}
			if got := g.waitObserved(); got != "POST /v1/chat/completions 499" {
				t.Errorf("observed %q", got)
			}
			if n := g.ledger.held.Load(); n != 0 {
				t.Errorf("%d holds left", n)
			}
		})
	}
}

// TestPanicMidStream: the answer is cut off, discloses nothing and does not look complete.
func TestPanicMidStream(t *testing.T) {
	g := newRig(t)
	g.streams(text("a"), event{do: func(context.Context) { panic("sk-secret in a panic") }})
	r := g.chat(hiStream)
	got := frames(t, r.body)
	if len(got) != 2 || !strings.Contains(got[1], `"code":"internal_error"`) || !errors.Is(r.err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, r.err)
	}
	if row := g.waitSettled().Attempts[0]; row.Status != billing.StatusClientAborted {
		t.Errorf("row %+v", row)
	}
	g.waitObserved()
	if g.ledger.held.Load() != 0 {
		t.Error("a hold is left")
	}
	if all := strings.Join(g.log.lines(), "\n"); strings.Contains(all, "sk-secret") || !strings.Contains(all, `"msg":"panic"`) {
		t.Errorf("log: %s", all)
	}
}

func TestPanicBeforeTheAnswer(t *testing.T) {
	g := newRig(t)
	g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
		g.verifier.key.Tags = nil
		g.verifier.key.Tags["x"] = "assignment to a nil map"
		return nil, nil
	}
	e := g.chat(hi).refused(t, http.StatusInternalServerError, "internal_error")
	if strings.Contains(fmt.Sprint(e), "nil map") {
		t.Errorf("%v", e)
	}
	if all := strings.Join(g.log.lines(), "\n"); !strings.Contains(all, "assignment to entry in nil map") {
		t.Errorf("log: %s", all)
	}
	g.sender.play = nil
	if r := g.chat(hi); r.StatusCode != 200 {
		t.Errorf("afterwards: %d", r.StatusCode)
	}
}
