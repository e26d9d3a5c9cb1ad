// Package responses is the adapter for OpenAI's Responses API, for models that exist only
// there and for clients that speak it. It translates chat completion requests into that
// format and its responses back; transport is the client's job.
//
// The format is documented at https://platform.openai.com/docs/api-reference/responses.
// Nothing is stored at the provider unless the client asks for it: what the model needs to
// see again of its reasoning travels encrypted in reasoning_details.
package responses

import (
	"time"

	"tallyroute/providers"
)

// format marks the elements of reasoning_details that we produce.
const format = "openai-responses-v1"

// completions is the codec for chat completions.
type completions struct {
	// Now is the clock for responses that carry no timestamp.
	Now func() time.Time
}

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock.
func At(now func() time.Time) providers.Adapter {
	return providers.Adapter{Chat: completions{now}, Quirks: providers.Quirks{Members: members()}, LeastOutput: least}
}
