// Package ollama is the adapter for Ollama's own chat format. It translates chat completion
// requests into that format and its responses back; transport is the client's job.
//
// The format is documented at https://docs.ollama.com/api/chat. A stream is one JSON object
// per line.
package ollama

import (
	"time"

	"tallyroute/providers"
)

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock for responses that carry no timestamp.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}
