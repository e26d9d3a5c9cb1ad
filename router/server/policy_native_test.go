package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tallyroute/billing/policy"
	"tallyroute/providers/anthropic"
	nativeresponses "tallyroute/providers/responses"
)

// nativeFeatures are members, by the feature that they use.
var nativeFeatures = []struct {
	path     string
	base     string
	features map[string][]string
}{
	{"/v1/messages", `{"model":"native","max_tokens":9,%s}`, map[string][]string{
		"stream": {`"stream":true`},
		"tools": {
			`"tools":[{"name":"f","input_schema":{"type":"object"}}]`,
			`"tools":[{"type":"custom","name":"f","input_schema":{"type":"object"}}]`,
			`"tools":[{"type":"bash_20250124","name":"bash"}]`,
			`"tools":[{"type":"computer_20250124","name":"computer","display_width_px":1,` +
				`"display_height_px":1}]`,
		},
		"server_tools": {
			`"tools":[{"type":"web_search_20250305","name":"web_search"}]`, `"tools":[{"type":"zz_new_20270101","name":"q"}]`,
			`"tools":[{"type":"code_execution_20250825","name":"code_execution"}]`,
			`"mcp_servers":[{"type":"url","url":"https://x.example","name":"x"}]`, `"container":"c"`,
			`"container":{"skills":[{"type":"anthropic","skill_id":"xlsx"}]}`,
		},
		"reasoning": {
			`"thinking":{"type":"enabled","budget_tokens":1024}`, `"thinking":{"type":"adaptive"}`, `"output_config":{"effort":"high"}`,
		},
		"vision": {
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"file_1"}}]}]`,
			`"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[` +
				`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}]}]`,
		},
		"documents": {
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x.example/a.pdf"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hi"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"search_result","source":"s","title":"t",` +
				`"content":[{"type":"text","text":"x"}]}]}]`,
			`"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"file_1"}]}]`,
			`"messages":[{"role":"user","content":[{"type":"document","source":{"type":"content",` +
				`"content":[{"type":"text","text":"x"}]}}]}]`,
		},
	}},
	{"/v1/responses", `{"model":"native",%s}`, map[string][]string{
		"stream": {`"stream":true`},
		"tools": {
			`"tools":[{"type":"function","name":"f","parameters":{}}]`,
			`"tools":[{"type":"custom","name":"f"}]`,
			`"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f","parameters":{}}]}]`,
		},
		"server_tools": {
			`"tools":[{"type":"web_search"}]`, `"tools":[{"type":"web_search"}],"tool_choice":"required"`, `"tools":[{"type":"zz_new"}]`,
			`"tools":[{"type":"mcp","server_url":"https://x.example","server_label":"x"}]`,
			`"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`,
			`"tools":[{"type":"namespace","name":"n","tools":[{"type":"web_search"}]}]`, `"tools":[{"type":"image_generation"}]`,
			`"input":[{"type":"additional_tools","tools":[{"type":"web_search"}]},{"role":"user","content":"hi"}]`,
			`"input":[{"type":"mcp_approval_response","approve":true,"approval_request_id":"a"},{"role":"user","content":"hi"}]`,
		},
		"reasoning": {`"reasoning":{"effort":"high"}`, `"reasoning":{"mode":"pro"}`},
		"vision": {
			`"input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x.example/a.png"}]}]`,
			`"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},` +
				`{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://x.example/a.png"}]}]`,
			`"input":[{"type":"computer_call_output","call_id":"c",` +
				`"output":{"type":"computer_screenshot","image_url":"https://x.example/a.png"}},{"role":"user","content":"hi"}]`,
		},
		"documents": {
			`"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x.example/a.pdf"}]}]`,
			`"input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}]`,
		},
	}},
}

// TestFeaturesHoldForRequestsThatPassAsTheyAre tries members of /v1/messages and /v1/responses,
// most of which have no place in a chat completion, with a provider of the same format. Each is
// refused by a policy that allows all features but its own.
func TestFeaturesHoldForRequestsThatPassAsTheyAre(t *testing.T) {
	g := newRig(t)
	w := newWire(t)
	for _, e := range nativeFeatures {
		if e.path == "/v1/messages" {
			g.calls(w, anthropic.New(), "claude-x")
		} else {
			g.calls(w, nativeresponses.New(), "gpt-x")
		}
		send := func(member string, features []string) reply {
			p := policy.Policy{Features: features}
			g.verifier.key.AllowProviderObjects = true
			g.verifier.key.Policies = policy.Layers{Team: &p}
			g.verifier.key.Rights = g.verifier.key.Policies.Compile(g.verifier.key.Facts())
			if e.path == "/v1/messages" && !strings.Contains(member, `"messages"`) {
				member += `,"messages":[{"role":"user","content":"hi"}]`
			}
			if e.path == "/v1/responses" && !strings.Contains(member, `"input"`) {
				member += `,"input":"hi"`
			}
			return g.do(g.request("POST", e.path, fmt.Sprintf(e.base, member)))
		}
		all := []string{"stream", "tools", "vision", "audio", "documents", "server_tools", "reasoning"}
		for feature, members := range e.features {
			for _, member := range members {
				others := slices.DeleteFunc(slices.Clone(all), func(f string) bool { return f == feature })
				if r := send(member, others); r.StatusCode != http.StatusForbidden || !strings.Contains(r.body, "team.features") {
					t.Errorf("%s %s: not refused without %s: %d %.300s", e.path, member, feature, r.StatusCode, r.body)
				}
				if r := send(member, all); strings.Contains(r.body, "policy_denied") {
					t.Errorf("%s %s: refused: %s", e.path, member, r.body)
				}
			}
		}
		if r := send(`"metadata":{}`, []string{"audio"}); strings.Contains(r.body, "policy_denied") {
			t.Errorf("%s: text is refused: %s", e.path, r.body)
		}
	}
}
