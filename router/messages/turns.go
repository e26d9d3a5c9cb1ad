package messages

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// claude is the prefix of the format names of reasoning signed by Claude.
const claude = "anthropic"

// conversation collects the messages of a chat request.
type conversation struct {
	aside

	list [][]byte
	from string // the position in the request of the next message
}

func (c *conversation) add(role string, write func(o *jsonraw.Object)) {
	var o jsonraw.Object
	o.Text("role", role)
	write(&o)
	c.list, c.origins = append(c.list, o.Bytes()), append(c.origins, c.from)
}

// system adds the system prompt, a string or a list of text blocks.
func (c *conversation) system(value []byte) error {
	if jsonraw.IsNull(value) {
		return nil
	}
	c.from = "system"
	if jsonraw.IsString(value) {
		c.add("system", func(o *jsonraw.Object) { o.Raw("content", value) })
		return nil
	}
	m := message{conversation: c, role: "system", at: "system"}
	return m.read(value)
}

// turn adds one message. Tool results become messages of their own, and come before the rest of
// the message: that is Anthropic's order.
func (c *conversation) turn(raw []byte, at int) error {
	c.from = fmt.Sprintf("messages[%d]", at)
	m := message{conversation: c, at: c.from + ".content"}
	var content []byte
	for name, value := range jsonraw.Each(raw) {
		switch n := string(name); n {
		case "role":
			m.role = jsonraw.Text(value)
		case "content":
			content = value
		default:
			c.drop("messages."+n, c.from+"."+n, value)
		}
	}
	if m.role != "user" && m.role != "assistant" && m.role != "system" {
		return wrong(c.from+".role", `must be "user" or "assistant"`)
	}
	if jsonraw.IsString(content) {
		c.add(m.role, func(o *jsonraw.Object) { o.Raw("content", content) })
		return nil
	}
	return m.read(content)
}

// message is a client message that is being read.
type message struct {
	*conversation

	role, at       string
	index          int // of the block
	parts          [][]byte
	calls, details [][]byte
	extras         []func(call string) []byte // what calls of another provider carry
	unsigned       []byte                     // reasoning from a provider that needs only its text
	thoughts       int64
	foreign        string // the kind of the first block that only this format has
}

// wrong returns the error for a member of the block that cannot be read.
func (m *message) wrong(member, must string) error {
	return wrong(strings.TrimSuffix(m.place(member), "."), must)
}

// place returns the position of a member of the block.
func (m *message) place(member string) string { return fmt.Sprintf("%s[%d].%s", m.at, m.index, member) }

func (m *message) read(content []byte) error {
	if !jsonraw.IsArray(content) {
		return wrong(m.at, "must be a string or a list of blocks")
	}
	m.index = -1
	for block := range jsonraw.Elements(content) {
		m.index++
		if err := m.room.Take(m.at); err != nil {
			return err
		}
		if !jsonraw.IsObject(block) {
			return m.wrong("", "must be an object")
		}
		if err := m.block(block); err != nil {
			return err
		}
	}
	m.write()
	return nil
}

func (m *message) block(block []byte) error {
	kind := jsonraw.Text(jsonraw.Lookup(block, "type"))
	switch kind {
	case "text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result":
		m.others(block)
	}
	switch kind {
	case "text":
		text := jsonraw.Lookup(block, "text")
		if !jsonraw.IsString(text) {
			return m.wrong("text", "must be a string")
		}
		m.part("text", func(o *jsonraw.Object) { o.Raw("text", text) }, block)
		return nil
	case "image":
		return m.picture(block)
	case "document":
		return m.document(block)
	case "thinking", "redacted_thinking":
		m.thought(kind, block)
		return nil
	case "tool_use":
		return m.call(block)
	case "tool_result":
		return m.result(block)
	case "":
		return m.wrong("type", "must say what the block is")
	}
	m.native(block)
	return nil
}

// blockMembers are the block members that have a place in a chat message.
var blockMembers = []string{
	"type", "text", "source", "title", "cache_control", "id", "name", "input", "tool_use_id", "content", "is_error",
	"thinking", "signature", "data", "context", "citations",
}

