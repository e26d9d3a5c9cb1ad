package chat_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

func TestParseResponse(t *testing.T) {
	body := `{"id":"c1","object":"chat.completion","model":"gpt-4o","choices":[
		{"index":1,"message":{"role":"assistant","content":"Hel\u006co","refusal":null,"tool_calls":null},"finish_reason":"length"},
		{"index":0,"message":{"content":null,"refusal":"no","tool_calls":[{"id":"x","type":"function","function":{"name":"f",
			"arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}],
		"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4}}}`
	r, err := chat.ParseResponse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "c1" || r.Model != "gpt-4o" || r.Finish != "length" || r.Text != `Hellonof{"a":1}` || string(r.Body) != body {
		t.Errorf("%+v", r)
	}
	if want := (chat.Usage{Input: 7, CacheRead: 4, Output: 5}); r.Usage == nil || !reflect.DeepEqual(*r.Usage, want) {
		t.Errorf("%+v, want %+v", r.Usage, want)
	}
}

func TestAnswersThatAreNoCompletionAreRefused(t *testing.T) {
	tests := []struct {
		name, body string
		message    string // of the error object; "" if it is malformed
	}{
		{"empty", "", ""},
		{"white space", "\n", ""},
		{"HTML", "<html><body>502 Bad Gateway</body></html>", ""},
		{"text", "upstream connect error", ""},
		{"null", "null", ""},
		{"array", "[]", ""},
		{"empty object", "{}", ""},
		{"cut", `{"choices":[{"message":{"content":"a`, ""},
		{"trailing", `{"choices":[{}]}{}`, ""},
		{"no choices", `{"choices":[]}`, ""},
		{"choices null", `{"choices":null,"usage":{"prompt_tokens":1}}`, ""},
		{"choices an object", `{"choices":{"message":{"content":"a"}}}`, ""},
		{"too deep", `{"choices":[{}],"x":` + strings.Repeat("[", 256) + strings.Repeat("]", 256) + `}`, ""},
		{"10,000 levels", `{"choices":` + strings.Repeat("[", 10_000), ""},
		{"raw control character", "{\"choices\":[{\"message\":{\"content\":\"a\nb\"}}]}", ""},
		{"error", `{"error":{"message":"no","type":"server_error","param":null,"code":500}}`, "no"},
		{"error beside choices", `{"error":{"message":"no"},"choices":[{"finish_reason":"error"}]}`, "no"},
		{"error, then null", `{"choices":[{}],"error":{"message":"no"},"error":null}`, ""},
		{"error in words", `{"error":"no"}`, "no"},
		{"error without a message", `{"error":{"code":"x"}}`, ""},
		{"at the top", `{"object":"error","message":"no","type":"x"}`, "no"},
		{"detail", `{"detail":"no"}`, "no"},
		{"in a list", `[{"error":{"message":"no"}}]`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := chat.ParseResponse([]byte(tt.body))
			if r != nil || err == nil {
				t.Fatal("taken for an answer")
			}
			var e *chat.Error
			if isError := errors.As(err, &e); isError == errors.Is(err, chat.ErrMalformed) {
				t.Errorf("%v is both or neither", err)
			} else if isError && e.Message != tt.message {
				t.Errorf("%q, want %q", e.Message, tt.message)
			} else if !isError && tt.message != "" {
				t.Errorf("%v, want %q", err, tt.message)
			}
		})
	}
}

