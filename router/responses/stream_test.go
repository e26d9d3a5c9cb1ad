package responses_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/router/responses"
)

func read(t *testing.T, body string) *responses.Request {
	t.Helper()
	r, err := responses.Read([]byte(body), chat.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stream returns the events of chunks that all reuse the same memory, and those of the end.
func stream(s *responses.Stream, end func() []sse.Event, chunks ...string) (events []sse.Event) {
	memory := make([]byte, 4096)
	for _, c := range chunks {
		for _, e := range s.Chunk(memory[:copy(memory, c)]) {
			events = append(events, sse.Event{Name: bytes.Clone(e.Name), Data: bytes.Clone(e.Data)})
		}
		clear(memory)
	}
	return append(events, end()...)
}

func chunk(delta string) string {
	return `{"id":"chatcmpl-1","created":5,"model":"m","choices":[{"index":0,"delta":` + delta + `}]}`
}

func finish(reason string) string {
	return `{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"` + reason + `"}],"usage":` +
		`{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"cost":0.5}}`
}

// told is what a client makes of events, while it checks their grammar.
type told struct {
	Type     string
	Response struct {
		Status string
		Output []json.RawMessage
		Error  *struct{ Code string }
		Usage  struct {
			Total int64 `json:"total_tokens"`
		}
		Incomplete *struct{ Reason string } `json:"incomplete_details"`
	}
	Number *int   `json:"sequence_number"`
	Output *int   `json:"output_index"`
	ItemID string `json:"item_id"`
	Item   json.RawMessage
	Delta  string
}

// check verifies the grammar of events and returns the last one, and what the deltas of each
// item added up to.
func check(t *testing.T, events []sse.Event) (last told, texts map[int]string) {
	t.Helper()
	texts = make(map[int]string)
	open, ids, added := make(map[int]bool), make(map[int]string), 0
	for i, e := range events {
		last = told{}
		if err := json.Unmarshal(e.Data, &last); err != nil {
			t.Fatalf("event %d: %v: %s", i, err, e.Data)
		}
		if last.Type != string(e.Name) || last.Number == nil || *last.Number != i {
			t.Fatalf("event %d is called %s: %s", i, e.Name, e.Data)
		}
		switch {
		case last.Type == "response.output_item.added":
			if *last.Output != added {
				t.Fatalf("item %d is opened as %d", added, *last.Output)
			}
			var item struct{ ID string }
			_ = json.Unmarshal(last.Item, &item)
			open[added], ids[added] = true, item.ID
			added++
		case last.Type == "response.output_item.done":
			if !open[*last.Output] {
				t.Fatalf("an item is closed that is not open: %s", e.Data)
			}
			delete(open, *last.Output)
		case last.Output != nil:
			if !open[*last.Output] || last.ItemID != ids[*last.Output] {
				t.Fatalf("something is said of an item that is not open: %s", e.Data)
			}
			if strings.HasSuffix(last.Type, ".delta") {
				texts[*last.Output] += last.Delta
			}
		}
	}
	if len(open) > 0 || len(last.Response.Output) != added {
		t.Fatalf("at the end %d items are open, and %d of %d are told", len(open), len(last.Response.Output), added)
	}
	return last, texts
}

func TestStreamFollowsItsGrammarHoweverItEnds(t *testing.T) {
	parts := []string{
		chunk(`{"role":"assistant","content":""}`),
		chunk(`{"reasoning_content":"let me "}`),
		chunk(`{"reasoning_content":"think","reasoning_details":[{"type":"reasoning.text","signature":"s",` +
			`"format":"anthropic-claude-v1"}]}`),
		chunk(`{"content":"Hel"}`), chunk(`{"content":"lo"}`),
		chunk(`{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}`),
		chunk(`{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}`),
		chunk(`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`),
		chunk(`{"tool_calls":[{"index":2,"id":"c","custom":{"name":"patch","input":"free text"}}]}`),
	}
	for n := range len(parts) + 1 {
		s := read(t, `{"model":"m","input":"hi","stream":true}`).Stream()
		last, _ := check(t, stream(s, func() []sse.Event { return s.Fail([]byte(`{"code":"cut"}`)) }, parts[:n]...))
		if last.Type != "response.failed" || last.Response.Error.Code != "cut" {
			t.Errorf("cut after %d chunks it ends with %s", n, last.Type)
		}
	}
	s := read(t, `{"model":"m","input":"hi","stream":true}`).Stream()
	last, texts := check(t, stream(s, s.End, append(parts, finish("tool_calls"))...))
	want := map[int]string{0: "let me think", 1: "Hello", 2: `{"x":1}`, 3: "{}", 4: "free text"}
	if fmt.Sprint(texts) != fmt.Sprint(want) {
		t.Errorf("the deltas are %v, want %v", texts, want)
	}
	if last.Type != "response.completed" || last.Response.Usage.Total != 10 {
		t.Errorf("it ends with %+v", last)
	}
	for i, text := range []string{"let me think", "Hello", `{\"x\":1}`, "{}", "free text"} {
		if !strings.Contains(string(last.Response.Output[i]), `"`+text+`"`) {
			t.Errorf("item %d is %s", i, last.Response.Output[i])
		}
	}
}

func TestAnswerThatIsCutByItsBoundIsIncomplete(t *testing.T) {
	for reason, want := range map[string]string{"length": "max_output_tokens", "content_filter": "content_filter"} {
		s := read(t, `{"model":"m","input":"hi"}`).Stream()
		last, _ := check(t, stream(s, s.End, chunk(`{"content":"x"}`), finish(reason)))
		if last.Type != "response.incomplete" || last.Response.Incomplete.Reason != want {
			t.Errorf("%s ends as %s", reason, last.Type)
		}
	}
}

// What a provider's model needs to see again comes back unchanged, whichever provider it is.
func TestReasoningComesBackAsItWas(t *testing.T) {
	for name, details := range map[string]string{
		"Claude": `{"type":"reasoning.text","text":"t","signature":"sig","format":"anthropic-claude-v1","index":0}`,
		"Gemini": `{"type":"reasoning.encrypted","data":"ZGF0YQ==","format":"google-gemini-v1","index":0}`,
	} {
		r := read(t, `{"model":"m","input":"hi"}`)
		var answer struct{ Output []json.RawMessage }
		body := r.Answer([]byte(`{"id":"1","choices":[{"message":{"content":null,"reasoning_content":"t","reasoning_details":[` + details +
			`],"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"x"}}}]},` +
			`"finish_reason":"tool_calls"}]}`))
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		input, err := json.Marshal(answer.Output)
		if err != nil {
			t.Fatal(err)
		}
		again := string(read(t, `{"model":"m","input":`+string(input)+`}`).Body)
		for _, want := range []string{details, `"extra_content":{"google":{"thought_signature":"x"}}`} {
			if !strings.Contains(again, want) {
				t.Errorf("%s: %s is missing in %s", name, want, again)
			}
		}
		if n := strings.Count(again, `"role"`); n != 1 {
			t.Errorf("%s: what was one message came back as %d: %s", name, n, again)
		}
	}
}

func TestOpenAIsOwnReasoningPassesAsItEncryptedIt(t *testing.T) {
	r := read(t, `{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],`+
		`"encrypted_content":"gAAA"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]}]}`)
	const want = `{"type":"reasoning.encrypted","format":"openai-responses-v1","index":1,"id":"rs_1","data":"gAAA"}`
	if !strings.Contains(string(r.Body), want) {
		t.Errorf("%s is missing in %s", want, r.Body)
	}
	s := r.Stream()
	s.Chunk([]byte(chunk(`{"reasoning_content":"s","reasoning_details":[` + want + `]}`)))
	if last := s.End(); !strings.Contains(string(last[len(last)-1].Data), `"encrypted_content":"gAAA"`) {
		t.Errorf("it comes out as %s", last[len(last)-1].Data)
	}
}

func TestToolsOfNamespacesComeBackByTheirNames(t *testing.T) {
	r := read(t, `{"model":"m","input":"hi","tools":[{"type":"namespace","name":"mcp__x","tools":[{"type":"function","name":"g"}]}]}`)
	if !strings.Contains(string(r.Body), `"name":"mcp__x__g"`) {
		t.Fatalf("the tool is called otherwise: %s", r.Body)
	}
	answer := string(r.Answer([]byte(`{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"mcp__x__g",` +
		`"arguments":"{}"}}]}}]}`)))
	if !strings.Contains(answer, `"namespace":"mcp__x","name":"g"`) {
		t.Errorf("the call is %s", answer)
	}
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct{ request, chat string }{
		"text": {`{"model":"m","input":"hi"}`, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`},
		"instructions and settings": {
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image",` +
				`"image_url":"https://x/i"}]}],` +
				`"instructions":"be","max_output_tokens":9,"reasoning":{"effort":"low"},"text":{"verbosity":"low",` +
				`"format":{"type":"json_schema",` +
				`"name":"n","schema":{}}},"stream":true,"store":true,"temperature":0}`,
			`{"model":"m","messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"a"},` +
				`{"type":"image_url","image_url":{"url":"https://x/i"}}]}],"stream":true,"stream_options":{"include_usage":true},` +
				`"max_completion_tokens":9,"reasoning_effort":"low","verbosity":"low","response_format":{"type":"json_schema",` +
				`"json_schema":` +
				`{"name":"n","schema":{}}},"temperature":0}`,
		},
		"parallel calls": {
			`{"model":"m","input":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},` +
				`{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"custom_tool_call","call_id":"2","name":"p",` +
				`"input":"x"},` +
				`{"type":"function_call_output","call_id":"1","output":"r"},{"type":"custom_tool_call_output","call_id":"2","output":` +
				`[{"type":"input_text","text":"s"}]}],"tools":[{"type":"function","name":"f","parameters":{}},{"type":"web_search"}],` +
				`"tool_choice":{"type":"function","name":"f"}}`,
			`{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"a"}],"tool_calls":[{"id":"1",` +
				`"type":"function",` +
				`"function":{"name":"f","arguments":"{}"}},{"id":"2","type":"custom","custom":{"name":"p","input":"x"}}]},` +
				`{"role":"tool","tool_call_id":"1","content":"r"},{"role":"tool","tool_call_id":"2","content":[{"type":"text",` +
				`"text":"s"}]}],` +
				`"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"tool_choice":{"type":"function",` +
				`"function":{"name":"f"}}}`,
		},
	} {
		if got := string(read(t, c.request).Body); got != c.chat {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.chat)
		}
	}
}

func TestWhatWouldHaveToBeKeptIsRefused(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","input":"hi","previous_response_id":"resp_1"}`,
		`{"model":"m","input":"hi","conversation":"conv_1"}`,
		`{"model":"m","input":"hi","prompt":{"id":"p"}}`,
		`{"model":"m","input":"hi","background":true}`,
		`{"model":"m","input":[{"type":"item_reference","id":"x"}]}`,
		`{"model":"m","input":[{"type":"unheard_of"}]}`,
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}`,
		`{"model":"m","input":7}`, `{"model":"m"}`, `{"input":"hi"}`, `{"model":"m","model":"n","input":"hi"}`, `[]`,
	} {
		if _, err := responses.Read([]byte(body), chat.Limits{}, nil); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func FuzzStream(f *testing.F) {
	for _, c := range []string{chunk(`{"content":"x"}`), chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"{"}}]}`), `{}`, `null`} {
		f.Add(c, c)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if !json.Valid([]byte(one)) || !json.Valid([]byte(two)) || slices.Contains([]byte(one+two), '\n') {
			t.Skip("no chunk")
		}
		r, err := responses.Read([]byte(`{"model":"m","input":"hi"}`), chat.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Stream()
		check(t, stream(s, s.End, one, two))
	})
}

