package responses

import (
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// compactPath is the path for compacting conversations, below the one for answering them.
const compactPath = "/compact"

// continuing is root without the input, for requests that may only continue from a response.
var continuing = jsonraw.Field{Kinds: root.Kinds, Required: 1, Fields: root.Fields}

// ReadCompact is like Read, for a request to compact a conversation. Only the provider itself can
// read the result, so there is no equivalent chat completion.
func ReadCompact(body []byte, l chat.Limits, past *Past) (*Request, error) {
	return read(body, &continuing, l, past, (*reader).compacts)
}

func (r *reader) compacts() error {
	if r.get("input") == nil && r.get("previous_response_id") == nil {
		return wrong("input", "must hold the conversation that is to be compacted")
	}
	if string(r.get("stream")) == "true" {
		return unsupported("stream", "is not served: a compacted conversation comes whole")
	}
	if r.get("max_output_tokens") != nil {
		return unsupported("max_output_tokens", "is not known here: what a conversation is compacted to has no limit")
	}
	r.native.Path = compactPath
	r.only(unsupported("model", "this model is at no provider of the Responses API, and these alone can compact a conversation; "+
		"ask the model for a summary at POST /v1/responses, and go on from that"))
	return nil
}
