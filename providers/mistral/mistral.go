// Package mistral is the adapter of Mistral's API: the OpenAI format, with other
// names, stricter messages, and content in parts where a model thinks. It owns
// these differences; the format itself is that of package openai.
package mistral

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
)

// Adapter translates what differs and leaves the rest to the format.
type Adapter struct{ format openai.Adapter }

var _ providers.Adapter = Adapter{}

// New is the adapter. It has no state, so one will do for all targets.
func New() Adapter { return Adapter{format: openai.New()} }

// members are all that a request may have besides model, messages and stream:
// what Mistral does not know it refuses. Source: the OpenAPI file of its
// platform, ChatCompletionRequest, and what is recorded of logprobs.
var members = []string{
	"frequency_penalty", "guardrails", "logprobs", "max_tokens", "metadata", "n", "parallel_tool_calls", "prediction",
	"presence_penalty", "prompt_cache_key", "prompt_mode", "random_seed", "reasoning_effort", "response_format",
	"safe_prompt", "stop", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
}

// declared are the quirks of the API, under those of the target.
func declared(q providers.Quirks) providers.Quirks {
	rename := map[string]string{"seed": "random_seed"}
	maps.Copy(rename, q.Rename)
	q.Rename = rename
	if len(q.Known) == 0 {
		q.Known = members
	}
	bounds := map[string]providers.Bound{"temperature": {Max: "1.5"}}
	maps.Copy(bounds, q.Bounds)
	q.Bounds = bounds
	q.NoStreamUsage = true // it comes with every stream
	return q
}

// Encode changes the messages and tools, and then what the format changes.
func (a Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	t := translation{ids: make(map[string]string)}
	r, err := t.request(x.Request)
	if err != nil {
		return providers.Call{}, err
	}
	x.Request, x.Target.Quirks = r, declared(x.Target.Quirks)
	call, err := a.format.Encode(x)
	told := func(name string) bool { return name == "stream_options" } // usage comes with every stream
	call.Dropped = append(slices.DeleteFunc(call.Dropped, told), t.lost...)
	return call, err
}

// Decode is that of the format, which reads content in parts.
func (a Adapter) Decode(x providers.Exchange, body []byte) (*chat.Response, error) {
	return a.format.Decode(x, body)
}

// Stream is that of the format, which gives tool calls without an index theirs.
func (a Adapter) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	x.Target.Quirks = declared(x.Target.Quirks)
	return a.format.Stream(x, body)
}

// Fail is that of the format.
func (a Adapter) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	return a.format.Fail(x, status, h, body)
}
