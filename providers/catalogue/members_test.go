package catalogue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// judged returns a target of a format, with the classification of its members.
func judged(name string) providers.Target {
	f := formats()[name].adapter()
	return providers.Target{
		Provider: "p", Model: "m", Upstream: "m", Adapter: f, Quirks: f.Quirks,
		Can: providers.Abilities{Stream: true, Tools: true, Vision: true, Audio: true, Documents: true, JSONSchema: true},
	}
}

// holding returns a request that contains the member at a path, with a value.
func holding(t *testing.T, path, value string) providers.Exchange {
	t.Helper()
	body := map[string]any{"model": "m", "messages": []any{map[string]any{
		"role":    "user",
		"content": []any{map[string]any{"type": "text", "text": "x"}},
	}}}
	at, steps := body, strings.Split(path, ".")
	message := func() map[string]any { return body["messages"].([]any)[0].(map[string]any) }
	switch {
	case len(steps) > 1 && steps[0] == "messages" && steps[1] == "content" && len(steps) > 2:
		at, steps = message()["content"].([]any)[0].(map[string]any), steps[2:]
	case len(steps) > 2 && steps[0] == "messages" && steps[1] == "tool_calls":
		call := map[string]any{"id": "c", "type": "function", "function": map[string]any{"name": "f", "arguments": "{}"}}
		message()["role"], message()["tool_calls"] = "assistant", []any{call}
		at, steps = call, steps[2:]
	case steps[0] == "messages":
		at, steps = message(), steps[1:]
	case steps[0] == "tools":
		tool := map[string]any{"type": steps[1]}
		if steps[1] == "function" {
			tool["function"] = map[string]any{"name": "f", "parameters": map[string]any{}}
		}
		body["tools"] = []any{tool}
		at, steps = tool, steps[2:]
	}
	for len(steps) > 1 {
		next, ok := at[steps[0]].(map[string]any)
		if !ok {
			next = make(map[string]any)
			at[steps[0]] = next
		}
		at, steps = next, steps[1:]
	}
	if len(steps) == 1 {
		at[steps[0]] = json.RawMessage(value)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := providers.Chat.Parse(raw, chat.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return providers.Exchange{Operation: providers.Chat, Request: r}
}

// class summarises a verdict in one word.
func class(v providers.Verdict) string {
	switch {
	case len(v.Charged) > 0:
		return "charged"
	case len(v.Unpriced) > 0:
		return "unpriced"
	case len(v.Stored) > 0:
		return "stored"
	case len(v.Selects) > 0:
		return "selects"
	case len(v.Uses) > 0:
		return v.Uses[0].Meter
	case v.Extra > 0:
		return "extends"
	}
	return "free"
}

// TestMembersOfTheFormatsAreClassified goes through all members of the formats. Each format's
// file gives a member's path, its value if that is not text, and the expected class.
func TestMembersOfTheFormatsAreClassified(t *testing.T) {
	files, err := filepath.Glob("testdata/members/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	builtIn := all(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		var target providers.Target
		if model, ok := strings.CutPrefix(name, "at-"); ok { // a provider's model, which uses the provider's own table
			list, _, ok := builtIn.Resolve(strings.Replace(model, "-", "/", 1))
			if !ok {
				t.Fatalf("there is no model %s", model)
			}
			target = list[0]
		} else {
			target = judged(name)
		}
		t.Run(name, func(t *testing.T) {
			for _, line := range lines(t, file) {
				end := strings.LastIndexByte(line, ' ')
				path, want := line[:end], line[end+1:]
				path, value, given := strings.Cut(path, "=")
				if !given {
					value = `"x"`
				}
				v := target.Judge(holding(t, path, value).Request)
				if got := class(v); got != want {
					t.Errorf("%s is %s, want %s", line, got, want)
				}
			}
		})
	}
}

func lines(t *testing.T, file string) (list []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list
}

// TestWhatNoTableKnowsIsNamedWhereItIsSent puts unknown names in every place: whatever reaches a
// provider is in the verdict.
func TestWhatNoTableKnowsIsNamedWhereItIsSent(t *testing.T) {
	const marker = "zz_unheard_of"
	places := []string{
		"", "messages.", "messages.content.", "messages.content.image_url.", "messages.content.input_audio.", "messages.content.file.",
		"messages.content.source.", "messages.tool_calls.", "messages.tool_calls.function.", "messages.audio.",
		"messages.reasoning_details.",
		"tools.function.", "tools.function.function.", "tools.web_search_20250305.", "tools.zz.", "tools.web_search_preview.",
		"tools.code_interpreter.", "tools.code_interpreter.container.", "tools.file_search.", "tools.image_generation.",
		"stream_options.", "audio.", "prediction.", "reasoning.", "thinking.", "web_search_options.", "moderation.",
		"additionalModelRequestFields.", "additionalModelRequestFields.inferenceConfig.", "performanceConfig.", "guardrailConfig.",
		"options.", "google.", "thinking_config.", "output_config.", "context_management.", "container.", "provider.", "models.",
		"usage.", "documents.", "safety_settings.", "image_config.", "speech_config.",
	}
	sent := 0
	for _, name := range adapterNames() {
		target := judged(name)
		for _, place := range places {
			x := holding(t, place+marker, `"`+marker+`"`)
			x.Target = target
			call, err := providers.Encode(x)
			if err != nil || !bytes.Contains(call.Body, []byte(marker)) {
				continue
			}
			sent++
			if v := target.Judge(x.Request); len(v.Unpriced)+len(v.Stored)+len(v.Selects) == 0 && !opaque(place) {
				t.Errorf("%s: %s%s is sent, and the verdict is %+v: %s", name, place, marker, v, call.Body)
			}
		}
	}
	if sent < 40 {
		t.Errorf("only %d were sent: the test does not test much", sent)
	}
}

// opaque reports members whose contents cost nothing, whatever they are.
func opaque(place string) bool {
	return slices.Contains([]string{
		"messages.reasoning_details.", "prediction.", "thinking_config.", "documents.", "safety_settings.",
		"speech_config.", "image_config.",
	}, place)
}

func TestOrdinaryRequestsAreJudgedWithoutMemory(t *testing.T) {
	const body = `{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":[{"type":"text","text":"x"},` +
		`{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}]}],"temperature":0.2,"max_tokens":9,` +
		`"stream":true,` +
		`"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],` +
		`"user":"u"}`
	r, err := providers.Chat.Parse([]byte(body), chat.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range adapterNames() {
		target := judged(name)
		if v := target.Judge(r); class(v) != "free" {
			t.Errorf("%s: %+v", name, v)
		}
		if n := testing.AllocsPerRun(100, func() { target.Judge(r) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What names models, accounts or stored things needs the right to, in any spelling, and in tools that
// no table has.
func TestNamesNeedRightsInAnySpelling(t *testing.T) {
	builtIn := all(t)
	at := func(model string) providers.Target {
		list, _, ok := builtIn.Resolve(model)
		if !ok {
			t.Fatalf("there is no model %s", model)
		}
		return list[0]
	}
	targets := map[string]providers.Target{
		"openai": judged("openai"), "mistral": judged("mistral"), "azure": judged("azure"),
		"openrouter": at("openrouter/gpt-oss-20b"), "vercel": at("vercel/claude-opus-4"), "xai": at("xai/grok-4.5"),
	}
	for _, tt := range []struct {
		provider, path, value string
		want                  providers.Class
	}{
		{"openai", "file_ids", `["f"]`, providers.Stored},
		{"openai", "fileIds", `["f"]`, providers.Stored},
		{"openai", "File_IDs", `["f"]`, providers.Stored},
		{"openai", "previousResponseId", `"r"`, providers.Stored},
		{"openai", "vectorStoreIds", `["v"]`, providers.Stored},
		{"openai", "cachedContent", `"c"`, providers.Stored},
		{"openai", "messages.content.file.fileId", `"f"`, providers.Stored},
		{"openai", "messages.content.FileID", `"f"`, providers.Stored},
		{"openai", "Fallbacks", `["x"]`, providers.Selects},
		{"openai", "modelList", `["x"]`, providers.Selects},
		{"openai", "Draft-Model", `"x"`, providers.Selects},
		{"openai", "adapterId", `"x"`, providers.Selects},
		{"azure", "dataSources", `[{"type":"azure_search"}]`, providers.Stored},
		{"vercel", "ProviderOptions", `{"gateway":{"models":["x"]}}`, providers.Selects},
		{"mistral", "tools.document_library.library_ids", `["x"]`, providers.Stored},
		{"xai", "tools.collections_search.collection_ids", `["x"]`, providers.Stored},
		{"openai", "tools.surprise.where", `{"storeID":"x"}`, providers.Stored},
		{"openrouter", "tools.openrouter:Advisor.parameters", `{"model":"x"}`, providers.Selects},
		{"openai", "tools.surprise.parameters", `{"with":[{"Models":["x"]}]}`, providers.Selects},
		{"openai", "tools.surprise.parameters", `{"valid":1,"grid":2}`, ""},
		{"openai", "user_id", `"x"`, ""},
		{"openai", "session_id", `"x"`, ""},
		{"openai", "requestId", `"x"`, ""},
	} {
		target := targets[tt.provider]
		v := target.Judge(holding(t, tt.path, tt.value).Request)
		without, with := v.Bar(providers.Rights{Models: true}, &target), v.Bar(providers.Rights{Stored: true}, &target)
		if with != nil || (without == nil) != (tt.want == "") || without != nil && without.Class != tt.want {
			t.Errorf("%s: %s=%s is %+v without rights and %+v with them, want %q", tt.provider, tt.path, tt.value, without, with, tt.want)
		}
	}
}
