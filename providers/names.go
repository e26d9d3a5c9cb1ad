package providers

import (
	"bytes"
	"fmt"

	"tallyroute/providers/jsonraw"
)

// aliases maps the client's tool names to the names that are sent instead, and back.
type aliases struct{ sent, back map[string]string }

// aliases returns the aliases of those tools whose names not every provider accepts; usually
// there are none.
func (x Exchange) aliases() (a aliases) {
	if x.Operation != Chat {
		return a
	}
	for tool := range jsonraw.Elements(x.Request.Tools()) {
		_, raw := declaration(tool)
		if raw == nil || plain(jsonraw.Inside(raw)) {
			continue
		}
		if a.sent == nil {
			a = aliases{make(map[string]string), make(map[string]string)}
			for tool := range jsonraw.Elements(x.Request.Tools()) {
				_, raw := declaration(tool)
				a.back[jsonraw.Text(raw)] = "" // taken
			}
		}
		name := jsonraw.Text(raw)
		as := PlainName(name)
		for _, taken := a.back[as]; taken; _, taken = a.back[as] {
			as = PlainName(as + "_")
			if len(as) == mostName {
				as = PlainName(name + as)
			}
		}
		a.sent[name], a.back[as] = as, name
	}
	for as, name := range a.back {
		if name == "" {
			delete(a.back, as)
		}
	}
	return a
}

// declaration returns the kind of a tool that the client declares, and the tool's name; nil
// for the provider's own tools.
func declaration(tool []byte) (kind string, name []byte) {
	switch string(jsonraw.Lookup(tool, "type")) {
	case "", `"function"`, `"custom"`:
	default:
		return "", nil // keep a name that the provider knows, such as Moonshot's $web_search
	}
	for _, kind := range [...]string{"function", "custom"} {
		if name := jsonraw.Lookup(tool, kind, "name"); len(jsonraw.Inside(name)) > 0 {
			return kind, name
		}
	}
	return "", nil
}

// plain reports whether every provider accepts a name, which is given without its quotes.
func plain(name []byte) bool {
	for _, c := range name {
		if !letter(rune(c)) {
			return false
		}
	}
	return len(name) <= mostName
}

// renamed returns x with its tools, and the choice among them, under their aliases.
func (x Exchange) renamed(a aliases) (Exchange, error) {
	if len(a.sent) == 0 {
		return x, nil
	}
	var list [][]byte
	for tool := range jsonraw.Elements(x.Request.Tools()) {
		if kind, _ := declaration(tool); kind != "" {
			tool = a.in(tool, kind)
		}
		list = append(list, tool)
	}
	sets := []jsonraw.Member{{Name: "tools", Value: jsonraw.Array(list)}}
	if choice := x.Request.Get("tool_choice"); jsonraw.IsObject(choice) {
		sets = append(sets, jsonraw.Member{Name: "tool_choice", Value: a.chosen(choice)})
	}
	r, err := x.Request.Edit(sets)
	if err != nil {
		return x, fmt.Errorf("providers: names: %w", err)
	}
	x.Request = r
	return x, nil
}

// chosen returns a tool choice with the tools under their aliases.
func (a aliases) chosen(choice []byte) []byte {
	for _, kind := range [...]string{"function", "custom"} {
		choice = a.in(choice, kind)
	}
	choice = a.named(choice)
	allowed := jsonraw.Lookup(choice, "allowed_tools")
	if !jsonraw.IsObject(allowed) {
		return choice
	}
	var list [][]byte
	for tool := range jsonraw.Elements(jsonraw.Lookup(allowed, "tools")) {
		list = append(list, a.in(tool, "function"))
	}
	allowed = jsonraw.Edit(allowed, []jsonraw.Member{{Name: "tools", Value: jsonraw.Array(list)}})
	return jsonraw.Edit(choice, []jsonraw.Member{{Name: "allowed_tools", Value: allowed}})
}

// in returns an object with the name inside its member kind replaced by the alias.
func (a aliases) in(object []byte, kind string) []byte {
	inner := jsonraw.Lookup(object, kind)
	if to := a.named(inner); !same(to, inner) {
		return jsonraw.Edit(object, []jsonraw.Member{{Name: kind, Value: to}})
	}
	return object
}

// named returns an object with its name replaced by the alias.
func (a aliases) named(object []byte) []byte {
	if as := a.sent[jsonraw.Text(jsonraw.Lookup(object, "name"))]; as != "" && jsonraw.IsObject(object) {
		return jsonraw.Edit(object, []jsonraw.Member{{Name: "name", Value: jsonraw.Quote(as)}})
	}
	return object
}

// restore puts the client's names back into a response, or into a part of one. It cannot
// match inside a text, because the quotes there are escaped.
func (a aliases) restore(data []byte) []byte {
	for as, name := range a.back {
		for _, key := range [...]string{`"name":`, `"name": `} {
			from := append([]byte(key), jsonraw.Quote(as)...)
			if bytes.Contains(data, from) {
				data = bytes.ReplaceAll(data, from, append([]byte(key), jsonraw.Quote(name)...))
			}
		}
	}
	return data
}
