package providers

import (
	"maps"
	"slices"
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// How a model can be told to sample, if there are restrictions.
const (
	SamplingNever      = "never"      // only with its defaults
	SamplingUnreasoned = "unreasoned" // only while it does not reason
	SamplingSingle     = "single"     // by temperature or top_p but not both, and only while it does not reason
	SamplingAny        = "any"        // in every way, unlike others in its family
)

// What is special about the way a model reasons.
const (
	ReasonsAlways    = "always"
	ReasonsAsked     = "asked" // only when asked to
	ForcedUnreasoned = "unreasoned"
	AllowedTaken     = "taken"
	ForcedAny        = "any" // unlike other models of its provider, which refuse it
)

// What is special about the message history that a model accepts.
const (
	PrefillNever    = "never"
	PrefillAny      = "any" // unlike others in its family, which do not continue a begun answer
	CallIDsNine     = "nine"
	ResultsAnswered = "answered"

	SignDetails = "reasoning_details" // signatures are in this member, as at OpenRouter

	// GoOn asks, on behalf of the user, for the rest of an answer.
	GoOn = "Continue this answer exactly where it stops, without repeating any of it."

	// unsigned is the value that Google accepts in place of a signature.
	unsigned = "skip_thought_signature_validator"
)

// Whether web_search_options triggers a search.
const (
	SearchNever = "never"
	SearchAny   = "any" // it does, unlike at other models of the provider

	searchMember = "web_search_options"
)

// efforts lists the levels of reasoning effort, lowest first.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

// sampling lists the members that control sampling.
var sampling = []string{"temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"}

// taken returns the value that the provider accepts in place of one that it refuses, or "" if
// it accepts the value as it is.
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

// effort returns, as JSON, the level to send in place of one that the model refuses; "" if
// the model accepts it. Unknown levels are left for the provider to judge.
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

// clamp returns the bound that a number violates, or "" if it is within bounds.
func (b Bound) clamp(raw []byte) (to string) {
	value, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return "" // null
	}
	if least, err := strconv.ParseFloat(b.Min, 64); err == nil && value < least {
		to = b.Min
	}
	if most, err := strconv.ParseFloat(b.Max, 64); err == nil && value > most {
		to = b.Max
	}
	return to
}

// fixed reports whether a member controls sampling in a way that the model does not allow.
func (p *pass) fixed(name []byte) bool {
	if p.q.Sampling == "" || p.q.Sampling == SamplingAny || !has(sampling, name) {
		return false
	}
	if p.q.Sampling == SamplingNever || p.toReason() {
		return true
	}
	return p.q.Sampling == SamplingSingle && string(name) == "top_p" && !jsonraw.IsNull(p.r.Get("temperature"))
}

// loseSampling removes a member. A temperature or top_p of 1 is the default anyway, so
// removing it is not reported as a loss.
func (p *pass) loseSampling(name, value []byte) {
	if one, err := strconv.ParseFloat(string(value), 64); err == nil && one == 1 && !chat.Idle(name, value) {
		if n := string(name); n == "temperature" || n == "top_p" {
			p.forget(name)
			return
		}
	}
	p.lose(name, value)
}

// answered returns the message that must precede m: the assistant's answer to results of tools
// that it has not answered; nil if there are none.
func (p *pass) answered(m chat.Message) []byte {
	role := string(m.Role.Bytes())
	open := p.q.Results == ResultsAnswered && p.open && role != "tool" && (role != "assistant" || silent(m.Raw))
	p.open = role == "tool"
	if !open {
		return nil
	}
	return []byte(`{"role":"assistant","content":"OK."}`)
}

// silent reports whether a message says nothing, as an answer that was cut short.
func silent(raw []byte) bool {
	for name, value := range jsonraw.Each(raw) {
		if n := string(name); n != "role" && n != "name" && !jsonraw.IsNull(value) && string(value) != `""` && string(value) != "[]" {
			return false
		}
	}
	return true
}

// callMembers adds the members that a message with tool calls must have.
func (p *pass) callMembers(raw []byte, sets []jsonraw.Member) []jsonraw.Member {
	for _, name := range p.q.CallMembers {
		if jsonraw.IsNull(jsonraw.Lookup(raw, name)) {
			sets = append(sets, jsonraw.Member{Name: name, Value: []byte(`""`)})
		}
	}
	return sets
}

// signCalls adds a marker for each call to a message whose calls are unsigned.
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

// prefilled reports whether the conversation ends in an answer that the model should
// continue.
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

// alternates reports whether user and assistant take turns after the system messages. Tool
// results count as the user's turn.
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

// alternate merges consecutive messages of one side into one, and turns later system messages
// into user messages.
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

// together returns the first message with the content of the second appended, and with the
// other members that only the second has.
func together(first, second []byte) []byte {
	sets := []jsonraw.Member{{Name: "content", Value: jsonraw.Array(append(parts(first), parts(second)...))}}
	for name, value := range jsonraw.Each(second) {
		if n := string(name); n != "role" && n != "content" && jsonraw.Lookup(first, n) == nil {
			sets = append(sets, jsonraw.Member{Name: n, Value: value})
		}
	}
	return jsonraw.Edit(first, sets)
}

// parts returns the parts of a message's content.
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

// reasoning lists the members by which clients ask models to reason, or not to.
var reasoning = []string{effortMember, "reasoning", "thinking", "enable_thinking", "thinking_budget"}

// asksToReason reports whether a member asks the model to reason, as opposed to not to.
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

// toReason reports whether the request asks the model to reason.
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

// notToReason reports whether the request asks the model not to reason.
func (p *pass) notToReason() bool {
	for _, name := range reasoning {
		if value := p.r.Get(name); !jsonraw.IsNull(value) {
			return !p.asksToReason([]byte(name), value)
		}
	}
	return false
}

// forced reports whether a tool choice forces a call.
func forced(choice []byte) bool {
	switch jsonraw.Text(choice) {
	case "required", "any":
		return true
	}
	mode := jsonraw.Lookup(choice, "allowed_tools", "mode")
	return jsonraw.IsObject(choice) && (mode == nil || jsonraw.Text(mode) == "required")
}

// reasoning decides whether to tell the model not to reason: because the client asks for
// that, or because it forces a call, which the provider only accepts without reasoning.
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

// setQuiet tells the model not to reason. If the request says nothing about reasoning, this
// is reported to the client as a loss.
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

// unforced returns the error for a forced call to a model that always reasons.
func unforced() *Error {
	e := refused("tool_choice")
	e.Detail = chat.Error{
		Message: "This model always reasons, and then it cannot be forced to call a tool. Let tool_choice be auto.",
		Type:    "invalid_request_error", Param: "tool_choice", Code: "unsupported_parameter",
	}
	return e
}
