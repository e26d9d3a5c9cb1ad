package chat_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

func TestWholeResponseAsAStream(t *testing.T) {
	t.Parallel()
	body := `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[` +
		"\n" + `{"index":0,"message":{"role":"assistant","content":"hello","tool_calls":[` +
		`{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},` +
		`{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"},` +
		`{"index":1,"message":{"role":"assistant","content":"bye"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`
	for _, usage := range []*chat.Usage{nil, {Input: 3, Output: 2}} {
		r := chat.Response{Body: []byte(body), Usage: usage}
		s, err := r.Streamed()
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Next()
		if err != nil || !c.Content || c.Finish == "" || c.Usage != nil || !c.Role || strings.Contains(string(c.Data), "\n") {
			t.Errorf("%+v, %v", c, err)
		}
		want := `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"finish_reason":"tool_calls",` +
			`"delta":{"role":"assistant","content":"hello","tool_calls":[` +
			`{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"index":0},` +
			`{"id":"b","type":"function","function":{"name":"g","arguments":"{}"},"index":1}]}},` +
			`{"index":1,"finish_reason":"stop","delta":{"role":"assistant","content":"bye"}}]}`
		if got := string(c.Data); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if usage != nil {
			c, err = s.Next()
			if err != nil || !c.UsageOnly || c.Usage != usage || !strings.Contains(string(c.Data), `"choices":[]`) {
				t.Errorf("%s, %v", c.Data, err)
			}
			if told := s.Told(); told.Usage == nil || told.Usage.Input != 3 {
				t.Errorf("told %+v", told)
			}
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		_ = s.Close()
	}
}

func TestStreamAsAWholeResponse(t *testing.T) {
	t.Parallel()
	head := `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",`
	s := &chunkList{t: t}
	for _, rest := range []string{
		`"choices":[{"index":0,"delta":{"role":"assistant","content":"hel"},"finish_reason":null}],"usage":null}`,
		`"choices":[{"index":1,"delta":{"role":"assistant","reasoning_content":"h","reasoning_details":[{"type":"reasoning.text","index":0,"text":"h"}]}}]}`,
		`"choices":[{"index":0,"delta":{"content":"lo \ud83d"}},{"index":1,"delta":{"reasoning_content":"m","reasoning_details":[{"index":0,"text":"m"}]}}]}`,
		`"choices":[{"index":0,"delta":{"content":"\ude00","tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":""}}]}}]}`,
		`"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}},` +
			`{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}`,
		`"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`,
		`"choices":[{"index":1,"delta":{"content":null},"finish_reason":"stop"}]}`,
		`"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
	} {
		s.data = append(s.data, head+rest)
	}
	r, err := chat.Whole(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"hello \ud83d\ude00","tool_calls":[` +
		`{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}},` +
		`{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}],"refusal":null},` +
		`"finish_reason":"tool_calls","logprobs":null},` +
		`{"index":1,"message":{"role":"assistant","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","index":0,` +
		`"text":"hm"}],"content":null,"refusal":null},"finish_reason":"stop","logprobs":null}],` +
		`"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`
	if string(r.Body) != want {
		t.Errorf("got  %s\nwant %s", r.Body, want)
	}
	if r.Usage == nil || r.Usage.Input != 3 || r.Finish != "tool_calls" || !strings.Contains(r.Text, "hello") {
		t.Errorf("%+v", r)
	}
	cut := &chunkList{t: t, data: s.data[:2], end: io.ErrUnexpectedEOF}
	if _, err := chat.Whole(cut); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that is cut ends with %v", err)
	}
}

// chunkList is a stream of chunks.
type chunkList struct {
	t    *testing.T
	data []string
	end  error // io.EOF if nil
	at   int
	told chat.Told
}

func (l *chunkList) Next() (chat.Chunk, error) {
	if l.at == len(l.data) {
		if l.end != nil {
			return chat.Chunk{}, l.end
		}
		return chat.Chunk{}, io.EOF
	}
	c, err := chat.ParseChunk([]byte(l.data[l.at]))
	if err != nil {
		l.t.Fatal(err)
	}
	l.at++
	l.told.Note(&c)
	return c, nil
}

func (l *chunkList) Told() chat.Told { return l.told }
func (l *chunkList) Close() error    { return nil }
