package openai

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

// messages changes what the provider is declared not to know in messages. That
// roles have another name, and that what we have said of an earlier answer is
// taken back, loses nothing; the rest is told as "messages.NAME".
func (e *edit) messages() {
	if len(e.q.Roles)+len(e.q.MessageRename)+len(e.q.MessageDrop) == 0 {
		return
	}
	raw := e.r.Get("messages")
	if to := each(raw, e.message); !slices.Equal(to, raw) {
		e.set("messages", to)
	}
}

func (e *edit) message(raw []byte) []byte {
	var c edits
	role := ""
	given := make(map[string][]byte, 8)
	for name, value := range jsonraw.Each(raw) {
		given[string(name)] = value
		if string(name) == "role" {
			role = jsonraw.Text(value)
		}
	}
	if to := e.q.Roles[role]; to != "" {
		c.put("role", jsonraw.Quote(to))
	}
	for from, to := range e.q.MessageRename {
		value, ok := given[from]
		if !ok || role != "assistant" {
			continue
		}
		c.leave(from)
		if given[to] == nil {
			c.put(to, value)
		}
	}
	for _, name := range e.q.MessageDrop {
		if value, ok := given[name]; ok {
			c.leave(name)
			e.forget(name, value)
		}
	}
	return c.apply(raw)
}

// forget notes that a member of a message is lost, unless it says nothing.
func (e *edit) forget(name string, value []byte) {
	name = "messages." + name
	if !jsonraw.IsNull(value) && string(value) != "[]" && !slices.Contains(e.dropped, name) {
		e.dropped = append(e.dropped, name)
	}
}
