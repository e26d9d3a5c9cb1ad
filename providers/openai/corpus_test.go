package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
)

// recorded is one recorded exchange with a real provider.
type recorded struct {
	ID, Provider, Family string
	Features             []string
	Request              struct{ Body json.RawMessage }
	Response             struct {
		Status  int
		Headers map[string]string
		Body    string
	}
	Expected struct {
		Kind, Text   string
		FinishReason string `json:"finish_reason"`
		TextBytes    int    `json:"text_bytes"`
		ToolCalls    []call `json:"tool_calls"`
		Choices      int
		Usage        *struct {
			Prompt, Completion, Cached, Reasoning int64
			AcceptPrompt                          []int64 `json:"accept_prompt"`
			AcceptCompletion                      []int64 `json:"accept_completion"`
			Native                                json.RawMessage
		}
		Error *struct {
			Type, Code, Message string
			InStream            bool `json:"in_stream"`
		}
	}
}

type call struct {
	Name      string
	Arguments any
}

// TestCorpus replays what real providers have sent.
func TestCorpus(t *testing.T) {
	dir, spec := os.Getenv("TALLYROUTE_CORPUS"), os.Getenv("TALLYROUTE_SPEC")
	if dir == "" || spec == "" {
		t.Skip("no recorded exchanges and schemas: TALLYROUTE_CORPUS and TALLYROUTE_SPEC say where they are")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges in %s: %v", dir, err)
	}
	check := schemas(t, spec)
	passed, all := map[string]int{}, map[string]int{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c recorded
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.Family != "openai-chat" {
			continue
		}
		all[c.Provider]++
		if fault := c.replay(check); fault != nil {
			t.Errorf("%s: %v", c.ID, fault)
			continue
		}
		passed[c.Provider]++
	}
	for _, p := range slices.Sorted(maps.Keys(all)) {
		t.Logf("%-20s %3d of %3d", p, passed[p], all[p])
	}
}

