package translate

import (
	"bytes"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Side is what one side says before the other does: consecutive turns of the assistant, or of
// the user and the tools.
type Side struct {
	Assistant bool
	Turns     []Turn
}

// Role returns the side's name in most formats.
func (s Side) Role() string {
	if s.Assistant {
		return "assistant"
	}
	return "user"
}

// Sides returns the conversation for formats in which two sides take turns and all system
// messages go in one place. Texts of nothing but white space are left out, because such
// providers refuse them. So is reasoning that keep rejects, since a provider cannot verify
// what another one signed. The error is a *chat.FieldError.
func (c *Conversation) Sides(keep func(d Detail) bool) (system []Part, sides []Side, err error) {
	for _, t := range c.Turns {
		t.Parts = slices.DeleteFunc(slices.Clone(t.Parts), Part.Blank)
		if t.Role == "system" {
			for _, p := range t.Parts {
				if p.Kind != Text {
					return nil, nil, t.Refuse(p, "a system message can only hold text")
				}
			}
			system = append(system, t.Parts...)
			continue
		}
		c.think(&t, keep)
		if len(t.Parts)+len(t.Calls)+len(t.Details) == 0 && t.Role != "tool" {
			continue
		}
		assistant := t.Role == "assistant"
		if n := len(sides); n > 0 && sides[n-1].Assistant == assistant {
			sides[n-1].Turns = append(sides[n-1].Turns, t)
		} else {
			sides = append(sides, Side{assistant, []Turn{t}})
		}
	}
	if n := len(system); len(sides) == 0 && n > 0 { // there must be something to answer
		sides = []Side{{Turns: []Turn{{Role: "user", Parts: system[n-1:]}}}}
		system = system[:n-1]
	}
	if len(sides) == 0 {
		return nil, nil, &chat.FieldError{
			Code: "invalid_value", Param: "messages",
			Message: "must hold at least one message that says something",
		}
	}
	trim(sides[len(sides)-1])
	if sides[0].Assistant { // the user must speak first
		sides = append([]Side{{Turns: []Turn{{Role: "user", Parts: []Part{{Text: jsonraw.Quote(Silence)}}}}}}, sides...)
	}
	return system, sides, nil
}

// WriteSides writes the member messages, in which each message has the blocks of one side.
func WriteSides(o *jsonraw.Object, sides []Side, blocks func(t *Turn) error) error {
	o.Key("messages")
	o.Open('[')
	for _, s := range sides {
		o.Open('{')
		o.Text("role", s.Role())
		o.Key("content")
		o.Open('[')
		for i := range s.Turns {
			if err := blocks(&s.Turns[i]); err != nil {
				return err
			}
		}
		o.Close(']')
		o.Close('}')
	}
	o.Close(']')
	return nil
}

// AskOn asks, on behalf of the user, for the rest of an answer that ends the conversation,
// for models that do not continue one by themselves.
func (c *Conversation) AskOn(sides []Side) []Side {
	last := sides[len(sides)-1]
	if !last.Assistant || len(last.Turns[len(last.Turns)-1].Calls) > 0 {
		return sides
	}
	c.Lose("messages.prefill")
	return append(sides, Side{Turns: []Turn{{Role: "user", Parts: []Part{{Text: jsonraw.Quote(providers.GoOn)}}}}})
}

// Silence is the text of an empty user message, for providers that require some text.
const Silence = "(no message)"

// think keeps the reasoning in a turn that keep accepts, and reports the rest as lost.
func (c *Conversation) think(t *Turn, keep func(d Detail) bool) {
	before := len(t.Details)
	t.Details = slices.DeleteFunc(slices.Clone(t.Details), func(d Detail) bool { return !d.Verified() || !keep(d) })
	if len(t.Details) < before || t.Reasoning != "" && before == 0 {
		c.Lose("messages.reasoning")
	}
}

// trim removes trailing white space from an answer that is to be continued, because providers
// refuse it there.
func trim(last Side) {
	t := &last.Turns[len(last.Turns)-1]
	n := len(t.Parts) - 1
	if !last.Assistant || len(t.Calls) > 0 || n < 0 || t.Parts[n].Kind != Text {
		return
	}
	text := t.Parts[n].Text.Bytes()
	if trimmed := bytes.TrimRight(text, " \n\r\t"); len(trimmed) < len(text) {
		t.Parts[n].Text = jsonraw.Quote(string(trimmed))
	}
}

// Unfinished reports whether the last answer waits for the results of its tool calls, or has
// just received them, and its reasoning is missing.
func Unfinished(sides []Side) bool {
	for _, s := range slices.Backward(sides) {
		has := func(f func(t Turn) bool) bool { return slices.ContainsFunc(s.Turns, f) }
		if s.Assistant {
			return has(func(t Turn) bool { return len(t.Calls) > 0 }) && !has(func(t Turn) bool { return len(t.Details) > 0 })
		}
		if !has(func(t Turn) bool { return t.Role == "tool" }) {
			return false
		}
	}
	return false
}
