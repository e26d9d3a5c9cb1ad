package main

import (
	"fmt"
	"strings"
	"testing"
)

// faithful is a request that other gateways have been seen to translate wrongly, and what is
// right.
type faithful struct {
	name  string
	model string
	body  string   // after the model
	path  string   // "" is chat completions
	as    string   // the provider's answer; "" is a short one
	code  int      // of our answer; 0 is 200
	sent  []string // parts of what the provider is sent; with "!" before them, what is not in it
	got   []string // the same for the client's answer
}

const (
	askWeather = `{"role":"user","content":"weather?"}`
	oneTool    = `"tools":[{"type":"function","function":{"name":"w","parameters":{"type":"object",` +
		`"properties":{"c":{"type":"string"}}}}}]`
	twoTools = `"tools":[{"type":"function","function":{"name":"w","parameters":{"type":"object",` +
		`"properties":{"c":{"type":"string"}}}}},` +
		`{"type":"function","function":{"name":"v","parameters":{"type":"object","properties":{"c":{"type":"string"}}}}}]`
	madeCall = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_abcdefghijklmnop","type":"function",` +
		`"function":{"name":"w","arguments":"{\"c\":\"x\"}"}}]}`
	itsResult = `{"role":"tool","tool_call_id":"call_abcdefghijklmnop","content":"warm"}`
	loop      = `"messages":[` + askWeather + `,` + madeCall + `,` + itsResult + `]`
	twoCalls  = `{"role":"assistant","content":"Let me see.","tool_calls":[{"id":"a","type":"function","function":{"name":"w",` +
		`"arguments":"{}"}},` +
		`{"id":"b","type":"function","function":{"name":"v","arguments":"{\"c\":\"y\"}"}}]},{"role":"tool","tool_call_id":"a",` +
		`"content":"1"},` +
		`{"role":"tool","tool_call_id":"b","content":"2"}`
	hi = `"messages":[{"role":"user","content":"hi"}]`
	// Reasoning that another provider has signed.
	foreign  = `"reasoning_details":[{"type":"reasoning.text","text":"hm","signature":"Z2VtaW5p","format":"google-gemini-v1","index":0}],`
	redPixel = `iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC`
)

// picture is a message with a picture.
func picture(url string) string {
	return `"messages":[{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url","image_url":{"url":"` +
		url + `"}}]}]`
}

func schemaOf(inner string) string {
	return hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":` + inner + `}}`
}

func toolOf(inner, more string) string {
	return hi + `,"tools":[{"type":"function","function":{"name":"w",` + more + `"parameters":` + inner + `}}]`
}

// manyStrict are as many strict tools as are asked for, each with one parameter that may be null.
func manyStrict(n int) string {
	var tools []string
	for i := range n {
		tools = append(tools, fmt.Sprintf(`{"type":"function","function":{"name":"t%d","strict":true,"parameters":{"type":"object",`+
			`"properties":{"a":{"type":["string","null"]}},"required":["a"],"additionalProperties":false}}}`, i))
	}
	return hi + `,"tools":[` + strings.Join(tools, ",") + `]`
}

func TestRequestsThatProvidersRefuseInOtherHandsAreTakenFromOurs(t *testing.T) {
	u, g := exactly(t)
	for _, c := range faithfulRequests {
		t.Run(c.name+" to "+c.model, func(t *testing.T) { g.faithful(t, u, c) })
	}
}

func TestAnswersThatOthersDistortAreToldAsTheyAre(t *testing.T) {
	u, g := exactly(t)
	for _, c := range faithfulAnswers {
		t.Run(c.name+" from "+c.model, func(t *testing.T) { g.faithful(t, u, c) })
	}
}

// exactly starts the program in front of exacting upstreams.
func exactly(t *testing.T) (*exacting, *attackTarget) {
	t.Helper()
	u := newExacting(t)
	providers := "providers:\n"
	for name := range shortAnswers {
		more := ""
		switch name {
		case "bedrock":
			more = ", variables: {region: us-east-1}"
		case "azure":
			more = ", variables: {resource: r}"
		case "vertex":
			more = ", variables: {project: p, location: l}"
		case "ollama":
			more = `, models: [{id: llava, context: 8192, max_output: 4096, can: [tools, vision, reasoning],` +
				` prices: [{since: 2026-01-01, prompt: "0", completion: "0"}]}]`
		}
		providers += fmt.Sprintf("  %s: {base_url: \"%s/%s\", private: true, auth: {kind: bearer, secret: \"file:CREDENTIAL\"}%s}\n",
			name, u.url, name, more)
	}
	g := &attackTarget{t: t, out: &attackOutput{}}
	g.start(providers)
	return u, g
}

