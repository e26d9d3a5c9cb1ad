package anthropic_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func exchange(t *testing.T, members string) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m",` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Exchange{Request: r, Target: providers.Target{Upstream: "claude-sonnet-4-5"}}
}

const hi = `"messages":[{"role":"user","content":"hi"}]`

// TestEncode_Refused: members that would change the form of the answer, or that can't be
// expressed, are refused by name rather than left out.
func TestEncode_Refused(t *testing.T) {
	content := func(part string) string { return `"messages":[{"role":"user","content":[` + part + `]}]` }
	for members, param := range map[string]string{
		hi + `,"n":2`:                                                                "n",
		hi + `,"modalities":["text","audio"]`:                                        "modalities",
		hi + `,"functions":[{"name":"f"}]`:                                           "functions",
		hi + `,"web_search_options":{}`:                                              "web_search_options",
		hi + `,"tools":[{"type":"custom","custom":{"name":"f"}}]`:                    "tools",
		hi + `,"tool_choice":"sometimes"`:                                            "tool_choice",
		hi + `,"response_format":{"type":"json_schema","json_schema":{}}`:            "response_format.json_schema.schema",
		hi + `,"response_format":{"type":"grammar"}`:                                 "response_format.type",
		content(`{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}`): "messages[0].content[0]",
		content(`{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/bmp;base64,AA"}}`): "messages[0].content[1]",
		content(`{"type":"image_url","image_url":{"url":""}}`):                                                    "messages[0].content[0]",
		content(`{"type":"file","file":{"filename":"a.docx","file_data":"data:application/msword;base64,AA"}}`):   "messages[0].content[0]",
		content(`{"type":"hologram","hologram":{}}`):                                                              "messages[0].content[0]",
		`"messages":[{"role":"user","content":" "}]`:                                                              "messages",
		`"messages":[{"role":"narrator","content":"x"}]`:                                                          "messages[0].role",
	} {
		_, err := fixed().Encode(exchange(t, members))
		if f := (*chat.FieldError)(nil); !errors.As(err, &f) || f.Param != param {
			t.Errorf("%s: %v, want a fault of %s", members, err, param)
		}
	}
}

// TestEncode_Dropped: what is dropped is reported, unless it asks for nothing.
func TestEncode_Dropped(t *testing.T) {
	for members, want := range map[string][]string{
		hi + `,"seed":1,"logprobs":true,"frequency_penalty":0.5,"made_up":1`: {
			"seed", "logprobs",
			"frequency_penalty", "made_up",
		},
		hi + `,"seed":null,"logprobs":false,"presence_penalty":0.0,"logit_bias":{ },"store":false,"n":1`: nil,
		hi + `,"temperature":1.5`:                                  {"temperature"},
		hi + `,"service_tier":"flex"`:                              {"service_tier"},
		hi + `,"metadata":{"user_id":"u"}`:                         nil,
		hi + `,"metadata":{"team":"x"}`:                            {"metadata"},
		hi + `,"reasoning_effort":"high","max_tokens":1000`:        {"reasoning_effort"},
		`"messages":[{"role":"user","name":"ann","content":"hi"}]`: {"messages.name"},
		`"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url",` +
			`"image_url":{"url":"data:image/png;base64,"}}]}]`: {"messages.content.image_url"},
	} {
		call, err := fixed().Encode(exchange(t, members))
		if err != nil || !slices.Equal(call.Dropped, want) {
			t.Errorf("%s: dropped %v (%v), want %v", members, call.Dropped, err, want)
		}
	}
}

// TestEncode_Quirks: a host that accepts less says so in its quirks.
func TestEncode_Quirks(t *testing.T) {
	x := exchange(t, hi+`,"top_k":3,"container":"c"`)
	x.Target.Quirks = providers.Quirks{Drop: []string{"top_k"}, Path: "/anthropic/messages"}
	x.Target.Adapter = providers.Adapter{Chat: fixed()}
	call, err := providers.Encode(x)
	if want := `{"model":"claude-sonnet-4-5","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],` +
		`"container":"c"}`; err != nil || string(call.Body) != want {
		t.Errorf("sent %s (%v), want %s", call.Body, err, want)
	}
	if call.Path != "/anthropic/messages" || !slices.Equal(call.Dropped, []string{"top_k"}) {
		t.Errorf("path %s, dropped %v", call.Path, call.Dropped)
	}
	x.Target.Quirks.Refuse = []string{"container"}
	if _, err := providers.Encode(x); err == nil {
		t.Error("what is to be refused is sent")
	}
}

