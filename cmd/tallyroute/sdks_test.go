package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	"github.com/sashabaranov/go-openai"

	"tallyroute/billing"
	"tallyroute/providers/scripted"
)

// clientPicture is a red point.
const clientPicture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

// answersClients answers by the words of a prompt.
func answersClients(t scripted.Turn) scripted.Reply {
	switch {
	case t.Says("[[tool]]") && t.Results == 0:
		return scripted.Reply{Calls: []scripted.Call{{ID: "call_1", Name: "lookup", Arguments: `{"word":"pong"}`}}}
	case t.Says("[[tool]]"):
		return scripted.Reply{Text: fmt.Sprintf("results: %d", t.Results)}
	case t.Says("[[parse]]"):
		return scripted.Reply{Text: `{"word":"pong"}`}
	case t.Says("[[image]]"):
		return scripted.Reply{Text: fmt.Sprintf("images: %d", t.Images)}
	case t.Says("[[slow]]"):
		return scripted.Reply{Text: "slowly and then nothing"}
	}
	return scripted.Reply{Text: "pong from " + t.Format}
}

// stalling writes nothing after the first words of an answer, until its caller has gone.
type stalling struct {
	http.ResponseWriter
	gone <-chan struct{}
	said bool
}

func (s *stalling) Write(b []byte) (int, error) {
	if s.said {
		<-s.gone
		return 0, io.ErrClosedPipe
	}
	for _, word := range []string{"slow", "c2xvd", "Nsb3", "zbG93"} { // as it is, and in base64
		s.said = s.said || bytes.Contains(b, []byte(word))
	}
	return s.ResponseWriter.Write(b)
}

func (s *stalling) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// clientsTarget is a router with a key without budgets, in front of a scripted upstream of every
// format.
func clientsTarget(t *testing.T) (*attackTarget, *scripted.Upstream) {
	t.Helper()
	up := &scripted.Upstream{Script: answersClients}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/embeddings") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, floatVectors)
			return
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("[[slow]]")) {
			w = &stalling{ResponseWriter: w, gone: r.Context().Done()}
		}
		up.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	text := "providers:\n"
	under := map[string]string{"openai": "/v1", "anthropic": "/v1", "responses": "/v1", "gemini": "/v1beta"}
	for _, format := range scripted.Formats() {
		text += fmt.Sprintf(`  at-%[1]s:
    {adapter: %[1]s, base_url: "%[2]s", private: true, auth: {kind: none}, models: [{
      id: on-%[1]s, upstream: anthropic.claude-x, context: 1000000, max_output: 64000, tokenizer: {encoding: o200k_base},
      can: [tools, vision, documents, json_schema, reasoning],
      prices: [{since: 2026-01-01, prompt: "1.00", completion: "5.00", cache_read: "0.10"}]}]}
`, format, s.URL+under[format])
	}
	text += fmt.Sprintf(`  vectors:
    {adapter: openai, base_url: "%s/v1", private: true, auth: {kind: none}, models: [{
      id: vectors, context: 8191, can: [embeddings], prices: [{since: 2026-01-01, prompt: "1.00", completion: "0"}]}]}
`, s.URL)
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start(text)
	g.key, g.secret = g.issue()
	return g, up
}

// billedAll checks that the rows of answers are what the upstream bills, and that all are priced.
func (g *attackTarget) billedAll(rows []billing.Spend, was, is scripted.Bill) {
	g.t.Helper()
	var got scripted.Bill
	for _, row := range rows {
		if row.Status != billing.StatusOK {
			continue
		}
		if row.Pricing != billing.Priced || row.UsageSource != billing.Reported || row.Disputed {
			g.t.Errorf("%s: %s, %s, disputed %t", row.Model, row.Pricing, row.UsageSource, row.Disputed)
		}
		if row.Provider == "vectors" {
			continue
		}
		got.Answers++
		got.Prompt, got.Cached, got.Output = got.Prompt+row.Tokens.Prompt(), got.Cached+row.Tokens.CacheRead, got.Output+row.Tokens.Output
	}
	is.Answers, is.Prompt, is.Cached, is.Output = is.Answers-was.Answers, is.Prompt-was.Prompt, is.Cached-was.Cached, is.Output-was.Output
	if got != is {
		g.t.Errorf("booked %+v, the bill says %+v", got, is)
	}
}