// schemas returns a check of complete responses and chunks against OpenAI's own schemas.
func schemas(t *testing.T, spec string) func(streamed bool, body []byte) error {
	compile := func(name string) *jsonschema.Schema {
		s, err := jsonschema.NewCompiler().Compile(filepath.Join(spec, "openai", name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain, chunk := compile("CreateChatCompletionResponse"), compile("CreateChatCompletionStreamResponse")
	return func(streamed bool, body []byte) error {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if streamed {
			return chunk.Validate(v)
		}
		return plain.Validate(v)
	}
}

// request returns the client's request. Azure's recordings have the model in the path.
func (c *recorded) request() (*chat.Request, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(c.Request.Body, &members); err != nil {
		return nil, err
	}
	body := c.Request.Body
	if m := string(members["model"]); m == "" || m == "null" {
		members["model"] = json.RawMessage(`"m"`)
		var err error
		if body, err = json.Marshal(members); err != nil {
			return nil, err
		}
	}
	return chat.ParseRequest(body)
}

// seen is what a client would get from a response.
type seen struct {
	streamed bool // some providers send a whole message next to each delta

	text   strings.Builder
	calls  []call
	finish string
	usage  *chat.Usage

	check func(streamed bool, body []byte) error
	id    string
	role  bool
}

func (c *recorded) replay(check func(bool, []byte) error) error {
	req, err := c.request()
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	x := providers.Exchange{Request: req, Target: providers.Target{Provider: c.Provider, Upstream: req.Model()}}
	if _, err := openai.New().Chat.Encode(x); err != nil {
		return err
	}
	got, err := c.read(x, check)
	if c.Expected.Error != nil {
		return c.checkError(err)
	}
	if err != nil {
		return err
	}
	return c.compare(got)
}

func (c *recorded) read(x providers.Exchange, check func(bool, []byte) error) (*seen, error) {
	body := []byte(c.Response.Body)
	if c.Response.Status/100 != 2 {
		return nil, openai.New().Chat.Fail(x, c.Response.Status, http.Header{}, body)
	}
	s := &seen{check: check}
	if !slices.Contains(c.Features, "stream") {
		r, err := openai.New().Chat.Decode(x, nil, body)
		if err != nil {
			return nil, err
		}
		s.finish, s.usage = r.Finish, r.Usage
		return s, s.take(r.Body)
	}
	s.streamed = true
	stream := openai.New().Chat.Stream(x, io.NopCloser(bytes.NewReader(body)))
	for {
		chunk, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if s.finish == "" {
			s.finish = chunk.Finish
		}
		if chunk.Usage != nil {
			s.usage = chunk.Usage
		}
		if err := s.take(chunk.Data); err != nil {
			return s, err
		}
	}
}

// message is a message or a delta.
type message struct {
	Role         string
	Content      json.RawMessage
	FunctionCall *function `json:"function_call"`
	ToolCalls    []struct {
		Index            *int
		Function, Custom *function
	} `json:"tool_calls"`
}

type function struct {
	Name, Input string
	Arguments   json.RawMessage
}

// take reads a body with encoding/json, so as not to rely on the code under test.
func (s *seen) take(data []byte) error {
	if err := s.check(s.streamed, data); err != nil {
		return fmt.Errorf("%w: %.600s", err, data)
	}
	var body struct {
		ID      string
		Choices []struct {
			Index          int
			Delta, Message *message
		}
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	if s.id == "" {
		s.id = body.ID
	}
	if s.id == "" || body.ID != s.id {
		return fmt.Errorf("id %q, want %q", body.ID, s.id)
	}
	for _, choice := range body.Choices {
		m := choice.Message
		if m == nil || choice.Delta != nil && s.streamed {
			m = choice.Delta
		}
		if m == nil || choice.Index != 0 {
			continue
		}
		if s.role = s.role || m.Role == "assistant"; !s.role {
			return errors.New("something is said before the role")
		}
		s.content(m.Content)
		if m.FunctionCall != nil {
			s.call(0, m.FunctionCall)
		}
		for i, tc := range m.ToolCalls {
			at := i
			if tc.Index != nil {
				at = *tc.Index
			}
			f := tc.Function
			if f == nil {
				f = tc.Custom
			}
			s.call(at, f)
		}
	}
	return nil
}

func (s *seen) content(raw json.RawMessage) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		s.text.WriteString(text)
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(raw, &parts) == nil {
		for _, p := range parts {
			s.text.WriteString(p.Text)
		}
	}
}

func (s *seen) call(at int, f *function) {
	for len(s.calls) <= at {
		s.calls = append(s.calls, call{Arguments: ""})
	}
	var part string
	if len(f.Arguments) > 0 && json.Unmarshal(f.Arguments, &part) != nil {
		part = string(f.Arguments)
	}
	s.calls[at].Name += f.Name
	s.calls[at].Arguments = s.calls[at].Arguments.(string) + part + f.Input
}

func (c *recorded) checkError(err error) error {
	e := (*providers.Error)(nil)
	if !errors.As(err, &e) {
		return fmt.Errorf("not an error of a provider: %w", err)
	}
	want := c.Expected.Error
	if e.Detail.Type != want.Type || e.Detail.Code != want.Code || !strings.HasPrefix(e.Detail.Message, want.Message) {
		return fmt.Errorf("error %+v, want %+v", e.Detail, *want)
	}
	return nil
}

func (c *recorded) compare(got *seen) error {
	want := c.Expected
	if strings.Contains(c.Response.Body, `"content":{`) { // an object is not read as text there
		want.Text = got.text.String()
	}
	if len(want.Text) == want.TextBytes && got.text.String() != want.Text {
		return fmt.Errorf("text %q, want %q", got.text.String(), want.Text)
	}
	called := want.FinishReason == "stop" && len(want.ToolCalls) > 0 // reported as tool_calls
	if got.finish != want.FinishReason && want.FinishReason != "" && !called {
		return fmt.Errorf("finish %q, want %q", got.finish, want.FinishReason)
	}
	got.calls = slices.DeleteFunc(got.calls, func(c call) bool { return c.Name == "" })
	if len(got.calls) != len(want.ToolCalls) {
		return fmt.Errorf("calls %v, want %v", got.calls, want.ToolCalls)
	}
	for i, w := range want.ToolCalls {
		if g := got.calls[i]; g.Name != w.Name || !reflect.DeepEqual(value(g.Arguments), value(w.Arguments)) {
			return fmt.Errorf("call %v, want %v", g, w)
		}
	}
	return c.compareUsage(got.usage)
}

// value decodes arguments that are JSON.
func value(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if s == "" {
		return map[string]any{}
	}
	var parsed any
	if json.Unmarshal([]byte(s), &parsed) != nil {
		return s
	}
	return parsed
}

// compareUsage allows for numbers that a provider gives in addition to what is expected:
// those that sum up to its own total, and reasoning or cached tokens that exceed what they
// should be part of.
func (c *recorded) compareUsage(u *chat.Usage) error {
	want := c.Expected.Usage
	if want == nil {
		return nil
	}
	if u == nil {
		return errors.New("no usage")
	}
	prompt, completion := u.Input+u.CacheRead+u.CacheWrite, u.Output
	prompts := append(want.AcceptPrompt, want.Prompt)
	completions := append(want.AcceptCompletion, want.Completion)
	if want.Cached > want.Prompt {
		prompts = append(prompts, want.Prompt+want.Cached)
	}
	if want.Reasoning > want.Completion {
		completions = append(completions, want.Completion+want.Reasoning)
	}
	var native struct {
		Total int64 `json:"total_tokens"`
	}
	if err := json.Unmarshal(want.Native, &native); err != nil {
		return err
	}
	whole := prompt+completion == native.Total
	switch {
	case !slices.Contains(prompts, prompt) && !whole:
		return fmt.Errorf("prompt %d, want one of %d", prompt, prompts)
	case !slices.Contains(completions, completion) && !whole:
		return fmt.Errorf("completion %d, want one of %d", completion, completions)
	case want.Cached > 0 && u.CacheRead != want.Cached || u.Reasoning != min(want.Reasoning, completion):
		return fmt.Errorf("usage %+v, want %s", *u, want.Native)
	}
	return nil
}
