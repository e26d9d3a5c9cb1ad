package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/sashabaranov/go-openai"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/client"
	"tallyroute/cmd/tallyroute/demo"
)

func ask(model, message string) openai.ChatCompletionRequest {
	return client.OneMessage(model, message)
}

func TestChat(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		p := serve(t, writeConfig(t, database, ""))
		c := p.client(p.key("--budget-usd", "5", "--budget-tokens", "100000"))
		resp, err := c.CreateChatCompletion(t.Context(), ask("demo-b/echo", "hi"))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Choices[0].Message.Content; got != "You said: hi" {
			t.Errorf("said %q", got)
		}
		h := resp.Header()
		for name, want := range map[string]string{
			"x-tallyroute-provider": "demo-b", "x-tallyroute-model": "echo", "x-tallyroute-attempts": "1",
			"x-tallyroute-route-reason": "pinned", "x-tallyroute-cost-status": "exact",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %q; want %q", name, got, want)
			}
		}
		bill := p.bills()["demo-b"]
		if bill.PromptTokens != int64(resp.Usage.PromptTokens) || bill.CompletionTokens != int64(resp.Usage.CompletionTokens) {
			t.Errorf("usage %+v, bill %+v", resp.Usage, bill)
		}
		row := p.booked()["demo-b"]
		if row.CostUSD == "" || !strings.HasPrefix(row.CostUSD, h.Get("x-tallyroute-cost-usd")) || row.Requests != 1 {
			t.Errorf("booked %+v, header %q", row, h.Get("x-tallyroute-cost-usd"))
		}
		if used := p.shown().Budgets[0].Standing; used == nil || used.UsedTokens != bill.PromptTokens+bill.CompletionTokens {
			t.Errorf("quota used: %v", used)
		}
	})
}

func TestChatStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		p := serve(t, writeConfig(t, database, ""))
		key := p.key("--budget-tokens", "100000")
		t1, err := client.New(p.base()+"/v1", key, nil).Stream(t.Context(), "story", "tell", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if t1.Text != demo.Story || t1.Provider != "demo-a" || t1.Usage.CompletionTokens == 0 {
			t.Errorf("told %+v", t1)
		}
		t2, err := client.New(p.base()+"/v1", key, nil).Stream(t.Context(), "story", "tell", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if t2.Text != demo.Story || t2.Provider != "demo-b" || t2.Attempts != "2" || t2.Reason != "failover" {
			t.Errorf("told %+v", t2)
		}
		if got := p.booked(); got["demo-a"].Errors != 1 || got["demo-a"].Attempts != 2 || got["demo-b"].Attempts != 1 {
			t.Errorf("booked %+v", got)
		}
	})
}

func TestChatTools(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", ""))
	c := p.client(p.key())
	req := ask("demo-b/echo", "How is the weather in Paris?")
	req.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{
		Name: "get_weather", Parameters: map[string]any{
			"type": "object", "required": []string{"city"}, "properties": map[string]any{"city": map[string]string{"type": "string"}},
		},
	}}}
	resp, err := c.CreateChatCompletion(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	call := resp.Choices[0].Message.ToolCalls[0]
	if call.Function.Name != "get_weather" || call.Function.Arguments != `{"city":"Paris"}` {
		t.Fatalf("called %+v", call)
	}
	req.Messages = append(req.Messages, resp.Choices[0].Message,
		openai.ChatCompletionMessage{Role: openai.ChatMessageRoleTool, ToolCallID: call.ID, Content: "12 degrees"})
	if resp, err = c.CreateChatCompletion(t.Context(), req); err != nil || resp.Choices[0].Message.Content != "The tool said: 12 degrees" {
		t.Errorf("said %+v, %v", resp.Choices, err)
	}
	// The same, streamed.
	req.Messages = req.Messages[:1]
	s, err := c.CreateChatCompletionStream(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var arguments strings.Builder
	for {
		chunk, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, choice := range chunk.Choices {
			for _, part := range choice.Delta.ToolCalls {
				arguments.WriteString(part.Function.Arguments)
			}
		}
	}
	if arguments.String() != `{"city":"Paris"}` {
		t.Errorf("streamed arguments %q", arguments.String())
	}
}

func TestChatErrors(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", ""))
	key := p.key("--models", "echo")
	for name, tt := range map[string]struct {
		key, model, message string
		status              int
		code                any
	}{
		"no such model":     {key, "ecko", "hi", 404, "model_not_found"},
		"model not allowed": {key, "story", "hi", 403, "model_not_allowed"},
		"mistyped key":      {key[:len(key)-1] + "!", "echo", "hi", 401, "invalid_api_key"},
		"upstream's own":    {key, "echo", "[[demo fail=400]]", 400, "demo_400"},
		"all fail":          {key, "echo", "[[demo fail=503]]", 502, "all_providers_failed"},
	} {
		_, err := p.client(tt.key).CreateChatCompletion(t.Context(), ask(tt.model, tt.message))
		var got *openai.APIError
		if !errors.As(err, &got) || got.HTTPStatusCode != tt.status || got.Code != tt.code {
			t.Errorf("%s: %+v (%v)", name, got, err)
		}
	}
}

// counting counts the requests that an SDK sends for one call.
type counting struct{ n atomic.Int64 }

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// TestQuotaIsNotRetried: an SDK that retries 429 does not retry insufficient_quota.
func TestQuotaIsNotRetried(t *testing.T) {
	t.Parallel()
	p := serve(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", ""))
	var sent counting
	c := openaigo.NewClient(option.WithBaseURL(p.base()+"/v1"), option.WithAPIKey(p.key("--budget-tokens", "10")),
		option.WithHTTPClient(&http.Client{Transport: &sent}))
	_, err := c.Chat.Completions.New(t.Context(), openaigo.ChatCompletionNewParams{
		Model: "echo", Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("a prompt of more than ten tokens, " +
			"which is what this key has")},
	})
	var refused *openaigo.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusTooManyRequests || refused.Code != "insufficient_quota" {
		t.Fatalf("%v", err)
	}
	if n := sent.n.Load(); n != 1 {
		t.Errorf("the SDK sent %d requests", n)
	}
	for _, word := range []string{"10", "tokens"} {
		if !strings.Contains(refused.Message, word) {
			t.Errorf("the message does not say %q: %s", word, refused.Message)
		}
	}
}

// TestAbortedStream: a client that hangs up pays for what the provider had sent by then. What was
// still on the wire at the cancellation appears only on the provider's bill.
func TestAbortedStream(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		p := serve(t, writeConfig(t, database, ""))
		c := p.client(p.key("--budget-tokens", "100000"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := c.CreateChatCompletionStream(ctx, ask("demo-b/story", "[[demo words=500]] go"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 5 {
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		prove.Eventually(t, "the upstream notices", func() bool { return p.bills()["demo-b"].Aborted == 1 })
		bill := p.bills()["demo-b"]
		prove.Eventually(t, "the row is written", func() bool { return p.booked()["demo-b"].Attempts == 1 })
		row := p.booked()["demo-b"]
		if row.Tokens.Prompt() != bill.PromptTokens || row.Tokens.Output < 4 || row.Tokens.Output > bill.CompletionTokens {
			t.Errorf("booked %+v, bill %+v", row.Tokens, bill)
		}
		if used := p.shown().Budgets[0].Standing; used.UsedTokens != row.Tokens.Prompt()+row.Tokens.Output {
			t.Errorf("quota used %d, rows %d", used.UsedTokens, row.Tokens.Prompt()+row.Tokens.Output)
		}
	})
}