var clientTool = map[string]any{
	"type": "object", "properties": map[string]any{"word": map[string]any{"type": "string"}}, "required": []string{"word"},
	"additionalProperties": false,
}

// OpenAI's own library for Go works unchanged for a key without budgets, in front of every format, and
// with members that nobody knows.
func TestOpenAIsLibraryForGoWithoutBudgets(t *testing.T) {
	t.Parallel()
	g, up := clientsTarget(t)
	for _, format := range scripted.Formats() {
		t.Run(format, func(t *testing.T) {
			g.t = t
			was := up.Bill()
			c := openaiClient{t, openaigo.NewClient(option.WithBaseURL("http://"+g.Address("public")+"/v1"), option.WithAPIKey(g.secret),
				option.WithMaxRetries(0)), "on-" + format}
			n := c.chats() + c.calls() + c.parses() + c.embeds() + c.fails()
			g.billedAll(g.rows(n), was, up.Bill())
			c.aborts()
			if row := g.rows(1)[0]; row.Status != billing.StatusClientAborted || row.Tokens.Output == 0 || row.Cost.Total == 0 {
				t.Errorf("after the client left: %s, %+v", row.Status, row.Tokens)
			}
		})
	}
}

// openaiClient is OpenAI's library with a model to ask. Its methods return how many answers they
// had.
type openaiClient struct {
	t     *testing.T
	c     openaigo.Client
	model string
}

func (c openaiClient) ask(text string) openaigo.ChatCompletionNewParams {
	return openaigo.ChatCompletionNewParams{
		Model: c.model, Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage(text)},
		Metadata: shared.Metadata{"for": "test"}, User: openaigo.String("u1"),
	}
}

func (c openaiClient) want(what, got, want string, err error) {
	c.t.Helper()
	if err != nil || !strings.Contains(got, want) {
		c.t.Errorf("%s: %q has no %q: %v", what, got, want, err)
	}
}

func (c openaiClient) plain(p openaigo.ChatCompletionNewParams, o ...option.RequestOption) (string, error) {
	r, err := c.c.Chat.Completions.New(c.t.Context(), p, o...)
	if err != nil {
		return "", err
	}
	if r.Usage.TotalTokens == 0 || r.Usage.TotalTokens != r.Usage.PromptTokens+r.Usage.CompletionTokens {
		c.t.Errorf("usage: %+v", r.Usage)
	}
	return r.Choices[0].Message.Content, nil
}

// chats asks plainly, in a stream, with a picture, and with members that no table has.
func (c openaiClient) chats() int {
	text, err := c.plain(c.ask("say pong"))
	c.want("chat", text, "pong from", err)

	p := c.ask("say pong")
	p.StreamOptions = openaigo.ChatCompletionStreamOptionsParam{IncludeUsage: openaigo.Bool(true)}
	s, all := c.c.Chat.Completions.NewStreaming(c.t.Context(), p), openaigo.ChatCompletionAccumulator{}
	for s.Next() {
		all.AddChunk(s.Current())
	}
	if c.want("stream", all.Choices[0].Message.Content, "pong from", s.Err()); all.Usage.TotalTokens == 0 {
		c.t.Errorf("no usage at the end of a stream: %+v", all.Usage)
	}

	p = c.ask("")
	p.Messages = []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage([]openaigo.ChatCompletionContentPartUnionParam{
		openaigo.TextContentPart("[[image]]"),
		openaigo.ImageContentPart(openaigo.ChatCompletionContentPartImageImageURLParam{URL: clientPicture}),
	})}
	text, err = c.plain(p)
	c.want("vision", text, "images: 1", err)

	var response *http.Response
	text, err = c.plain(c.ask("say pong"), option.WithJSONSet("zz_unheard_of", 1), option.WithResponseInto(&response))
	c.want("an unknown member", text, "pong from", err)
	return 4
}

