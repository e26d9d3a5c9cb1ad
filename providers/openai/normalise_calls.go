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

// call normalises a complete tool call.
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

// kindOf returns whether a call, or a piece of one, is for a function or a custom tool.
func kindOf(o object) string {
	if jsonraw.Text(o["type"]) == "custom" || len(o["function"]) == 0 && o["custom"] != nil {
		return "custom"
	}
	return "function"
}

// whole returns a function or a custom tool's call with all the members that it must have.
func (m *normaliser) whole(body []byte, kind string) []byte {
	o, e := read(body), &edits{}
	for _, name := range wordsOf(kind) {
		e.change(name, o[name], word(o[name]))
	}
	return e.apply(body)
}

// wordsOf returns the members of a function call, or of a custom tool's call, that hold its
// text.
func wordsOf(kind string) [2]string {
	if kind == "custom" {
		return [2]string{"name", "input"}
	}
	return [2]string{"name", "arguments"}
}

// callWords normalises the name and the arguments of a call, as far as they are present.
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

// word returns a JSON string. Some providers send arguments as JSON that is not in a string.
func word(raw []byte) []byte {
	switch {
	case jsonraw.IsNull(raw):
		return []byte(`""`)
	case raw[0] == '"':
		return raw
	}
	return jsonraw.Quote(string(raw))
}

// callID makes an id for a call that has none. It is always the same for the same response,
// and different in the next turn.
func (m *normaliser) callID(i int) string {
	return "call_" + digest([]byte(m.id), []byte{'/'}, strconv.AppendInt(nil, int64(i), 10))
}

// piece normalises a piece of a tool call. It belongs to the call at its index, unless the
// index is missing or by now stands for another call.
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

// pieceBody sends the name of a function or a custom tool only once.
func (m *normaliser) pieceBody(raw []byte, k *call) []byte {
	name := jsonraw.Text(jsonraw.Lookup(raw, "name"))
	body := m.callWords(raw, k.kind)
	if name != "" && name == k.name {
		return jsonraw.Edit(body, nil, "name")
	}
	k.name += name
	return body
}

// belongs returns the call that a piece belongs to, and whether the piece begins it.
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
	// A different id with a name, at an index already in use, begins another call.
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
