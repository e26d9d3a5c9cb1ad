package providers

import (
	"slices"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// needed are the members without which an answer is another one than was asked for.
var needed = []string{
	searchMember, "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls", "response_format", "n",
	"modalities", "audio",
	"logprobs", "top_logprobs",
}

// Needed are those members of r without which the answer would be another one.
func Needed(r *chat.Request) (names []string) {
	for _, name := range needed {
		value := r.Get(name)
		if value == nil || chat.Idle([]byte(name), value) || name == "tool_choice" && jsonraw.Text(value) == "auto" {
			continue
		}
		names = append(names, name)
	}
	return names
}

// Loses is the first of names that t could not do: that its quirks refuse, leave out or
// bring down to what happens anyway; "" if there is none.
func (t *Target) Loses(names []string) string {
	q := &t.Quirks
	i := slices.IndexFunc(names, func(name string) bool {
		return q.refuses([]byte(name)) || !t.Sends(name) || name == "n" && q.Bounds[name].Max == "1" ||
			q.Sampling == SamplingNever && slices.Contains(sampling, name)
	})
	if i < 0 {
		return ""
	}
	return names[i]
}
