package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/sashabaranov/go-openai"
)

// chatCommand is "tallyroute chat": one message through a running router, as
// any program would send it.
type chatCommand struct {
	Message []string `arg:"" help:"What to say."`
	URL     string   `help:"Base URL. Default: the configured listener." env:"OPENAI_BASE_URL" placeholder:"URL"`
	Key     string   `help:"Virtual key." env:"OPENAI_API_KEY" placeholder:"sk-tr-…"`
	Model   string   `help:"Model or alias." default:"auto"`
	Plain   bool     `help:"Wait for the whole answer instead of streaming it."`
}

// Run prints the answer, and on standard error where it came from and its cost.
func (c chatCommand) Run(a *app) error {
	if c.Key == "" {
		return usagef("needs a key: set OPENAI_API_KEY or --key")
	}
	base := c.URL
	if base == "" {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		base = "http://" + reachable(cfg.Listen) + "/v1"
	}
	client := newChatClient(base, c.Key)
	ask := client.stream
	if c.Plain {
		ask = client.plain
	}
	told, err := ask(a.ctx, c.Model, strings.Join(c.Message, " "), a.stdout)
	if err != nil {
		return chatError(err)
	}
	fmt.Fprintln(a.stdout)
	fmt.Fprintln(a.stderr, told.String())
	return nil
}

// chatError adds what the router said to do about it, and tells refusals from failures.
func chatError(err error) error {
	var refused *openai.APIError
	if !errors.As(err, &refused) {
		return err
	}
	err = fmt.Errorf("%s (%d %v)", refused.Message, refused.HTTPStatusCode, refused.Code)
	switch refused.HTTPStatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusPaymentRequired, http.StatusTooManyRequests:
		return deniedError{err}
	}
	return err
}

// chatClient sends single messages with go-openai.
type chatClient struct{ *openai.Client }

func newChatClient(base, key string) chatClient {
	cfg := openai.DefaultConfig(key)
	cfg.BaseURL = base
	return chatClient{openai.NewClientWithConfig(cfg)}
}

// told is what the router says of an answer besides the answer.
type told struct {
	Text, Provider, Model, Attempts, Reason string
	Cost                                    string
	RequestID                               string
	Usage                                   openai.Usage
}

func (t told) String() string {
	return fmt.Sprintf("%s/%s · %s, attempt %s · %d + %d tokens · $%s · %s",
		t.Provider, t.Model, t.Reason, t.Attempts, t.Usage.PromptTokens, t.Usage.CompletionTokens, t.Cost, t.RequestID)
}

func headersOf(h http.Header) told {
	return told{
		Provider: h.Get("x-tallyroute-provider"), Model: h.Get("x-tallyroute-model"),
		Attempts: h.Get("x-tallyroute-attempts"), Reason: h.Get("x-tallyroute-route-reason"),
		Cost: h.Get("x-tallyroute-cost-usd"), RequestID: h.Get("x-request-id"),
	}
}

func oneMessage(model, message string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model:    model,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: message}},
	}
}

// plain waits for the whole answer.
func (c chatClient) plain(ctx context.Context, model, message string, w io.Writer) (told, error) {
	resp, err := c.CreateChatCompletion(ctx, oneMessage(model, message))
	if err != nil {
		return told{}, err
	}
	t := headersOf(resp.Header())
	t.Usage = resp.Usage
	if len(resp.Choices) > 0 {
		t.Text = resp.Choices[0].Message.Content
	}
	_, err = io.WriteString(w, t.Text)
	return t, err
}

// stream writes the answer as it comes.
func (c chatClient) stream(ctx context.Context, model, message string, w io.Writer) (told, error) {
	req := oneMessage(model, message)
	req.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	s, err := c.CreateChatCompletionStream(ctx, req)
	if err != nil {
		return told{}, err
	}
	defer closing(s)
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
		var cost struct { // which the client's own type does not have
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

// closing is for what was only read: there is nothing to do about its error.
func closing(c io.Closer) { _ = c.Close() }

// fileOrStdin opens name, "-" being standard input.
func (a *app) fileOrStdin(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}
