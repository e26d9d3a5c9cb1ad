package translate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Turn is one message of a request.
type Turn struct {
	Index  int    // in messages
	Role   string // "system" (also for developer messages), "user", "assistant" or "tool"
	Parts  []Part
	Calls  []Call // made by the assistant
	CallID string // of a tool's turn: the call that it answers
	Called string // the name of the function that was called
	Failed bool   // of a tool's turn: the tool reports failure
	Cache  []byte // cache_control of a tool's turn; in other turns it is on the last part or call
	// Reasoning is what the assistant thought, as text. Details are the same with what a
	// provider needs to verify it: the elements of reasoning_details.
	Reasoning string
	Details   []Detail
	Extra     []byte // extra_content, where Google's clients keep signatures
}

// Call is a function call by the assistant.
type Call struct {
	ID, Name  string
	Arguments string // JSON as the model wrote it; "" if there are none
	Extra     []byte // extra_content
	Custom    bool   // a custom tool, whose Arguments are free text
	Cache     []byte // cache_control
}

// Conversation holds the messages of a request.
type Conversation struct {
	Turns []Turn
	Lost  []string // members of messages that the format cannot express: messages.name, …

	format Format
}

// Lose reports that a member is lost.
func (c *Conversation) Lose(name string) { c.Lost = providers.Lose(c.Lost, name) }

// read reads the messages of r. The error is a *chat.FieldError.
func (c *Conversation) read(r *chat.Request, f Format) error {
	c.format = f
	names := make(map[string]string)
	unnamed := make(map[string]string) // the ids of calls in the old form, by the function
	for m := range r.Messages() {
		t := Turn{Index: len(c.Turns), Role: m.Role.String()}
		name := m.Name.String()
		if err := c.turn(&t, m.Raw); err != nil {
			return err
		}
		switch t.Role {
		case "developer":
			t.Role = "system"
		case "function":
			t.Role, t.Called, t.CallID = "tool", name, unnamed[name]
		case "tool":
			t.Called = cmp.Or(names[t.CallID], name)
		case "system", "user", "assistant":
			if name != "" {
				c.Lose("messages.name")
			}
		default:
			return t.refuse("role", "must be system, developer, user, assistant or tool")
		}
		if !f.Tools && (t.Role == "tool" || len(t.Calls) > 0) {
			return t.refuse("role", "is of a message with tools, which cannot be given to this model")
		}
		for i, call := range t.Calls {
			if call.Name == "" {
				return t.refuse(fmt.Sprintf("tool_calls[%d].function.name", i), "must name a function")
			}
			if call.ID == "" {
				t.Calls[i].ID = fmt.Sprintf("call_%d_%d", t.Index, i)
				unnamed[call.Name] = t.Calls[i].ID
			}
			names[t.Calls[i].ID] = call.Name
		}
		c.Turns = append(c.Turns, t)
	}
	return nil
}

func (t *Turn) refuse(member, message string) error {
	return &chat.FieldError{Code: "unsupported_content", Param: fmt.Sprintf("messages[%d].%s", t.Index, member), Message: message}
}

// Refuse returns the error for a part that the provider does not accept.
func (t *Turn) Refuse(p Part, message string) error {
	return t.refuse(fmt.Sprintf("content[%d]", p.Index), message)
}

// RefuseCall returns the error for a call that the provider cannot be shown.
func (t *Turn) RefuseCall(i int, message string) error {
	return t.refuse(fmt.Sprintf("tool_calls[%d]", i), message)
}

// Unanswerable returns the error for a tool's turn that answers no call.
func (t *Turn) Unanswerable() error {
	return &chat.FieldError{
		Code: "invalid_value", Param: fmt.Sprintf("messages[%d].tool_call_id", t.Index),
		Message: "does not answer any call in the messages before it",
	}
}

func (c *Conversation) turn(t *Turn, raw []byte) error {
	var cache, made []byte
	for member, value := range jsonraw.Each(raw) {
		if jsonraw.IsNull(value) {
			continue
		}
		var err error
		switch string(member) {
		case "role", "name":
		case "content":
			err = c.content(t, value)
		case "refusal":
			if len(jsonraw.Inside(value)) > 0 {
				t.Parts = append(t.Parts, Part{Index: len(t.Parts), Text: value})
			}
		case "tool_calls":
			for call := range jsonraw.Elements(value) {
				t.Calls = append(t.Calls, c.call(call))
			}
		case "function_call":
			t.Calls = append(t.Calls, c.call(jsonraw.One("function", value)))
		case "tool_call_id":
			t.CallID = jsonraw.Text(value)
		case "is_error":
			if t.Failed = string(value) == "true" && c.format.Failures; !t.Failed && string(value) != "false" {
				c.Lose("messages.is_error")
			}
		case "cache_control":
			cache = value
		case "reasoning_content", "reasoning", "thinking":
			t.Reasoning = cmp.Or(jsonraw.Text(value), t.Reasoning)
		case "reasoning_details":
			t.details(value)
		case "extra_content":
			t.Extra = c.extra(value, "messages.extra_content")
		case "images":
			made = value
		case "annotations", "prefix", "audio":
			if string(value) != "[]" && string(value) != "false" {
				c.Lose("messages." + string(member))
			}
		default:
			c.Lose("messages." + string(member))
		}
		if err != nil {
			return err
		}
	}
	if !c.format.Reasoning && (t.Reasoning != "" || len(t.Details) > 0) {
		t.Reasoning, t.Details = "", nil
		c.Lose("messages.reasoning")
	}
	c.images(t, made)
	c.mark(t, cache)
	return nil
}

