package responses

import (
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// counts are the members of a request that its prompt is made of.
var counts = []string{
	"model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation", "parallel_tool_calls",
}

// Count makes of a call one that counts its prompt.
func (completions) Count(_ providers.Exchange, call providers.Call) (providers.Call, bool) {
	var o jsonraw.Object
	for name, value := range jsonraw.Each(call.Body) {
		if slices.Contains(counts, string(name)) {
			o.Raw(string(name), value)
		}
	}
	call.Path, call.Body = call.Path+"/input_tokens", o.Bytes()
	return call, true
}

// Counted reads the answer to it.
func (completions) Counted(body []byte) (int64, bool) { return translate.Counted(body, "input_tokens") }
