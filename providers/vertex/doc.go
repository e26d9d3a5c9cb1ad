// Package vertex is the adapter of Vertex AI: Google's own models in the format of
// package gemini, Claude in that of package anthropic, each under the paths that
// Vertex AI has for its publishers. It owns these paths.
//
// A base URL names the project and the location, such as
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

// claudeVersion is the version of Anthropic's format as Vertex AI has it.
const claudeVersion = "vertex-2023-10-16"

// Adapter speaks to Vertex AI.
type Adapter struct {
	google gemini.Adapter
	claude providers.Adapter
}

var (
	_ providers.Adapter      = Adapter{}
	_ providers.JSONStreamer = Adapter{}
)

// New is the adapter. now is the clock for answers that do not say when they were
// made; nil is time.Now.
func New(now func() time.Time) Adapter {
	if now == nil {
		now = time.Now
	}
	return Adapter{
		google: gemini.Adapter{Models: "/publishers/google/models/", Vertex: true, Now: now},
		claude: anthropic.At(anthropic.Host{Path: claudePath, Version: claudeVersion, Now: now}),
	}
}

// StreamsJSON is as with the Gemini API.
func (Adapter) StreamsJSON() bool { return true }

// of is the adapter of a model's publisher. A model may be written with it, as in
// anthropic/claude-sonnet-4.
func (a Adapter) of(x providers.Exchange) (providers.Adapter, providers.Exchange) {
	model := x.Target.Upstream
	if name, ok := strings.CutPrefix(model, "anthropic/"); ok {
		x.Target.Upstream = name
		return a.claude, x
	}
	if strings.HasPrefix(model, "claude") {
		return a.claude, x
	}
	x.Target.Upstream = strings.TrimPrefix(model, "google/")
	return a.google, x
}

// claudePath is where Claude is called.
func claudePath(x providers.Exchange) string {
	at := "/publishers/anthropic/models/" + url.PathEscape(x.Target.Upstream)
	if x.Request.Stream() {
		return at + ":streamRawPredict"
	}
	return at + ":rawPredict"
}

// Encode writes a call in the format of the model's publisher.
func (a Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	adapter, x := a.of(x)
	return adapter.Encode(x)
}

// Decode reads a whole answer.
func (a Adapter) Decode(x providers.Exchange, body []byte) (*chat.Response, error) {
	adapter, x := a.of(x)
	return adapter.Decode(x, body)
}

// Stream reads a streamed answer.
func (a Adapter) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	adapter, x := a.of(x)
	return adapter.Stream(x, body)
}

// Fail reads an answer whose status says that it is none. What does not come from
// the model is said in Google's words, whoever made the model.
func (a Adapter) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	adapter, x := a.of(x)
	if status := jsonraw.Lookup(body, "error", "status"); status != nil || strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
		adapter = a.google
	}
	return adapter.Fail(x, status, h, body)
}
