package gemini

import (
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// A setting that a model can't honour exactly is adapted to what it accepts, and reported.
func TestThinkingAsTheModelTakesIt(t *testing.T) {
	for _, c := range []struct{ model, member, want, dropped string }{
		{"gemini-2.5-pro", `"reasoning_effort":"none"`, `{"thinkingBudget":128}`, "reasoning_effort"},
		{"gemini-2.5-pro", `"reasoning_effort":"low"`, `{"thinkingBudget":1024,"includeThoughts":true}`, ""},
		{"gemini-2.5-pro", `"reasoning":{"max_tokens":50000}`, `{"thinkingBudget":32768,"includeThoughts":true}`, "reasoning"},
		{"gemini-2.5-flash", `"reasoning_effort":"none"`, `{"thinkingBudget":0}`, ""},
		{"gemini-2.5-flash-lite", `"reasoning":{"max_tokens":100}`, `{"thinkingBudget":512,"includeThoughts":true}`, "reasoning"},
		{"gemini-2.5-flash", `"thinking_config":{"thinking_level":"low"}`, `{"thinkingBudget":1024}`, ""},
		{"gemini-2.5-pro", `"google":{"thinking_config":{"thinking_budget":0}}`, `{"thinkingBudget":128}`, "thinking_config"},
		{"gemini-2.5-pro", `"thinking_config":{"thinking_budget":-1}`, `{"thinkingBudget":-1}`, ""},
		{"gemini-2.5-flash-image", `"reasoning_effort":"low"`, "", "reasoning_effort"},
		{"gemini-2.0-flash", `"reasoning_effort":"high"`, "", "reasoning_effort"},
		{"gemini-2.0-flash", `"reasoning_effort":"none"`, "", ""},
		{"gemma-3-27b-it", `"reasoning_effort":"high"`, "", "reasoning_effort"},
		{"gemini-3-pro-preview", `"reasoning_effort":"medium"`, `{"thinkingLevel":"HIGH","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-3.1-pro-preview", `"reasoning_effort":"none"`, `{"thinkingLevel":"LOW"}`, "reasoning_effort"},
		{"gemini-3.1-pro-preview", `"reasoning_effort":"medium"`, `{"thinkingLevel":"MEDIUM","includeThoughts":true}`, ""},
		{"gemini-3-flash-preview", `"reasoning_effort":"minimal"`, `{"thinkingLevel":"MINIMAL","includeThoughts":true}`, ""},
		{"gemini-3.7-flash", `"reasoning_effort":"minimal"`, `{"thinkingLevel":"LOW","includeThoughts":true}`, "reasoning_effort"},
		{"gemini-flash-latest", `"reasoning_effort":"none"`, `{"thinkingLevel":"LOW"}`, "reasoning_effort"},
		{
			"gemini-3.1-pro-preview", `"thinking_config":{"thinking_level":"minimal","include_thoughts":true}`,
			`{"thinkingLevel":"LOW","includeThoughts":true}`, "thinking_config",
		},
		{"gemini-3.1-pro-preview", `"thinking_config":{"thinking_budget":500}`, `{"thinkingBudget":500}`, ""},
	} {
		t.Run(c.model+" "+c.member, func(t *testing.T) {
			r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + c.member + `}`))
			if err != nil {
				t.Fatal(err)
			}
			call, err := providers.Encode(providers.Exchange{Target: providers.Target{Upstream: c.model, Adapter: New()}, Request: r})
			if err != nil {
				t.Fatal(err)
			}
			_, got, _ := strings.Cut(string(call.Body), `"thinkingConfig":`)
			got = strings.TrimSuffix(got, "}}")
			if got != c.want || strings.Join(call.Dropped, ",") != c.dropped {
				t.Errorf("thinkingConfig %s, dropped %q", got, call.Dropped)
			}
		})
	}
}

// Google takes "$ref" in a result as a reference to another part.
func TestResultWithAReferenceIsText(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1}`:              `{"a":1}`,
		`{"a":{"$ref":"#/x"}}`: `{"result":"{\"a\":{\"$ref\":\"#/x\"}}"}`,
		`[{"$ref":"#/x"}]`:     `{"result":"[{\"$ref\":\"#/x\"}]"}`,
		`[1]`:                  `{"result":[1]}`,
		`one`:                  `{"result":"one"}`,
	} {
		if got := string(object(text)); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// Models of the third generation, and names that point to the newest model, refuse calls made
// by other models without a marker.
func TestForeignCallsAreMarked(t *testing.T) {
	for model, want := range map[string]bool{
		"gemini-3-flash-preview": true, "gemini-flash-latest": true, "gemini-pro-latest": true, "models/gemini-3.1-pro": true,
		"gemini-2.5-flash": false, "gemini-2.5-flash-latest": false, "gemma-3-27b-it": false,
	} {
		if third(model) != want {
			t.Errorf("%s: %v", model, third(model))
		}
	}
}
