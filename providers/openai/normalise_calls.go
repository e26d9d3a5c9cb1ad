package openai

import (
	"slices"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// calls normalises a list of tool calls.
func (m *normaliser) calls(o object, e *edits, c *choice) {
	raw, ok := o["tool_calls"]
	switch {
	case !ok:
	case raw[0] != '[':
		e.leave("tool_calls")
	case m.stream:
		e.change("tool_calls", raw, each(raw, func(call []byte) []byte { return m.piece(call, c) }))
	default:
		seen := make(map[string]bool)
		e.change("tool_calls", raw, each(raw, func(call []byte) []byte { return m.call(call, seen) }))
	}
}

// call normalises a whole tool call.
func (m *normaliser) call(raw []byte, seen map[string]bool) []byte {
	o, e := read(raw), &edits{}
	id := jsonraw.Text(o["id"])
	if id == "" || seen[id] {
		id = m.callID(len(seen))
		e.put("id", jsonraw.Quote(id))
	}
	seen[id] = true
	kind := kindOf(o)
	body := o[kind]
	e.change("type", o["type"], jsonraw.Quote(kind))
	if len(body) == 0 || body[0] != '{' {
		body = []byte("{}")
	}
	e.change(kind, o[kind], m.whole(body, kind))
	return e.apply(raw)
}

// kindOf says whether a call, or a piece of one, is of a function or of a custom tool.
func kindOf(o object) string {
	if jsonraw.Text(o["type"]) == "custom" || len(o["function"]) == 0 && o["custom"] != nil {
		return "custom"
	}
	return "function"
}

// whole is a function or a custom tool with all that it must have.
func (m *normaliser) whole(body []byte, kind string) []byte {
	o, e := read(body), &edits{}
	for _, name := range wordsOf(kind) {
		e.change(name, o[name], word(o[name]))
	}
	return e.apply(body)
}

// wordsOf are the members of a function, or of a custom tool, that hold its call.
func wordsOf(kind string) [2]string {
	if kind == "custom" {
		return [2]string{"name", "input"}
	}
	return [2]string{"name", "arguments"}
}

// callWords are the name and the arguments of a call as far as they are there.
func (m *normaliser) callWords(body []byte, kind string) []byte {
	o, e := read(body), &edits{}
	for _, name := range wordsOf(kind) {
		raw, ok := o[name]
		switch {
		case ok && jsonraw.IsNull(raw):
			e.leave(name)
		case ok || !m.stream:
			e.change(name, raw, word(raw))
		}
	}
	return e.apply(body)
}

// word is a text. Some send arguments as the JSON that they are.
func word(raw []byte) []byte {
	switch {
	case jsonraw.IsNull(raw):
		return []byte(`""`)
	case raw[0] == '"':
		return raw
	}
	return jsonraw.Quote(string(raw))
}

// callID names a call that has no name. It is the same for the same answer, and
// another in the next turn.
func (m *normaliser) callID(i int) string {
	return "call_" + digest([]byte(m.id), []byte{'/'}, strconv.AppendInt(nil, int64(i), 10))
}

// piece normalises a piece of a tool call: it belongs to the call that its index
// says, unless that is missing or stands for another call by now.
func (m *normaliser) piece(raw []byte, c *choice) []byte {
	o, e := read(raw), &edits{}
	kind := kindOf(o)
	at, begins := m.belongs(o, kind, c)
	c.at = at
	e.change("index", o["index"], strconv.AppendInt(nil, int64(at), 10))
	if id := c.calls[at].id; begins {
		e.change("id", o["id"], jsonraw.Quote(id))
	} else if raw, ok := o["id"]; ok && jsonraw.Text(raw) != id {
		e.leave("id")
	}
	k := &c.calls[at]
	switch kind, ok := o["type"]; {
	case begins:
		e.change("type", kind, jsonraw.Quote(k.kind))
	case ok && jsonraw.Text(kind) != k.kind:
		e.leave("type")
	}
	if body, ok := o[k.kind]; ok {
		if body[0] != '{' {
			e.leave(k.kind)
		} else {
			e.change(k.kind, body, m.pieceBody(body, k))
		}
	}
	return e.apply(raw)
}

// pieceBody says the name of a function, or of a custom tool, once.
func (m *normaliser) pieceBody(raw []byte, k *call) []byte {
	name := jsonraw.Text(jsonraw.Lookup(raw, "name"))
	body := m.callWords(raw, k.kind)
	if name != "" && name == k.name {
		return jsonraw.Edit(body, nil, "name")
	}
	k.name += name
	return body
}

// belongs is the call that a piece belongs to, and whether it begins it.
func (m *normaliser) belongs(o object, kind string, c *choice) (at int, begins bool) {
	if len(c.calls) >= maxCalls {
		return len(c.calls) - 1, false
	}
	id, name := jsonraw.Text(o["id"]), jsonraw.Text(jsonraw.Lookup(o[kind], "name"))
	index := string(o["index"])
	at, known := c.named[index]
	if index == "" || index == "null" {
		index, at, known = "", c.at, len(c.calls) > 0 && name == ""
	}
	for i, k := range c.calls {
		if id != "" && k.id == id && (known || name == "" || index == "") {
			return i, false
		}
	}
	// Another id with a name at an index that is taken is another call.
	if known && (id == "" || name == "") {
		return at, false
	}
	if id == "" || slices.ContainsFunc(c.calls, func(k call) bool { return k.id == id }) {
		id = m.callID(len(c.calls))
	}
	c.calls = append(c.calls, call{id: id, kind: kind})
	at = len(c.calls) - 1
	if c.named == nil {
		c.named = make(map[string]int)
	}
	c.named[index] = at
	return at, true
}
