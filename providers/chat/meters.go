package chat

import "strings"

// The meters: what providers charge for besides tokens. Prices, holds and the rows of the
// ledger use these names.
const (
	MeterWebSearch      = "web_search"      // a search, whichever tool or member requested it
	MeterWebFetch       = "web_fetch"       // a page fetched
	MeterCodeExecution  = "code_execution"  // a code run at the provider
	MeterContainer      = "container"       // a container for running code
	MeterFileSearch     = "file_search"     // a search of stored files
	MeterGrounding      = "grounding"       // a prompt answered with searches, however many
	MeterMaps           = "maps"            // a prompt answered with map lookups, however many
	MeterImage          = "image"           // an image generated
	MeterCitation       = "citation"        // a source cited or read
	MeterCitationTokens = "citation_tokens" // a token of the cited sources
	MeterSearchMedium   = "search_medium"   // the surcharge on a request for a search of medium size
	MeterSearchHigh     = "search_high"     // the surcharge on a request for a search of large size
	MeterToolCall       = "tool_call"       // a call of a tool at the provider that has no meter of its own
)

// Units is the number of units of one meter that a response used.
type Units struct {
	Meter string
	N     int64
}

// Metered is what a response used of each meter. No meter appears twice.
type Metered []Units

// Raise makes sure that a meter has at least n units, so that what is reported twice counts
// once.
func (m *Metered) Raise(meter string, n int64) {
	if n <= 0 {
		return
	}
	for i := range *m {
		if u := &(*m)[i]; u.Meter == meter {
			u.N = max(u.N, n)
			return
		}
	}
	*m = append(*m, Units{meter, n})
}

// Add adds n units of a meter.
func (m *Metered) Add(meter string, n int64) {
	m.Raise(meter, m.Of(meter)+min(max(n, 0), MaxUsage))
}

// Include raises each meter to at least its value in another count of the same response.
func (m *Metered) Include(other Metered) {
	for _, u := range other {
		m.Raise(u.Meter, u.N)
	}
}

// Of returns the number of units of a meter.
func (m Metered) Of(meter string) int64 {
	for _, u := range m {
		if u.Meter == meter {
			return u.N
		}
	}
	return 0
}

// MeterOf returns the meter for a provider's name of a call count or of a tool. It returns ""
// if the name counts something else, or something that is charged only by its tokens.
func MeterOf(name string) string {
	name, counted := cutAny(name, "_requests", "_calls", "_call", "_count")
	switch name {
	case "web_search", "x_search", "search", "browser_search", "web_search_preview", "image_search", "news_search":
		return MeterWebSearch
	case "web_fetch", "visit", "visit_website", "fetch", "fetch_url", "url_context", "open_page":
		return MeterWebFetch
	case "code_execution", "bash_code_execution", "text_editor_code_execution", "code_interpreter", "python", "browser_automation":
		return MeterCodeExecution
	case "file_search", "document_search", "collections_search", "attachment_search":
		return MeterFileSearch
	case "image_generation":
		return MeterImage
	case "mcp", "function", "tool", "client_side_tool", "view_image", "view_x_video", "tool_search":
		return "" // charged by their tokens, or not at all
	}
	if counted {
		return MeterToolCall
	}
	return ""
}

// cutAny returns name without the first of the endings that it has.
func cutAny(name string, endings ...string) (rest string, found bool) {
	for _, ending := range endings {
		if rest, ok := strings.CutSuffix(name, ending); ok {
			return rest, true
		}
	}
	return name, false
}
