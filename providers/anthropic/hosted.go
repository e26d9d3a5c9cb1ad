package anthropic

import (
	"slices"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// versions maps the tools that Anthropic has in common with others to their types, and to the
// beta that they require.
var versions = map[string]struct{ kind, beta string }{
	translate.WebSearch:     {"web_search_20250305", ""},
	translate.WebFetch:      {"web_fetch_20250910", "web-fetch-2025-09-10"},
	translate.CodeExecution: {"code_execution_20250825", "code-execution-2025-08-25"},
}

// hosted converts a tool that the provider runs to Anthropic's format, if it is in another
// provider's.
func (e *encoder) hosted(t *translate.Tool) error {
	if t.Function != nil || t.Anthropics() || t.Type == "mcp_toolset" {
		return nil
	}
	h, ok := t.Hosted()
	if !ok || e.host.NoTools || len(h.Allowed) > 0 && len(h.Blocked) > 0 {
		return translate.RefuseTool()
	}
	own := versions[h.Kind]
	if own.beta != "" && !slices.Contains(e.betas, own.beta) {
		e.betas = append(e.betas, own.beta)
	}
	var o jsonraw.Object
	o.Text("type", own.kind)
	o.Text("name", h.Kind)
	if h.Kind != translate.CodeExecution {
		if h.Uses > 0 {
			o.Int("max_uses", h.Uses)
		}
		o.Raw("allowed_domains", h.Allowed)
		o.Raw("blocked_domains", h.Blocked)
	}
	if h.Kind == translate.WebSearch && h.Location != nil {
		var at jsonraw.Object
		at.Text("type", "approximate")
		for place, where := range jsonraw.Each(h.Location) {
			if string(place) != "type" {
				at.Raw(string(place), jsonraw.Present(where))
			}
		}
		o.Raw("user_location", at.Bytes())
	}
	o.Raw("cache_control", h.Cache)
	h.Lost(e.Request, "max_uses", "user_location", "cache_control")
	t.Raw = o.Bytes()
	return nil
}
