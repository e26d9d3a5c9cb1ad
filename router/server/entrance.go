package server

import (
	"bytes"
	"net/http"

	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/router"
	"tallyroute/router/messages"
	"tallyroute/router/responses"
	"tallyroute/router/web"
)

// The paths of the entrances that are not operations.
const (
	responsesPath = "/v1/responses"
	messagesPath  = "/v1/messages"
)

// entrance is a format in which a client sends requests and gets answers. Internally everything
// is a chat completion, whatever the entrance.
type entrance interface {
	// request returns the client's body as a chat completion, along with the original if that is
	// in another format, and the names of members that have no place in a chat completion.
	request(body []byte, l chat.Limits) (asked router.Asked, lost []string, err error)
	// answer returns a whole chat completion in the client's format.
	answer(completion []byte) []byte
	// begin is told about an answer that is native, or about a stream before its first chunk.
	begin(a *router.Answer)
	// chunk returns the events for one chunk of a chat completion, end those after the last, and
	// fail those of a stream that breaks off. They are valid until the next call.
	chunk(data []byte) []sse.Event
	end() []sse.Event
	fail(p web.Problem, o web.ErrorObject) []sse.Event
	// own returns the client's name for a member of the chat completion.
	own(param string) string
	// problem returns the body of an error.
	problem(p web.Problem, o web.ErrorObject) []byte
	// name is the format of the entrance; "" is that of chat completions.
	name() providers.Format
}

// openAIErrors writes the errors of both OpenAI formats.
type openAIErrors struct{}

func (openAIErrors) problem(_ web.Problem, o web.ErrorObject) []byte {
	return web.Encode(web.ErrorAnswer{Error: o})
}

// completions is the entrance of chat completions and embeddings: answers need no translation.
type completions struct {
	openAIErrors
	chats    bool
	response *responses.Request // set if the request came in the Responses format
	one      [1]sse.Event
}

// request reads a chat completion, or one written like a Responses request: some editors send
// that.
func (c *completions) request(body []byte, l chat.Limits) (router.Asked, []string, error) {
	if !c.chats || bytes.Contains(body, []byte(`"messages"`)) || !bytes.Contains(body, []byte(`"input"`)) {
		return router.Asked{Body: body}, nil, nil
	}
	r, err := responses.Read(body, l, nil)
	if err == nil {
		err = r.Native.Only
	}
	if err != nil {
		return router.Asked{}, nil, err
	}
	c.response = r
	return router.Asked{Body: r.Body}, r.Dropped, nil
}

func (c *completions) own(param string) string {
	if c.response == nil {
		return param
	}
	return c.response.Own(param)
}

func (c *completions) answer(completion []byte) []byte { return completion }
func (c *completions) begin(*router.Answer)            {}
func (c *completions) chunk(data []byte) []sse.Event   { c.one[0].Data = data; return c.one[:] }
func (c *completions) end() []sse.Event                { return c.chunk([]byte("[DONE]")) }
func (c *completions) name() providers.Format          { return "" }

func (c *completions) fail(p web.Problem, o web.ErrorObject) []sse.Event {
	return c.chunk(c.problem(p, o))
}

// asResponses is the entrance of OpenAI's Responses API.
type asResponses struct {
	openAIErrors
	*responses.Request
	stream   *responses.Stream
	native   bool            // the answer is the provider's own
	past     *responses.Past // nil: responses are not stored
	compacts bool            // the conversation is to be compacted, not answered
}

func (e *asResponses) request(body []byte, l chat.Limits) (asked router.Asked, lost []string, err error) {
	read := responses.Read
	if e.compacts {
		read = responses.ReadCompact
	}
	if e.Request, err = read(body, l, e.past); err != nil {
		return router.Asked{}, nil, err
	}
	e.stream = e.Stream()
	return router.Asked{Body: e.Body, Native: e.Native}, e.Dropped, nil
}

func (e *asResponses) answer(completion []byte) []byte {
	if e.native {
		return completion
	}
	return e.Answer(completion)
}

func (e *asResponses) chunk(data []byte) []sse.Event {
	if e.native {
		return e.stream.Pass(data)
	}
	return e.stream.Chunk(data)
}

func (e *asResponses) end() []sse.Event {
	if e.native {
		return e.stream.PassEnd()
	}
	return e.stream.End()
}

func (e *asResponses) own(param string) string {
	if e.Request == nil { // the request could not be read
		return param
	}
	return e.Own(param)
}