// others records the members of a block that nobody reads.
func (m *message) others(block []byte) {
	for name, value := range jsonraw.Each(block) {
		n := string(name)
		switch {
		case slices.Contains(blockMembers, n):
		case n == "caller" && jsonraw.Text(jsonraw.Lookup(value, "type")) == "direct": // the default
		default:
			m.drop("messages.content."+n, m.place(n), value)
		}
	}
}

// part adds a content part, with the cache_control of its block.
func (m *message) part(kind string, write func(o *jsonraw.Object), block []byte) {
	var o jsonraw.Object
	o.Text("type", kind)
	write(&o)
	o.Raw("cache_control", jsonraw.Present(jsonraw.Lookup(block, "cache_control")))
	m.parts = append(m.parts, o.Bytes())
}

// native adds a block that has no equivalent in the chat format.
func (m *message) native(block []byte) {
	m.foreign = cmp.Or(m.foreign, jsonraw.Text(jsonraw.Lookup(block, "type")))
	m.parts = append(m.parts, block)
}

// told records that the next chat message contains a block that has no equivalent there.
func (m *message) told() {
	if m.foreign != "" {
		m.only(fmt.Sprintf("messages[%d].content", len(m.list)), m.foreign)
	}
}

// thought returns reasoning as reasoning_details: Claude's unchanged, another provider's as it
// was carried.
func (m *message) thought(kind string, block []byte) {
	member := "signature"
	if kind == "redacted_thinking" {
		member = "data"
	}
	proof := jsonraw.Text(jsonraw.Lookup(block, member))
	if details, extra, ok := translate.Carried(proof); ok {
		m.details = append(m.details, details...)
		m.extras = append(m.extras, extra)
		return
	}
	if proof == "" {
		m.unsigned = jsonraw.Present(jsonraw.Lookup(block, "thinking"))
		return
	}
	var o jsonraw.Object
	if kind == "redacted_thinking" {
		o.Text("type", "reasoning.encrypted")
		o.Text("data", proof)
	} else {
		o.Text("type", "reasoning.text")
		o.Raw("text", jsonraw.Present(jsonraw.Lookup(block, "thinking")))
		o.Text("signature", proof)
	}
	o.Text("format", claude+"-claude-v1")
	o.Int("index", m.thoughts)
	m.thoughts++
	m.details = append(m.details, o.Bytes())
}

func (m *message) call(block []byte) error {
	id, name, input := unpackedID(jsonraw.Lookup(block, "id")), jsonraw.Lookup(block, "name"), jsonraw.Lookup(block, "input")
	if !jsonraw.IsString(id) || !jsonraw.IsString(name) {
		return m.wrong("", "must have an id and a name")
	}
	if jsonraw.IsNull(input) {
		input = []byte("{}")
	}
	var o jsonraw.Object
	o.Raw("id", id)
	o.Text("type", "function")
	o.Key("function")
	o.Open('{')
	o.Raw("name", name)
	o.Text("arguments", string(jsonraw.Compact(input)))
	o.Close('}')
	o.Raw("cache_control", jsonraw.Present(jsonraw.Lookup(block, "cache_control")))
	for _, extra := range m.extras {
		o.Raw("extra_content", extra(jsonraw.Text(id)))
	}
	m.calls = append(m.calls, o.Bytes())
	return nil
}

// result adds a tool result, as a message of its own.
func (m *message) result(block []byte) error {
	id, content := unpackedID(jsonraw.Lookup(block, "tool_use_id")), jsonraw.Lookup(block, "content")
	if !jsonraw.IsString(id) {
		return m.wrong("tool_use_id", "must be the id of the call")
	}
	inner := message{conversation: m.conversation, role: "tool", at: fmt.Sprintf("%s[%d].content", m.at, m.index)}
	switch {
	case jsonraw.IsNull(content):
		content = []byte(`""`)
	case jsonraw.IsArray(content):
		for part := range jsonraw.Elements(content) {
			if err := m.room.Take(inner.at); err != nil {
				return err
			}
			if err := inner.block(part); err != nil {
				return err
			}
			inner.index++
		}
		content = jsonraw.Array(inner.parts)
	case !jsonraw.IsString(content):
		return m.wrong("content", "must be a string or a list of blocks")
	}
	inner.told()
	m.add("tool", func(o *jsonraw.Object) {
		o.Raw("tool_call_id", id)
		o.Raw("content", content)
		if string(jsonraw.Lookup(block, "is_error")) == "true" {
			o.Word("is_error", "true")
		}
		o.Raw("cache_control", jsonraw.Present(jsonraw.Lookup(block, "cache_control")))
	})
	return nil
}

