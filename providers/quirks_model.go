package providers

import (
	"maps"
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
	ReasonsAsked     = "asked" // it does so only where it is asked to
	ForcedUnreasoned = "unreasoned"
	ForcedAny        = "any" // though others of its provider refuse it
)

// What is special about a model's history.
const (
	PrefillNever = "never"
	PrefillAny   = "any"               // though others of its family do not go on
	SignDetails  = "reasoning_details" // where signatures stand in this member, as OpenRouter has them

	// GoOn asks on behalf of the user for the rest of an answer.
	GoOn = "Continue this answer exactly where it stops, without repeating any of it."

	// unsigned is what Google takes in place of a signature.
	unsigned = "skip_thought_signature_validator"
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
	for _, name := range p.q.CallMembers {
		if jsonraw.IsNull(jsonraw.Lookup(raw, name)) {
			sets = append(sets, jsonraw.Member{Name: name, Value: []byte(`""`)})
		}
	}
	return sets
}

// signCalls adds to a message whose calls nobody has signed the mark of each of them.
func (p *pass) signCalls(raw, calls []byte, sets []jsonraw.Member) []jsonraw.Member {
	if p.q.SignCalls == "" {
		return sets
	}
	var list [][]byte
	for detail := range jsonraw.Elements(jsonraw.Lookup(raw, p.q.SignCalls)) {
		if jsonraw.Text(jsonraw.Lookup(detail, "type")) == "reasoning.encrypted" {
			return sets
		}
		list = append(list, detail)
	}
	for call := range jsonraw.Elements(calls) {
		var o jsonraw.Object
		o.Text("type", "reasoning.encrypted")
		o.Text("data", unsigned)
		o.Text("format", "google-gemini-v1")
		o.Text("id", jsonraw.Text(jsonraw.Lookup(call, "id")))
		o.Raw("index", strconv.AppendInt(nil, int64(len(list)), 10))
		list = append(list, o.Bytes())
	}
	return append(sets, jsonraw.Member{Name: p.q.SignCalls, Value: jsonraw.Array(list)})
}

// prefilled reports a conversation that ends in an answer that has been begun.
func (p *pass) prefilled() bool {
	var last chat.Message
	for m := range p.r.Messages() {
		last = m
	}
	if last.Raw == nil || last.Role.String() != "assistant" {
		return false
	}
	calls := jsonraw.Lookup(last.Raw, "tool_calls")
	return !jsonraw.IsArray(calls) || jsonraw.IsEmptyArray(calls)
}

// alternates reports a conversation in which user and assistant take turns behind the
// system. Tools answer for the user.
func alternates(r *chat.Request) bool {
	last := "system"
	for m := range r.Messages() {
		role := m.Role.String()
		if role == "developer" {
			role = "system"
		}
		if role == last && role != "system" && role != "tool" || role == "system" && last != role || last == "tool" && role == "user" {
			return false
		}
		last = role
	}
	return true
}

// alternate makes one message of what one side says in several, and lets the user say
// what the system says later on.
func (p *pass) alternate(list [][]byte) [][]byte {
	var out [][]byte
	last := "system"
	for _, raw := range list {
		role := jsonraw.Text(jsonraw.Lookup(raw, "role"))
		if role == "developer" {
			role = "system"
		}
		if role == "system" && last != role {
			role = "user"
			raw = jsonraw.Edit(raw, []jsonraw.Member{{Name: "role", Value: jsonraw.Quote(role)}})
			p.lost = append(p.lost, "messages.role")
		}
		switch {
		case role == last && (role == "user" || role == "assistant") && jsonraw.Lookup(out[len(out)-1], "tool_calls") == nil:
			out[len(out)-1] = together(out[len(out)-1], raw)
			continue
		case role == "user" && last == "tool":
			out = append(out, []byte(`{"role":"assistant","content":"OK."}`))
		}
		out, last = append(out, raw), role
	}
	return out
}

