package responses

import (
	"fmt"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// format marks OpenAI's own reasoning, which it has encrypted.
const format = "openai-responses-v1"

// conversation turns items into the messages of a chat. What an assistant said, called and
// thought in consecutive items becomes one message.
type conversation struct {
	*aside

	names   names
	list    [][]byte
	from    string // the position in the request of the next message
	open    bool   // an assistant message is being collected
	content []byte // of it; nil while it has said nothing
	details [][]byte
	text    []byte // reasoning that consists only of text
	calls   [][]byte
	extras  []func(call string) []byte
}

func (c *conversation) add(role string, write func(o *jsonraw.Object)) {
	c.flush()
	var o jsonraw.Object
	o.Text("role", role)
	write(&o)
	c.put(o)
}

func (c *conversation) put(o jsonraw.Object) {
	c.list, c.origins = append(c.list, o.Bytes()), append(c.origins, c.from)
}

// flush adds the assistant message that was collected.
func (c *conversation) flush() {
	if !c.open {
		return
	}
	var o jsonraw.Object
	o.Text("role", "assistant")
	switch {
	case c.content != nil:
		o.Raw("content", c.content)
	case len(c.calls) > 0:
		o.Word("content", "null")
	default:
		o.Text("content", "")
	}
	o.Raw("reasoning_content", c.text)
	o.Array("reasoning_details", c.details)
	o.Array("tool_calls", c.calls)
	c.put(o)
	*c = conversation{aside: c.aside, names: c.names, list: c.list, from: c.from}
}

// input adds everything in the member input.
func (c *conversation) input(raw []byte) error {
	c.from = "input"
	if jsonraw.IsString(raw) {
		c.add("user", func(o *jsonraw.Object) { o.Raw("content", raw) })
		return nil
	}
	i := 0
	for item := range jsonraw.Elements(raw) {
		if err := c.room.Take("input"); err != nil {
			return err
		}
		if err := c.item(item, fmt.Sprintf("input[%d]", i)); err != nil {
			return err
		}
		i++
	}
	c.flush()
	if len(c.list) == 0 {
		return wrong("input", "must hold at least one item that is said to the model")
	}
	return nil
}

func (c *conversation) item(item []byte, at string) error {
	kind := jsonraw.Text(jsonraw.Lookup(item, "type"))
	if kind == "" && jsonraw.Lookup(item, "role") != nil {
		kind = "message"
	}
	if !c.open {
		c.from = at
	}
	switch kind {
	case "message", "function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output", "reasoning":
		c.others(item, "input", at, itemMembers)
		for _, list := range [...]string{"content", "output"} {
			i := 0
			for part := range jsonraw.Elements(jsonraw.Lookup(item, list)) {
				c.others(part, "input."+list, fmt.Sprintf("%s.%s[%d]", at, list, i), partMembers)
				i++
			}
		}
	}
	switch kind {
	case "message":
		return c.message(item, at)
	case "function_call":
		return c.call(item, "function", "arguments", at)
	case "custom_tool_call":
		return c.call(item, "custom", "input", at)
	case "function_call_output", "custom_tool_call_output":
		return c.result(item, at)
	case "reasoning":
		return c.reasoning(item, at)
	case "item_reference":
		c.only(unsupported(at, "refers to an item that is kept elsewhere; send the item itself: nothing is stored here"))
	case "compaction":
		c.only(unsupported(at, "is a context that only its provider can read; send the items themselves"))
	case "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_list_tools", "mcp_call",
		"tool_search_call", "tool_search_output", "additional_tools": // what a provider did by itself needs no answer in a chat
	case "":
		return wrong(at+".type", "must say what the item is")
	default:
		c.only(unsupported(at+".type", fmt.Sprintf("%q is not a kind of item that a chat can hold", kind)))
	}
	c.unseen("input."+kind, at, item)
	return nil
}

func (c *conversation) message(item []byte, at string) error {
	role := jsonraw.Text(jsonraw.Lookup(item, "role"))
	value, err := c.aside.content(jsonraw.Lookup(item, "content"), at+".content")
	if err != nil {
		return err
	}
	switch role {
	case "assistant":
		if c.open && (c.content != nil || len(c.calls) > 0) {
			c.flush()
			c.from = at
		}
		c.open, c.content = true, value
	case "user", "system", "developer":
		c.flush()
		c.from = at
		c.add(role, func(o *jsonraw.Object) { o.Raw("content", value) })
	default:
		return wrong(at+".role", `must be "user", "assistant", "system" or "developer"`)
	}
	return nil
}

func (c *conversation) call(item []byte, kind, member, at string) error {
	id, name := jsonraw.Lookup(item, "call_id"), jsonraw.Text(jsonraw.Lookup(item, "name"))
	if !jsonraw.IsString(id) || name == "" {
		return wrong(at, "must have a call_id and a name")
	}
	var o jsonraw.Object
	o.Raw("id", id)
	o.Text("type", kind)
	o.Key(kind)
	o.Open('{')
	o.Text("name", c.names.flat(jsonraw.Text(jsonraw.Lookup(item, "namespace")), name))
	arguments := jsonraw.Lookup(item, member)
	if !jsonraw.IsString(arguments) {
		arguments = []byte(`""`)
	}
	o.Raw(member, arguments)
	o.Close('}')
	for _, extra := range c.extras {
		o.Raw("extra_content", extra(jsonraw.Text(id)))
	}
	c.open, c.calls = true, append(c.calls, o.Bytes())
	return nil
}

func (c *conversation) result(item []byte, at string) error {
	id := jsonraw.Lookup(item, "call_id")
	if !jsonraw.IsString(id) {
		return wrong(at+".call_id", "must be the id of the call")
	}
	value, err := c.aside.content(jsonraw.Lookup(item, "output"), at+".output")
	if err != nil {
		return err
	}
	c.flush()
	c.from = at
	c.add("tool", func(o *jsonraw.Object) {
		o.Raw("tool_call_id", id)
		o.Raw("content", value)
	})
	return nil
}

// reasoning restores what a model thought: another provider's as it was carried, OpenAI's as it
// encrypted it, or else its text.
func (c *conversation) reasoning(item []byte, at string) error {
	if c.open && (c.content != nil || len(c.calls) > 0) {
		c.flush()
		c.from = at
	}
	c.open = true
	encrypted := jsonraw.Text(jsonraw.Lookup(item, "encrypted_content"))
	if details, extra, ok := translate.Carried(encrypted); ok {
		c.details, c.extras = append(c.details, details...), append(c.extras, extra)
		return nil
	}
	add := func(kind, member string, value []byte) {
		var o jsonraw.Object
		o.Text("type", kind)
		o.Text("format", format)
		o.Int("index", int64(len(c.details)))
		o.Raw("id", jsonraw.Present(jsonraw.Lookup(item, "id")))
		o.Raw(member, value)
		c.details = append(c.details, o.Bytes())
	}
	var text translate.Words
	for summary := range jsonraw.Elements(jsonraw.Lookup(item, "summary")) {
		if err := c.room.Take(at + ".summary"); err != nil {
			return err
		}
		text.Add(jsonraw.Lookup(summary, "text"))
		if encrypted != "" {
			add("reasoning.summary", "summary", jsonraw.Lookup(summary, "text"))
		}
	}
	if encrypted != "" {
		add("reasoning.encrypted", "data", jsonraw.Lookup(item, "encrypted_content"))
		return nil
	}
	for part := range jsonraw.Elements(jsonraw.Lookup(item, "content")) {
		if err := c.room.Take(at + ".content"); err != nil {
			return err
		}
		text.Add(jsonraw.Lookup(part, "text"))
	}
	if len(text) > 0 {
		var o jsonraw.Object
		o.Inside("text", text)
		c.text = jsonraw.Lookup(o.Bytes(), "text")
	}
	return nil
}
