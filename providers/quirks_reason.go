package providers

import (
	"maps"
	"slices"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

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
	force := p.q.ForcedTools == ForcedUnreasoned && (p.reasons || p.toReason()) && forced(p.r.Get("tool_choice"))
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
