// Package vertex is the adapter for Vertex AI: Google's own models in the format of package
// gemini, and Claude in that of package anthropic, each under the paths that Vertex AI uses
// for its publishers. This package defines those paths.
//
// A base URL contains the project and the location, such as
// https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4.
package vertex

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/chat"
	"tallyroute/providers/gemini"
	"tallyroute/providers/jsonraw"
)

// claudeVersion is the version of Anthropic's format on Vertex AI.
const claudeVersion = "vertex-2023-10-16"

// claudeCount is the path that counts Claude's prompts.
const claudeCount = "/publishers/anthropic/models/count-tokens:rawPredict"

// New returns the adapter.
func New() providers.Adapter { return At(time.Now) }

// At returns the adapter with the given clock, for responses that carry no timestamp.
func At(now func() time.Time) providers.Adapter {
	google := gemini.At(gemini.Host{Models: "/publishers/google/models/", Vertex: true, Now: now})
	claude := anthropic.At(anthropic.Host{Path: claudePath, Version: claudeVersion, Count: claudeCount, Now: now})
	return providers.Adapter{
		Chat: completions{google.Chat, claude}, Embed: embeddings{google.Embed},
		Quirks: providers.Quirks{Members: gemini.Members().Over(anthropic.Members())},
	}
}

// claudePath returns the path to call Claude.
func claudePath(x providers.Exchange) string {
	at := "/publishers/anthropic/models/" + url.PathEscape(x.Target.Upstream)
	if x.Request.Stream() {
		return at + ":streamRawPredict"
	}
	return at + ":rawPredict"
}

// completions is the codec for chat completions: that of the model's publisher.
type completions struct{ google, claude providers.ChatCodec }

// of returns the codec of a model's publisher. The model's name may include the publisher,
// as in anthropic/claude-sonnet-4.
func (c completions) of(x providers.Exchange) (providers.ChatCodec, providers.Exchange) {
	model := x.Target.Upstream
	if name, ok := strings.CutPrefix(model, "anthropic/"); ok {
		x.Target.Upstream = name
		return c.claude, x
	}
	if strings.HasPrefix(model, "claude") {
		return c.claude, x
	}
	return c.google, unprefixed(x)
}

// unprefixed returns x with the bare name of a Google model.
func unprefixed(x providers.Exchange) providers.Exchange {
	x.Target.Upstream = strings.TrimPrefix(x.Target.Upstream, "google/")
	return x
}

// Speaks returns the native format of the model's publisher.
func (c completions) Speaks(t *providers.Target) providers.Format {
	codec, _ := c.of(providers.Exchange{Target: *t})
	if native, ok := codec.(providers.NativeCodec); ok {
		return native.Speaks(t)
	}
	return ""
}

// Encode writes a call in the format of the model's publisher.
func (c completions) Encode(x providers.Exchange) (providers.Call, error) {
	codec, x := c.of(x)
	return codec.Encode(x)
}

// Decode reads a complete, non-streamed response.
func (c completions) Decode(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	codec, x := c.of(x)
	return codec.Decode(x, h, body)
}

// Stream reads a streamed response.
func (c completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	codec, x := c.of(x)
	return codec.Stream(x, body)
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (c completions) Usage(x providers.Exchange, body []byte) *chat.Usage {
	codec, x := c.of(x)
	return codec.Usage(x, body)
}

// Count turns a call into one that only counts the tokens of its prompt.
func (c completions) Count(x providers.Exchange, call providers.Call) (providers.Call, bool) {
	codec, x := c.of(x)
	counting, ok := codec.(providers.CountingCodec)
	if !ok {
		return call, false
	}
	return counting.Count(x, call)
}

// Counted reads the token count from the response to a counting call, in whichever format it is.
func (c completions) Counted(body []byte) (int64, bool) {
	for _, codec := range []providers.ChatCodec{c.google, c.claude} {
		if counting, ok := codec.(providers.CountingCodec); ok {
			if n, ok := counting.Counted(body); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// Fail reads a response whose status reports a failure. Errors that do not come from the
// model are in Google's format, whoever made the model.
func (c completions) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	codec, x := c.of(x)
	if status := jsonraw.Lookup(body, "error", "status"); status != nil || strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
		codec = c.google
	}
	return codec.Fail(x, status, h, body)
}

// embeddings is the codec for embeddings, which only Google's models produce.
type embeddings struct{ google providers.EmbedCodec }

// InputsPerCall returns the limit of Google's models.
func (e embeddings) InputsPerCall(x providers.Exchange) int64 {
	return e.google.InputsPerCall(unprefixed(x))
}

// Encode writes an embedding call.
func (e embeddings) Encode(x providers.Exchange) (providers.Call, error) {
	return e.google.Encode(unprefixed(x))
}

// Decode reads a response with embedding vectors.
func (e embeddings) Decode(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	return e.google.Decode(unprefixed(x), h, body)
}

// Fail reads a response whose status reports a failure.
func (e embeddings) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	return e.google.Fail(unprefixed(x), status, h, body)
}