func (e *asResponses) begin(a *router.Answer) { e.native = a.Native }
func (e *asResponses) name() providers.Format { return providers.Responses }

func (e *asResponses) fail(p web.Problem, _ web.ErrorObject) []sse.Event {
	var failure jsonraw.Object
	failure.Text("code", p.Code)
	failure.Text("message", p.Message)
	return e.stream.Fail(failure.Bytes())
}

// asMessages is the entrance of Anthropic's Messages API.
type asMessages struct {
	read   messages.Request
	stream messages.Stream
	native bool // the answer is the provider's own
}

func (e *asMessages) request(body []byte, l chat.Limits) (router.Asked, []string, error) {
	return e.asked(messages.Read(body, l))
}

func (e *asMessages) own(param string) string { return e.read.Own(param) }

func (e *asMessages) asked(r messages.Request, err error) (router.Asked, []string, error) {
	e.read = r
	return router.Asked{Body: r.Body, Native: r.Native}, r.Dropped, err
}

func (e *asMessages) answer(completion []byte) []byte {
	if e.native {
		return completion
	}
	return messages.Answer(completion)
}

func (e *asMessages) chunk(data []byte) []sse.Event {
	if e.native {
		return e.stream.Pass(data)
	}
	return e.stream.Chunk(data)
}

func (e *asMessages) end() []sse.Event {
	if e.native {
		return e.stream.PassEnd()
	}
	return e.stream.End()
}

func (e *asMessages) begin(a *router.Answer) {
	e.native = a.Native
	if a.Response == nil && !a.Native {
		e.stream.Prompt = a.Likely()
	}
}

func (e *asMessages) name() providers.Format { return providers.Messages }

func (e *asMessages) fail(p web.Problem, o web.ErrorObject) []sse.Event {
	return e.stream.Fail(e.problem(p, o))
}

func (e *asMessages) problem(p web.Problem, o web.ErrorObject) []byte {
	var more jsonraw.Object
	for _, m := range []struct {
		name  string
		value *string
	}{{"param", o.Param}, {"code", o.Code}, {"fix", o.Fix}, {"doc_url", o.DocURL}} {
		if m.value != nil {
			more.Text(m.name, *m.value)
		}
	}
	return messages.Failure(p.Status, p.Message, more, o.RequestID)
}

// shape locates where the router writes its own data into an answer or an event: the name of
// the model, the usage, and anything it adds.
type shape interface {
	// of returns data with our name for the model, if data contains one.
	of(data []byte) []byte
	// used returns data with the booked usage, if the provider reported usage there.
	used(data []byte, reported *chat.Usage, out router.Outcome) []byte
	more(data []byte, v any) []byte
}

// shapeOf returns the shape of an answer, or of its events.
func (x *exchange) shapeOf(a *router.Answer) shape {
	format := x.speaks.name()
	if !a.Native {
		n := newNaming(a.Route.Target.Model)
		n.counts = format != ""
		return &n
	}
	n := &native{format: format, model: jsonraw.Quote(a.Route.Target.Model), whole: a.Response != nil}
	if r, ok := x.speaks.(*asResponses); ok {
		n.edits = r.Edits()
	}
	return n
}

func (n *naming) used(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	if n.counts && !jsonraw.IsNull(jsonraw.Lookup(data, "usage")) {
		data = chat.AddUsageMembers(data, countMembers(out.Spend.Tokens))
	}
	return withUsage(data, reported, out)
}

func (n *naming) more(data []byte, v any) []byte { return addMember(data, "tallyroute", v) }

// native is the shape of data passed on in its provider's format.
type native struct {
	format providers.Format
	model  []byte           // as JSON
	edits  []jsonraw.Member // what we add to a response
	whole  bool             // it is not a stream
	named  bool             // a Messages stream has begun
}

// in edits the object in which an event carries the answer, or the answer itself.
func (n *native) in(data []byte, edit func(object []byte) []byte) []byte {
	if n.whole || n.format != providers.Responses {
		return edit(data)
	}
	if !bytes.Contains(data, []byte(`"response"`)) { // most events hold only a part of the response
		return data
	}
	at := memberOf(data, "response")
	if !jsonraw.IsObject(at.Of(data)) {
		return data
	}
	edited := edit(at.Of(data))
	return append(append(append(make([]byte, 0, len(data)+len(edited)), data[:at.Start]...), edited...), data[at.End:]...)
}