// calls has the model call a tool in a stream, and answers it.
func (c openaiClient) calls() int {
	p := c.ask("[[tool]]")
	p.Tools = []openaigo.ChatCompletionToolUnionParam{openaigo.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name: "lookup", Description: openaigo.String("Looks a word up."), Parameters: clientTool,
	})}
	s, all := c.c.Chat.Completions.NewStreaming(c.t.Context(), p), openaigo.ChatCompletionAccumulator{}
	for s.Next() {
		all.AddChunk(s.Current())
	}
	if s.Err() != nil || len(all.Choices) == 0 || len(all.Choices[0].Message.ToolCalls) != 1 {
		c.t.Errorf("no call: %v %+v", s.Err(), all.Choices)
		return 1
	}
	call := all.Choices[0].Message.ToolCalls[0]
	if call.Function.Name != "lookup" || !strings.Contains(call.Function.Arguments, "pong") {
		c.t.Errorf("called %+v", call.Function)
	}
	p.Messages = append(p.Messages, all.Choices[0].Message.ToParam(), openaigo.ToolMessage("found", call.ID))
	text, err := c.plain(p)
	c.want("after the call", text, "results: 1", err)
	return 2
}

// parses asks for an answer by a schema.
func (c openaiClient) parses() int {
	p := c.ask("[[parse]]")
	p.ResponseFormat = openaigo.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "word", Schema: clientTool, Strict: openaigo.Bool(true)},
	}}
	text, err := c.plain(p)
	var got struct{ Word string }
	if err = errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil || got.Word != "pong" {
		c.t.Errorf("parse: %q: %v", text, err)
	}
	return 1
}

func (c openaiClient) embeds() int {
	r, err := c.c.Embeddings.New(c.t.Context(), openaigo.EmbeddingNewParams{
		Model: "vectors", Input: openaigo.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
	})
	if err != nil || len(r.Data) != 2 || len(r.Data[0].Embedding) != 2 || r.Usage.PromptTokens != 4 {
		c.t.Errorf("embeddings: %+v %v", r, err)
	}
	return 1
}

// fails asks for what is refused, at no cost.
func (c openaiClient) fails() int {
	p := c.ask("hi")
	p.Model = "nowhere"
	var refused *openaigo.Error
	if _, err := c.plain(p); !errors.As(err, &refused) || refused.StatusCode != http.StatusNotFound || refused.Code != "model_not_found" {
		c.t.Errorf("an unknown model: %v", err)
	}
	p = c.ask("hi")
	p.Messages = nil
	if _, err := c.plain(p); !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest {
		c.t.Errorf("no messages: %v", err)
	}
	return 0
}

// aborts leaves in the middle of a stream.
func (c openaiClient) aborts() {
	leaving, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	s := c.c.Chat.Completions.NewStreaming(leaving, c.ask("[[slow]]"))
	for s.Next() {
		if chunk := s.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			break
		}
	}
	cancel()
	if err := s.Close(); err != nil {
		c.t.Error(err)
	}
}

// go-openai works unchanged for a key without budgets, in front of every format.
func TestGoOpenAIWithoutBudgets(t *testing.T) {
	t.Parallel()
	g, up := clientsTarget(t)
	for _, format := range scripted.Formats() {
		t.Run(format, func(t *testing.T) {
			g.t = t
			was := up.Bill()
			c := goOpenAIClient{t, g.goOpenAI(), "on-" + format}
			g.billedAll(g.rows(c.chats()+c.calls()+c.others()), was, up.Bill())
			c.aborts()
			if row := g.rows(1)[0]; row.Status != billing.StatusClientAborted || row.Tokens.Output == 0 || row.Cost.Total == 0 {
				t.Errorf("after the client left: %s, %+v", row.Status, row.Tokens)
			}
		})
	}
}

