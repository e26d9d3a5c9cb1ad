package chat

import (
	"bytes"
	"slices"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// idle are the values of members that ask for what happens anyway.
var idle = map[string][]string{
	"n":                   {"1"},
	"parallel_tool_calls": {"true"},
	"logprobs":            {"false"},
	"top_logprobs":        {"0"},
	"store":               {"false"},
	"frequency_penalty":   {"0"},
	"presence_penalty":    {"0"},
	"logit_bias":          {"{}"},
	"metadata":            {"{}"},
	"service_tier":        {`"auto"`, `"default"`},
	"tools":               {"[]"},
	"stop":                {"[]"},
	"modalities":          {`["text"]`},
	"verbosity":           {`"medium"`},
}

// Idle reports a value of a top-level member that asks for what happens anyway, so
// that nothing is lost where it is left out: null is one of every member.
func Idle(name, value []byte) bool {
	if jsonraw.IsNull(value) {
		return true
	}
	values := idle[string(name)]
	if len(values) == 0 {
		return false
	}
	if f, err := strconv.ParseFloat(string(value), 64); err == nil {
		value = strconv.AppendFloat(nil, f, 'f', -1, 64) // 0.0 is 0
	}
	return slices.Contains(values, string(bytes.TrimPrefix(jsonraw.Compact(value), []byte("-"))))
}
