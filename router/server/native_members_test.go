package server

import (
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/chat"
	nativeresponses "tallyroute/providers/responses"
	"tallyroute/router/messages"
	"tallyroute/router/responses"
)

// nativeVerdict judges the members of a request that is passed on as its client wrote it.
func nativeVerdict(t *testing.T, path, more string) (*providers.Target, providers.Verdict) {
	t.Helper()
	var native *providers.Native
	var body []byte
	a := anthropic.New()
	if path == "/v1/messages" {
		base := `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],`
		if strings.Contains(more, `"messages":`) {
			base = `{"model":"m","max_tokens":9,`
		}
		r, err := messages.Read([]byte(base+more+"}"), chat.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		native, body = r.Native, r.Body
	} else {
		base := `{"model":"m","input":"hi",`
		if strings.Contains(more, `"input":`) {
			base = `{"model":"m",`
		}
		r, err := responses.Read([]byte(base+more+"}"), chat.Limits{}, nil)
		if err != nil {
			t.Fatalf("%s: %v", more, err)
		}
		native, body, a = r.Native, r.Body, nativeresponses.New()
	}
	r, err := providers.Chat.Parse(body, chat.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", more, err)
	}
	target := &providers.Target{
		Provider: "p", Model: "m", Upstream: "m", Adapter: a, Quirks: a.Quirks,
		Can: providers.Abilities{Stream: true, Tools: true, Vision: true, Audio: true, Documents: true, JSONSchema: true, Reasoning: true},
	}
	if !native.For(target) {
		t.Fatalf("%s does not pass as it is", more)
	}
	return target, target.JudgeNative(r, native)
}

// What a client writes in another format is sent as it is. So a member that is in no table must
// not pass for a key with a budget, nor unnamed for other keys, wherever it is.
func TestWhatNoTableKnowsIsNamedWhereRequestsPassAsTheyAre(t *testing.T) {
	for path, list := range map[string][]string{
		"/v1/messages": {
			`"zz_new":1`, `"zz_new":{"a":[1]}`, `"fallbacks":[{"model":"dear"}]`, `"max_output_tokens":99999`, `"models":["dear"]`,
			`"thinking":{"type":"enabled","budget_tokens":1024,"zz_new":true}`, `"output_config":{"effort":"low","zz_new":1}`,
			`"context_management":{"edits":[{"type":"compact_20260112"}]}`, `"speed":"warp"`, `"inference_geo":"moon"`,
			`"tools":[{"name":"f","input_schema":{"type":"object"},"zz_new":1}]`, `"tools":[{"type":"zz_new_20270101","name":"q"}]`,
			`"tools":[{"type":"web_search_20250305","name":"web_search","zz_new":1}]`,
			`"messages":[{"role":"user","content":"hi","zz_new":1}]`,
			`"messages":[{"role":"user","content":[{"type":"text","text":"hi","zz_new":1}]}]`,
			`"messages":[{"role":"user","content":[{"type":"zz_new","zz_new":1}]}]`,
			`"mcp_servers":[{"type":"url","url":"https://x","name":"x"}]`, `"plugins":[{"id":"web"}]`, `"background":true`,
		},
		"/v1/responses": {
			`"zz_new":1`, `"zz_new":{"a":[1]}`, `"max_new_tokens":99999`, `"models":["dear"]`, `"fallbacks":["dear"]`,
			`"reasoning":{"effort":"low","mode":"pro"}`, `"reasoning":{"zz_new":1}`, `"text":{"zz_new":1}`,
			`"context_management":[{"type":"compaction","compact_threshold":1000}]`, `"tools":[{"type":"zz_new"}]`,
			`"tools":[{"type":"web_search","zz_new":1}]`, `"tools":[{"type":"function","name":"f","parameters":{},"zz_new":1}]`,
			`"tools":[{"type":"mcp","server_url":"https://x","server_label":"x"}]`,
			`"input":[{"role":"user","content":"hi","zz_new":1}]`,
			`"input":[{"role":"user","content":[{"type":"input_text","text":"hi","zz_new":1}]}]`,
			`"input":[{"type":"zz_new","x":1},{"role":"user","content":"hi"}]`, `"plugins":[{"id":"web"}]`, `"stream_options":{"zz_new":1}`,
		},
	} {
		for _, more := range list {
			target, v := nativeVerdict(t, path, more)
			if v.Bar(providers.Rights{Budget: true, Stored: true}, target) == nil || len(v.Named()) == 0 {
				t.Errorf("%s: %s passes: %+v", path, more, v)
			}
		}
	}
}

// What clients of these formats ordinarily send is free, and is accepted for every key.
func TestOrdinaryMembersOfNativeRequestsPass(t *testing.T) {
	for path, list := range map[string][]string{
		"/v1/messages": {
			`"system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral","ttl":"1h"}}]`, `"system":"be brief"`,
			`"metadata":{"user_id":"u"},"stop_sequences":["x"],"temperature":1,"top_k":5,"top_p":0.9,"stream":true`,
			`"thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"},"service_tier":"auto"`,
			`"thinking":{"type":"enabled","budget_tokens":1024},"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}`,
			`"tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"},"strict":true,` +
				`"defer_loading":true}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`,
			`"tools":[{"type":"custom","name":"f","input_schema":{"type":"object"}},{"type":"bash_20250124","name":"bash"}],` +
				`"tool_choice":{"type":"tool","name":"f"}`,
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}},` +
				`{"type":"document",` +
				`"source":{"type":"url","url":"https://x.example/a.pdf"},"title":"t","context":"c","citations":{"enabled":true},` +
				`"cache_control":{"type":"ephemeral"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}},` +
				`{"type":"search_result","source":"https://x","title":"t","content":[{"type":"text","text":"x"}]}]}]`,
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"x",` +
				`"signature":"c2ln"},` +
				`{"type":"redacted_thinking","data":"eA=="},{"type":"text","text":"x","citations":[]},{"type":"tool_use","id":"t1",` +
				`"name":"f",` +
				`"input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,` +
				`"content":[{"type":"text",` +
				`"text":"x"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]}]}]`,
			`"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"server_tool_use","id":"s1",` +
				`"name":"web_search",` +
				`"input":{"query":"x"}},{"type":"web_search_tool_result","tool_use_id":"s1","content":[]},{"type":"text","text":"x"}]},` +
				`{"role":"user","content":"go on"}]`,
		},
		"/v1/responses": {
			`"instructions":"be brief","metadata":{"a":"b"},"store":false,"stream":true,"temperature":1,"top_p":0.9,"truncation":"auto"`,
			`"user":"u","safety_identifier":"s","prompt_cache_key":"k","prompt_cache_retention":"24h","parallel_tool_calls":false,` +
				`"top_logprobs":2`,
			`"reasoning":{"effort":"high","summary":"auto"},"include":["reasoning.encrypted_content"],"service_tier":"auto",` +
				`"max_output_tokens":99`,
			`"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true},"verbosity":"low"}`,
			`"tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"custom",` +
				`"name":"c"}],` +
				`"tool_choice":"auto","max_tool_calls":3,"client_metadata":{"x":"y"},"stream_options":{"include_obfuscation":false}`,
			`"input":[{"type":"message","role":"developer","content":"x"},{"type":"message","role":"user",` +
				`"content":[{"type":"input_text",` +
				`"text":"x"},{"type":"input_image","image_url":"https://x.example/a.png","detail":"low"},{"type":"input_file",` +
				`"file_url":"https://x.example/a.pdf"},{"type":"input_file","filename":"a.pdf",` +
				`"file_data":"data:application/pdf;base64,aGk="}]}]`,
			`"input":[{"role":"user","content":"hi"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"x"}],` +
				`"encrypted_content":"e"},{"type":"message","id":"msg_1","role":"assistant","status":"completed",` +
				`"content":[{"type":"output_text",` +
				`"text":"x","annotations":[],"logprobs":[]}],"phase":"final_answer"},{"type":"function_call","id":"fc_1","call_id":"c1",` +
				`"name":"f",` +
				`"arguments":"{}","status":"completed"},{"type":"function_call_output","call_id":"c1","output":"x"}]`,
			`"input":[{"role":"user","content":"hi"},{"type":"custom_tool_call","call_id":"c1","name":"c","input":"x"},` +
				`{"type":"custom_tool_call_output","call_id":"c1","output":[{"type":"input_text","text":"x"}]}]`,
		},
	} {
		for _, more := range list {
			target, v := nativeVerdict(t, path, more)
			if bar := v.Bar(providers.Rights{Budget: true, Models: true}, target); bar != nil || len(v.Named()) > 0 || len(v.Uses) > 0 {
				t.Errorf("%s: %s is judged %+v: %v", path, more, v, bar)
			}
		}
	}
}