// images adds the pictures that the assistant made. Those that are not contained in the
// message itself cannot be shown to a provider.
func (c *Conversation) images(t *Turn, list []byte) {
	for element := range jsonraw.Elements(list) {
		p := Part{Index: len(t.Parts), Raw: element, Type: "image", Made: true}
		if !c.format.Images || t.Role != "assistant" || !p.read(element) || p.Kind != Image || !p.Media.Inline() {
			c.Lose("messages.images")
			continue
		}
		t.Parts = append(t.Parts, p)
	}
}

// call reads a call, leaving out what the format has no place for.
func (c *Conversation) call(raw []byte) Call {
	call := readCall(raw)
	call.Extra = c.extra(call.Extra, "messages.tool_calls.extra_content")
	if call.Cache != nil && !c.format.Cache {
		c.Lose("messages.cache_control")
	}
	return call
}

// extra returns extra_content if the format reads it, and otherwise reports it as lost.
func (c *Conversation) extra(value []byte, name string) []byte {
	if value == nil || c.format.Extra {
		return value
	}
	c.Lose(name)
	return nil
}

// mark puts the cache_control of a message on its last call or part.
func (c *Conversation) mark(t *Turn, cache []byte) {
	calls, parts := len(t.Calls), len(t.Parts)
	switch {
	case cache == nil:
	case !c.format.Cache:
		c.Lose("messages.cache_control")
	case t.Role == "tool":
		t.Cache = cache
	case calls > 0:
		t.Calls[calls-1].Cache = cache
	case parts > 0:
		t.Parts[parts-1].Cache = cache
	}
}

func readCall(raw []byte) Call {
	c := Call{ID: jsonraw.Text(jsonraw.Lookup(raw, "id")), Cache: cacheControl(raw)}
	c.Extra = jsonraw.Present(jsonraw.Lookup(raw, "extra_content"))
	f := jsonraw.Lookup(raw, "function")
	if f == nil {
		f, c.Custom = jsonraw.Lookup(raw, "custom"), true
	}
	c.Name = jsonraw.Text(jsonraw.Lookup(f, "name"))
	switch arguments := jsonraw.Present(jsonraw.Lookup(f, "arguments")); {
	case c.Custom:
		c.Arguments = jsonraw.Text(jsonraw.Lookup(f, "input"))
	case jsonraw.IsObject(arguments): // some clients send an object instead of a string
		c.Arguments = string(arguments)
	default:
		c.Arguments = jsonraw.Text(arguments)
	}
	return c
}

// SafeID returns a tool call's id in characters that every provider accepts. An id with
// others, or one that is too long, is replaced by its hash, both on the call and on its
// result.
func SafeID(id string) string {
	const most = 64
	if id != "" && len(id) <= most && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

// Text returns the arguments as JSON text: an empty object if the model wrote none.
func (c Call) Text() string {
	if len(bytes.TrimSpace([]byte(c.Arguments))) == 0 {
		return "{}"
	}
	return c.Arguments
}

// Object returns the arguments as a JSON object. Arguments that the model got wrong are
// passed back as a string in an object.
func (c Call) Object() []byte {
	text := bytes.TrimSpace([]byte(c.Text()))
	switch {
	case c.Custom:
		return jsonraw.One("input", jsonraw.Quote(c.Arguments))
	case Whole(text):
		return text
	}
	return jsonraw.One("arguments", jsonraw.Quote(c.Arguments))
}

// PlainText returns the text of all parts of a turn, concatenated.
func (t *Turn) PlainText() string {
	var b []byte
	for _, p := range t.Parts {
		if p.Kind == Text {
			b = p.Text.Append(b)
		}
	}
	return string(b)
}

// ShowResults moves the chosen parts out of tool results, for formats whose results cannot
// contain them. A user turn after the results shows them, each set introduced by a line that
// says which result it belongs to.
func (c *Conversation) ShowResults(chosen func(p Part) bool) {
	var turns []Turn
	var shown Turn
	flush := func() {
		if len(shown.Parts) > 0 {
			turns, shown = append(turns, shown), Turn{}
		}
	}
	for _, t := range c.Turns {
		if t.Role != "tool" {
			flush()
			turns = append(turns, t)
			continue
		}
		rest, media := t.without(chosen)
		turns = append(turns, rest)
		if len(shown.Parts) == 0 {
			shown = Turn{Index: t.Index, Role: "user"}
		}
		shown.Parts = append(shown.Parts, media...)
	}
	flush()
	c.Turns = turns
}

// without splits a tool result into the rest and the chosen parts.
func (t Turn) without(chosen func(p Part) bool) (rest Turn, shown []Part) {
	if !slices.ContainsFunc(t.Parts, chosen) {
		return t, nil
	}
	shown = []Part{{Text: jsonraw.Quote("Result of the call " + t.CallID + ":")}}
	parts := t.Parts
	t.Parts = nil
	for _, p := range parts {
		if chosen(p) {
			shown = append(shown, p)
		} else {
			t.Parts = append(t.Parts, p)
		}
	}
	if len(t.Parts) == 0 {
		t.Parts = []Part{{Text: jsonraw.Quote(resultIsShown)}}
	}
	return t, shown
}

// resultIsShown replaces a result whose content is all shown in the user turn.
const resultIsShown = "The result is shown in the message after the results."

// CalledNames returns the names of all functions that were called, without duplicates.
func (c *Conversation) CalledNames() []string {
	var names []string
	seen := make(map[string]bool)
	for _, t := range c.Turns {
		for _, call := range t.Calls {
			if !seen[call.Name] {
				seen[call.Name] = true
				names = append(names, call.Name)
			}
		}
	}
	return names
}

// Called reports whether the conversation contains tool calls or results.
func (c *Conversation) Called() bool {
	return slices.ContainsFunc(c.Turns, func(t Turn) bool { return t.Role == "tool" || len(t.Calls) > 0 })
}
