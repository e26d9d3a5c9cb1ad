package responses

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// counts lists the members of a request that make up its prompt.
var counts = []string{
	"model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "truncation", "parallel_tool_calls",
}

// Count turns a call into one that only counts the tokens of its prompt.
func (completions) Count(_ providers.Exchange, call providers.Call) (providers.Call, bool) {
	o := translate.Only(call.Body, counts...)
	call.Path, call.Body = call.Path+"/input_tokens", o.Bytes()
	return call, true
}

// Counted reads the token count from the response to a counting call.
func (completions) Counted(body []byte) (int64, bool) { return translate.Counted(body, "input_tokens") }
