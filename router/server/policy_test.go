package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/policy"
)

// entries are all the entrances. Those with a body accept additional members, which every
// format has under the same name or under its own.
var entries = []struct {
	endpoint     string
	method, path string
	body         string // %s stands for additional members
	bound        string // the member that bounds the output
	tool, image  string // members; "" if the format has none
}{
	{
		"chat", "POST", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "max_completion_tokens",
		`"tools":[{"type":"function","function":{"name":"f"}}]`, `[{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]`,
	},
	{
		"responses", "POST", "/v1/responses", `{"model":"m","input":[{"role":"user","content":%s}]%s}`, "max_output_tokens",
		`"tools":[{"type":"function","name":"f","parameters":{}}]`, `[{"type":"input_image","image_url":"https://x.example/a.png"}]`,
	},
	{
		"messages", "POST", "/v1/messages", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "max_tokens",
		`"tools":[{"name":"f","input_schema":{"type":"object"}}]`,
		`[{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]`,
	},
	{
		"count_tokens", "POST", "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":%s}]%s}`, "",
		`"tools":[{"name":"f","input_schema":{"type":"object"}}]`, "",
	},
	{"count_tokens", "POST", "/v1/responses/input_tokens", `{"model":"m","input":[{"role":"user","content":%s}]%s}`, "", "", ""},
	{"embeddings", "POST", "/v1/embeddings", `{"model":"m","input":%s%s}`, "", "", ""},
	{"models", "GET", "/v1/models", "", "", "", ""},
	{"models", "GET", "/v1/models/m", "", "", "", ""},
	{"key", "GET", "/v1/key", "", "", "", ""},
	{"key", "GET", "/v1/requests/req_01M8NDNMZ1MQ4P6BAVJGHVRT7M", "", "", "", ""},
}

// TestEveryRuleHoldsAtEveryEntrance tries each rule at each entrance, with a request that it
// allows and one that it does not.
func TestEveryRuleHoldsAtEveryEntrance(t *testing.T) {
	g := newRig(t)
	now := time.Now().UTC()
	at := func(from, until time.Duration) []policy.Hours {
		return []policy.Hours{{From: now.Add(from).Format("15:04"), Until: now.Add(until).Format("15:04")}}
	}
	tried := 0
	for _, e := range entries {
		send := func(content, more string, header ...string) reply {
			body := ""
			if e.body != "" {
				if e.endpoint == "messages" && !strings.Contains(more, "max_tokens") {
					more += `,"max_tokens":5`
				}
				body = fmt.Sprintf(e.body, content, more)
			}
			return g.do(g.request(e.method, e.path, body, header...))
		}
		try := func(rule string, p policy.Policy, refused bool, got func() reply) {
			t.Helper()
			g.verifier.key.Policies = policy.Layers{Team: &p}
			g.verifier.key.Rights = g.verifier.key.Policies.Compile(g.verifier.key.Facts())
			defer func() { g.verifier.key.Policies, g.verifier.key.Rights = policy.Layers{}, nil }()
			r := got()
			tried++
			is := strings.Contains(r.body, `policy_denied`) && strings.Contains(r.body, "team."+rule) &&
				r.StatusCode == http.StatusForbidden
			if is != refused {
				t.Errorf("%s %s: refused by %s is %t: %d %s", e.method, e.path, rule, is, r.StatusCode, r.body)
			}
		}
		hi := func() reply { return send(`"hi"`, "") }
		from := func(header ...string) func() reply { return func() reply { return send(`"hi"`, "", header...) } }

		try("endpoints", policy.Policy{Endpoints: []string{e.endpoint}}, false, hi)
		others := []string{"chat", "embeddings"}
		if e.endpoint == "chat" || e.endpoint == "embeddings" {
			others = []string{"responses"}
		}
		try("endpoints", policy.Policy{Endpoints: others}, true, hi)
		try("allowed_cidrs", policy.Policy{AllowedCIDRs: []string{"127.0.0.0/8"}}, false, hi)
		try("allowed_cidrs", policy.Policy{AllowedCIDRs: []string{"10.0.0.0/8"}}, true, hi)
		try("denied_cidrs", policy.Policy{DeniedCIDRs: []string{"127.0.0.1"}}, true, hi)
		try("origins", policy.Policy{Origins: []string{"https://app.example"}}, false, from("Origin", "https://app.example"))
		try("origins", policy.Policy{Origins: []string{"https://app.example"}}, true, from("Origin", "https://other.example"))
		try("origins", policy.Policy{Origins: []string{"https://app.example"}}, true, hi)
		try("referers", policy.Policy{Referers: []string{"https://app.example/*"}}, false, from("Referer", "https://app.example/x"))
		try("referers", policy.Policy{Referers: []string{"https://app.example/*"}}, true, hi)
		try("hours", policy.Policy{Hours: at(-2*time.Hour, 2*time.Hour)}, false, hi)
		try("hours", policy.Policy{Hours: at(3*time.Hour, 4*time.Hour)}, true, hi)
		if e.body == "" {
			continue
		}
		try("models", policy.Policy{Models: []string{"m"}}, false, hi)
		try("models", policy.Policy{Models: []string{"acme/*"}}, false, hi)
		try("models", policy.Policy{Models: []string{"gpt-*"}}, true, hi)
		try("deny_models", policy.Policy{DenyModels: []string{"m*"}}, true, hi)
		try("providers", policy.Policy{Providers: []string{"acme"}}, false, hi)
		try("providers", policy.Policy{Providers: []string{"openai"}}, true, hi)
		try("deny_providers", policy.Policy{DenyProviders: []string{"acme"}}, true, hi)
		try("max_body_bytes", policy.Policy{MaxBodyBytes: 4000}, false, hi)
		try("max_body_bytes", policy.Policy{MaxBodyBytes: 10}, true, hi)
		try("required_tags", policy.Policy{RequiredTags: []string{"feature"}}, true, hi)
		try("required_tags", policy.Policy{RequiredTags: []string{"feature"}}, false, from("X-Tallyroute-Tags", "feature=x"))
		must := policy.Condition{Name: "c", Must: "request.endpoint == '" + e.endpoint + "' and request.model == 'm'"}
		try("conditions.c", policy.Policy{Conditions: []policy.Condition{must}}, false, hi)
		must.Must = "not (" + must.Must + ")"
		try("conditions.c", policy.Policy{Conditions: []policy.Condition{must}}, true, hi)
		if e.tool != "" {
			tool := func() reply { return send(`"hi"`, ","+e.tool) }
			try("features", policy.Policy{Features: []string{"tools"}}, false, tool)
			try("features", policy.Policy{Features: []string{"vision"}}, true, tool)
		}
		if e.bound == "" {
			continue
		}
		stream := func() reply { return send(`"hi"`, `,"stream":true`) }
		image := func() reply { return send(e.image, "") }
		try("features", policy.Policy{Features: []string{"stream"}}, false, stream)
		try("features", policy.Policy{Features: []string{"tools"}}, true, stream)
		try("features", policy.Policy{Features: []string{"vision"}}, false, image)
		try("features", policy.Policy{Features: []string{"audio", "documents", "stream"}}, true, image)
		try("max_output_tokens", policy.Policy{MaxOutputTokens: 20}, false, func() reply { return send(`"hi"`, `,"`+e.bound+`":20`) })
		try("max_output_tokens", policy.Policy{MaxOutputTokens: 20}, true, func() reply { return send(`"hi"`, `,"`+e.bound+`":21`) })
		long := func() reply { return send(`"`+strings.Repeat("many words ", 400)+`"`, "") }
		try("max_prompt_tokens", policy.Policy{MaxPromptTokens: 1000}, false, long)
		try("max_prompt_tokens", policy.Policy{MaxPromptTokens: 20}, true, long)
	}
	if tried < 200 {
		t.Errorf("only %d were tried", tried)
	}
}
