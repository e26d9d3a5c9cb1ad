package blocks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Read reads the messages of a request. System and developer messages are taken
// out of their places, because the formats of turns have one place for them;
// neighbours of one side become one turn, tool results a part of the user's. The
// error is a *chat.FieldError.
func Read(r *chat.Request) (*Conversation, error) {
	c := &Conversation{}
	i := 0
	for m := range r.Messages() {
		if err := c.message(m, fmt.Sprintf("messages[%d]", i)); err != nil {
			return nil, err
		}
		i++
	}
	if len(c.Turns) == 0 && len(c.System) > 0 { // there must be something to answer
		last := len(c.System) - 1
		c.add(Turn{Blocks: []Block{c.System[last]}})
		c.System = c.System[:last]
	}
	if len(c.Turns) == 0 {
		return nil, &chat.FieldError{Code: "invalid_value", Param: "messages", Message: "must hold at least one message that says something"}
	}
	c.trim()
	return c, nil
}

// trim takes the white space from the end of an answer that is to be gone on with:
// providers refuse it there.
func (c *Conversation) trim() {
	t := c.Turns[len(c.Turns)-1]
	last := &t.Blocks[len(t.Blocks)-1]
	if !t.Assistant || last.Kind != Text {
		return
	}
	text := last.Text.Bytes()
	if trimmed := bytes.TrimRight(text, " \n\r\t"); len(trimmed) < len(text) {
		last.Text = jsonraw.Quote(string(trimmed))
	}
}

// message is what is read of one.
type message struct {
	role, param                      string
	content, refusal, calls, details []byte
	id, cache                        []byte
	failed                           bool
}

func (c *Conversation) message(from chat.Message, param string) error {
	m := message{role: from.Role.String(), param: param}
	for name, raw := range jsonraw.Each(from.Raw) {
		if jsonraw.IsNull(raw) {
			continue
		}
		switch string(name) {
		case "content":
			m.content = raw
		case "refusal":
			m.refusal = raw
		case "tool_calls":
			m.calls = raw
		case "tool_call_id":
			m.id = raw
		case "reasoning_details":
			m.details = raw
		case "cache_control":
			m.cache = raw
		case "is_error":
			m.failed = raw[0] == 't'
		case "function_call":
			return Unsupported(param+".function_call", "use tool_calls")
		case "name", "audio":
			if m.role != "tool" {
				c.lose("messages." + string(name))
			}
		}
	}
	return c.take(m)
}

// take puts a message where it belongs.
func (c *Conversation) take(m message) error {
	list, err := parts(m.content, m.param+".content")
	if err != nil {
		return err
	}
	list = c.present(list)
	switch m.role {
	case "system", "developer":
		for _, b := range list {
			if b.Kind != Text {
				return Unsupported(b.Param, "a system message can only hold text")
			}
		}
		c.System = append(c.System, cached(list, m.cache)...)
	case "user":
		c.add(Turn{false, cached(list, m.cache)})
	case "assistant":
		return c.assistant(m, list)
	case "tool":
		b := Block{Kind: Result, ID: CallID(jsonraw.Text(m.id)), Parts: list, Failed: m.failed, Cache: m.cache, Param: m.param}
		c.add(Turn{false, []Block{b}})
	default:
		return Unsupported(m.param+".role", "must be system, developer, user, assistant or tool")
	}
	return nil
}

func (c *Conversation) assistant(m message, list []Block) error {
	if len(jsonraw.Inside(m.refusal)) > 0 {
		list = append(list, Block{Kind: Text, Text: m.refusal, Param: m.param + ".refusal"})
	}
	i := 0
	for raw := range jsonraw.Elements(m.calls) {
		b, err := call(raw, fmt.Sprintf("%s.tool_calls[%d]", m.param, i))
		if err != nil {
			return err
		}
		list = append(list, b)
		i++
	}
	c.add(Turn{true, append(thoughts(m.details), cached(list, m.cache)...)})
	return nil
}

// cached puts a message's cache marker on its last block.
func cached(list []Block, cache []byte) []Block {
	if n := len(list); n > 0 && cache != nil {
		list[n-1].Cache = cache
	}
	return list
}

// call is an element of tool_calls. Arguments that are no JSON object, as a model
// that was cut off leaves them, are sent as the text they are.
func call(raw []byte, param string) (Block, error) {
	b := Block{Kind: Call, Param: param}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "id":
			b.ID = CallID(jsonraw.Text(value))
		case "cache_control":
			if value[0] == '{' {
				b.Cache = value
			}
		case "function":
			for name, value := range jsonraw.Each(value) {
				switch {
				case string(name) == "name" && value[0] == '"':
					b.Name = value
				case string(name) == "arguments":
					b.Input = input(value)
				}
			}
		case "custom":
			if value[0] == '{' {
				return b, Unsupported(param+".custom", "custom tools are not known to this provider")
			}
		}
	}
	if len(b.Name) <= 2 {
		return b, Unsupported(param+".function.name", "must name a function")
	}
	if b.Input == nil {
		b.Input = []byte("{}")
	}
	return b, nil
}

func input(value []byte) []byte {
	if value[0] == '{' {
		return value
	}
	text := []byte(jsonraw.Text(value))
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	if isObject(text) {
		return []byte(strings.TrimSpace(string(text)))
	}
	var w Writer
	w.Open('{')
	w.TextMember("arguments", string(text))
	w.Close('}')
	return w.Bytes()
}

// CallID is the id of a tool call in the letters that every provider takes. One
// that has others, or is too long, becomes a hash of itself, at the call and at
// its result alike.
func CallID(id string) string {
	const most = 64
	if id != "" && len(id) <= most && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

// Unsupported refuses a part of a request that the provider has no word for.
func Unsupported(param, message string) error {
	return &chat.FieldError{Code: "unsupported_content", Param: param, Message: message}
}
