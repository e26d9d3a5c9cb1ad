package providers

import (
	"slices"
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// How a model can be told to sample, where not in every way.
const (
	SamplingNever      = "never"      // only as it does by default
	SamplingUnreasoned = "unreasoned" // while it does not reason
	SamplingSingle     = "single"     // by temperature or top_p, not both, while it does not reason
	SamplingAny        = "any"        // in every way, though others of its family cannot
)

// What is special about a model that reasons.
const (
	ReasonsAlways    = "always"
	ForcedUnreasoned = "unreasoned"
	ForcedAny        = "any" // though others of its provider refuse it
)

// Whether web_search_options leads to a search.
const (
	SearchNever = "never"
	SearchAny   = "any" // it does, though not at other models of the provider

	searchMember = "web_search_options"
)

// efforts are the levels that there are, from the lowest on.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

// sampling are the members that say how to sample.
var sampling = []string{"temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"}

// taken is the value that the provider takes instead of one that it refuses, "" where
// it takes that one.
func (p *pass) taken(name, value []byte) string {
	if string(name) == effortMember && len(p.q.Efforts) > 0 {
		return p.q.effort(jsonraw.Text(value))
	}
	if b, ok := p.q.Bounds[string(name)]; ok {
		return b.clamp(value)
	}
	return ""
}

const effortMember = "reasoning_effort"

// effort is the level, as JSON, in place of one that the model refuses. What is no
// level is left to the provider.
func (q *Quirks) effort(asked string) string {
	rank := slices.Index(efforts, asked)
	if rank < 0 || slices.Contains(q.Efforts, asked) {
		return ""
	}
	for _, level := range q.Efforts {
		if slices.Index(efforts, level) > rank {
			return strconv.Quote(level)
		}
	}
	return strconv.Quote(q.Efforts[len(q.Efforts)-1])
}

// fixed reports a member that says how to sample, of a model that cannot be told.
func (p *pass) fixed(name []byte) bool {
	if p.q.Sampling == "" || p.q.Sampling == SamplingAny || !has(sampling, name) {
		return false
	}
	if p.q.Sampling == SamplingNever || p.toReason() {
		return true
	}
	return p.q.Sampling == SamplingSingle && string(name) == "top_p" && !jsonraw.IsNull(p.r.Get("temperature"))
}

// loseSampling takes a member out. A temperature or a top_p of 1 asks for what
// happens anyway.
func (p *pass) loseSampling(name, value []byte) {
	if one, err := strconv.ParseFloat(string(value), 64); err == nil && one == 1 && !chat.Idle(name, value) {
		if n := string(name); n == "temperature" || n == "top_p" {
			p.forget(name)
			return
		}
	}
	p.lose(name, value)
}

// callMembers adds to a message with calls what it must have.
func (p *pass) callMembers(raw []byte, sets []jsonraw.Member) []jsonraw.Member {
	if calls := jsonraw.Lookup(raw, "tool_calls"); !jsonraw.IsArray(calls) || jsonraw.IsEmptyArray(calls) {
		return sets
	}
	for _, name := range p.q.CallMembers {
		if jsonraw.IsNull(jsonraw.Lookup(raw, name)) {
			sets = append(sets, jsonraw.Member{Name: name, Value: []byte(`""`)})
		}
	}
	return sets
}
