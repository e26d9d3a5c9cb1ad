package server

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/router"
)

// explainHeader asks for the plan of the request in its answer.
const explainHeader = "X-Tallyroute-Explain"

// complete answers a request for an operation.
func (x *exchange) complete(o providers.Operation) {
	in, err := x.inbound()
	if err != nil {
		x.fail(err)
		return
	}
	in.Operation, in.Waiting = o, x.waiting
	result, err := x.Router.Complete(x.ctx, in)
	if err != nil {
		x.fail(err)
		return
	}
	x.key = result.KeyID
	if result.Kept != nil {
		x.replay(result.Kept)
		return
	}
	answer := result.Answer
	defer func() {
		if err := answer.Close(); err != nil && x.err == nil {
			x.err = err
		}
	}()
	if answer.Response == nil {
		x.relay(answer)
		return
	}
	x.describe(answer)
	body := plainBody(answer, in.Explain)
	x.c.Writer.Header().Set("Content-Type", jsonType)
	x.keep(answer, body)
	x.write(http.StatusOK, jsonType, body)
}

// describe writes what the header of an answer says of it.
func (x *exchange) describe(a *router.Answer) {
	describe(&x.head, a.Route, a.Outcome(), x.Clock().Sub(x.start))
	describeCost(&x.head, a)
}

// inbound is the request as the router wants it. The body has not been read:
// that is done once the key is known.
func (x *exchange) inbound() (router.Inbound, error) {
	caller, err := x.caller()
	if err != nil {
		return router.Inbound{}, err
	}
	tags, err := parseTags(x.c.Request.Header)
	if err != nil {
		return router.Inbound{}, err
	}
	name, err := x.idempotencyKey()
	if err != nil {
		return router.Inbound{}, err
	}
	session, err := parseSession(x.c.Request.Header)
	if err != nil {
		return router.Inbound{}, err
	}
	in := router.Inbound{Caller: caller, RequestID: x.id, Room: x.room, Read: x.body, Tags: tags, Session: session, Idempotency: name}
	if x.c.GetHeader(explainHeader) == "1" {
		in.Explain = router.ExplainPlan
	}
	return in, nil
}

// plainBody is the provider's answer as it came, with our name of the model, with what is booked as its usage
// and, if that was asked for, the plan.
func plainBody(a *router.Answer, explain router.Explain) []byte {
	named := newNaming(a.Route.Target.Model)
	body := withUsage(named.of(a.Response.Body), a.Response.Usage, a.Outcome())
	if explain == router.ExplainPlan {
		body = addMember(body, "tallyroute", routingOf(a.Route))
	}
	return body
}
