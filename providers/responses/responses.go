// Package responses is the adapter of OpenAI's Responses API, for models that
// exist only there and for everybody who speaks it. It owns what a chat completion
// request becomes there and what is made of an answer; how either travels is the
// client's.
//
// The format is documented at https://platform.openai.com/docs/api-reference/responses.
// Nothing is kept at the provider unless the client says so: what it needs to see
// again of its reasoning travels encrypted in reasoning_details.
package responses

import (
	"time"

	"tallyroute/providers"
)

// format marks the elements of reasoning_details that we produce.
const format = "openai-responses-v1"

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock for answers that do not say when they were made.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	return providers.Adapter{Chat: completions{now}, Quirks: providers.Quirks{Members: members()}, LeastOutput: least}
}
