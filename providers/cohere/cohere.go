// Package cohere is the adapter of Cohere's chat format, version 2. It owns what a
// chat completion request becomes there and what is made of an answer; how either
// travels is the client's.
//
// The format is documented at https://docs.cohere.com/reference/chat. What a model
// plans before it calls tools is reasoning here. Usage is what Cohere bills, not
// what its models read.
package cohere

import (
	"time"

	"tallyroute/providers"
)

// format marks the elements of reasoning_details that we produce.
const format = "cohere-v2"

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock: answers do not say when they were made.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}
