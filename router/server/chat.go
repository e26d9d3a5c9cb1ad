package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/router"
	"tallyroute/router/web"
)

// explainHeader asks for the plan of the request to be included in its answer.
const explainHeader = "X-Tallyroute-Explain"

// complete answers a request for an operation at an endpoint.
func (x *exchange) complete(o providers.Operation, to policy.Endpoint) {
	in, err := x.inbound(to)
	if err != nil {
		x.fail(err)
		return
	}
	in.Operation, in.Waiting = o, x.waiting
	result, err := x.Router.Complete(x.ctx, in)
	x.holder = result.Key
	x.of(result.Key)
	if err != nil {
		x.fail(err)
		return
	}
	if result.Stored != nil {
		x.replay(result.Stored)
		return
	}
	answer := result.Answer
	defer func() {
		if err := answer.Close(); err != nil && x.Err == nil {
			x.Err = err
		}
	}()
	if answer.Response == nil {
		x.relay(answer)
		return
	}
	x.describe(answer)
	x.speaks.begin(answer)
	body := x.keepWhole(x.speaks.answer(x.plainBody(answer, in.Explain)))
	x.C.Writer.Header().Set("Content-Type", web.JSONType)
	x.keep(answer, body)
	x.Write(http.StatusOK, web.JSONType, body)
}

// describe writes the headers that describe an answer.
func (x *exchange) describe(a *router.Answer) {
	way := a.Route
	if !a.Native {
		way.Dropped = slices.Concat(x.lost, way.Dropped)
	}
	describe(&x.Head, way, a.Outcome(), x.Clock().Sub(x.Start))
	describeCost(&x.Head, a)
}

// inbound returns the request in the form that the router takes. The body has not been read
// yet: that happens once the key is known.
func (x *exchange) inbound(to policy.Endpoint) (router.Inbound, error) {
	caller, err := x.caller(to)
	if err != nil {
		return router.Inbound{}, err
	}
	x.owner.Temporary = caller.Temporary
	tags, err := parseTags(x.C.Request.Header)
	if err != nil {
		return router.Inbound{}, err
	}
	name, err := x.idempotencyKey()
	if err != nil {
		return router.Inbound{}, err
	}
	session, err := parseSession(x.C.Request.Header)
	if err != nil {
		return router.Inbound{}, err
	}
	in := router.Inbound{Caller: caller, RequestID: x.ID, Room: x.room, Tags: tags, Session: session, Idempotency: name}
	in.Read = func() ([]byte, error) { return x.Body(x.room) }
	in.Translate = x.request
	if x.C.GetHeader(explainHeader) == "1" {
		in.Explain = router.ExplainPlan
	}
	return in, nil
}

// request translates the client's body into a chat completion.
func (x *exchange) request(ctx context.Context, key *billing.Key, body []byte, l chat.Limits) (router.Asked, error) {
	if r, ok := x.speaks.(*asResponses); ok && x.Responses != nil && key.KeepResponses {
		r.past = x.past(ctx, key)
	}
	asked, lost, err := x.speaks.request(body, l)
	if betas := providers.Betas(x.C.Request.Header.Values("Anthropic-Beta")); len(betas) > 0 {
		lost = append(lost, "anthropic-beta")
		if asked.Native != nil {
			asked.Native.Betas = betas
		}
	}
	x.lost = lost
	return asked, err
}

// plainBody returns the provider's answer with our name for the model, the booked usage and, if
// requested, the plan.
func (x *exchange) plainBody(a *router.Answer, explain router.Explain) []byte {
	s := x.shapeOf(a)
	body := s.used(s.of(a.Response.Body), a.Response.Usage, a.Outcome())
	if explain == router.ExplainPlan {
		body = s.more(body, routingOf(a.Route))
	}
	return body
}

// addMember returns object with one more member at its end, or object unchanged if it is not a
// JSON object.
func addMember(object []byte, name string, v any) []byte {
	value, err := json.Marshal(v)
	head, isObject := bytes.CutSuffix(bytes.TrimRight(object, " \t\r\n"), []byte("}"))
	if err != nil || !isObject {
		return object
	}
	head = bytes.TrimRight(head, " \t\r\n")
	out := make([]byte, 0, len(head)+len(name)+len(value)+5)
	out = append(out, head...)
	if !bytes.HasSuffix(head, []byte("{")) {
		out = append(out, ',')
	}
	out = append(out, `"`+name+`":`...)
	return append(append(out, value...), '}')
}

// routing describes how a request was routed, for clients that want to know.
type routing struct {
	Requested  string          `json:"requested"`
	Chosen     string          `json:"chosen"`
	Why        string          `json:"why"`
	Candidates []planCandidate `json:"candidates"`
	Attempts   []planAttempt   `json:"attempts"`
}

type planCandidate struct {
	Provider     string  `json:"provider"`
	Model        string  `json:"model"`
	Chosen       bool    `json:"chosen"`
	USD          *string `json:"usd"` // for this request; null if no price is known
	PromptTokens int64   `json:"prompt_tokens"`
	Exact        bool    `json:"prompt_tokens_exact"`
	OutputTokens int64   `json:"output_tokens"`
	Health       string  `json:"health"`
	Excluded     *string `json:"excluded"`
}

