package gemini_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// said is an assistant's message as a client assembles it.
type said struct {
	Role      string            `json:"role"`
	Content   string            `json:"content"`
	Reasoning string            `json:"reasoning_content,omitempty"`
	Details   []json.RawMessage `json:"reasoning_details,omitempty"`
	ToolCalls []struct {
		Index    int             `json:"index"`
		ID       string          `json:"id"`
		Type     string          `json:"type"`
		Function json.RawMessage `json:"function"`
		Extra    json.RawMessage `json:"extra_content,omitempty"`
	} `json:"tool_calls,omitempty"`
}

func exchange(t *testing.T, body string) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Exchange{Request: r, Target: providers.Target{Upstream: "gemini-3-pro"}}
}

// listen reads a stream the way a client does.
func listen(t *testing.T, answer string) said {
	t.Helper()
	x := exchange(t, `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	s := adapter().Chat.Stream(x, io.NopCloser(strings.NewReader(answer)))
	all := said{Role: "assistant"}
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Choices []struct{ Delta said } }
		if err := json.Unmarshal(c.Data, &body); err != nil {
			t.Fatal(err)
		}
		for _, choice := range body.Choices {
			d := choice.Delta
			all.Content, all.Reasoning = all.Content+d.Content, all.Reasoning+d.Reasoning
			all.Details, all.ToolCalls = append(all.Details, d.Details...), append(all.ToolCalls, d.ToolCalls...)
		}
	}
}

// What Google signed is sent back unchanged over several turns: thoughts, calls, and the text,
// whichever of the two places a client kept.
func TestSignatures_SeveralTurns(t *testing.T) {
	first := listen(t, `data: {"candidates":[{"content":{"parts":[{"text":"Let me ","thought":true}]}}],"responseId":"r1"}

data: {"candidates":[{"content":{"parts":[{"text":"look.","thought":true,"thoughtSignature":"c2lnMQ=="},{"text":"One moment."}]}}]}

data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"n":12345678901234567890}},"thoughtSignature":"c2lnMg=="},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}]}

`)
	second := listen(t, `data: {"candidates":[{"content":{"parts":[{"text":"Done."}]}}],"responseId":"r2"}