// write adds what was read, unless it consisted only of tool results.
func (m *message) write() {
	if len(m.parts)+len(m.calls)+len(m.details)+len(m.unsigned) == 0 {
		return
	}
	m.told()
	m.add(m.role, func(o *jsonraw.Object) {
		switch {
		case len(m.parts) > 0:
			o.Array("content", m.parts)
		case len(m.calls) > 0:
			o.Word("content", "null")
		default:
			o.Text("content", "")
		}
		o.Raw("reasoning_content", m.unsigned)
		o.Array("reasoning_details", m.details)
		o.Array("tool_calls", m.calls)
	})
}

// picture writes an image block as a chat message part.
func (m *message) picture(block []byte) error {
	if jsonraw.Text(jsonraw.Lookup(block, "source", "type")) == "file" {
		m.native(block)
		return nil
	}
	url, err := m.source(jsonraw.Lookup(block, "source"), "source")
	if err != nil {
		return err
	}
	m.part("image_url", func(o *jsonraw.Object) { o.Raw("image_url", jsonraw.One("url", jsonraw.Quote(url))) }, block)
	return nil
}

// document writes a document block. A document that is to be cited, or that is made of blocks,
// can only be expressed in Anthropic's format.
func (m *message) document(block []byte) error {
	source := jsonraw.Lookup(block, "source")
	cited := string(jsonraw.Lookup(block, "citations", "enabled")) == "true"
	kind := jsonraw.Text(jsonraw.Lookup(source, "type"))
	if cited || kind == "content" || jsonraw.Present(jsonraw.Lookup(block, "context")) != nil {
		m.native(block)
		return nil
	}
	var file jsonraw.Object
	name := jsonraw.Text(jsonraw.Lookup(block, "title"))
	switch kind {
	case "file":
		file.Raw("file_id", jsonraw.Lookup(source, "file_id"))
	case "url":
		url := jsonraw.Lookup(source, "url")
		m.part("document_url", func(o *jsonraw.Object) { o.Raw("document_url", jsonraw.One("url", url)) }, block)
		return nil
	case "text":
		text := base64.StdEncoding.EncodeToString([]byte(jsonraw.Text(jsonraw.Lookup(source, "data"))))
		file.Text("file_data", "data:text/plain;base64,"+text)
		name = cmp.Or(name, "document.txt")
	default:
		url, err := m.source(source, "source")
		if err != nil {
			return err
		}
		file.Text("file_data", url)
		name = cmp.Or(name, "document.pdf")
	}
	file.Some("filename", name)
	m.part("file", func(o *jsonraw.Object) { o.Raw("file", file.Bytes()) }, block)
	return nil
}

// source returns a URL for a source, with the data in it if the request contains the data.
func (m *message) source(source []byte, member string) (string, error) {
	switch jsonraw.Text(jsonraw.Lookup(source, "type")) {
	case "base64":
		kind, data := jsonraw.Text(jsonraw.Lookup(source, "media_type")), jsonraw.Text(jsonraw.Lookup(source, "data"))
		if kind == "" {
			return "", m.wrong(member+".media_type", "must say what the data is, such as image/png")
		}
		return "data:" + kind + ";base64," + data, nil
	case "url":
		if url := jsonraw.Text(jsonraw.Lookup(source, "url")); url != "" {
			return url, nil
		}
	}
	return "", m.wrong(member, `must be of the type "base64" or "url"`)
}
