package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
	"tallyroute/router/web"
)

// spelled corrects paths before passing requests on: clients are set up with a base URL that
// lacks /v1, with the base URL of Azure's API, or with an extra slash.
func spelled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, raw := spelling(r.URL.Path), ""
		if r.URL.RawPath != "" {
			raw = spelling(r.URL.RawPath)
		}
		if path != r.URL.Path || raw != r.URL.RawPath {
			u := *r.URL
			u.Path, u.RawPath = path, raw
			again := *r
			again.URL = &u
			r = &again
		}
		next.ServeHTTP(w, r)
	})
}

// spelling returns a path in the form that the routes use.
func spelling(path string) string {
	if rest, ok := strings.CutPrefix(path, "/openai/v1/"); ok {
		path = "/v1/" + rest
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	if path == "/models" || strings.HasPrefix(path, "/models/") && !strings.Contains(path, ":") {
		return "/v1" + path
	}
	for _, o := range providers.Operations() {
		if "/v1"+path == o.Path() {
			return o.Path()
		}
	}
	if path == responsesPath[len("/v1"):] || path == messagesPath[len("/v1"):] {
		return "/v1" + path
	}
	return path
}

// unservedError is a path of an API that is not served here.
type unservedError struct{ api string }

func (e *unservedError) Error() string { return "server: not served: " + e.api }

// unserved lists paths of APIs that clients may expect to find here; of paths with the same
// beginning, the longest comes first. A "*" stands for one segment.
var unserved = []struct{ path, api string }{
	{"/v1/responses/*", "OpenAI's API for stored responses"},
	{"/v1/completions", "The old API for completions of a prompt"},
	{"/v1/images", "OpenAI's API for images"},
	{"/v1/audio", "OpenAI's API for audio"},
	{"/v1/videos", "OpenAI's API for videos"},
	{"/v1/moderations", "OpenAI's API for moderations"},
	{"/v1/files", "OpenAI's API for files"},
	{"/v1/uploads", "OpenAI's API for files"},
	{"/v1/batches", "OpenAI's API for batches"},
	{"/v1/fine_tuning", "OpenAI's API for fine-tuning"},
	{"/v1/assistants", "OpenAI's API for assistants"},
	{"/v1/threads", "OpenAI's API for assistants"},
	{"/v1/vector_stores", "OpenAI's API for vector stores"},
	{"/v1/containers", "OpenAI's API for containers"},
	{"/v1/conversations", "OpenAI's API for conversations"},
	{"/v1/evals", "OpenAI's API for evaluations"},
	{"/v1/realtime", "OpenAI's Realtime API"},
	{"/v1/organization", "OpenAI's API for organizations"},
	{"/v1/engines", "OpenAI's API for engines"},
	{"/v1/chat/completions/*", "Stored completions"},
	{"/v1/messages/batches", "Anthropic's API for batches"},
	{"/v1/complete", "Anthropic's API for completions of a prompt"},
	{"/v1/rerank", "Reranking"},
	{"/v1/*:", "Google's API"},
	{"/v1/models/*:", "Google's API"},
	{"/v1beta", "Google's API"},
	{"/v1/projects", "Google's API"},
	{"/v2/chat", "Cohere's API"},
	{"/v2/embed", "Cohere's API"},
	{"/v2/rerank", "Reranking"},
	{"/api/chat", "Ollama's own API"},
	{"/api/generate", "Ollama's own API"},
	{"/api/tags", "Ollama's own API"},
	{"/api/embed", "Ollama's own API"},
	{"/api/embeddings", "Ollama's own API"},
	{"/openai/deployments", "Azure's API by deployments"},
	{"/model/*/converse", "The API of AWS Bedrock"},
	{"/model/*/converse-stream", "The API of AWS Bedrock"},
	{"/model/*/invoke", "The API of AWS Bedrock"},
	{"/model/*/invoke-with-response-stream", "The API of AWS Bedrock"},
	{"/admin", "The admin API"},
}

// noRoute says what an unknown path was meant for, if that can be told.
func noRoute(u *url.URL) error {
	path := u.Path
	for _, row := range unserved {
		for _, at := range []string{path, "/v1" + path} {
			if begins(at, row.path) {
				return &unservedError{row.api}
			}
		}
	}
	return web.ErrNoRoute
}

// begins reports whether the segments of a path begin with those of a pattern.
func begins(path, pattern string) bool {
	segments := strings.Split(path, "/")
	for i, want := range strings.Split(pattern, "/") {
		switch {
		case i >= len(segments):
			return false
		case want == "*":
		case want == "*:" && strings.Contains(segments[i], ":"):
		case want != segments[i]:
			return false
		}
	}
	return true
}

// unservedProblem says what is not served and what is.
func unservedProblem(e *unservedError) web.Problem {
	p := web.Problem{Code: web.CodeNotFound, Message: e.api + " is not served here."}
	if e.api == "The admin API" {
		p.Fix = "It is on a listener of its own: admin_listen."
		return p
	}
	var served []string
	for _, o := range providers.Operations() {
		served = append(served, fmt.Sprintf("%s at POST %s", o, o.Path()))
	}
	served = append(served, "OpenAI's Responses API at POST "+responsesPath, "Anthropic's Messages API at POST "+messagesPath)
	p.Message += " What is: " + strings.Join(served, ", ") + ", GET /v1/models."
	return p
}

// naming puts the name of the model that served them, as listed by GET /v1/models, into answers
// and chunks: the provider's own name means nothing to the client.
type naming struct {
	name   []byte // as JSON
	made   []byte // the last chunk
	head   []byte // the start of the chunk last examined, up to the end of its model
	counts bool   // the client gets the booked counts, whatever the provider said
	said   int    // length of the model's name there, as JSON; 0 if there is none to replace
}

func newNaming(model string) naming { return naming{name: jsonraw.Quote(model)} }

// of returns data with that name, if data contains one. It is valid until the next call. The
// chunks of a stream begin alike, so only the first needs to be examined.
func (n *naming) of(data []byte) []byte {
	if len(n.head) == 0 || !bytes.HasPrefix(data, n.head) {
		n.look(data)
	}
	if n.said == 0 {
		return data
	}
	end := len(n.head)
	n.made = append(append(append(n.made[:0], data[:end-n.said]...), n.name...), data[end:]...)
	return n.made
}

// look finds the name in data.
func (n *naming) look(data []byte) {
	c := jsonraw.NewCursor(data)
	var at jsonraw.Span
	c.Object(func(name []byte) {
		start := c.Pos()
		if c.Skip(); string(name) == "model" {
			at = jsonraw.Span{Start: start, End: c.Pos()}
			c.Fail() // the rest need not be read
		}
	})
	n.head, n.said = append(n.head[:0], data[:at.End]...), 0
	said := bytes.TrimLeft(at.Of(data), " \t\r\n")
	if len(said) > 0 && said[0] == '"' && !bytes.Equal(said, n.name) {
		n.said = len(said)
	}
}
