package providers

import "tallyroute/providers/chat"

// The meters: what providers charge for besides tokens. A price and a row of the
// ledger name them by these words.
const (
	MeterWebSearch     = "web_search"     // a search, by whichever tool or member it is asked for
	MeterWebFetch      = "web_fetch"      // a page that is fetched
	MeterCodeExecution = "code_execution" // a run of code at the provider
	MeterContainer     = "container"      // a container that code runs in
	MeterFileSearch    = "file_search"    // a search of stored files
	MeterGrounding     = "grounding"      // a prompt, or a search, that an answer is grounded by
	MeterMaps          = "maps"           // the same with maps
	MeterImage         = "image"          // an image that is made
	MeterCitation      = "citation"       // a citation, or a source that is read
	MeterToolCall      = "tool_call"      // a call of a tool at the provider that has no meter of its own
)

// Use is how much a request may use of what a provider charges for besides tokens.
type Use struct {
	Meter string
	Most  int64 // units; 0 is not bounded by the request
}

// Uses are what a request may use of t besides tokens; none for most requests.
func (t *Target) Uses(*chat.Request) []Use { return nil }