type planAttempt struct {
	Provider     string `json:"provider"`
	Model        string `json:"model"`
	Status       int    `json:"status,omitempty"`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"ms"`
}

func routingOf(way router.Route) routing {
	p := routing{
		Requested: way.Requested, Chosen: way.Target.Name(), Why: string(way.Reason),
		Candidates: []planCandidate{}, Attempts: attempts(way.Attempts),
	}
	for _, c := range way.Candidates {
		pc := planCandidate{
			Provider: c.Target.Provider, Model: c.Target.Model, Chosen: c.Chosen, PromptTokens: c.Prompt, Exact: c.Exact,
			OutputTokens: c.Output, Health: c.Health, Excluded: manage.TextOrNull(c.Excluded),
		}
		if c.Priced {
			pc.USD = manage.TextOrNull(c.Cost.Short())
		}
		p.Candidates = append(p.Candidates, pc)
	}
	return p
}

func attempts(list []router.Attempt) []planAttempt {
	out := make([]planAttempt, len(list))
	for i, a := range list {
		out[i] = planAttempt{a.Provider, a.Model, a.Status, string(a.Kind), a.Took.Milliseconds()}
	}
	return out
}

// relay passes a stream on, each event as it arrived. All events that the provider has sent by
// now are flushed together, before we wait for more. Before the first event a failure is an
// ordinary error; after it a failure is an event, no [DONE] follows, and the connection is
// closed.
func (x *exchange) relay(a *router.Answer) {
	x.answered(a)
	x.speaks.begin(a)
	x.batched = a.OnWait(x.flush)
	if a.Claimed() {
		x.recorded = &recording{}
	}
	x.shape = x.shapeOf(a)
	var last total
	var head []byte       // of the chunk that reports the usage if the provider sends none
	told := !a.WantsUsage // or it was not requested
	for {
		chunk, err := a.Next()
		if err != nil {
			if !told && errors.Is(err, io.EOF) {
				if last.chunk != nil {
					x.event(last.chunk)
				}
				last.chunk = head // nil if the provider's own events are passed on
			}
			x.endStream(a, last, err)
			return
		}
		chunk.Data = x.shape.of(chunk.Data)
		if told = told || chunk.Usage != nil; !told && head == nil && !a.Native {
			head = usageHead(chunk.Data)
		}
		if chunk.UsageOnly && !a.WantsUsage {
			continue
		}
		if a.Native && last.chunk != nil { // what follows the usage waits with it
			if len(last.behind) == mostBehind {
				x.fail(&streamError{errBehind})
				return
			}
			last.behind = append(last.behind, bytes.Clone(chunk.Data))
			continue
		}
		if last.chunk != nil {
			x.event(last.chunk)
			last = total{}
		}
		switch {
		case bearsTotal(chunk) && a.WantsUsage:
			usage := *chunk.Usage
			last = total{chunk: bytes.Clone(chunk.Data), reported: &usage} // Data is only valid until the next call
		case chunk.Finish != "" && x.silence.early:
			last = total{chunk: bytes.Clone(chunk.Data)}
		default:
			x.event(chunk.Data)
		}
		if x.Cut && x.recorded == nil {
			return
		}
	}
}

// total is the chunk that carries the usage. It waits for the booked amounts.
type total struct {
	chunk    []byte
	reported *chat.Usage
	behind   [][]byte // events that arrived after it
}

// mostBehind is how many events may follow the usage; one or two are usual.
const mostBehind = 64

var errBehind = errors.New("more events than there may be came after the usage")

// bearsTotal reports whether no text is expected after a chunk. Some providers report the usage
// so far with every chunk; those are not held up.
func bearsTotal(c chat.Chunk) bool {
	return c.Usage != nil && (c.UsageOnly || c.Finish != "")
}

// endStream ends a stream the way it ended upstream. The spend has been settled by now.
func (x *exchange) endStream(a *router.Answer, last total, err error) {
	if last.chunk != nil {
		x.event(x.lastChunk(a, last))
	}
	for _, data := range last.behind {
		x.event(data)
	}
	if errors.Is(err, io.EOF) {
		last := x.keepLast(x.speaks.end())
		x.keepStream(a, last)
		x.send(last)
		return
	}
	if x.Cut {
		return
	}
	x.fail(&streamError{err})
}

// lastChunk returns the last chunk with what is booked, and with what the header could not say.
func (x *exchange) lastChunk(a *router.Answer, last total) []byte {
	data := last.chunk
	if a.WantsUsage {
		data = x.shape.used(data, last.reported, a.Outcome())
	}
	if x.silence.early {
		data = x.shape.more(data, servedBy(a))
	}
	return data
}

// streamError is the failure of a stream that had begun.
type streamError struct{ err error }

func (e *streamError) Error() string { return "server: stream: " + e.err.Error() }
func (e *streamError) Unwrap() error { return e.err }

// event passes a chunk on, in the client's format.
func (x *exchange) event(chunk []byte) { x.send(x.speaks.chunk(chunk)) }

// send sends events and notes whether the client has gone. Everything that is flushed together
// shares one write timeout.
func (x *exchange) send(events []sse.Event) {
	x.recorded.events(events)
	x.silence.mu.Lock()
	defer x.silence.mu.Unlock()
	for _, e := range events {
		if x.Cut {
			return
		}
		if x.silence.lost != nil {
			x.Gone(x.silence.lost)
			return
		}
		if !x.streaming {
			x.open()
		}
		if !x.unsent {
			x.Deadline()
		}
		x.unsent = true
		if err := x.events.Event(e); err != nil {
			x.Gone(err)
			return
		}
	}
	if !x.batched {
		x.flushNow()
	}
}

// flush sends pending events. So does the end of the handler.
func (x *exchange) flush() {
	x.silence.mu.Lock()
	defer x.silence.mu.Unlock()
	x.flushNow()
}

// flushNow is flush with the lock held.
func (x *exchange) flushNow() {
	if !x.unsent || x.Cut {
		return
	}
	x.unsent = false
	x.silence.wrote = time.Now()
	if err := x.RC.Flush(); err != nil {
		x.Gone(err)
	}
}
