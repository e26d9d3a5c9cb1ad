package server

import (
	"bytes"
	"net/http"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/router"
	"tallyroute/router/messages"
	"tallyroute/router/responses"
)

// entrance is a format in which a client asks and is answered. What lies between is a
// chat completion, whatever the entrance.
type entrance interface {
	// request is the client's body as that of a chat completion, and the names of
	// members that no provider is told of.
	request(body []byte) (completion []byte, lost []string, err error)
	// answer is a whole chat completion as the client reads it.
	answer(completion []byte) []byte
	// begin is told of a stream before its first chunk.
	begin(a *router.Answer)
	// chunk are the events that one of a chat completion makes, end those after the last,
	// and fail those of a stream that does not come to its end. They are valid until the
	// next call.
	chunk(data []byte) []sse.Event
	end() []sse.Event
	fail(p problem, requestID string) []sse.Event
	// problem is the body of an error.
	problem(p problem, requestID string) []byte
	// name tells the entrances apart; "" is that of the OpenAI format.
	name() string
}

// completions is the entrance of chat completions and embeddings: what passes is what
// the client reads.
type completions struct {
	chats bool
	one   [1]sse.Event
}

// request reads a chat completion, or one that is written as a response is asked for:
// some editors do that.
func (c *completions) request(body []byte) ([]byte, []string, error) {
	if !c.chats || bytes.Contains(body, []byte(`"messages"`)) || !bytes.Contains(body, []byte(`"input"`)) {
		return body, nil, nil
	}
	r, err := responses.Read(body)
	if err != nil {
		return nil, nil, err
	}
	return r.Body, r.Dropped, nil
}

func (c *completions) answer(completion []byte) []byte { return completion }
func (c *completions) begin(*router.Answer)            {}
func (c *completions) chunk(data []byte) []sse.Event   { c.one[0].Data = data; return c.one[:] }
func (c *completions) end() []sse.Event                { return c.chunk([]byte("[DONE]")) }
func (c *completions) name() string                    { return "" }

func (c *completions) fail(p problem, requestID string) []sse.Event {
	return c.chunk(c.problem(p, requestID))
}

// problem is the error object of the OpenAI format, with what to do about it.
func (c *completions) problem(p problem, requestID string) []byte { return openAIError(p, requestID) }

func openAIError(p problem, requestID string) []byte {
	return encode(map[string]any{"error": struct {
		Message   string  `json:"message"`
		Type      string  `json:"type"`
		Param     *string `json:"param"`
		Code      *string `json:"code"`
		Fix       *string `json:"fix"`
		DocURL    *string `json:"doc_url"`
		RequestID string  `json:"request_id"`
	}{p.message, p.kind, textOrNull(p.param), textOrNull(p.code), textOrNull(p.fix), docURL(p.code), requestID}})
}

// asResponses is the entrance of OpenAI's Responses API.
type asResponses struct {
	*responses.Request
	stream *responses.Stream
}

func (e *asResponses) request(body []byte) (completion []byte, lost []string, err error) {
	if e.Request, err = responses.Read(body); err != nil {
		return nil, nil, err
	}
	e.stream = e.Stream()
	return e.Body, e.Dropped, nil
}

func (e *asResponses) answer(completion []byte) []byte { return e.Answer(completion) }
func (e *asResponses) begin(*router.Answer)            {}
func (e *asResponses) chunk(data []byte) []sse.Event   { return e.stream.Chunk(data) }
func (e *asResponses) end() []sse.Event                { return e.stream.End() }
func (e *asResponses) name() string                    { return "responses" }

func (e *asResponses) fail(p problem, _ string) []sse.Event {
	var o jsonraw.Object
	o.Text("code", p.code)
	o.Text("message", p.message)
	return e.stream.Fail(o.Bytes())
}

func (e *asResponses) problem(p problem, requestID string) []byte { return openAIError(p, requestID) }

// asMessages is the entrance of Anthropic's Messages API.
type asMessages struct{ stream messages.Stream }

func (e *asMessages) request(body []byte) ([]byte, []string, error) {
	r, err := messages.Read(body)
	return r.Body, r.Dropped, err
}

func (e *asMessages) answer(completion []byte) []byte { return messages.Answer(completion) }
func (e *asMessages) begin(a *router.Answer)          { e.stream.Prompt = a.Route.Prompt }
func (e *asMessages) chunk(data []byte) []sse.Event   { return e.stream.Chunk(data) }
func (e *asMessages) end() []sse.Event                { return e.stream.End() }
func (e *asMessages) name() string                    { return "messages" }

func (e *asMessages) fail(p problem, requestID string) []sse.Event {
	return e.stream.Fail(e.problem(p, requestID))
}

func (e *asMessages) problem(p problem, requestID string) []byte {
	var o jsonraw.Object
	o.Some("param", p.param)
	o.Some("code", p.code)
	o.Some("fix", p.fix)
	if url := docURL(p.code); url != nil {
		o.Text("doc_url", *url)
	}
	status := p.status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return messages.Failure(status, p.message, o, requestID)
}
