package providers

import "tallyroute/providers/chat"

// The meters, as package chat names them.
const (
	MeterWebSearch     = chat.MeterWebSearch
	MeterWebFetch      = chat.MeterWebFetch
	MeterCodeExecution = chat.MeterCodeExecution
	MeterContainer     = chat.MeterContainer
	MeterFileSearch    = chat.MeterFileSearch
	MeterGrounding     = chat.MeterGrounding
	MeterMaps          = chat.MeterMaps
	MeterImage         = chat.MeterImage
	MeterCitation      = chat.MeterCitation
	MeterToolCall      = chat.MeterToolCall
)

// Use is how much a request may use of what a provider charges for besides tokens.
type Use struct {
	Meter string
	Most  int64 // units; 0 is not bounded by the request
}

// Uses are what a request may use of t besides tokens; none for most requests.
func (t *Target) Uses(*chat.Request) []Use { return nil }
