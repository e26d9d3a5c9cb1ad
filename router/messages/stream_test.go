package messages_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/router/messages"
)

func read(t *testing.T, body string) string {
	t.Helper()
	r, err := messages.Read([]byte(body), chat.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Body)
}

// stream returns the events of chunks that all reuse the same memory, and those of the end.
func stream(s *messages.Stream, chunks ...string) (events []sse.Event) {
	memory := make([]byte, 4096)
	for _, c := range chunks {
		for _, e := range s.Chunk(memory[:copy(memory, c)]) {
			events = append(events, sse.Event{Name: bytes.Clone(e.Name), Data: bytes.Clone(e.Data)})
		}
		clear(memory)
	}
	return append(events, s.End()...)
}

func chunk(delta string) string {
	return `{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"delta":` + delta + `}]}`
}

const finish = `{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,` +
	`"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":2}}}`

// block is a block of a message as assembled by a client.
type block struct {
	Type, Text, Thinking, Signature, Data, Name, ID string
	Input                                           json.RawMessage

	text string
}

// check verifies the grammar of events and returns the blocks, and the last event but one.
func check(t *testing.T, events []sse.Event) (blocks []block, ended string) {
	t.Helper()
	open := make(map[int]bool)
	for i, e := range events {
		var told struct {
			Type  string
			Index int
			Block block           `json:"content_block"`
			Delta map[string]any  `json:"delta"`
			Usage json.RawMessage `json:"usage"`
		}
		if err := json.Unmarshal(e.Data, &told); err != nil || told.Type != string(e.Name) {
			t.Fatalf("event %s: %v: %s", e.Name, err, e.Data)
		}
		switch told.Type {
		case "message_start":
			if i != 0 {
				t.Fatal("the message begins twice")
			}
		case "content_block_start":
			if told.Index != len(blocks) {
				t.Fatalf("block %d is opened as %d", len(blocks), told.Index)
			}
			open[told.Index], blocks = true, append(blocks, told.Block)
		case "content_block_delta":
			if !open[told.Index] {
				t.Fatalf("something is said of a block that is not open: %s", e.Data)
			}
			for _, name := range []string{"text", "thinking", "partial_json"} {
				if text, ok := told.Delta[name].(string); ok {
					blocks[told.Index].text += text
				}
			}
			if text, ok := told.Delta["signature"].(string); ok {
				blocks[told.Index].Signature += text
			}
		case "content_block_stop":
			if !open[told.Index] {
				t.Fatalf("a block is closed that is not open: %s", e.Data)
			}
			delete(open, told.Index)
		case "message_delta":
			ended = string(e.Data)
		}
	}
	if last := string(events[len(events)-1].Name); last != "message_stop" || len(open) > 0 || ended == "" {
		t.Fatalf("it ends with %s, %d blocks are open", last, len(open))
	}
	return blocks, ended
}

func TestStreamFollowsItsGrammar(t *testing.T) {
	s := &messages.Stream{Prompt: 8}
	events := stream(s,
		chunk(`{"role":"assistant","content":""}`),
		chunk(`{"reasoning_content":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"anthropic-claude-v1",`+
			`"index":0}]}`),
		chunk(`{"reasoning_details":[{"type":"reasoning.text","signature":"sig","format":"anthropic-claude-v1","index":0}]}`),
		chunk(`{"content":"Hel"}`), chunk(`{"content":"lo"}`),
		chunk(`{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}`),
		chunk(`{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}`),
		chunk(`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`), finish)
	blocks, ended := check(t, events)
	var said []string
	for _, b := range blocks {
		said = append(said, b.Type+" "+b.ID+b.Signature+": "+b.text)
	}
	want := []string{"thinking sig: hm", "text : Hello", `tool_use a: {"x":1}`, "tool_use b: {}"}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("the blocks are %q, want %q", said, want)
	}
	if !strings.Contains(string(events[0].Data), `"input_tokens":8`) {
		t.Errorf("it begins with %s", events[0].Data)
	}
	const usage = `"usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"cache_creation":null,` +
		`"server_tool_use":null,"output_tokens":3}`
	if !strings.Contains(ended, usage) || !strings.Contains(ended, `"stop_reason":"tool_use"`) {
		t.Errorf("it ends with %s", ended)
	}
}

