package server

import (
	"encoding/json"
	"net/http"
	"strconv"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
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
	in.Operation = o
	ctx, end := x.life(in)
	defer end()
	result, err := x.Router.Complete(ctx, in)
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
	describe(&x.head, answer.Route, answer.Outcome(), x.Clock().Sub(x.start))
	describeCost(&x.head, answer)
	if answer.Response == nil {
		x.relay(answer)
		return
	}
	body := plainBody(answer, in.Explain)
	x.c.Writer.Header().Set("Content-Type", jsonType)
	x.keep(answer, body)
	x.write(http.StatusOK, jsonType, body)
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
	in := router.Inbound{Caller: caller, RequestID: x.id, Read: x.body, Tags: tags, Idempotency: name}
	if x.c.GetHeader(explainHeader) == "1" {
		in.Explain = router.ExplainPlan
	}
	return in, nil
}

// plainBody is the provider's answer as it came, with what it cost in its usage
// and, if that was asked for, the plan.
func plainBody(a *router.Answer, explain router.Explain) []byte {
	spend := a.Outcome().Spend
	members := usageMembers(spend)
	if a.Response.Usage == nil {
		members = append(countedMembers(spend.Tokens), members...)
	}
	body := chat.AddUsageMembers(a.Response.Body, members)
	if explain == router.ExplainPlan {
		body = addMember(body, "tallyroute", routingOf(a.Route))
	}
	return body
}

// countedMembers are the usage of an answer whose provider reported none.
func countedMembers(t billing.Tokens) []byte {
	b := strconv.AppendInt([]byte(`"prompt_tokens":`), t.Prompt(), 10)
	if t.Output > 0 {
		b = strconv.AppendInt(append(b, `,"completion_tokens":`...), t.Output, 10)
	}
	return append(strconv.AppendInt(append(b, `,"total_tokens":`...), t.Total(), 10), ',')
}

// usageMembers are the members that tell the cost inside a usage object. What
// has no price has a cost of null, which is not a cost of zero.
func usageMembers(s billing.Spend) []byte {
	if s.Pricing == billing.Unpriced {
		return []byte(`"cost":null,"cost_details":null`)
	}
	b := make([]byte, 0, 256)
	amount := func(name string, m billing.Money) {
		b = append(m.AppendShort(append(b, name...)), ',')
	}
	amount(`"cost":`, s.Cost.Total)
	amount(`"cost_details":{"input":`, s.Cost.Input)
	amount(`"cache_read":`, s.Cost.CacheRead)
	amount(`"cache_write":`, s.Cost.CacheWrite)
	amount(`"output":`, s.Cost.Output)
	amount(`"fee":`, s.Cost.Fee)
	id, err := json.Marshal(s.Price.ID)
	if err != nil {
		id = []byte("null") // cannot be: every string is JSON
	}
	b = append(append(b, `"currency":"USD","price_id":`...), id...)
	return append(b, '}')
}
