package providertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
)

// Recorded is one recorded exchange with a real provider.
type Recorded struct {
	ID, Provider, API, Family, Model string
	Features                         []string
	Request                          struct{ Body json.RawMessage }
	Response                         struct {
		Status       int
		Headers      map[string]string
		Body         string
		BodyEncoding string `json:"body_encoding"`
	}
	Expected struct {
		Kind               string
		FinishReason       string         `json:"finish_reason"`
		FinishReasonAccept []string       `json:"finish_reason_accept"`
		TextSHA256         string         `json:"text_sha256"`
		TextAltSHA256      []string       `json:"text_alt_sha256"`
		Text, Refusal      string         //nolint:revive // as they stand in the file
		ReasoningSHA256    string         `json:"reasoning_sha256"`
		ToolCalls          []recordedCall `json:"tool_calls"`
		Usage              *recordedUsage
		Embeddings         *recordedVectors
		Error              *struct{ Type, Message string }
	}
}

type recordedCall struct {
	Name      string
	Arguments json.RawMessage
}

type recordedUsage struct {
	Prompt, Completion, Cached, Reasoning int64
	AcceptPrompt                          []int64 `json:"accept_prompt"`
	AcceptCompletion                      []int64 `json:"accept_completion"`
}

// Corpus makes an adapter read what real providers have sent, compares the results with the
// expected ones, and tries every mutation. It is skipped if the recordings are not available.
// pick selects the recordings that are for the adapter.
func Corpus(t *testing.T, a providers.Adapter, pick func(c *Recorded) bool) {
	var v *validator
	recorded(t, pick, func(c *Recorded, body []byte) {
		if v == nil {
			v = newValidator(t, filepath.Join(specFolder(), "openai"))
		}
		if err := c.replay(a, v, body); err != nil {
			t.Errorf("%s: %v", c.ID, err)
			return
		}
		c.mutated(t, a, body)
	})
}

// Mutations tries every mutation of what real providers have sent.
func Mutations(t *testing.T, a providers.Adapter, pick func(c *Recorded) bool) {
	recorded(t, pick, func(c *Recorded, body []byte) { c.mutated(t, a, body) })
}

// recorded calls f with each recorded chat response that pick selects, and its body.
func recorded(t *testing.T, pick func(c *Recorded) bool, f func(c *Recorded, body []byte)) {
	t.Helper()
	files, all := recordings(t, "*", "*.json"), 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c Recorded
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.Expected.Kind != "chat" && c.Expected.Kind != "error" || !pick(&c) {
			continue
		}
		all++
		body, err := c.body()
		if err != nil {
			t.Fatal(err)
		}
		f(&c, body)
	}
	t.Logf("%d exchanges", all)
}

// recordings returns the files of the recorded exchanges that match a pattern. There is a
// folder for each API and a file for each exchange.
func recordings(t *testing.T, pattern ...string) []string {
	t.Helper()
	dir := os.Getenv("TALLYROUTE_CORPUS")
	if dir == "" {
		t.Skip("no recorded exchanges: TALLYROUTE_CORPUS says where they are")
	}
	files, err := filepath.Glob(filepath.Join(append([]string{dir}, pattern...)...))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded exchanges in %s: %v", dir, err)
	}
	return files
}

// specFolder returns the folder of published schemas, or "" if there is none.
func specFolder() string { return os.Getenv("TALLYROUTE_SPEC") }

// body returns what the provider sent.
func (c *Recorded) body() ([]byte, error) {
	if c.Response.BodyEncoding == "base64" {
		return base64.StdEncoding.DecodeString(c.Response.Body)
	}
	return []byte(c.Response.Body), nil
}

// exchange returns an exchange that could have had the recorded response.
func (c *Recorded) exchange() (providers.Exchange, error) {
	stream := slices.Contains(c.Features, "stream")
	r, err := chat.ParseRequest(fmt.Appendf(nil, `{"model":%q,"stream":%t,"messages":[{"role":"user","content":"hi"}]}`, c.ID, stream))
	return providers.Exchange{Request: r, Target: providers.Target{Provider: c.Provider, Upstream: c.ID}}, err
}

// mutated does what Subject.mutated does, for a recording.
func (c *Recorded) mutated(t *testing.T, a providers.Adapter, body []byte) {
	t.Helper()
	if c.Response.Status/100 != 2 || c.Response.BodyEncoding != "" || c.Expected.Error != nil {
		return
	}
	x, err := c.exchange()
	if err != nil {
		t.Fatal(err)
	}
	mutated(t, c.ID+": ", body, func(body []byte) outcome {
		if !x.Request.Stream() {
			r, err := a.Chat.Decode(x, nil, body)
			return outcome{response: r, err: err}
		}
		return readStream(a, x, bytes.NewReader(body))
	})
}

func (c *Recorded) replay(a providers.Adapter, v *validator, body []byte) error {
	x, err := c.exchange()
	if err != nil {
		return err
	}
	s := &seen{}
	err = s.read(a, x, c, body, v)
	if c.Expected.Error != nil {
		return c.checkError(err)
	}
	if err != nil {
		return err
	}
	return c.compare(s)
}

// seen is what a client would get from a response.
type seen struct {
	text, refusal, reasoning strings.Builder
	calls                    []said
	finish                   string
	usage                    *chat.Usage
}

type said struct{ id, name, arguments string }