// TestEncode_Thinking covers which models are given an effort, and which a budget.
func TestEncode_Thinking(t *testing.T) {
	const adaptive = `{"type":"adaptive","display":"summarized"}`
	budget := func(n int) string { return fmt.Sprintf(`{"type":"enabled","budget_tokens":%d}`, n) }
	for _, c := range []struct{ model, members, thinking, effort string }{
		{"claude-3-7-sonnet-20250219", `"reasoning_effort":"low","max_tokens":9000`, budget(2048), ""},
		{"claude-sonnet-4-20250514", `"reasoning_effort":"high","max_tokens":9000`, budget(6750), ""},
		{"claude-opus-4-5@20251101", `"reasoning":{"max_tokens":1500},"max_tokens":9000`, budget(1500), ""},
		{"us.anthropic.claude-sonnet-4-6", `"reasoning_effort":"minimal"`, adaptive, "low"},
		{"claude-opus-4-8", `"reasoning_effort":"xhigh"`, adaptive, "xhigh"},
		{"claude-sonnet-5", `"reasoning":{"enabled":true}`, adaptive, ""},
		{"claude-sonnet-4-5", `"reasoning":{"enabled":true},"max_tokens":20000`, budget(8192), ""},
		{"claude-sonnet-5", `"reasoning":{"max_tokens":0}`, `{"type":"disabled"}`, ""},
		{"claude-fable-5", `"reasoning_effort":"none"`, `{"type":"disabled"}`, ""},
		{"somebody-else", `"reasoning_effort":"medium","max_tokens":20000`, budget(8192), ""},
		{
			"claude-sonnet-5", `"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"}`,
			`{"type":"adaptive","display":"omitted"}`, "low",
		},
		{"claude-opus-4-7", `"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}`, `{"type":"adaptive"}`, "max"},
		{"claude-sonnet-4-6", `"thinking":{"type":"enabled","budget_tokens":2000}`, `{"type":"enabled","budget_tokens":2000}`, ""},
		{"claude-sonnet-4-6", `"reasoning_effort":"xhigh"`, adaptive, "high"},
		{"claude-sonnet-4-6", `"reasoning_effort":"max"`, adaptive, "max"},
		{"claude-opus-4-5", `"output_config":{"effort":"max"}`, "", "high"},
		{"claude-sonnet-4-5", `"output_config":{"effort":"low"}`, "", ""},
		{"claude-sonnet-4-5", `"thinking":{"type":"enabled","budget_tokens":8000},"max_tokens":1500`, budget(1125), ""},
		{"claude-sonnet-4-5", `"thinking":{"type":"enabled","budget_tokens":8000},"max_tokens":1000`, "", ""},
		{"claude-sonnet-4-5", `"thinking":{"type":"adaptive"},"max_tokens":20000`, budget(8192), ""},
		{"claude-sonnet-4-5", `"thinking":{"type":"enabled","budget_tokens":8000},"max_tokens":9000,"tool_choice":"required",` +
			`"tools":[{"type":"function","function":{"name":"f"}}]`, "", ""},
		{"claude-sonnet-5", `"temperature":0`, "", ""},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", `"reasoning_effort":"high","max_tokens":9000`, "", ""},
		{"anthropic.claude-v2:1", `"reasoning_effort":"high","max_tokens":9000`, "", ""},
	} {
		x := exchange(t, hi+`,`+c.members)
		x.Target.Upstream = c.model
		call, err := fixed().Encode(x)
		if err != nil {
			t.Fatal(err)
		}
		thinking, effort := string(jsonraw.Lookup(call.Body, "thinking")),
			jsonraw.Text(jsonraw.Lookup(call.Body, "output_config", "effort"))
		if thinking != c.thinking || effort != c.effort {
			t.Errorf("%s %s: %s and %q, want %s and %q", c.model, c.members, thinking, effort, c.thinking, c.effort)
		}
	}
}

// What a model refuses is left out and reported: all sampling since 4.7 and with thinking,
// one of two since 4.1, and answers to be continued since 4.6.
func TestEncode_SamplingAsTheModelTakesIt(t *testing.T) {
	const both = `"temperature":0.2,"top_p":0.5,"top_k":3`
	const tail = `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"One"}]`
	for _, c := range []struct{ model, members, sent, dropped string }{
		{"claude-opus-4-7", hi + "," + both, "", "temperature top_p top_k"},
		{"claude-sonnet-5", hi + `,"temperature":1`, "", ""},
		{"claude-fable-5@default", hi + `,"temperature":0`, "", "temperature"},
		{"claude-sonnet-4-5", hi + "," + both, `"temperature":0.2,"top_k":3`, "top_p"},
		{"claude-sonnet-4-5", hi + `,"top_p":0.5`, `"top_p":0.5`, ""},
		{"claude-opus-4-1-20250805", hi + `,"temperature":0.2,"top_p":1`, `"temperature":0.2`, ""},
		{"claude-sonnet-4-20250514", hi + "," + both, `"temperature":0.2,"top_p":0.5,"top_k":3`, ""},
		{
			"claude-sonnet-4-5", hi + `,"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"temperature":0.3`,
			`"thinking":{"type":"enabled","budget_tokens":2000}`, "temperature",
		},
		{"claude-sonnet-4-5", tail, "", ""},
		{"claude-sonnet-4-6", tail, "", "messages.prefill"},
	} {
		x := exchange(t, c.members)
		x.Target.Upstream = c.model
		call, err := fixed().Encode(x)
		if err != nil {
			t.Fatal(err)
		}
		_, sent, _ := strings.Cut(strings.TrimSuffix(string(call.Body), "}"), `]}],`)
		if sent != c.sent || strings.Join(call.Dropped, " ") != c.dropped {
			t.Errorf("%s %s: sent %s, dropped %v", c.model, c.members, call.Body, call.Dropped)
		}
		if asks := strings.Contains(string(call.Body), `},{"role":"user"`); asks != (c.dropped == "messages.prefill") {
			t.Errorf("%s: %s", c.model, call.Body)
		}
	}
}

// The user has the first turn, even in a conversation that a client has truncated.
func TestEncode_FirstWord(t *testing.T) {
	call, err := fixed().Encode(exchange(t, `"messages":[{"role":"assistant","content":"One"},{"role":"user","content":"Two"}]`))
	const want = `[{"role":"user","content":[{"type":"text","text":"(no message)"}]},{"role":"assistant","content":[{"type":"text",` +
		`"text":"One"}]},{"role":"user",`
	if err != nil || !strings.Contains(string(call.Body), want) {
		t.Errorf("%s, %v", call.Body, err)
	}
}
