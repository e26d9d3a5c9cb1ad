package router

import (
	"context"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/idempotency"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// Answer is a completion under way or done. Like a response body it must be
// closed; closing settles the spend, once. It is for one goroutine.
type Answer struct {
	Response   *chat.Response // nil for streams: ask Next
	Route      Route
	WantsUsage bool // the client asked for the usage chunk
	Native     bool // it is in the format that the client asked in, as the provider wrote it

	bill  *bill
	live  *live              // of a stream; else nil
	claim *idempotency.Claim // where the answer is to be kept; else nil
}

// Route is the way that a request took.
type Route struct {
	Requested  string // the model as the client named it
	Downgraded bool   // a cheaper one answers, near the limit of a budget
	Target     *providers.Target
	Reason     billing.RouteReason
	Attempts   []Attempt
	Candidates []plan.Candidate // only when the request asked to explain
	MaxOutput  int64            // the output bound that was lowered to what fits; 0 where it was not
	Dropped    []string         // members that the provider cannot take
	Unpriced   []string         // members that were sent though nobody knows what they cost
	Prompt     int64            // tokens that the prompt is thought to have
	Estimate   billing.Money
	Estimated  bool      // whether Estimate is known, that is, the target is priced
	KeyUntil   time.Time // when the secret that was used ends; zero: it is the key's newest
}

// answer turns what a provider began into what the client gets. A plain answer
// is settled before it is returned.
func (r *Router) answer(ctx context.Context, s sent, claim *idempotency.Claim) *Answer {
	a := &Answer{
		Response: s.reply.Response, Route: s.route(), WantsUsage: s.held.meter.Request.WantsUsage(), Native: s.chosen.Native,
		bill: r.open(ctx, s), claim: claim,
	}
	if a.Response == nil {
		a.live = follow(a.bill)
		return a
	}
	status := billing.StatusOK
	if ctx.Err() != nil && claim == nil { // finished all the same, because it is billed all the same
		status = billing.StatusClientAborted
	}
	a.bill.thought, a.bill.media, a.bill.model = a.Response.Thought, a.Response.Media, a.Response.Model
	a.bill.settle(status, a.Response.Usage, a.Response.Text)
	s.call.Done()
	return a
}

// route is the way that the request took.
func (s sent) route() Route {
	m := s.held.meter
	way := Route{
		Requested: m.Request.Model(), Downgraded: m.Plan.Downgraded,
		Target: s.chosen.Target, Reason: m.Plan.Reason(len(s.attempts)), Attempts: s.attempts,
		MaxOutput: m.Lowered, Dropped: s.reply.Dropped, Unpriced: s.chosen.Members.Named(),
		Prompt: s.chosen.Prompt, Estimate: s.chosen.Cost, Estimated: s.chosen.Priced,
		KeyUntil: s.held.planned.accepted.key.Secret.Ends(s.held.planned.accepted.in.Caller.At),
	}
	if s.held.planned.accepted.in.Explain == ExplainPlan {
		way.Candidates = slices.Clone(m.Plan.Candidates)
		for i := range way.Candidates {
			c := &way.Candidates[i]
			c.Chosen = c.Target.Name() == s.chosen.Target.Name()
		}
	}
	return way
}

// Likely is about how many tokens the prompt has. It is counted, unless that takes long.
func (a *Answer) Likely() int64 {
	s := a.bill.sent
	n, request := s.chosen.Likely, s.held.meter.Request
	if n == 0 && len(request.Body()) < providers.Heavy {
		if counted, err := a.bill.r.Tokens.Prompt(a.bill.ctx, request, tokenizer(s.chosen.Target)); err == nil {
			n = counted.Likely
		}
	}
	if n == 0 {
		n = int64(len(request.Body())) / tokens.BytesPerToken
	}
	return max(min(n, a.Route.Prompt), 1)
}

// OnWait has f called before Next waits for the provider or for the ledger, so
// that what was passed on until then need not be flushed before. It reports
// false where there is no telling; each chunk is then to be flushed by itself.
func (a *Answer) OnWait(f func()) bool {
	if !a.bill.sent.reply.OnWait(f) {
		return false
	}
	a.live.waits = f
	return true
}

// Next is the next chunk of a stream. At its end the spend is settled before
// io.EOF is returned, so that a client that has seen the end has been booked.
func (a *Answer) Next() (chat.Chunk, error) { return a.live.next() }

// Outcome is what the answer came to so far.
func (a *Answer) Outcome() Outcome { return a.bill.outcome }

// Claimed reports whether the answer is to be kept.
func (a *Answer) Claimed() bool { return a.claim != nil }

// Keep stores the answer for whoever asks again, before its last byte is sent. Of
// one without a body it is noted that it was too large.
func (a *Answer) Keep(header map[string]string, body []byte) {
	if a.claim != nil {
		a.bill.r.keep(a.bill.ctx, a.bill.sent.held.planned.accepted, a.claim, idempotency.Answer{Header: header, Body: body})
	}
}

// Close ends the call, settles what was used and frees everything. A stream
// that is closed before its end counts as hung up on by the client.
func (a *Answer) Close() error {
	s := a.bill.sent
	if a.live != nil {
		a.live.close()
	}
	s.end()
	s.call.Done()
	a.bill.r.forget(a.bill.ctx, s.held.planned.accepted, a.claim)
	return s.reply.Close()
}
