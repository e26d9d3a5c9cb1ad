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

// Answer is a completion in progress or done. Like a response body it must be closed; closing
// settles the spend, once. It must be used by one goroutine only.
type Answer struct {
	Response   *chat.Response // nil for streams: call Next
	Route      Route
	WantsUsage bool // the client asked for the usage chunk
	Native     bool // it is in the format that the client used, as the provider wrote it

	bill  *bill
	live  *live              // for a stream; otherwise nil
	claim *idempotency.Claim // if the answer is to be kept; otherwise nil
}

// Route is the route that a request took.
type Route struct {
	Requested  string // the model, as the client named it
	Downgraded bool   // a cheaper model answers because a budget is near its limit
	Target     *providers.Target
	Reason     billing.RouteReason
	Attempts   []Attempt
	Candidates []plan.Candidate // only if the request asked to explain
	MaxOutput  int64            // the output bound after it was lowered to what fits; 0 if it was not lowered
	Dropped    []string         // members that the provider cannot accept
	Unpriced   []string         // members that were sent although their cost is unknown
	Prompt     int64            // estimated tokens of the prompt
	Estimate   billing.Money
	Estimated  bool      // whether Estimate is known, that is, whether the target is priced
	KeyUntil   time.Time // when the secret that was used expires; zero: it is the key's newest
}

// answer turns what a provider has begun into what the client gets. A plain answer is settled
// before it is returned.
func (r *Router) answer(ctx context.Context, s sent, claim *idempotency.Claim) *Answer {
	now, asked := r.o.Clock(), s.held.planned.accepted
	b := &bill{r: r, ctx: ctx, sent: s, first: now.Sub(asked.started), opened: now}
	b.outcome = Outcome{
		Balances: s.held.balances, Rates: ratesOf(s.held.balances, asked.in.Caller.At), Overhead: b.first - asked.waited,
	}
	for _, t := range s.attempts {
		b.outcome.Overhead -= t.Took
	}
	a := &Answer{
		Response: s.reply.Response, Route: s.route(), WantsUsage: s.held.meter.Request.WantsUsage(), Native: s.chosen.Native,
		bill: b, claim: claim,
	}
	if a.Response == nil {
		a.live = follow(b)
		return a
	}
	status := billing.StatusOK
	if ctx.Err() != nil && claim == nil { // finished all the same, because it is billed all the same
		status = billing.StatusClientAborted
	}
	b.thought, b.media, b.model = a.Response.Thought, a.Response.Media, a.Response.Model
	b.settle(status, a.Response.Usage, a.Response.Text)
	s.call.Done()
	return a
}

// route returns the route that the request took.
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

// Likely returns the approximate number of tokens in the prompt. They are counted unless that
// takes too long.
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

// OnWait arranges for f to be called before Next waits for the provider or for the ledger, so
// that chunks passed on until then need not be flushed earlier. It returns false if waits
// cannot be detected; each chunk must then be flushed on its own.
func (a *Answer) OnWait(f func()) bool {
	if !a.bill.sent.reply.OnWait(f) {
		return false
	}
	a.live.waits = f
	return true
}

// Next returns the next chunk of a stream. At the end the spend is settled before io.EOF is
// returned, so a client that has seen the end has been charged.
func (a *Answer) Next() (chat.Chunk, error) { return a.live.next() }

// Outcome returns what the answer has come to so far.
func (a *Answer) Outcome() Outcome { return a.bill.outcome }

// Claimed reports whether the answer is to be kept.
func (a *Answer) Claimed() bool { return a.claim != nil }

// Keep stores the answer for anyone who sends the request again, before its last byte is sent.
// An answer without a body is recorded as too large.
func (a *Answer) Keep(header map[string]string, body []byte) {
	if a.claim != nil {
		a.bill.r.keep(a.bill.ctx, a.bill.sent.held.planned.accepted, a.claim, idempotency.Answer{Header: header, Body: body})
	}
}

// Close ends the call, settles what was used and frees everything. If a stream is closed before
// its end, the client counts as having hung up.
func (a *Answer) Close() error {
	s := a.bill.sent
	if a.live != nil {
		a.live.close()
	}
	s.end()
	s.call.Done()
	if a.claim != nil {
		a.bill.r.forget(a.bill.ctx, s.held.planned.accepted, a.claim)
	}
	return s.reply.Close()
}
