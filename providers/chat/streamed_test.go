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