func TestStreamThatSaysNothingIsAMessageAllTheSame(t *testing.T) {
	if blocks, _ := check(t, stream(&messages.Stream{})); len(blocks) > 0 {
		t.Errorf("it has the blocks %v", blocks)
	}
}

// What a provider's model needs to see again comes back unchanged, whichever provider it is,
// from a stream as well as from a whole answer.
func TestReasoningComesBackAsItWas(t *testing.T) {
	const extra = `"extra_content":{"google":{"thought_signature":"x"}}`
	for name, details := range map[string]string{
		"Claude":    `{"type":"reasoning.text","text":"t","signature":"sig","format":"anthropic-claude-v1","index":0}`,
		"Redacted":  `{"type":"reasoning.encrypted","data":"ZGF0YQ==","format":"anthropic-claude-v1","index":0}`,
		"Responses": `{"type":"reasoning.encrypted","format":"openai-responses-v1","index":0,"id":"rs_1","data":"gAAA"}`,
	} {
		message := `{"content":null,"reasoning_content":"t","reasoning_details":[` + details +
			`],"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"},` + extra + `}]}`
		var whole struct{ Content json.RawMessage }
		if err := json.Unmarshal(messages.Answer([]byte(`{"choices":[{"message":`+message+`,"finish_reason":"stop"}]}`)),
			&whole); err != nil {
			t.Fatal(err)
		}
		blocks, _ := check(t, stream(&messages.Stream{}, chunk(message), finish))
		var streamed []map[string]any
		for _, b := range blocks {
			one := map[string]any{"type": b.Type}
			switch b.Type {
			case "thinking":
				one["thinking"], one["signature"] = b.text, b.Signature
			case "redacted_thinking":
				one["data"] = b.Data
			case "tool_use":
				one["id"], one["name"], one["input"] = b.ID, b.Name, json.RawMessage(b.text)
			}
			streamed = append(streamed, one)
		}
		gathered, err := json.Marshal(streamed)
		if err != nil {
			t.Fatal(err)
		}
		for way, content := range map[string][]byte{"whole": whole.Content, "streamed": gathered} {
			again := read(t, `{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":`+string(content)+`}]}`)
			if !strings.Contains(again, extra) || !strings.Contains(again, details) && (name != "Redacted" ||
				!strings.Contains(again, `"data":"ZGF0YQ=="`)) {
				t.Errorf("%s, %s: %s\nbecame %s", name, way, message, again)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct{ request, chat string }{
		"text": {
			`{"model":"m","max_tokens":9,"system":"be","messages":[{"role":"user","content":"hi"}],"stream":true,` +
				`"metadata":{"user_id":"u"}}`,
			`{"model":"m","messages":[{"role":"system","content":"be"},{"role":"user","content":"hi"}],"stream":true,` +
				`"stream_options":{"include_usage":true},"max_tokens":9,"user":"u"}`,
		},
		"results of tools come first, the rest of the message after them": {
			`{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"tool_use",` +
				`"id":"1","name":"f",` +
				`"input":{"x": 1}}]},{"role":"user","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}},` +
				`{"type":"tool_result","tool_use_id":"1","is_error":true,"content":[{"type":"text","text":"no"}]}]}],` +
				`"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"tool_choice":{"type":"any",` +
				`"disable_parallel_tool_use":true}}`,
			`{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"a"}],"tool_calls":[{"id":"1",` +
				`"type":"function",` +
				`"function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"1","content":[{"type":"text",` +
				`"text":"no"}],` +
				`"is_error":true},{"role":"user","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}],` +
				`"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],` +
				`"tool_choice":"required",` +
				`"parallel_tool_calls":false,"max_tokens":9}`,
		},
		"pictures, documents and thinking": {
			`{"model":"m","max_tokens":9,"thinking":{"type":"enabled","budget_tokens":4096},"stop_sequences":["x"],` +
				`"messages":[{"role":"user","content":` +
				`[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}},` +
				`{"type":"document","title":"t","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},` +
				`{"type":"document","source":{"type":"url","url":"https://x/d"}}]}]}`,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}},` +
				`{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE","filename":"t"}},` +
				`{"type":"document_url","document_url":{"url":"https://x/d"}}]}],"reasoning_effort":"medium","max_tokens":9,"stop":["x"]}`,
		},
	} {
		if got := read(t, c.request); got != c.chat {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.chat)
		}
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","messages":[]}`, `{"max_tokens":1,"messages":[]}`, `{"model":"m","max_tokens":1}`, `[]`,
		`{"model":"m","model":"n","max_tokens":1,"messages":[]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"x"}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":7}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"text":"x"}]}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use"}]}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"what"}}]}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f"}],"tool_choice":{"type":"x"}}`,
	} {
		if _, err := messages.Read([]byte(body), chat.Limits{}); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

func FuzzStream(f *testing.F) {
	for _, c := range []string{chunk(`{"content":"x"}`), chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"{"}}]}`), `{}`, `null`} {
		f.Add(c, c)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if !json.Valid([]byte(one)) || !json.Valid([]byte(two)) {
			t.Skip("no chunk")
		}
		check(t, stream(&messages.Stream{}, one, two))
	})
}

// A list that cannot stay within the bounds is not translated to the end.
func TestListsBeyondTheBoundsAreRefused(t *testing.T) {
	most := chat.Limits{Messages: 3, Parts: 2}
	const rest = `"model":"m","max_tokens":9`
	for param, c := range map[string]struct{ body, element string }{
		"messages":            {`{` + rest + `,"messages":[%s]}`, `{"role":"user","content":"x"}`},
		"messages[0].content": {`{` + rest + `,"messages":[{"role":"user","content":[%s]}]}`, `{"type":"text","text":"x"}`},
		"messages[0].content[0].content": {
			`{` + rest + `,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[%s]}]}]}`,
			`{"type":"text","text":"x"}`,
		},
		"tools": {`{` + rest + `,"messages":[],"tools":[%s]}`, `{"name":"f"}`},
	} {
		_, err := messages.Read(fmt.Appendf(nil, c.body, strings.Repeat(c.element+",", 5)+"7"), most)
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param || !strings.Contains(e.Message, "beyond the 5") {
			t.Errorf("%s: %v", param, err)
		}
		if _, err := messages.Read(fmt.Appendf(nil, c.body, strings.Repeat(c.element+",", 2)+c.element), most); err != nil {
			t.Errorf("%s: three are refused: %v", param, err)
		}
	}
}

// The Messages API allows fewer characters in tool call ids than some models use, and models must
// get their own ids back.
func TestIDsOfCallsComeBackAsTheirModelMadeThem(t *testing.T) {
	const id = "functions.add:0"
	answer := messages.Answer([]byte(`{"id":"1","choices":[{"message":{"tool_calls":[{"id":"` + id + `","function":{"name":"add",` +
		`"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`))
	var m struct{ Content []struct{ ID string } }
	if err := json.Unmarshal(answer, &m); err != nil || !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(m.Content[0].ID) {
		t.Fatalf("%v: the message is %s", err, answer)
	}
	r, err := messages.Read([]byte(`{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"`+
		m.Content[0].ID+`","name":"add","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"`+m.Content[0].ID+
		`","content":"5"}]}]}`), chat.Limits{})
	if err != nil || strings.Count(string(r.Body), `"`+id+`"`) != 2 {
		t.Errorf("%v: it comes back as %s", err, r.Body)
	}
}