// memberOf returns the position of a member's value. It reads no further than that.
func memberOf(object []byte, member string) (at jsonraw.Span) {
	c := jsonraw.NewCursor(object)
	c.Object(func(name []byte) {
		c.Peek() // white space
		start := c.Pos()
		if c.Skip(); string(name) == member && !c.Bad() {
			at = jsonraw.Span{Start: start, End: c.Pos()}
			c.Fail()
		}
	})
	return at
}

func (n *native) of(data []byte) []byte {
	if n.format == providers.Messages && !n.whole {
		if n.named || jsonraw.Text(jsonraw.Lookup(data, "type")) != "message_start" {
			return data
		}
		n.named = true
		return jsonraw.Edit(data, []jsonraw.Member{{Name: "message", Value: n.rename(jsonraw.Lookup(data, "message"))}})
	}
	return n.in(data, n.rename)
}

func (n *native) rename(object []byte) []byte {
	index, ok := jsonraw.IndexOf(object)
	if !ok || !jsonraw.IsString(index.Get("model")) {
		return object
	}
	set := append([]jsonraw.Member{{Name: "model", Value: n.model}}, n.edits...)
	if usage, changed := chat.WholeCounts(index.Get("usage")); changed {
		set = append(set, jsonraw.Member{Name: "usage", Value: usage})
	}
	return index.Edit(set).Bytes()
}

func (n *native) used(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	s := out.Spend
	members := costMembers(s, out.Earlier)
	if reported == nil || s.Disputed || tokensOf(reported) != s.Tokens {
		counts := append(append(append([]byte{'{'}, countMembers(s.Tokens)...), ','), members...)
		usage := messages.Usage
		if n.format == providers.Responses {
			usage = responses.Usage
		}
		members = jsonraw.Inside(usage(append(counts, '}')))
	}
	return n.in(data, func(object []byte) []byte {
		usage := jsonraw.Lookup(object, "usage")
		if !jsonraw.IsObject(usage) {
			return jsonraw.Edit(object, []jsonraw.Member{{Name: "usage", Value: append(append([]byte{'{'}, members...), '}')}})
		}
		if whole, changed := chat.WholeCounts(usage); changed {
			object = jsonraw.Edit(object, []jsonraw.Member{{Name: "usage", Value: whole}})
		}
		return chat.AddUsageMembers(object, members)
	})
}

func (n *native) more(data []byte, v any) []byte {
	return n.in(data, func(object []byte) []byte { return addMember(object, "tallyroute", v) })
}

// unanswered is asMessages for requests that will not be answered, and so need no output bound.
type unanswered struct{ asMessages }

func (e *unanswered) request(body []byte, l chat.Limits) (router.Asked, []string, error) {
	return e.asked(messages.ReadCount(body, l))
}

// counted is the answer to a token-count request. Exact says whether the number is a count
// rather than an upper bound.
type counted struct {
	Object      string `json:"object,omitempty"`
	InputTokens int64  `json:"input_tokens"`
	Tallyroute  struct {
		Exact    bool   `json:"exact"`
		Provider string `json:"provider,omitempty"` // the one that counted
	} `json:"tallyroute"`
}

// countHeader says who counted a prompt: its provider, or we with the model's own tokenizer or
// with another one.
const countHeader = "X-Tallyroute-Count"

// countMessage is POST /v1/messages/count_tokens.
func countMessage(x *exchange) {
	x.speaks = &unanswered{}
	x.count("")
}

// countResponse is POST /v1/responses/input_tokens.
func countResponse(x *exchange) {
	x.speaks = &asResponses{}
	x.count("response.input_tokens")
}

// compactResponse is POST /v1/responses/compact.
func compactResponse(x *exchange) {
	x.speaks = &asResponses{compacts: true}
	x.complete(providers.Chat, policy.Responses)
}

func (x *exchange) count(object string) {
	in, err := x.inbound(policy.CountTokens)
	if err != nil {
		x.fail(err)
		return
	}
	in.Operation, in.Idempotency = providers.Chat, ""
	key, n, err := x.Router.Count(x.ctx, in)
	if x.of(key); err != nil {
		x.fail(err)
		return
	}
	answer, by := counted{Object: object, InputTokens: n.Tokens}, "estimate"
	answer.Tallyroute.Exact, answer.Tallyroute.Provider = n.Exact, n.Provider
	switch {
	case n.Provider != "":
		by = "provider"
	case n.Exact:
		by = "exact"
	}
	x.C.Header(countHeader, by)
	x.JSON(http.StatusOK, answer)
}
