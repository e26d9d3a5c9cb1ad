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

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock for answers that do not say when they were made.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}