// A list that cannot stay within the bounds is not translated to the end.
func TestListsBeyondTheBoundsAreRefused(t *testing.T) {
	most := chat.Limits{Messages: 3, Parts: 2}
	for param, body := range map[string]string{
		"input":            `{"model":"m","input":[%s]}`,
		"input[0].content": `{"model":"m","input":[{"role":"user","content":[%s]}]}`,
		"input[0].summary": `{"model":"m","input":[{"type":"reasoning","summary":[%s]}]}`,
		"tools":            `{"model":"m","input":"hi","tools":[%s]}`,
		"tools[0]":         `{"model":"m","input":"hi","tools":[{"type":"namespace","name":"n","tools":[%s]}]}`,
	} {
		element := `{"type":"input_text","role":"user","content":"x","text":"x"}`
		if strings.HasPrefix(param, "tools") {
			element = `{"type":"function","name":"f"}`
		}
		if param == "input" {
			element = `{"role":"user","content":"x"}`
		}
		_, err := responses.Read(fmt.Appendf(nil, body, strings.Repeat(element+",", 5)+"7"), most, nil)
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param || !strings.Contains(e.Message, "beyond the 5") {
			t.Errorf("%s: %v", param, err)
		}
		if _, err := responses.Read(fmt.Appendf(nil, body, strings.Repeat(element+",", 3)+element), most, nil); err != nil {
			t.Errorf("%s: four are refused: %v", param, err)
		}
	}
}
