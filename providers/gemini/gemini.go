// Package gemini is the adapter of Google's generateContent format, as the Gemini
// API and Vertex AI speak it. It owns what a request of the OpenAI format becomes
// and what is made of an answer; how either travels is the client's.
//
// The format is documented at https://ai.google.dev/api/generate-content. What a
// model thought comes as reasoning_content, and what Google needs to see again of
// it as reasoning_details and as extra_content.google.thought_signature of a tool
// call, where Google's own OpenAI endpoint has it.
package gemini

import (
	"time"

	"tallyroute/providers"
)

// format marks our elements of reasoning_details.
const format = "google-gemini-v1"

// completions is the codec of chat completions.
type completions struct{ Host }

// Host is who serves the format.
type Host struct {
	// Models is what comes before a model's name in a path: "/models/".
	Models string
	// Vertex is set for Vertex AI, which differs in what a request may hold.
	Vertex bool
	// Now is the clock for answers that do not say when they were made.
	Now func() time.Time
}

// New is the adapter of the Gemini API.
func New() providers.Adapter { return At(Host{Models: "/models/", Now: time.Now}) }

// At is the adapter of another host.
func At(h Host) providers.Adapter {
	a := completions{h}
	return providers.Adapter{Chat: a, Embed: embeddings{a}, Quirks: providers.Quirks{Members: Members()}}
}
