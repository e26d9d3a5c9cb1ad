package catalogue

import (
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// What a model refuses, it refuses wherever it is served and whatever its host calls it.
func TestModelsAreKnownByTheirFamilyAtEveryHost(t *testing.T) {
	for name, want := range map[string]providers.Quirks{
		"gpt-5-mini": {
			Sampling: "never", MaxTokens: "max_completion_tokens",
			Efforts: []string{"minimal", "low", "medium", "high"},
		},
		"databricks-gpt-5-4-nano":  {Sampling: "unreasoned", MaxTokens: "max_completion_tokens", Efforts: all5},
		"openai/gpt-5.1-codex-max": {Sampling: "never", MaxTokens: "max_completion_tokens", Efforts: four},
		"openai-gpt-5.2":           {Sampling: "unreasoned", MaxTokens: "max_completion_tokens", Efforts: all5},
		"gpt-5-2025-08-07": {
			Sampling: "never", MaxTokens: "max_completion_tokens",
			Efforts: []string{"minimal", "low", "medium", "high"},
		},
		"gpt-5-chat-latest":                 {MaxTokens: "max_completion_tokens"},
		"gpt-6.1":                           {Sampling: "never", MaxTokens: "max_completion_tokens", Efforts: all5},
		"GPT-4o-2024-08-06":                 {},
		"gpt-audio-mini-2025-10-06":         {},
		"openai/gpt-oss-120b":               {Efforts: three},
		"o4-mini-2025-04-16":                {Sampling: "never", MaxTokens: "max_completion_tokens", Efforts: three},
		"claude-3-5-haiku-20241022":         {},
		"claude-sonnet-4-20250514":          {Sampling: "unreasoned", ForcedTools: "unreasoned", Reasons: "asked"},
		"us.anthropic.claude-sonnet-4-5-v1": {Sampling: "single", ForcedTools: "unreasoned", Reasons: "asked"},
		"anthropic/claude-opus-4.7":         {Sampling: "never", ForcedTools: "unreasoned", Reasons: "asked", Prefill: "never"},
		"claude-fable-5":                    {Sampling: "never", ForcedTools: "unreasoned", Reasons: "asked", Prefill: "never"},
		"moonshotai/Kimi-K2-Thinking":       {Reasons: "always"},
		"kimi-k2-0905-preview":              {},
		"qwen3-235b-a22b-thinking-2507":     {Reasons: "always"},
		"llama-3.3-70b":                     {Drop: []string{"reasoning_effort"}},
		"deepseek-r1-distill-llama-70b":     {Reasons: "always"},
		"mistral-large-2512":                {Drop: []string{"reasoning_effort"}},
		"mistral-small-latest":              {},
		"phi-4o-made-up":                    {},
	} {
		q := familyQuirks("openai", name)
		if q.Sampling != want.Sampling || q.MaxTokens != want.MaxTokens || !slices.Equal(q.Efforts, want.Efforts) ||
			q.ForcedTools != want.ForcedTools || q.Reasons != want.Reasons || q.Prefill != want.Prefill ||
			want.Drop != nil && !slices.Equal(q.Drop, want.Drop) {
			t.Errorf("%s: %+v", name, q)
		}
	}
	if q := familyQuirks("anthropic", "claude-opus-4.7"); q.Sampling != "" {
		t.Errorf("where the format knows it by itself: %+v", q)
	}
	if q := familyQuirks("openai", "", "fast", "gpt-5-mini"); q.Sampling != "never" {
		t.Errorf("the provider's own name does not tell the family: %+v", q)
	}
}

// sentTo returns the body that is sent to a model of the catalogue, and what was dropped.
func sentTo(t *testing.T, c *Catalogue, model, members string) (body string, lost []string, err error) {
	t.Helper()
	list, _, ok := c.Resolve(model)
	if !ok {
		t.Fatalf("%s is not there", model)
	}
	r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	call, err := providers.Encode(providers.Exchange{Target: list[0], Request: r})
	return string(call.Body), call.Dropped, err
}

const forced = `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":`

// Some providers support a forced call only while the model does not reason.
func TestForcedCallSwitchesReasoningOff(t *testing.T) {
	c := all(t)
	for model, off := range map[string]string{
		"deepseek/deepseek-v4-flash": `"thinking":{"type":"disabled"}`, "moonshot/kimi-k2.6": `"thinking":{"type":"disabled"}`,
		"zai/glm-5.1": `"thinking":{"type":"disabled"}`, "alibaba/qwen3.6-plus": `"enable_thinking":false`,
	} {
		for _, choice := range []string{`"required"`, `{"type":"function","function":{"name":"f"}}`} {
			for _, more := range []string{"", `,"reasoning_effort":"high"`, `,"thinking":{"type":"enabled"}`} {
				body, lost, err := sentTo(t, c, model, forced+choice+more)
				if err != nil || !strings.Contains(body, off) || !strings.Contains(body, choice) || strings.Contains(body, "effort") ||
					strings.Contains(body, "enabled") || len(lost) != 1 {
					t.Errorf("%s %s%s: %s, lost %v, %v", model, choice, more, body, lost, err)
				}
			}
		}
		body, lost, err := sentTo(t, c, model, forced+`"auto"`)
		if err != nil || strings.Contains(body, off) || len(lost) > 0 {
			t.Errorf("%s auto: %s, lost %v, %v", model, body, lost, err)
		}
		body, lost, err = sentTo(t, c, model, forced+`"required","reasoning_effort":"none"`)
		if err != nil || !strings.Contains(body, off) || strings.Contains(body, "effort") || len(lost) > 0 {
			t.Errorf("%s none: %s, lost %v, %v", model, body, lost, err)
		}
	}
	for _, model := range []string{"moonshot/kimi-k2-thinking", "deepseek/deepseek-reasoner"} {
		if _, _, err := sentTo(t, c, model, forced+`"required"`); err == nil || !strings.Contains(err.Error(), "tool_choice") {
			t.Errorf("%s: %v", model, err)
		}
	}
	if body, lost, _ := sentTo(t, c, "moonshot/moonshot-v1-8k", forced+`"required"`); strings.Contains(body, "thinking") || len(lost) > 0 {
		t.Errorf("a model that does not reason: %s, lost %v", body, lost)
	}
}

// The operator has the last word: what is known about a family can be overridden.
func TestOperatorTakesFamilyQuirksBack(t *testing.T) {
	const text = `providers:
  house:
    base_url: https://llm.example/v1
    auth: {kind: none}
    models:
      - {id: gpt-5-mini, context: 128000, quirks: {sampling: any, efforts: [], drop: [], max_tokens: max_tokens}}
      - {id: fast, upstream: azure/gpt-5-mini-2025-08-07, context: 128000}
`
	c, err := Build(t.Context(), Input{Text: text}, Options{Secrets: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	const asked = `"temperature":0.5,"reasoning_effort":"xhigh","stop":["x"],"max_tokens":7`
	if body, lost, err := sentTo(t, c, "house/gpt-5-mini", asked); err != nil || len(lost) > 0 || !strings.Contains(body, asked) {
		t.Errorf("%s, lost %v, %v", body, lost, err)
	}
	if body, lost, err := sentTo(t, c, "house/fast", asked); err != nil || len(lost) != 3 ||
		!strings.Contains(body, `"max_completion_tokens":7`) {
		t.Errorf("%s, lost %v, %v", body, lost, err)
	}
}