// goOpenAIClient is go-openai with a model to ask.
type goOpenAIClient struct {
	t     *testing.T
	c     *openai.Client
	model string
}

func (c goOpenAIClient) ask(text string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model: c.model, User: "u1", Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: text}},
	}
}

func (c goOpenAIClient) plain(r openai.ChatCompletionRequest, want string) openai.ChatCompletionMessage {
	c.t.Helper()
	a, err := c.c.CreateChatCompletion(c.t.Context(), r)
	if err != nil || a.Usage.TotalTokens == 0 || !strings.Contains(a.Choices[0].Message.Content, want) {
		c.t.Errorf("%q is not in %+v: %v", want, a, err)
		return openai.ChatCompletionMessage{}
	}
	return a.Choices[0].Message
}

func (c goOpenAIClient) chats() int {
	c.plain(c.ask("say pong"), "pong from")
	r := c.ask("")
	r.Messages[0] = openai.ChatCompletionMessage{Role: openai.ChatMessageRoleUser, MultiContent: []openai.ChatMessagePart{
		{Type: openai.ChatMessagePartTypeText, Text: "[[image]]"},
		{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{URL: clientPicture}},
	}}
	c.plain(r, "images: 1")

	r = c.ask("say pong")
	r.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	s, err := c.c.CreateChatCompletionStream(c.t.Context(), r)
	if err != nil {
		c.t.Error(err)
		return 3
	}
	text, total := "", 0
	for err == nil {
		var chunk openai.ChatCompletionStreamResponse
		if chunk, err = s.Recv(); err != nil {
			break
		}
		if len(chunk.Choices) > 0 {
			text += chunk.Choices[0].Delta.Content
		}
		if chunk.Usage != nil {
			total = chunk.Usage.TotalTokens
		}
	}
	if _ = s.Close(); !errors.Is(err, io.EOF) || !strings.Contains(text, "pong from") || total == 0 {
		c.t.Errorf("stream: %q, %d tokens: %v", text, total, err)
	}
	return 3
}

func (c goOpenAIClient) calls() int {
	r := c.ask("[[tool]]")
	r.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{Name: "lookup", Parameters: clientTool}}}
	m := c.plain(r, "")
	if len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "lookup" {
		c.t.Errorf("called %+v", m.ToolCalls)
		return 1
	}
	r.Messages = append(r.Messages, m, openai.ChatCompletionMessage{
		Role: openai.ChatMessageRoleTool, ToolCallID: m.ToolCalls[0].ID, Content: "found",
	})
	c.plain(r, "results: 1")
	return 2
}

// others asks for a schema, vectors and what is refused.
func (c goOpenAIClient) others() int {
	schema, err := json.Marshal(clientTool)
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.ask("[[parse]]")
	r.ResponseFormat = &openai.ChatCompletionResponseFormat{
		Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "word", Schema: json.RawMessage(schema), Strict: true},
	}
	c.plain(r, `"word":"pong"`)
	v, err := c.c.CreateEmbeddings(c.t.Context(), openai.EmbeddingRequestStrings{Model: "vectors", Input: []string{"a", "b"}})
	if err != nil || len(v.Data) != 2 || v.Usage.PromptTokens != 4 {
		c.t.Errorf("embeddings: %+v %v", v, err)
	}
	r = c.ask("hi")
	r.Model = "nowhere"
	var refused *openai.APIError
	if _, err := c.c.CreateChatCompletion(c.t.Context(), r); !errors.As(err, &refused) || refused.Code != "model_not_found" {
		c.t.Errorf("an unknown model: %v", err)
	}
	return 2
}

func (c goOpenAIClient) aborts() {
	leaving, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	s, err := c.c.CreateChatCompletionStream(leaving, c.ask("[[slow]]"))
	if err != nil {
		c.t.Error(err)
		return
	}
	for {
		chunk, err := s.Recv()
		if err != nil || len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			break
		}
	}
	cancel()
	_ = s.Close()
}