func TestParseChunk(t *testing.T) {
	delta := func(members string) string { return `{"choices":[{"index":0,"delta":{` + members + `}}]}` }
	tests := []struct {
		name, data string
		want       chat.Chunk // without Data
	}{
		{"role", delta(`"role":"assistant","content":""`), chat.Chunk{}},
		{"content", delta(`"content":" wandering"`), chat.Chunk{Content: true, Text: " wandering"}},
		{"escapes", delta(`"content":"\n\ud83d\ude00"`), chat.Chunk{Content: true, Text: "\n😀"}},
		{"nulls", `{"id":null,"choices":[{"delta":{"content":null,"tool_calls":null,"refusal":null,"audio":null},"finish_reason":null}],` +
			`"usage":null,"error":null}`, chat.Chunk{}},
		{"delta null", `{"choices":[{"delta":null,"finish_reason":"stop"}]}`, chat.Chunk{Finish: "stop"}},
		{"choice null", `{"choices":[null]}`, chat.Chunk{}},
		{
			"two choices", `{"choices":[{"index":1,"delta":{"content":"a"}},{"index":0,"delta":{"content":"b"},"finish_reason":"eos"}]}`,
			chat.Chunk{Content: true, Text: "ab", Finish: "eos"},
		},
		{"refusal", delta(`"refusal":"no"`), chat.Chunk{Content: true, Text: "no"}},
		{"reasoning_content", delta(`"content":null,"reasoning_content":"hm"`), chat.Chunk{Content: true, Text: "hm"}},
		{"reasoning under every name", delta(`"reasoning":"hm","reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text",` +
			`"text":"hm"}]`), chat.Chunk{Content: true, Text: "hm"}},
		{"reasoning and an empty twin", delta(`"reasoning":"hm","reasoning_content":""`), chat.Chunk{Content: true, Text: "hm"}},
		{
			"reasoning_details alone", delta(`"reasoning":"","reasoning_details":[{"type":"reasoning.summary","summary":"h"},` +
				`{"text":"m"},5]`),
			chat.Chunk{Content: true, Text: "hm"},
		},
		{
			"tool call", delta(`"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]`),
			chat.Chunk{Content: true, Text: "f"},
		},
		{"arguments", delta(`"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]`), chat.Chunk{Content: true, Text: `{"a`}},
		{
			"arguments as an object", delta(`"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]`),
			chat.Chunk{Content: true, Text: `f{"a":1}`},
		},
		{"a call that says nothing yet", delta(`"tool_calls":[{"index":0}]`), chat.Chunk{Content: true}},
		{"no calls", delta(`"tool_calls":[]`), chat.Chunk{}},
		{"custom tool", delta(`"tool_calls":[{"custom":{"name":"g","input":"x"}}]`), chat.Chunk{Content: true, Text: "gx"}},
		{"function_call", delta(`"function_call":{"name":"f","arguments":"{}"}`), chat.Chunk{Content: true, Text: "f{}"}},
		{
			"parts", delta(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]},{"type":"text","text":"i"}]`),
			chat.Chunk{Content: true, Text: "hi"},
		},
		{"parts that are empty", delta(`"content":[{"type":"thinking","thinking":[]}]`), chat.Chunk{}},
		{"an image", delta(`"content":[{"type":"image_url","image_url":{"url":"x"}}]`), chat.Chunk{Content: true}},
		{"images", delta(`"images":[{"type":"image_url"}]`), chat.Chunk{Content: true}},
		{"content an object", delta(`"content":{"a": "b"}`), chat.Chunk{Content: true, Text: `{"a": "b"}`}},
		{"audio", delta(`"audio":{"id":"a","data":"AAAA","transcript":"hi"}`), chat.Chunk{Content: true, Text: "hi"}},
		{"legacy text", `{"choices":[{"text":"hi"}]}`, chat.Chunk{Content: true, Text: "hi"}},
		{"text beside the delta", `{"choices":[{"text":"hi","delta":{"content":"hi"}}]}`, chat.Chunk{Content: true, Text: "hi"}},
		{
			"message beside the delta", `{"choices":[{"message":{"content":"oh hi"},"delta":{"content":"hi"}}]}`,
			chat.Chunk{Content: true, Text: "hi"},
		},
		{
			"message for a delta", `{"choices":[{"delta":null,"message":{"content":"hi"},"finish_reason":"stop"}]}`,
			chat.Chunk{Content: true, Text: "hi", Finish: "stop"},
		},
		{"escaped names", `{"choices":[{"d\u0065lta":{"content":"hi"}}]}`, chat.Chunk{Content: true, Text: "hi"}},
		{
			"usage only", `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
			chat.Chunk{UsageOnly: true, Usage: &chat.Usage{Input: 1, Output: 2}},
		},
		{"usage without choices", `{"usage":{"prompt_tokens":1}}`, chat.Chunk{UsageOnly: true, Usage: &chat.Usage{Input: 1}}},
		{
			"usage beside content", `{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}`,
			chat.Chunk{Content: true, Text: "a", Finish: "stop", Usage: &chat.Usage{Output: 1}},
		},
		{"no choices, no usage", `{"choices":[],"prompt_filter_results":[{}]}`, chat.Chunk{}},
		{"unknown object", `{"type":"ping"}`, chat.Chunk{}},
		{"names repeat", `{"choices":[{"delta":{"content":"a","content":"b"}}]}`, chat.Chunk{Content: true, Text: "ab"}},
		{"invalid UTF-8 and a lone surrogate", delta("\"content\":\"\xff\\ud800\""), chat.Chunk{Content: true, Text: "\xff\uFFFD"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := chat.ParseChunk([]byte(tt.data))
			if err != nil || string(got.Data) != tt.data {
				t.Fatal(err)
			}
			if (got.Usage == nil) != (tt.want.Usage == nil) || got.Usage != nil && !reflect.DeepEqual(*got.Usage, *tt.want.Usage) {
				t.Errorf("usage %+v, want %+v", got.Usage, tt.want.Usage)
			}
			got.Data, got.Usage, tt.want.Usage = nil, nil, nil
			if !equal(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func equal(a, b chat.Chunk) bool {
	return a.Text == b.Text && a.Finish == b.Finish && a.Content == b.Content && a.UsageOnly == b.UsageOnly
}

func TestMalformedChunksAreRefused(t *testing.T) {
	for _, data := range []string{
		"", "[DONE]", "{", `{"choices":[{"delta":{"content":"a"}}]`, `"a"`, "null", "<html>", `{"choices":[}`,
		`{"choices":[]} x`, `{"a":NaN}`, "{\"a\":\"\x01\"}",
	} {
		if _, err := chat.ParseChunk([]byte(data)); !errors.Is(err, chat.ErrMalformed) {
			t.Errorf("%q: %v", data, err)
		}
	}
	for _, data := range []string{
		`{"error":{"message":"no"}}`, `{"error":{"message":"no"},"choices":[{"delta":{"content":""}}]}`,
		`{"message":"no"}`,
	} {
		var e *chat.Error
		if _, err := chat.ParseChunk([]byte(data)); !errors.As(err, &e) || e.Message != "no" {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestParseError(t *testing.T) {
	long := strings.Repeat("é", 4000)
	tests := []struct {
		name, body string
		want       chat.Error
		ok         bool
	}{
		{"OpenAI", `{"error":{"message":"m","type":"t","param":"p","code":"c"}}`, chat.Error{"m", "t", "p", "c"}, true},
		{"nulls and numbers", `{"error":{"message":"m","type":null,"param":null,"code":429}}`, chat.Error{Message: "m", Code: "429"}, true},
		{"a string", `{"error":"m"}`, chat.Error{Message: "m"}, true},
		{
			"at the top", `{"object":"error","message":"m","type":"t","param":null,"code":"1300"}`,
			chat.Error{Message: "m", Type: "t", Code: "1300"},
			true,
		},
		{"detail", `{"detail":"m"}`, chat.Error{Message: "m"}, true},
		{"list of details", `{"detail":[{"loc":["body"],"msg":"m","type":"missing"}]}`, chat.Error{Message: "m", Type: "missing"}, true},
		{"detail within", `{"detail":{"message":"m","code":"c"}}`, chat.Error{Message: "m", Code: "c"}, true},
		{"errors", `{"success":false,"errors":[{"code":7,"message":"m"}]}`, chat.Error{Message: "m", Code: "7"}, true},
		{"a list", ` [{"error":{"code":400,"message":"m","status":"INVALID"}}]`, chat.Error{Message: "m", Code: "400"}, true},
		{"long", `{"error":"` + long + `"}`, chat.Error{Message: long[:4096]}, true},
		{"long, cut within a letter", `{"error":"x` + long + `"}`, chat.Error{Message: "x" + long[:4094]}, true},
		{"bad bytes", "{\"error\":\"a\xffb\"}", chat.Error{Message: "a\uFFFDb"}, true},
		{"an error without words", `{"error":{"code":"c"}}`, chat.Error{Code: "c"}, true},
		{"an answer", `{"choices":[],"error":null}`, chat.Error{}, false},
		{"empty", ``, chat.Error{}, false},
		{"HTML", `<html>`, chat.Error{}, false},
		{"cut", `{"error":{"message":"m"`, chat.Error{}, false},
		{"empty list", `[]`, chat.Error{}, false},
		{"a number", `5`, chat.Error{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := chat.ParseError([]byte(tt.body)); got != tt.want || ok != tt.ok {
				t.Errorf("%+v %v, want %+v %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// Pictures and audio are counted wherever they are, because their text says nothing about
// what they cost.
func TestMediaIsCounted(t *testing.T) {
	const picture = `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}`
	for members, want := range map[string]int{
		`"content":"x"`: 0,
		`"content":"x","images":[` + picture + `,` + picture + `]`: 2,
		`"content":"x","images":[]`:                                0,
		`"content":"x","images":null`:                              0,
		`"content":[{"type":"text","text":"x"},` + picture + `]`:   1,
		`"content":"x","audio":{"id":"a","data":"AAAA"}`:           1,
		`"content":"x","audio":{"id":"a","data":""}`:               0,
	} {
		c, err := chat.ParseChunk([]byte(`{"choices":[{"index":0,"delta":{` + members + `}}]}`))
		if err != nil || c.Media != want {
			t.Errorf("%s: %d in a chunk, %v; want %d", members, c.Media, err, want)
		}
		r, err := chat.ParseResponse([]byte(`{"choices":[{"index":0,"message":{"role":"assistant",` + members +
			`},"finish_reason":"stop"}]}`))
		if err != nil || r.Media != want {
			t.Errorf("%s: %d in an answer, %v; want %d", members, r.Media, err, want)
		}
	}
}
