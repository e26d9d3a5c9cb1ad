package bedrock_test

import (
	"bytes"
	"encoding/base64"
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

	"tallyroute/providers"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/chat"
)

// recorded is one recorded exchange with a real provider.
type recorded struct {
	ID, Family string
	Features   []string
	Response   struct {
		Status   int
		Headers  map[string]string
		Body     string
		Encoding string `json:"body_encoding"`
	}
	Expected struct {
		Kind, Text     string
		FinishReason   string   `json:"finish_reason"`
		TextBytes      int      `json:"text_bytes"`
		ReasoningText  string   `json:"reasoning_text"`
		ToolCalls      []called `json:"tool_calls"`
		StreamComplete *bool    `json:"stream_complete"`
		Usage          *struct {
			Prompt, Completion, Cached, Reasoning int64
			CacheWrite                            int64 `json:"cache_write"`
		}
		Error *struct {
			Type, Message string
			Status        int
		}
	}
}

type called struct {
	ID, Name  string
	Arguments any
}

// TestCorpus replays what Bedrock has answered to Converse.
func TestCorpus(t *testing.T) {
	shared := os.Getenv("TALLYROUTE_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	files, err := filepath.Glob(filepath.Join(shared, "corpus", "dev", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skip("the recorded exchanges are not here")
	}
	n := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c recorded
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.Family != "bedrock-converse" {
			continue
		}
		n++
		if fault := c.replay(); fault != nil {
			t.Errorf("%s: %v", c.ID, fault)
		}
	}
	t.Logf("%d exchanges", n)
}

// seen is what a client would have of an answer.
type seen struct {
	text, reasoning, finish string
	calls                   []called
	usage                   *chat.Usage
}

func (c *recorded) replay() error {
	streamed := slices.Contains(c.Features, "stream")
	req, err := chat.ParseRequest(fmt.Appendf(nil, `{"model":"m","stream":%t,"messages":[{"role":"user","content":"hi"}]}`, streamed))
	if err != nil {
		return err
	}
	x := providers.Exchange{Request: req, Target: providers.Target{Upstream: "m"}}
	got, err := c.read(x)
	if want := c.Expected.Error; want != nil {
		e := (*providers.Error)(nil)
		if !errors.As(err, &e) || e.Status != want.Status || e.Detail.Type != want.Type || !strings.HasPrefix(e.Detail.Message, want.Message) {
			return fmt.Errorf("error %v (%+v), want %+v", err, e, *want)
		}
		return nil
	}
	if err != nil {
		return err
	}
	return c.compare(got)
}

func (c *recorded) read(x providers.Exchange) (*seen, error) {
	a := bedrock.At(clock)
	body := []byte(c.Response.Body)
	if c.Response.Encoding == "base64" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(c.Response.Body); err != nil {
			return nil, err
		}
	}
	h := http.Header{}
	for name, value := range c.Response.Headers {
		h.Set(name, value)
	}
	if c.Response.Status/100 != 2 {
		return nil, a.Fail(x, c.Response.Status, h, body)
	}
	s := &seen{}
	if !x.Request.Stream() {
		r, err := a.Decode(x, body)
		if err != nil {
			return nil, err
		}
		s.finish, s.usage = r.Finish, r.Usage
		return s, s.take(r.Body)
	}
	stream := a.Stream(x, io.NopCloser(bytes.NewReader(body)))
	for {
		chunk, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if chunk.Finish != "" {
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

// said is a message or a delta.
type said struct {
	Content   string
	Reasoning string `json:"reasoning_content"`
	ToolCalls []struct {
		Index    int
		ID       string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

// take reads with encoding/json, so as not to trust what is tested.
func (s *seen) take(data []byte) error {
	var body struct {
		Choices []struct{ Delta, Message *said }
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return err
	}
	for _, choice := range body.Choices {
		m := choice.Message
		if m == nil {
			m = choice.Delta
		}
		s.text += m.Content
		s.reasoning += m.Reasoning
		for i, tc := range m.ToolCalls {
			at := i
			if choice.Delta != nil {
				at = tc.Index
			}
			for len(s.calls) <= at {
				s.calls = append(s.calls, called{Arguments: ""})
			}
			s.calls[at].ID += tc.ID
			s.calls[at].Name += tc.Function.Name
			s.calls[at].Arguments = s.calls[at].Arguments.(string) + tc.Function.Arguments
		}
	}
	return nil
}

func (c *recorded) compare(got *seen) error {
	want := c.Expected
	if len(got.text) != want.TextBytes || !strings.HasPrefix(got.text, want.Text) {
		return fmt.Errorf("text %q, want %d bytes of %q", got.text, want.TextBytes, want.Text)
	}
	if !strings.HasPrefix(got.reasoning, want.ReasoningText) {
		return fmt.Errorf("reasoning %q, want %q", got.reasoning, want.ReasoningText)
	}
	if got.finish != want.FinishReason {
		return fmt.Errorf("finish %q, want %q", got.finish, want.FinishReason)
	}
	if len(got.calls) != len(want.ToolCalls) {
		return fmt.Errorf("calls %v, want %v", got.calls, want.ToolCalls)
	}
	for i, w := range want.ToolCalls {
		var arguments any
		if err := json.Unmarshal([]byte(got.calls[i].Arguments.(string)), &arguments); err != nil {
			return fmt.Errorf("arguments %q: %w", got.calls[i].Arguments, err)
		}
		if g := got.calls[i]; g.ID != w.ID || g.Name != w.Name || !reflect.DeepEqual(arguments, w.Arguments) {
			return fmt.Errorf("call %v, want %v", g, w)
		}
	}
	u, w := got.usage, want.Usage
	switch {
	case w == nil:
		return nil
	case u == nil:
		return errors.New("no usage")
	case u.Input+u.CacheRead+u.CacheWrite != w.Prompt, u.Output != w.Completion, u.CacheRead != w.Cached,
		u.CacheWrite != w.CacheWrite, u.Reasoning != w.Reasoning:
		return fmt.Errorf("usage %+v, want %+v", *u, *w)
	}
	return nil
}