func (g *attackTarget) faithful(t *testing.T, u *exacting, c faithful) {
	t.Helper()
	g.t = t
	provider, _, _ := strings.Cut(c.model, "/")
	u.answer(provider, c.as)
	path := c.path
	if path == "" {
		path = "/v1/chat/completions"
	}
	r := g.ask("POST", path, strings.NewReader(`{"model":"`+c.model+`",`+c.body+`}`))
	want := c.code
	if want == 0 {
		want = 200
	}
	if r.status != want {
		t.Fatalf("%d %s\nsent %s", r.status, r.body, u.last())
	}
	for where, parts := range map[string][]string{u.last(): c.sent, r.body + " " + r.header.Get("X-Tallyroute-Dropped"): c.got} {
		for _, part := range parts {
			absent, not := strings.CutPrefix(part, "!")
			if strings.Contains(where, absent) == not {
				t.Errorf("%s\nshould have %s", where, part)
			}
		}
	}
}

var faithfulRequests = []faithful{
	{name: "a call that was cut from its result", model: "anthropic/claude-sonnet-4.5", body: `"messages":[` + askWeather + `,` +
		madeCall + `,` + askWeather + `],` + oneTool},
	{name: "a result that was cut from its call", model: "anthropic/claude-sonnet-4.5", body: `"messages":[` + itsResult + `,` +
		askWeather + `],` + oneTool},
	{name: "two results for one call", model: "anthropic/claude-sonnet-4.5", body: `"messages":[` + askWeather + `,` + madeCall +
		`,` + itsResult + `,` + itsResult + `],` + oneTool},
	{
		name: "temperature beside top_p", model: "anthropic/claude-sonnet-4.5", body: hi + `,"temperature":0.7,"top_p":0.9`,
		got: []string{"top_p"},
	},
	{
		name: "temperature beside top_p", model: "bedrock/claude-sonnet-4.5", body: hi + `,"temperature":0.7,"top_p":0.9`,
		got: []string{"top_p"},
	},
	{name: "thinking after an unsigned call", model: "anthropic/claude-sonnet-4.5", body: loop + `,"reasoning_effort":"high",` + oneTool},
	{name: "a budget of thinking after an unsigned call", model: "anthropic/claude-sonnet-4.5", body: loop + `,` +
		`"thinking":{"type":"enabled","budget_tokens":2048},"max_tokens":8000,` + oneTool},
	{name: "reasoning signed by another", model: "anthropic/claude-opus-4.5", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant",` + foreign + `"content":"w"},` + askWeather + `],"reasoning_effort":"low"`},
	{name: "a call signed by another", model: "anthropic/claude-opus-4.5", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant",` + foreign + madeCall[len(`{"role":"assistant",`):] + `,` + itsResult + `],` +
		`"reasoning_effort":"low",` + oneTool},
	{name: "a forced tool while thinking", model: "anthropic/claude-sonnet-4.5", body: hi + `,"reasoning_effort":"high",` +
		`"tool_choice":{"type":"function","function":{"name":"w"}},` + oneTool},
	{name: "effort of a model that thinks adaptively", model: "anthropic/claude-opus-4.7", body: hi + `,` +
		`"reasoning_effort":"high"`, sent: []string{`"adaptive"`, `"effort":"high"`}},
	{name: "a budget of a model that thinks adaptively", model: "anthropic/claude-opus-4.7", body: hi + `,` +
		`"thinking":{"type":"enabled","budget_tokens":4096},"temperature":0.3,"top_k":5`, sent: []string{`"adaptive"`, `!budget_tokens`}},
	{name: "a small bound while thinking", model: "anthropic/claude-sonnet-4.5", body: hi + `,"reasoning_effort":"high",` +
		`"max_tokens":900`},
	{name: "allowed tools", model: "anthropic/claude-sonnet-4.6", body: hi + `,"parallel_tool_calls":false,` +
		`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function",` +
		`"function":{"name":"w"}}]}},` + twoTools, sent: []string{`"w"`, `!"v"`, `"disable_parallel_tool_use":true`}},
	{
		name: "allowed tools", model: "mistral/mistral-large-2512", body: hi + `,"tool_choice":{"type":"allowed_tools",` +
			`"allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"w"}}]}},` + twoTools,
		sent: []string{`"name":"w"`, `!"name":"v"`, `"tool_choice":"required"`},
	},
	{
		name: "allowed tools", model: "groq/gpt-oss-120b", body: hi + `,"tool_choice":{"type":"allowed_tools",` +
			`"allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"v"}}]}},` + twoTools,
		sent: []string{`!"name":"w"`, `"name":"v"`, `"tool_choice":"auto"`},
	},
	{
		name: "allowed tools", model: "xai/grok-4.5", body: hi + `,"tool_choice":{"type":"allowed_tools",` +
			`"allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"v"}}]}},` + twoTools,
		sent: []string{`!"name":"w"`},
	},
	{
		name: "allowed tools", model: "openai/gpt-5.4", body: hi + `,"tool_choice":{"type":"allowed_tools",` +
			`"allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"v"}}]}},` + twoTools,
		sent: []string{`"allowed_tools"`, `"name":"w"`},
	},
	{
		name: "a tool whose parameters have no type", model: "anthropic/claude-sonnet-4.6",
		body: toolOf(`{"properties":{"a":{"type":"string"}}}`, ""),
	},
	{name: "a tool whose parameters may be null", model: "anthropic/claude-sonnet-4.6", body: toolOf(`{"type":["object","null"],`+
		`"properties":{"a":{"type":"string"}}}`, "")},
	{name: "a tool whose parameters may be null", model: "google/gemini-2.5-flash", body: toolOf(`{"type":["object","null"],`+
		`"properties":{"a":{"type":"string"}}}`, "")},
	{name: "a tool without parameters", model: "anthropic/claude-sonnet-4.6", body: hi + `,"tools":[{"type":"function",` +
		`"function":{"name":"w"}}]`},
	{name: "a tool with empty parameters", model: "anthropic/claude-sonnet-4.6", body: toolOf(`{}`, "")},
	{name: "alternatives at the top of a tool", model: "anthropic/claude-sonnet-4.6", body: toolOf(`{"type":"object",`+
		`"anyOf":[{"properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"type":"string"}}}]}`, "")},
	{name: "a name with dots and slashes", model: "anthropic/claude-sonnet-4.6", body: hi + `,"tools":[{"type":"function",` +
		`"function":{"name":"srv.x/do","parameters":{"type":"object","properties":{}}}}]`},
	{name: "an empty text", model: "anthropic/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,{"role":"assistant",` +
		`"content":""},{"role":"user","content":[{"type":"text","text":""},{"type":"text","text":"so?"}]}]`},
	{name: "white space of the assistant", model: "anthropic/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":"\n\n"},` + askWeather + `]`},
	{name: "a beginning with a space at its end", model: "anthropic/claude-haiku-4.5", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":"It is "}]`},
	{name: "more than one answer", model: "anthropic/claude-sonnet-4.6", body: hi + `,"n":2`, code: 400, got: []string{`"param":"n"`}},
	{name: "no answer", model: "anthropic/claude-sonnet-4.6", body: hi + `,"n":0`, code: 400},
	{
		name: "more strict tools than the grammar has room for", model: "anthropic/claude-sonnet-4.6", body: manyStrict(30),
		got: []string{"tools.strict"},
	},
	{name: "bounds in a strict schema", model: "anthropic/claude-sonnet-4.6", body: schemaOf(`{"type":"object",` +
		`"properties":{"a":{"type":"integer","minimum":1,"maximum":5},"b":{"type":"array","minItems":2,"maxItems":3,` +
		`"uniqueItems":true,"items":{"type":"string","minLength":1,"maxLength":9,"pattern":"^(?=a)"}}},"required":["a","b"],` +
		`"additionalProperties":false}`), got: []string{"response_format.minimum", "response_format.maxLength"}},
	{name: "references in a strict schema", model: "anthropic/claude-sonnet-4.6", body: schemaOf(`{"type":"object",` +
		`"properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"additionalProperties":false,"$defs":{"A":{"type":"object",` +
		`"properties":{"x":{"type":"number","multipleOf":2}},"required":["x"],"additionalProperties":false}}}`)},

	{name: "an unsigned call", model: "google/gemini-3.1-pro-preview", body: loop + `,` + oneTool},
	{name: "two unsigned calls", model: "google/gemini-3-flash-preview", body: `"messages":[` + askWeather + `,` + twoCalls + `],` +
		`` + twoTools},
	{name: "two calls at once", model: "google/gemini-2.5-flash", body: `"messages":[` + askWeather + `,` + twoCalls + `],` +
		twoTools, sent: []string{`!"role":"function"`}},
	{name: "two calls at once, a user between the results", model: "google/gemini-2.5-flash", body: `"messages":[` + askWeather +
		`,` + strings.Replace(twoCalls, `,{"role":"tool","tool_call_id":"b"`, `,{"role":"user","content":"and?"},{"role":"tool",`+
		`"tool_call_id":"b"`, 1) + `],` + twoTools},
	{
		name: "keywords of other schemas", model: "google/gemini-2.5-flash",
		body: toolOf(`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"object",`+
			`"propertyNames":{"type":"string"},"additionalProperties":{"type":"string"}},"b":{"type":"array","uniqueItems":true,`+
			`"items":{"type":"string","minLength":1,"pattern":"^x"}},"c":{"const":"k"},"d":{"oneOf":[{"type":"string"},`+
			`{"type":"null"}]},"e":{"type":"string","examples":["z"],"default":"z"}},"required":["a","zz"],`+
			`"additionalProperties":false}`, ""), got: []string{"tools.uniqueItems", "tools.propertyNames"},
	},
	{name: "numbers to choose from", model: "google/gemini-2.5-flash", body: toolOf(`{"type":"object",`+
		`"properties":{"n":{"type":"integer","enum":[60,1440]},"b":{"enum":[true,null]}}}`, "")},
	{
		name: "a tool without parameters", model: "google/gemini-2.5-flash", body: toolOf(`{"type":"object","properties":{}}`, ""),
		sent: []string{`!"parameters"`},
	},
	{
		name: "a forced tool without a type", model: "google/gemini-2.5-flash",
		body: toolOf(`{"properties":{"a":{"type":"string"}}}`, "") + `,"tool_choice":"required"`,
	},
	{
		name: "tools beside a schema", model: "google/gemini-3-flash-preview", body: schemaOf(`{"type":"object",`+
			`"properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`) + `,` + oneTool,
		sent: []string{"responseJsonSchema"},
	},
	{
		name: "tools beside a schema", model: "google/gemini-2.5-flash", got: []string{"response_format"},
		body: schemaOf(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`) +
			`,` + oneTool,
	},
	{name: "nothing but a system message", model: "google/gemini-2.5-flash", body: `"messages":[{"role":"system","content":"say hi"}]`},
	{name: "an answer without content", model: "google/gemini-2.5-flash", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":""},{"role":"user","content":[]},` + askWeather + `]`},

	{name: "calls and no tools", model: "bedrock/claude-sonnet-4.6", body: loop},
	{name: "calls and tools switched off", model: "bedrock/claude-sonnet-4.6", body: loop + `,"tool_choice":"none",` + oneTool},
	{name: "an empty answer", model: "bedrock/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,{"role":"assistant",` +
		`"content":""},{"role":"user","content":"go on"}]`},
	{name: "an answer of white space", model: "bedrock/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":"\n\n"},{"role":"user","content":"go on"}]`},
	{name: "an empty part", model: "bedrock/claude-sonnet-4.6", body: `"messages":[{"role":"user","content":[{"type":"text",` +
		`"text":""},{"type":"text","text":"so?"}]}]`},
	{name: "an empty result", model: "bedrock/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,` + madeCall + `,` +
		`{"role":"tool","tool_call_id":"call_abcdefghijklmnop","content":""}],` + oneTool},
	{name: "unsigned reasoning and nothing else", model: "bedrock/claude-sonnet-4.6", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","reasoning_content":"hm","content":""},` + askWeather + `]`},
	{name: "a picture called jpg", model: "bedrock/claude-sonnet-4.6", body: picture("data:image/jpg;base64," + redPixel)},
	{
		name: "a drawing", model: "bedrock/claude-sonnet-4.6", body: picture("data:image/svg+xml;base64,PHN2Zy8+"), code: 400,
		got: []string{"messages[0].content[1]"},
	},

	{name: "a user after a result", model: "mistral/mistral-large-2512", body: `"messages":[` + askWeather + `,` + madeCall + `,` +
		`` + itsResult + `,` + askWeather + `],` + oneTool},
	{name: "a user after a result", model: "openrouter/mistral-large-2512", body: `"messages":[` + askWeather + `,` + madeCall +
		`,` + itsResult + `,` + askWeather + `],` + oneTool},
	{name: "a foreign id", model: "mistral/mistral-large-2512", body: loop + `,` + oneTool},
	{name: "a foreign id", model: "openrouter/mistral-large-2512", body: loop + `,` + oneTool},
	{name: "an answer that was begun", model: "mistral/mistral-large-2512", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":"It is"}]`},
	{name: "members of others in the history", model: "mistral/mistral-large-2512", body: `"messages":[` + askWeather + `,` +
		`{"role":"assistant","content":"w","refusal":null,"annotations":[],"reasoning_content":"hm","audio":null},` +
		askWeather + `],"store":false`},

	{name: "reasoning in the history", model: "groq/gpt-oss-120b", body: `"messages":[` + askWeather + `,{"role":"assistant",` +
		`"content":"w","reasoning_content":"hm","refusal":null},` + askWeather + `]`},
	{name: "an answer that shall be stored", model: "groq/llama-3.3-70b", body: hi + `,"store":true`, got: []string{"store"}},
	{name: "an answer that shall not be stored", model: "groq/llama-3.3-70b", body: hi + `,"store":false`, got: []string{"!store"}},
	{
		name: "penalties", model: "xai/grok-4.5", body: hi + `,"presence_penalty":0.5,"frequency_penalty":0.1,"stop":["x"]`,
		got: []string{"presence_penalty", "stop"},
	},
	{name: "penalties of nothing", model: "xai/grok-4.3", body: hi + `,"presence_penalty":0,"frequency_penalty":0`},
	{name: "a call without its reasoning", model: "deepseek/deepseek-v4-pro", body: loop + `,` + oneTool},
	{name: "a call without content", model: "deepseek/deepseek-v4-flash", body: `"messages":[` + askWeather + `,` +
		strings.Replace(madeCall, `"content":null,`, ``, 1) + `,` + itsResult + `],` + oneTool},
	{name: "a call with its reasoning", model: "deepseek/deepseek-v4-pro", body: `"messages":[` + askWeather + `,` +
		strings.Replace(madeCall, `"content":null`, `"content":null,"reasoning_content":"because"`, 1) + `,` + itsResult + `],` +
		oneTool, sent: []string{"because"}},
	{name: "a call without its reasoning", model: "moonshot/kimi-k2.6", body: loop + `,` + oneTool},
	{name: "a forced tool", model: "moonshot/kimi-k2.6", body: hi + `,"tool_choice":"required",` + oneTool},
	{name: "effort beside thinking", model: "moonshot/kimi-k2.6", body: hi + `,"reasoning_effort":"medium",` +
		`"thinking":{"type":"enabled"}`},
	{name: "the older bound", model: "azure/gpt-5", body: hi + `,"max_tokens":50,"temperature":0.2`, got: []string{"temperature"}},
	{name: "the older bound", model: "openai/gpt-5-mini", body: hi + `,"max_tokens":50,"temperature":0.2`, got: []string{"temperature"}},

	{name: "words before a call", model: "cohere/command-a-03-2025", body: `"messages":[` + askWeather + `,` + twoCalls + `],` +
		twoTools, sent: []string{`"tool_plan":"Let me see."`}},
	{
		name: "a schema", model: "cohere/command-a-03-2025", body: schemaOf(`{"type":"object","properties":{"a":{"type":"string",` +
			`"pattern":"^[A-Z]{3}$","minLength":3},"b":{"type":"object","properties":{"c":{"type":"integer","minimum":1}}},` +
			`"d":{"type":"string","format":"email"}},"required":["a"],"additionalProperties":false}`),
		sent: []string{`"pattern":"[A-Z]{3}"`}, got: []string{
			"response_format.minimum", "response_format.minLength",
			"response_format.format",
		},
	},
	{
		name: "strict tools", model: "cohere/command-a-03-2025", body: toolOf(`{"type":"object",`+
			`"properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`, `"strict":true,`),
		got: []string{"tools.strict"},
	},
	{name: "strict tools", model: "cohere/command-r7b-12-2024", body: toolOf(`{"type":"object",`+
		`"properties":{"a":{"type":"string"}},"additionalProperties":false}`, `"strict":true,`), sent: []string{`"strict_tools":true`}},

	{name: "a picture", model: "ollama/llava", body: picture("data:image/png;base64," + redPixel), sent: []string{`"` + redPixel + `"`}},
	{
		name: "a picture elsewhere", model: "ollama/llava", body: picture("https://example.org/a.png"), code: 400,
		got: []string{"messages[0].content[1]"},
	},
	{name: "a call", model: "ollama/llava", body: loop + `,"max_tokens":77,` + oneTool, sent: []string{`"num_predict":77`}},
}
