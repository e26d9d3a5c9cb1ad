package translate

import (
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// The tools that providers run themselves and that several formats have, each under a name of
// its own.
const (
	WebSearch     = "web_search"
	WebFetch      = "web_fetch"
	CodeExecution = "code_execution"
)

// hosted maps the types of these tools, without the date of their version, to what they are.
var hosted = map[string]string{
	"web_search": WebSearch, "web_search_preview": WebSearch, "google_search": WebSearch, "openrouter:web_search": WebSearch,
	"web_fetch": WebFetch, "url_context": WebFetch,
	"code_execution": CodeExecution, "code_interpreter": CodeExecution,
}

// Hosted is one of these tools. Values are JSON, nil if absent.
type Hosted struct {
	Kind             string
	Uses             int64 // the most that one answer may have; 0 means any number
	Allowed, Blocked []byte
	Location         []byte // city, region, country and timezone
	Context          []byte // how much of what was found is read: low, medium or high
	Cache            []byte // cache_control

	lost []string // members that no other format has
}

// dated reports whether a type ends with a date as Anthropic writes it.
func dated(kind string) bool {
	i := strings.LastIndexByte(kind, '_')
	return i > 0 && len(kind)-i == len("_20250305") && !strings.ContainsFunc(kind[i+1:], func(r rune) bool { return r < '0' || r > '9' })
}

// Anthropics reports whether a type is one of Anthropic's own, which name the date of their
// version.
func (t Tool) Anthropics() bool { return dated(t.Type) }

// Hosted reads a tool in whichever provider's form. It returns false for tools that are not known
// in several formats, or with settings that only their own provider can honour: a tool must not
// reach further than its client allows.
func (t Tool) Hosted() (h Hosted, ok bool) {
	kind := t.Type
	switch {
	case dated(kind):
		kind = kind[:strings.LastIndexByte(kind, '_')]
	case len(kind) > len("_2025_08_26") && kind[len(kind)-len("_2025_08_26"):][:3] == "_20":
		kind = kind[:len(kind)-len("_2025_08_26")]
	}
	if h.Kind, ok = hosted[kind]; !ok {
		return Hosted{}, false
	}
	for name, value := range jsonraw.Each(t.Raw) {
		if value = jsonraw.Present(value); value == nil {
			continue
		}
		if string(name) == "parameters" || string(name) == "filters" {
			for inner, v := range jsonraw.Each(value) {
				h.read(string(inner), jsonraw.Present(v))
			}
			continue
		}
		if !h.read(string(name), value) {
			return Hosted{}, false
		}
	}
	return h, true
}

// read reads a setting. It returns false if the tool must not be used without it.
func (h *Hosted) read(name string, value []byte) bool {
	var n Counter
	switch name {
	case "type", "name":
	case "max_uses":
		h.Uses = n.Take(value)
	case "allowed_domains":
		h.Allowed = value
	case "blocked_domains", "excluded_domains":
		h.Blocked = value
	case "user_location":
		h.Location = value
		if approximate := jsonraw.Lookup(value, "approximate"); approximate != nil {
			h.Location = approximate
		}
	case "search_context_size":
		h.Context = value
	case "cache_control":
		h.Cache = value
	case "external_web_access":
		return string(value) != "false"
	case "container": // files in it are out of reach elsewhere
		return jsonraw.IsObject(value) && jsonraw.Lookup(value, "file_ids") == nil
	default:
		h.lost = append(h.lost, name)
	}
	return true
}

// Lost names, as members of tools, the settings that are not among those that the format has.
func (h Hosted) Lost(r *Request, has ...string) {
	for _, m := range []struct {
		name string
		said bool
	}{
		{"max_uses", h.Uses > 0}, {"user_location", h.Location != nil}, {"search_context_size", h.Context != nil},
		{"cache_control", h.Cache != nil},
	} {
		if m.said && !slices.Contains(has, m.name) {
			r.Lose("tools." + m.name)
		}
	}
	for _, name := range h.lost {
		r.Lose("tools." + name)
	}
}

// HostedMembers returns the line for the settings of these tools, none of which costs anything by
// itself.
func HostedMembers() providers.Line {
	var names []string
	for kind := range hosted {
		for _, member := range []string{
			"max_uses", "allowed_domains", "blocked_domains", "excluded_domains", "user_location", "search_context_size", "filters",
			"external_web_access", "search_content_types", "citations", "max_content_tokens", "use_cache", "container",
		} {
			names = append(names, "tools."+kind+"."+member)
		}
	}
	return providers.Free.Of(names...)
}
