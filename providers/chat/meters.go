package chat

import "strings"

// The meters: what providers charge for besides tokens. Prices, holds and the rows of
// the ledger name them by these words.
const (
	MeterWebSearch      = "web_search"      // a search, by whichever tool or member it is asked for
	MeterWebFetch       = "web_fetch"       // a page that is fetched
	MeterCodeExecution  = "code_execution"  // a run of code at the provider
	MeterContainer      = "container"       // a container that code runs in
	MeterFileSearch     = "file_search"     // a search of stored files
	MeterGrounding      = "grounding"       // a prompt that was answered with searches, however many
	MeterMaps           = "maps"            // the same with maps
	MeterImage          = "image"           // an image that is made
	MeterCitation       = "citation"        // a source that is cited or read
	MeterCitationTokens = "citation_tokens" // a token of the sources that are cited
	MeterSearchMedium   = "search_medium"   // what a request costs more for a search of medium size
	MeterSearchHigh     = "search_high"     // the same of a large one
	MeterToolCall       = "tool_call"       // a call of a tool at the provider that has no meter of its own
)

// Units is how much of a meter an answer used.
type Units struct {
	Meter string
	N     int64
}

// Metered is what an answer used of each meter; none is there twice.
type Metered []Units

// Raise has at least n units of a meter: what says the same twice counts once.
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

// Add counts n units more of a meter.
func (m *Metered) Add(meter string, n int64) {
	m.Raise(meter, m.Of(meter)+min(max(n, 0), MaxUsage))
}

// Include raises m to what another count of the same answer says.
func (m *Metered) Include(other Metered) {
	for _, u := range other {
		m.Raise(u.Meter, u.N)
	}
}

// Of is how many units of a meter there are.
func (m Metered) Of(meter string) int64 {
	for _, u := range m {
		if u.Meter == meter {
			return u.N
		}
	}
	return 0
}

// MeterOf is the meter of a count of calls by the name that a provider gives it, or of
// a tool; "" where it counts something else, or what is charged by its tokens alone.
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
		return "" // by their tokens, or nothing
	}
	if counted {
		return MeterToolCall
	}
	return ""
}

// cutAny is name without the first ending that it has.
func cutAny(name string, endings ...string) (rest string, found bool) {
	for _, ending := range endings {
		if rest, ok := strings.CutSuffix(name, ending); ok {
			return rest, true
		}
	}
	return name, false
}
