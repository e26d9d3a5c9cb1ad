package openai_test

import (
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
)

// Azure accepts less in strict schemas than OpenAI does, and Mistral requires objects to be
// closed. Schemas that are not strict stay as they are.
func TestStrictSchemas(t *testing.T) {
	const open = `{"type":"object","properties":{"a":{"type":"string","minLength":2}},"required":["a"]}`
	const closed = `{"type":"object","properties":{"a":{"type":"string","minLength":2}},"required":["a"],"additionalProperties":false}`
	const azure = `{"type":"object","properties":{"a":{"type":"string","description":"(minLength: 2)"}},"required":["a"],` +
		`"additionalProperties":false}`
	format := func(schema, strict string) string {
		return `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":` + schema + strict + `}}`
	}
	tools := func(schema, strict string) string {
		return `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + strict + `}}]`
	}
	for _, c := range []struct {
		adapter  providers.Adapter
		from, to string
		lost     string
	}{
		{openai.Azure(), format(open, `,"strict":true`), format(azure, `,"strict":true`), "response_format.minLength"},
		{openai.Azure(), tools(open, `,"strict":true`), tools(azure, `,"strict":true`), "tools.minLength"},
		{openai.Azure(), tools(open, `,"strict":false`), tools(open, `,"strict":false`), ""},
		{openai.Azure(), format(open, ""), format(open, ""), ""},
		{openai.Mistral(), format(open, `,"strict":true`), format(closed, `,"strict":true`), ""},
		{openai.Mistral(), tools(open, `,"strict":true`), tools(closed, `,"strict":true`), ""},
		{openai.New(), format(open, `,"strict":true`), format(open, `,"strict":true`), ""},
	} {
		const head = `{"model":"m","messages":[{"role":"user","content":"hi"}],`
		r, err := chat.ParseRequest([]byte(head + c.from + "}"))
		if err != nil {
			t.Fatal(err)
		}
		call, err := providers.Encode(providers.Exchange{Target: providers.Target{
			Upstream: "m", Adapter: c.adapter,
			Quirks: c.adapter.Quirks,
		}, Request: r})
		if err != nil || string(call.Body) != head+c.to+"}" || strings.Join(call.Dropped, " ") != c.lost {
			t.Errorf("%s: sent %s, dropped %q, %v", c.from, call.Body, call.Dropped, err)
		}
	}
}