func (s *seen) read(a providers.Adapter, x providers.Exchange, c *Recorded, body []byte, v *validator) error {
	if c.Response.Status/100 != 2 {
		return a.Chat.Fail(x, c.Response.Status, http.Header{}, body)
	}
	if !x.Request.Stream() {
		r, err := a.Chat.Decode(x, nil, body)
		if err != nil {
			return err
		}
		s.finish, s.usage = r.Finish, r.Usage
		if err := v.whole.check(r.Body); err != nil {
			return err
		}
		return s.take(r.Body)
	}
	stream := a.Chat.Stream(x, io.NopCloser(bytes.NewReader(body)))
	for {
		chunk, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.finish == "" {
			s.finish = chunk.Finish
		}
		if chunk.Usage != nil {
			s.usage = chunk.Usage
		}
		if err := v.checkChunk(chunk.Data); err != nil {
			return err
		}
		if err := s.take(chunk.Data); err != nil {
			return err
		}
	}
}

// take reads a body with encoding/json, so as not to rely on the code under test.
func (s *seen) take(data []byte) error {
	type function struct{ Name, Arguments string }
	type message struct {
		Content, Refusal string
		Reasoning        string `json:"reasoning_content"`
		ToolCalls        []struct {
			Index    *int
			ID       string
			Function function
			Custom   struct{ Name, Input string }
		} `json:"tool_calls"`
	}
	var body struct {
		Choices []struct {
			Index          int
			Delta, Message *message
		}
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	for _, choice := range body.Choices {
		m := choice.Message
		if m == nil {
			m = choice.Delta
		}
		if choice.Index != 0 {
			continue
		}
		s.text.WriteString(m.Content)
		s.refusal.WriteString(m.Refusal)
		s.reasoning.WriteString(m.Reasoning)
		for i, tc := range m.ToolCalls {
			if tc.Index != nil {
				i = *tc.Index
			}
			for len(s.calls) <= i {
				s.calls = append(s.calls, said{})
			}
			s.calls[i].id += tc.ID
			s.calls[i].name += tc.Function.Name + tc.Custom.Name
			s.calls[i].arguments += tc.Function.Arguments + tc.Custom.Input
		}
	}
	return nil
}

func (c *Recorded) checkError(err error) error {
	e := (*providers.Error)(nil)
	if !errors.As(err, &e) {
		return fmt.Errorf("not an error of a provider: %w", err)
	}
	want := c.Expected.Error
	if e.Kind == "" || !strings.HasPrefix(e.Detail.Message, want.Message) {
		return fmt.Errorf("error %+v (%s), want %+v", e.Detail, e.Kind, *want)
	}
	return nil
}

func (c *Recorded) compare(got *seen) error {
	want := c.Expected
	sum := hash(got.text.String())
	refused := want.Refusal != "" && (got.text.String() == want.Refusal || got.refusal.String() == want.Refusal)
	switch {
	case sum != want.TextSHA256 && !slices.Contains(want.TextAltSHA256, sum) && !refused:
		return fmt.Errorf("text %.200q, want %.200q", got.text.String(), want.Text)
	case got.finish == "" || want.FinishReason != "" && got.finish != want.FinishReason && !slices.Contains(want.FinishReasonAccept,
		got.finish):
		return fmt.Errorf("finish %q, want %q", got.finish, want.FinishReason)
	case want.ReasoningSHA256 != "" && hash(got.reasoning.String()) != want.ReasoningSHA256:
		return fmt.Errorf("reasoning %.200q", got.reasoning.String())
	}
	if err := c.compareCalls(got); err != nil {
		return err
	}
	return c.compareUsage(got.usage)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (c *Recorded) compareCalls(got *seen) error {
	want := c.Expected.ToolCalls
	if len(got.calls) != len(want) {
		return fmt.Errorf("calls %v, want %d", got.calls, len(want))
	}
	ids := make(map[string]bool)
	for i, w := range want {
		g := got.calls[i]
		if g.name != w.Name || !reflect.DeepEqual(value([]byte(g.arguments)), value(w.Arguments)) {
			return fmt.Errorf("call %v, want %s %s", g, w.Name, w.Arguments)
		}
		if g.id == "" || ids[g.id] {
			return fmt.Errorf("call %v has no id of its own", g)
		}
		ids[g.id] = true
	}
	return nil
}

// value decodes arguments that are JSON.
func value(raw []byte) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	if s, ok := v.(string); ok {
		if s == "" {
			return map[string]any{}
		}
		return value([]byte(s))
	}
	return v
}

func (c *Recorded) compareUsage(u *chat.Usage) error {
	want := c.Expected.Usage
	if want == nil {
		return nil
	}
	if u == nil {
		return errors.New("no usage")
	}
	prompt := u.Input + u.CacheRead + u.CacheWrite
	switch {
	case prompt != want.Prompt && !slices.Contains(want.AcceptPrompt, prompt),
		u.Output != want.Completion && !slices.Contains(want.AcceptCompletion, u.Output),
		want.Cached > 0 && prompt == want.Prompt && u.CacheRead != want.Cached,
		want.Reasoning > 0 && u.Reasoning != want.Reasoning, u.Invalid:
		return fmt.Errorf("usage %+v, want %+v", *u, *want)
	}
	return nil
}

// validator checks responses against the schemas of the OpenAI format.
type validator struct{ whole, chunk schema }

type schema struct{ s *jsonschema.Schema }

func newValidator(t *testing.T, dir string) *validator {
	t.Helper()
	return &validator{
		whole: compileSchema(t, dir, "CreateChatCompletionResponse"), chunk: compileSchema(t, dir, "CreateChatCompletionStreamResponse"),
	}
}

func compileSchema(t *testing.T, dir, name string) schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join(dir, name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return schema{s}
}

// checkChunk checks a chunk. The published schema has no custom tools in streams, although
// OpenAI sends them.
func (v *validator) checkChunk(body []byte) error {
	return v.chunk.check(bytes.ReplaceAll(body, []byte(`"type":"custom"`), []byte(`"type":"function"`)))
}

func (s schema) check(body []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return s.s.Validate(v)
}
