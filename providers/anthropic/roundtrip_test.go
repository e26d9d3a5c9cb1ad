package anthropic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// turn is an assistant's turn with everything that must come back unchanged: reasoning with
// its signature, redacted, and with only the signature; numbers as written.
var turn = []string{
	`{"type":"thinking","thinking":"Let me \"think\" ☃.\n","signature":"c2ln/MQ=="}`,
	`{"type":"redacted_thinking","data":"b3BhcXVl"}`,
	`{"type":"thinking","thinking":"","signature":"b25seQ=="}`,
	`{"type":"text","text":"I look it up."}`,
	`{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Røme","big":12345678901234567890}}`,
	`{"type":"tool_use","id":"toolu_2","name":"now","input":{}}`,
}

// TestRoundTrip: what a client received is sent back as the same blocks, whether streamed or not,
// over several turns.
func TestRoundTrip(t *testing.T) {
	for name, get := range map[string]func(t *testing.T, x providers.Exchange) string{"plain": plainTurn, "streamed": streamedTurn} {
		t.Run(name, func(t *testing.T) {
			message := get(t, exchange(t, hi+`,"stream":`+fmt.Sprint(name == "streamed")))
			const results = `{"role":"tool","tool_call_id":"toolu_1","content":"sun"},{"role":"tool","tool_call_id":"toolu_2",` +
				`"content":"noon"}`
			messages := `"messages":[{"role":"user","content":"hi"},` + message + `,` + results + `,` + message + `,` + results + `]`
			call, err := fixed().Encode(exchange(t, messages+`,"reasoning_effort":"high","max_tokens":9000`))
			if err != nil {
				t.Fatal(err)
			}
			var sent struct {
				Messages []struct {
					Role    string
					Content []json.RawMessage
				}
				Thinking json.RawMessage
			}
			if err := json.Unmarshal(call.Body, &sent); err != nil {
				t.Fatal(err)
			}
			if len(sent.Messages) != 5 || sent.Thinking == nil {
				t.Fatalf("sent %s", call.Body)
			}
			for _, i := range []int{1, 3} {
				var got []string
				for _, raw := range sent.Messages[i].Content {
					got = append(got, string(raw))
				}
				if !reflect.DeepEqual(decoded(t, got), decoded(t, turn)) {
					t.Errorf("turn %d is\n%s\nand was\n%s", i, strings.Join(got, "\n"), strings.Join(turn, "\n"))
				}
			}
		})
	}
}

// decoded returns blocks as values; numbers stay as written.
func decoded(t *testing.T, list []string) []any {
	t.Helper()
	var out []any
	for _, text := range list {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func plainTurn(t *testing.T, x providers.Exchange) string {
	t.Helper()
	body := `{"id":"msg_1","model":"c","content":[` + strings.Join(turn, ",") +
		`],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}`
	r, err := fixed().Decode(x, nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	for choice := range jsonraw.Elements(jsonraw.Lookup(r.Body, "choices")) {
		return string(jsonraw.Lookup(choice, "message"))
	}
	return ""
}

// streamedTurn assembles the chunks as simple clients do: it joins texts, merges calls by
// their index, and collects reasoning_details in order.
func streamedTurn(t *testing.T, x providers.Exchange) string {
	t.Helper()
	var events bytes.Buffer
	event := func(format string, a ...any) { fmt.Fprintf(&events, "data: "+format+"\n\n", a...) }
	event(`{"type":"message_start","message":{"id":"msg_1","model":"c","usage":{"input_tokens":1}}}`)
	for i, block := range turn {
		streamBlock(event, i, []byte(block))
	}
	event(`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}`)
	event(`{"type":"message_stop"}`)
	type call struct {
		Index    int                              `json:"index"`
		ID       string                           `json:"id"`
		Type     string                           `json:"type"`
		Function struct{ Name, Arguments string } `json:"function"`
	}
	var message struct {
		Role    string            `json:"role"`
		Content string            `json:"content"`
		Details []json.RawMessage `json:"reasoning_details"`
		Calls   []call            `json:"tool_calls"`
	}
	s := fixed().Stream(x, io.NopCloser(&events))
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Role, Content string
					Details       []json.RawMessage `json:"reasoning_details"`
					Calls         []call            `json:"tool_calls"`
				}
			}
		}
		if err := json.Unmarshal(c.Data, &chunk); err != nil {
			t.Fatal(err)
		}
		for _, choice := range chunk.Choices {
			d := choice.Delta
			message.Role += d.Role
			message.Content += d.Content
			message.Details = append(message.Details, d.Details...)
			for _, piece := range d.Calls {
				if piece.Index == len(message.Calls) {
					message.Calls = append(message.Calls, piece)
					continue
				}
				message.Calls[piece.Index].Function.Arguments += piece.Function.Arguments
			}
		}
	}
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte(`"Name":`), []byte(`"name":`)), []byte(`"Arguments":`), []byte(`"arguments":`))
	return string(text)
}

// streamBlock writes the events of one block, with its content split in two.
func streamBlock(event func(format string, a ...any), i int, block []byte) {
	delta := func(kind, member, text string) {
		for _, piece := range []string{text[:len(text)/3], text[len(text)/3:]} {
			quoted, _ := json.Marshal(strings.ToValidUTF8(piece, ""))
			event(`{"type":"content_block_delta","index":%d,"delta":{"type":%q,%q:%s}}`, i, kind, member, quoted)
		}
	}
	start := func(b string) { event(`{"type":"content_block_start","index":%d,"content_block":%s}`, i, b) }
	switch jsonraw.Text(jsonraw.Lookup(block, "type")) {
	case "thinking":
		start(`{"type":"thinking","thinking":"","signature":""}`)
		delta("thinking_delta", "thinking", jsonraw.Text(jsonraw.Lookup(block, "thinking")))
		event(`{"type":"content_block_delta","index":%d,"delta":{"type":"signature_delta","signature":%s}}`, i,
			jsonraw.Lookup(block, "signature"))
	case "text":
		start(`{"type":"text","text":""}`)
		delta("text_delta", "text", jsonraw.Text(jsonraw.Lookup(block, "text")))
	case "tool_use":
		start(fmt.Sprintf(`{"type":"tool_use","id":%s,"name":%s,"input":{}}`, jsonraw.Lookup(block, "id"), jsonraw.Lookup(block, "name")))
		if input := string(jsonraw.Lookup(block, "input")); input != "{}" {
			delta("input_json_delta", "partial_json", input)
		}
	default:
		start(string(block))
	}
	event(`{"type":"content_block_stop","index":%d}`, i)
}
