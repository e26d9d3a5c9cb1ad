// Package ollama is the adapter of Ollama's own chat format. It owns what a chat
// completion request becomes there and what is made of an answer; how either
// travels is the client's.
//
// The format is documented at https://docs.ollama.com/api/chat. A stream is one
// JSON object on each line.
package ollama

import (
	"time"

	"tallyroute/providers"
)

// Adapter speaks the format.
type Adapter struct {
	// Now is the clock for answers that do not say when they were made.
	Now func() time.Time
}

var (
	_ providers.Adapter      = Adapter{}
	_ providers.JSONStreamer = Adapter{}
)

// New is the adapter.
func New() Adapter { return Adapter{Now: time.Now} }

// StreamsJSON is true: some servers call a stream of lines application/json.
func (Adapter) StreamsJSON() bool { return true }
