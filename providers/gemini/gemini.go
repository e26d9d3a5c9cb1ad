// Package gemini is the adapter for Google's generateContent format, as spoken by the Gemini
// API and Vertex AI. It translates requests of the OpenAI format into it and its responses
// back; transport is the client's job.
//
// The format is documented at https://ai.google.dev/api/generate-content. A model's thoughts
// are returned as reasoning_content. What Google needs to see again of them is returned in
// reasoning_details and in extra_content.google.thought_signature of a tool call, where
// Google's own OpenAI endpoint puts it.
package gemini

import (
	"time"

	"tallyroute/providers"
)

// format marks the elements of reasoning_details that we produce.
const format = "google-gemini-v1"

// completions is the codec for chat completions.
type completions struct{ Host }

// Host describes a host that serves the format.
type Host struct {
	// Models is the path before a model's name: "/models/".
	Models string
	// Vertex is set for Vertex AI, whose requests differ in some members.
	Vertex bool
	// Now is the clock for responses that carry no timestamp.
	Now func() time.Time
}

// New returns the adapter for the Gemini API.
func New() providers.Adapter { return At(Host{Models: "/models/", Now: time.Now}) }

// At returns the adapter for another host.
func At(h Host) providers.Adapter {
	a := completions{h}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: Members()}}
}
