package server

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	official "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/router"
)

func (g *rig) goOpenAI() *openai.Client {
	c := openai.DefaultConfig(g.secret)
	c.BaseURL, c.HTTPClient = g.url("/v1"), g.client
	return openai.NewClientWithConfig(c)
}

func (g *rig) official() official.Client {
	return official.NewClient(option.WithBaseURL(g.url("/v1")), option.WithAPIKey(g.secret), option.WithHTTPClient(g.client))
}

var hello = openai.ChatCompletionRequest{Model: "m", Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hi"}}}

func TestGoOpenAI(t *testing.T) {
	g := newRig(t)
	requests, tokens := int64(60), int64(6000)
	g.ledger.balance = []billing.Balance{{
		Budget:       billing.Budget{ID: "bud_1", Period: billing.PeriodMinute, Requests: &requests, Tokens: &tokens},
		UsedRequests: 1, Window: billing.Window{End: time.Now().Add(time.Minute)},
	}}
	c := g.goOpenAI()
	answer, err := c.CreateChatCompletion(t.Context(), hello)
	if err != nil || answer.Choices[0].Message.Content != "hello" || answer.Usage.TotalTokens != 15 {
		t.Fatalf("%+v, %v", answer, err)
	}
	limits := answer.GetRateLimitHeaders()
	if limits.LimitRequests != 60 || limits.RemainingRequests != 59 || limits.LimitTokens != 6000 ||
		!limits.ResetRequests.Time().After(time.Now()) {
		t.Errorf("rate limits %+v", limits)
	}
	if answer.Header().Get("X-Tallyroute-Cost-Usd") != "0.00005" {
		t.Errorf("headers %v", answer.Header())
	}
	g.streams(text("hel"), text("lo"), finish(), usageOnly())
	if got, err := readStream(t, c); got != "hello" || !errors.Is(err, io.EOF) {
		t.Errorf("stream %q, %v", got, err)
	}
	g.streams(text("hel"), event{err: io.ErrUnexpectedEOF})
	got, err := readStream(t, c)
	var api *openai.APIError
	if got != "hel" || !errors.As(err, &api) || api.Code != "upstream_truncated" {
		t.Errorf("cut stream %q, %v", got, err)
	}
	g.ledger.refuse = quota(1000, 0)
	_, err = c.CreateChatCompletion(t.Context(), hello)
	if !errors.As(err, &api) || api.Code != "insufficient_quota" || api.HTTPStatusCode != 429 {
		t.Errorf("quota: %v", err)
	}
}

func readStream(t *testing.T, c *openai.Client) (string, error) {
	t.Helper()
	s, err := c.CreateChatCompletionStream(t.Context(), hello)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var b strings.Builder
	for {
		chunk, err := s.Recv()
		if err != nil {
			return b.String(), err
		}
		b.WriteString(chunk.Choices[0].Delta.Content)
	}
}

// TestOfficialClient counts how often the official client tries: once if retrying is useless,
// and as told if it is not.
func TestOfficialClient(t *testing.T) {
	var calls atomic.Int64
	var fail error
	g := newRig(t, func(o *Options) { o.Router = countingRouter{o.Router, &calls, &fail} })
	c := g.official()
	params := official.ChatCompletionNewParams{Model: "m", Messages: []official.ChatCompletionMessageParamUnion{official.UserMessage("hi")}}
	for name, tc := range map[string]struct {
		err    error
		want   int64
		status int
	}{
		"quota": {quota(1000, 0), 1, 429},
		"key":   {billing.ErrUnknownKey, 1, 401},
		"rate":  {perMinute(60, 10*time.Millisecond), 3, 429},
		"credentials": {
			&router.FailedError{Attempts: []router.Attempt{{Kind: providers.KindCredential}}}, 1, 502,
		},
		"no provider": {&router.FailedError{RetryAfter: 10 * time.Millisecond}, 3, 503},
	} {
		calls.Store(0)
		fail = tc.err
		began := time.Now()
		_, err := c.Chat.Completions.New(t.Context(), params)
		var api *official.Error
		if !errors.As(err, &api) || api.StatusCode != tc.status || calls.Load() != tc.want {
			t.Errorf("%s: %d calls, want %d: %v", name, calls.Load(), tc.want, err)
		}
		prove.Within(t, name+": retry-after-ms, not the client's own back-off,", time.Since(began), 400*time.Millisecond)
	}
	fail = nil
	answer, err := c.Chat.Completions.New(t.Context(), params)
	if err != nil || answer.Choices[0].Message.Content != "hello" || !strings.Contains(answer.Usage.RawJSON(), `"cost":0.00005`) {
		t.Errorf("%+v, %v", answer, err)
	}
	g.streams(text("hel"), text("lo"), finish())
	s := c.Chat.Completions.NewStreaming(t.Context(), params)
	n := 0
	for s.Next() {
		n++
	}
	if s.Err() != nil || n != 3 {
		t.Errorf("stream: %d chunks, %v", n, s.Err())
	}
	g.streams(text("hel"), event{err: io.ErrUnexpectedEOF})
	s = c.Chat.Completions.NewStreaming(t.Context(), params)
	for s.Next() {
	}
	if s.Err() == nil || !strings.Contains(s.Err().Error(), "upstream_truncated") {
		t.Errorf("cut stream: %v", s.Err())
	}
}

type countingRouter struct {
	Router
	calls *atomic.Int64
	fail  *error
}

func (r countingRouter) Complete(ctx context.Context, in router.Inbound) (router.Result, error) {
	r.calls.Add(1)
	if *r.fail != nil {
		return router.Result{}, *r.fail
	}
	return r.Router.Complete(ctx, in)
}