data: {"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"c2lnMw=="}]},"finishReason":"STOP"}]}

`)
	one, two := first.ToolCalls[0].ID, first.ToolCalls[1].ID
	if one == two || one == "" {
		t.Fatalf("ids %q and %q", one, two)
	}
	for _, keep := range []struct {
		name  string
		extra bool // the client keeps extra_content; otherwise, reasoning_details
	}{{"details", false}, {"extra_content", true}} {
		t.Run(keep.name, func(t *testing.T) {
			a, b := first, second
			if keep.extra {
				a.Details = nil
			} else {
				a.ToolCalls = append(a.ToolCalls[:0:0], a.ToolCalls...)
				for i := range a.ToolCalls {
					a.ToolCalls[i].Extra = nil
				}
			}
			messages, err := json.Marshal([]any{
				map[string]string{"role": "user", "content": "Go."},
				a,
				map[string]string{"role": "tool", "tool_call_id": two, "content": "2"},
				map[string]string{"role": "tool", "tool_call_id": one, "content": "1"},
				b,
				map[string]string{"role": "user", "content": "Again."},
			})
			if err != nil {
				t.Fatal(err)
			}
			call, err := adapter().Chat.Encode(exchange(t, `{"model":"m","messages":`+string(messages)+`}`))
			if err != nil {
				t.Fatal(err)
			}
			thought := `{"text":"Let me look.","thought":true,"thoughtSignature":"c2lnMQ=="},`
			if keep.extra {
				thought = ""
			}
			want := `[{"role":"user","parts":[{"text":"Go."}]},` +
				`{"role":"model","parts":[` + thought + `{"text":"One moment."},` +
				`{"functionCall":{"id":"` + one + `","name":"f","args":{"n":12345678901234567890}},"thoughtSignature":"c2lnMg=="},` +
				`{"functionCall":{"id":"` + two + `","name":"f","args":{}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"` + two + `","name":"f","response":{"result":"2"}}},` +
				`{"functionResponse":{"id":"` + one + `","name":"f","response":{"result":"1"}}}]},` +
				`{"role":"model","parts":[{"text":"Done.","thoughtSignature":"c2lnMw=="}]},` +
				`{"role":"user","parts":[{"text":"Again."}]}]`
			if got := string(jsonraw.Lookup(call.Body, "contents")); got != want {
				t.Errorf("contents\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestParametersOfFunctionsAreOneObject(t *testing.T) {
	const a, b = `"a":{"type":"string"}`, `"b":{"type":"string"}`
	for parameters, want := range map[string]string{
		`{"anyOf":[{"type":"object","properties":{` + a + `},"required":["a"]},` +
			`{"properties":{` + b + `}}]}`: `{"type":"object","properties":{` +
			a + `,` + b + `}}`,
		`{"properties":{` + a + `}}`: `{"type":"object","properties":{` + a + `}}`,
	} {
		call, err := adapter().Chat.Encode(exchange(t, `{"model":"m","messages":[{"role":"user","content":"hi"}],`+
			`"tools":[{"type":"function","function":{"name":"f","parameters":`+parameters+`}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(call.Body); !strings.Contains(got, `"parametersJsonSchema":`+want+`}`) {
			t.Errorf("%s: sent %s, want %s", parameters, got, want)
		}
	}
}

func TestTextsOfNothingAreNotSent(t *testing.T) {
	for messages, want := range map[string]string{
		`{"role":"user","content":""}`:   `[{"role":"user","parts":[{"text":"(no message)"}]}]`,
		`{"role":"system","content":""}`: `[{"role":"user","parts":[{"text":"(no message)"}]}]`,
		`{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"a"}]}`: `[{"role":"user","parts":[{"text":"a"}]}]`,
	} {
		call, err := adapter().Chat.Encode(exchange(t, `{"model":"m","messages":[`+messages+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(jsonraw.Lookup(call.Body, "contents")); got != want {
			t.Errorf("%s: sent %s, want %s", messages, got, want)
		}
	}
}

func TestEncode_Refused(t *testing.T) {
	for body, param := range map[string]string{
		`"messages":[{"role":"user","content":"hi"}],"functions":[{"name":"f"}]`:                        "functions",
		`"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"custom","custom":{"name":"f"}}]`: "tools",
		`"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"poem"}`:                 "response_format.type",
		`"messages":[{"role":"user","content":"hi"}],"reasoning_effort":"immense"`:                      "reasoning_effort",
		`"messages":[{"role":"user","content":"hi"}],"tool_choice":"perhaps"`:                           "tool_choice",
		`"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]`:          "messages[0].content[0]",
		`"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"aGk="}}]}]`:          "messages[0].content[0]",
		`"messages":[{"role":"user","content":"hi"},{"role":"tool","tool_call_id":"x","content":"1"}]`:  "messages[1].tool_call_id",
	} {
		_, err := adapter().Chat.Encode(exchange(t, `{"model":"m",`+body+`}`))
		if e := (*chat.FieldError)(nil); !errors.As(err, &e) || e.Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Images that the model generated are sent back with their signatures; those of other models
// with the marker for unsigned content.
func TestPicturesOfTheAssistantAreShownAgain(t *testing.T) {
	const pictures = `"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"},"index":0},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,BBBB"},"index":1},` +
		`{"type":"image_url","image_url":{"url":"https://e.example/c.png"},"index":2}]`
	x := exchange(t, `{"model":"m","messages":[{"role":"user","content":"draw"},{"role":"assistant","content":"two",`+pictures+
		`,"reasoning_details":[{"type":"reasoning.encrypted","format":"google-gemini-v1","id":"image_0","data":"c2ln"}]},`+
		`{"role":"user","content":"bigger"}]}`)
	x.Target.Adapter = adapter()
	call, err := providers.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"role":"model","parts":[{"text":"two"},{"inlineData":{"mimeType":"image/png","data":"AAAA"},` +
		`"thoughtSignature":"c2ln"},` +
		`{"inlineData":{"mimeType":"image/png","data":"BBBB"},"thoughtSignature":"skip_thought_signature_validator"}]}`
	if !strings.Contains(string(call.Body), want) {
		t.Errorf("sent %s", call.Body)
	}
	if len(call.Dropped) != 1 || call.Dropped[0] != "messages.images" {
		t.Errorf("told that %v are lost", call.Dropped)
	}
}

// A generated image is returned with what it needs to be sent back.
func TestSignatureOfAPictureIsKept(t *testing.T) {
	got := listen(t, `data: {"candidates":[{"index":0,"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"},`+
		`"thoughtSignature":"c2ln"}]},"finishReason":"STOP"}]}`+"\n\n")
	if len(got.Details) != 1 || string(jsonraw.Lookup(got.Details[0], "id")) != `"image_0"` ||
		string(jsonraw.Lookup(got.Details[0], "data")) != `"c2ln"` {
		t.Errorf("details %s", got.Details)
	}
}

func TestResultsOfToolsHoldPicturesSinceGemini3(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"a","type":"function",` +
		`"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"one"},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`
	const picture = `{"inlineData":{"mimeType":"image/png","data":"AAAA"}}`
	const result = `{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"result":"one"}`
	for model, want := range map[string]string{
		"gemini-2.5-pro": result + `}}]},{"role":"user","parts":[{"text":"Result of the call a:"},` + picture + `]}]`,
		"gemini-3-pro":   result + `,"parts":[` + picture + `]}}]}]`,
	} {
		x := exchange(t, body)
		x.Target.Upstream = model
		c, err := adapter().Chat.Encode(x)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(jsonraw.Lookup(c.Body, "contents")); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s\nwant …%s", model, got, want)
		}
	}
}