// together is the second message behind the first: its content, and what else it has.
func together(first, second []byte) []byte {
	sets := []jsonraw.Member{{Name: "content", Value: jsonraw.Array(append(parts(first), parts(second)...))}}
	for name, value := range jsonraw.Each(second) {
		if n := string(name); n != "role" && n != "content" && jsonraw.Lookup(first, n) == nil {
			sets = append(sets, jsonraw.Member{Name: n, Value: value})
		}
	}
	return jsonraw.Edit(first, sets)
}

// parts are those of a message's content.
func parts(message []byte) (list [][]byte) {
	content := jsonraw.Lookup(message, "content")
	if jsonraw.IsString(content) {
		var o jsonraw.Object
		o.Text("type", "text")
		o.Raw("text", content)
		return [][]byte{o.Bytes()}
	}
	for part := range jsonraw.Elements(content) {
		list = append(list, part)
	}
	return list
}

// reasoning are the members by which clients ask models to reason, or not to.
var reasoning = []string{effortMember, "reasoning", "thinking", "enable_thinking", "thinking_budget"}

// asksToReason reports a member that asks the model to reason, rather than not to.
func (p *pass) asksToReason(name, value []byte) bool {
	if jsonraw.IsNull(value) {
		return false
	}
	switch string(name) {
	case effortMember:
		return jsonraw.Text(value) != "none"
	case "reasoning":
		return jsonraw.Text(jsonraw.Lookup(value, "effort")) != "none" && string(jsonraw.Lookup(value, "enabled")) != "false"
	case "thinking":
		return jsonraw.Text(jsonraw.Lookup(value, "type")) != "disabled"
	case "enable_thinking":
		return string(value) == "true"
	}
	return string(value) != "0"
}

// toReason reports a request that asks the model to reason.
func (p *pass) toReason() bool {
	if p.quiet {
		return false
	}
	for _, name := range reasoning {
		if value := p.r.Get(name); value != nil {
			return p.asksToReason([]byte(name), value)
		}
	}
	return false
}

// notToReason reports a request that asks the model not to.
func (p *pass) notToReason() bool {
	for _, name := range reasoning {
		if value := p.r.Get(name); !jsonraw.IsNull(value) {
			return !p.asksToReason([]byte(name), value)
		}
	}
	return false
}

// forced reports a choice of tools that forces a call.
func forced(choice []byte) bool {
	switch jsonraw.Text(choice) {
	case "required", "any":
		return true
	}
	mode := jsonraw.Lookup(choice, "allowed_tools", "mode")
	return jsonraw.IsObject(choice) && (mode == nil || jsonraw.Text(mode) == "required")
}

// reasoning decides whether the model is told not to reason: the client wants it, or
// forces a call, which the provider takes from a model that does not reason alone.
func (p *pass) reasoning() error {
	reasons := p.toReason() || p.reasons && p.q.Reasons != ReasonsAsked
	force := reasons && p.q.ForcedTools == ForcedUnreasoned && forced(p.r.Get("tool_choice"))
	switch {
	case force && p.q.Reasons == ReasonsAlways:
		return unforced()
	case force, p.notToReason() && p.q.Reasons != ReasonsAlways:
		p.quiet = force || len(p.q.NoReasoning) > 0
	}
	return nil
}

// setQuiet tells the model not to reason. The client is told, unless it wants that.
func (p *pass) setQuiet() {
	if !p.quiet || len(p.q.NoReasoning) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.q.NoReasoning)) {
		if !p.takes([]byte(name)) {
			continue
		}
		value := p.q.NoReasoning[name]
		p.drops = slices.DeleteFunc(p.drops, func(drop string) bool { return drop == name })
		p.sets = append(p.sets, jsonraw.Member{Name: name, Value: []byte(value)})
	}
	asked := false
	for _, name := range reasoning {
		asked = asked || !jsonraw.IsNull(p.r.Get(name))
	}
	if !asked {
		p.lost = Lose(p.lost, "reasoning_effort")
	}
}

// unforced is the error where a call is forced of a model that always reasons.
func unforced() *Error {
	e := refused("tool_choice")
	e.Detail = chat.Error{
		Message: "This model always reasons, and then it cannot be forced to call a tool. Let tool_choice be auto.",
		Type:    "invalid_request_error", Param: "tool_choice", Code: "unsupported_parameter",
	}
	return e
}
