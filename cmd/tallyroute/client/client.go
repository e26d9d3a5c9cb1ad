// Package client sends single requests to a router, as any program using go-openai would.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/sashabaranov/go-openai"
)

// Client sends single messages.
type Client struct{ *openai.Client }

// New returns a client of the router at base, with the transport by; nil uses the default.
func New(base, key string, by http.RoundTripper) Client {
	cfg := openai.DefaultConfig(key)
	cfg.BaseURL = base
	cfg.HTTPClient = &http.Client{Transport: by}
	return Client{openai.NewClientWithConfig(cfg)}
}

// Told is what the router says about an answer, in addition to the answer itself.
type Told struct {
	Text, Provider, Model, Attempts, Reason string
	Cost                                    string
	RequestID                               string
	Usage                                   openai.Usage
}

// String formats it for people.
func (t Told) String() string {
	return fmt.Sprintf("%s/%s · %s, attempt %s · %d + %d tokens · $%s · %s",
		t.Provider, t.Model, t.Reason, t.Attempts, t.Usage.PromptTokens, t.Usage.CompletionTokens, t.Cost, t.RequestID)
}

func headersOf(h http.Header) Told {
	return Told{
		Provider: h.Get("x-tallyroute-provider"), Model: h.Get("x-tallyroute-model"),
		Attempts: h.Get("x-tallyroute-attempts"), Reason: h.Get("x-tallyroute-route-reason"),
		Cost: h.Get("x-tallyroute-cost-usd"), RequestID: h.Get("x-request-id"),
	}
}

// OneMessage makes a request that sends one message to a model.
func OneMessage(model, message string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model:    model,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: message}},
	}
}

// Plain waits for the whole answer and writes it to w.
func (c Client) Plain(ctx context.Context, model, message string, w io.Writer) (Told, error) {
	resp, err := c.CreateChatCompletion(ctx, OneMessage(model, message))
	if err != nil {
		return Told{}, err
	}
	t := headersOf(resp.Header())
	t.Usage = resp.Usage
	if len(resp.Choices) > 0 {
		t.Text = resp.Choices[0].Message.Content
	}
	_, err = io.WriteString(w, t.Text)
	return t, err
}

// Stream writes the answer as it arrives.
func (c Client) Stream(ctx context.Context, model, message string, w io.Writer) (Told, error) {
	req := OneMessage(model, message)
	req.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	s, err := c.CreateChatCompletionStream(ctx, req)
	if err != nil {
		return Told{}, err
	}
	defer func() { _ = s.Close() }()
	t := headersOf(s.Header())
	var said strings.Builder
	for {
		raw, err := s.RecvRaw()
		if errors.Is(err, io.EOF) {
			t.Text = said.String()
			return t, nil
		}
		if err != nil {
			return t, err
		}
		var chunk openai.ChatCompletionStreamResponse
		var cost struct { // missing from the library's own type
			Usage struct{ Cost json.Number }
		}
		if err := errors.Join(json.Unmarshal(raw, &chunk), json.Unmarshal(raw, &cost)); err != nil {
			return t, err
		}
		if chunk.Usage != nil {
			t.Usage, t.Cost = *chunk.Usage, cost.Usage.Cost.String()
		}
		for _, choice := range chunk.Choices {
			said.WriteString(choice.Delta.Content)
			if _, err := io.WriteString(w, choice.Delta.Content); err != nil {
				return t, err
			}
		}
	}
}
