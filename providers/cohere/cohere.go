// Package cohere is the adapter for version 2 of Cohere's chat format. It translates chat
// completion requests into that format and its responses back; transport is the client's
// job.
//
// The format is documented at https://docs.cohere.com/reference/chat. What a model plans
// before it calls tools becomes reasoning here. Usage is what Cohere bills, not what its
// models read.
package cohere

import (
	"time"

	"tallyroute/providers"
)

// format marks the elements of reasoning_details that we produce.
const format = "cohere-v2"

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock, since responses carry no timestamp.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	a := completions{now}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: members(), Search: providers.SearchNever}}
}
