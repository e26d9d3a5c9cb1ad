package providers

import (
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// alternates reports a conversation in which user and assistant take turns behind the
// system. Tools answer for the user.
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

// alternate makes one message of what one side says in several, and lets the user say
// what the system says later on.
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

// together is the second message behind the first: its content, and what else it has.
func together(first, second []byte) []byte {
	sets := []jsonraw.Member{{Name: "content", Value: jsonraw.Array(append(parts(first), parts(second)...))}}
	for name, value := range jsonraw.Each(second) {
		if n := string(name); n != "role" && n != "content" && jsonraw.Lookup(first, n) == nil {
			sets = append(sets, jsonraw.Member{Name: n, Value: value})
		}
	}
	return jsonraw.Edit(first, sets)
}

// parts are those of a message's content.
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
