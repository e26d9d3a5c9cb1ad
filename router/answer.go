package router

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Answer is a completion under way or done. Like a response body it must be
// closed; closing settles the spend, once. It is for one goroutine.
type Answer struct {
	Response *chat.Response // nil for streams

	Requested  string // the model as the client named it
	Target     providers.Target
	Reason     billing.RouteReason
	Attempts   []Attempt
	Candidates []Candidate // only when the request asked to explain
	WantsUsage bool        // the client asked for the usage chunk
	MaxOutput  int64       // the output bound that was lowered to what fits; 0 where it was not
	Dropped    []string    // members that the provider cannot take
	Estimate   billing.Money
	Estimated  bool // whether Estimate is known, that is, the target is priced
	Rates      []Rate
	Key        *billing.Key

	r      *Router
	limits []Rate // per minute
	s      sent
	ctx    context.Context // of the client; only ever asked whether it has gone
	once   sync.Once
	out    Outcome
	usage  *chat.Usage
	text   strings.Builder // of a stream
	first  time.Duration
	gone   atomic.Pointer[time.Time] // when the client left
	undo   func() bool               // ends the tie between the client's going and the stream
	waits  func()                    // called before waiting; nil where nobody asked
}

// Outcome is what an answer came to. It is known once a plain answer is
// returned, and for a stream after Next has returned an error or Close was called.
type Outcome struct {
	Spend    billing.Spend // of the attempt that answered
	Balances []billing.Balance
	Overhead time.Duration // our own time: all but waiting for a provider or the client
}

// answer turns what a provider began into what the client gets. A plain answer
// is settled before it is returned.
func (r *Router) answer(ctx context.Context, s sent, rates []Rate) *Answer {
	c := s.chosen
	a := &Answer{
		Requested: s.req.Model(), Target: c.Target, Reason: s.reason(len(s.attempts)), Attempts: s.attempts,
		WantsUsage: s.req.WantsUsage(), MaxOutput: s.lowered, Dropped: s.reply.Dropped,
		Estimate: c.Cost, Estimated: c.Priced, Key: s.key,
		limits: rates, Rates: withQuota(rates, s.balances, s.in.At),
		r: r, s: s, ctx: ctx, first: r.o.Clock().Sub(s.timing.start),
		out: Outcome{Balances: s.balances},
	}
	if s.in.Explain == ExplainPlan {
		a.Candidates = s.explained()
	}
	s.detach()
	if s.reply.Stream == nil {
		a.Response, a.usage = s.reply.Response, s.reply.Response.Usage
		a.finish(billing.StatusOK)
		return a
	}
	a.out.Overhead = r.o.Clock().Sub(s.timing.start) - s.timing.outside
	a.undo = context.AfterFunc(ctx, a.clientGone)
	return a
}

// explained are the candidates with the chosen one marked.
func (s sent) explained() []Candidate {
	list := append([]Candidate(nil), s.planned.candidates...)
	for i := range list {
		list[i].Chosen = list[i].Target.Name() == s.chosen.Target.Name()
	}
	return list
}

// OnWait has f called before Next waits for the provider or for the ledger, so
// that what was passed on until then need not be flushed before. It reports
// false where there is no telling; each chunk is then to be flushed by itself.
func (a *Answer) OnWait(f func()) bool {
	if !a.s.reply.OnWait(f) {
		return false
	}
	a.waits = f
	return true
}

// Next is the next chunk of a stream. At its end the spend is settled before
// io.EOF is returned, so that a client that has seen the end has been booked.
func (a *Answer) Next() (chat.Chunk, error) {
	c, err := a.s.reply.Stream.Next()
	if err == nil {
		a.watch(c)
		if !a.lingered() {
			return c, nil
		}
		err = ErrClientGone
	}
	switch {
	case errors.Is(err, io.EOF):
		a.finish(billing.StatusOK)
	case a.ctx.Err() != nil:
		a.finish(billing.StatusClientAborted)
	default:
		now := a.r.o.Clock()
		a.r.report(a.s.chosen, outcome(providerError(a.s.chosen, err), now), now)
		a.finish(billing.StatusUpstreamAborted)
	}
	return chat.Chunk{}, err
}

// said is the text that came.
func (a *Answer) said() string {
	if a.Response != nil {
		return a.Response.Text
	}
	return a.text.String()
}

// watch notes what a chunk tells of the usage.
func (a *Answer) watch(c chat.Chunk) {
	if c.Usage != nil {
		usage := *c.Usage
		a.usage = &usage
	}
	a.text.WriteString(c.Text)
}

// lingered reports that the client has been gone for long enough. It is asked
// after a chunk, so that a provider that sends at intervals has the time to
// notice the end before it sends the next.
func (a *Answer) lingered() bool {
	gone := a.gone.Load()
	return gone != nil && a.r.o.Clock().Sub(*gone) > a.r.o.Linger/2
}

// clientGone gives the stream its last moment: what the provider has sent by
// then is counted, so that it and we agree.
func (a *Answer) clientGone() {
	now := a.r.o.Clock()
	if a.gone.CompareAndSwap(nil, &now) {
		time.AfterFunc(a.r.o.Linger, a.s.end)
	}
}

// Outcome is what the answer came to so far.
func (a *Answer) Outcome() Outcome { return a.out }

// Close ends the call, settles what was used and frees everything. A stream
// that is closed before its end counts as hung up on by the client.
func (a *Answer) Close() error {
	if a.Response == nil {
		a.linger()
		a.finish(billing.StatusClientAborted)
	}
	a.s.end()
	a.r.forget(a.ctx, a.s.claim)
	return a.s.reply.Close()
}

// linger reads a stream that nobody listens to any more: to its end, if that is
// near, else up to a chunk.
func (a *Answer) linger() {
	if a.out.Spend.RequestID != "" {
		return
	}
	a.clientGone()
	for !a.lingered() {
		c, err := a.s.reply.Stream.Next()
		if err != nil {
			return
		}
		a.watch(c)
	}
}

// finish charges the attempt, settles the request and records it, once.
func (a *Answer) finish(status billing.Status) {
	a.once.Do(func() {
		if a.undo != nil {
			a.undo()
		}
		if status != billing.StatusOK {
			a.s.end()
		}
		if a.waits != nil {
			a.waits() // the ledger may take its time
		}
		began := a.r.o.Clock()
		row := a.r.row(a.s.held, a.s.chosen, len(a.s.attempts))
		row.Final, row.Status = true, status
		if slices.Contains(a.s.reply.Dropped, "service_tier") {
			row.ServiceTier = billing.TierStandard // it never heard of another
		}
		if a.s.reply.Response != nil {
			row.ProviderRequestID = a.s.reply.Response.ID
		}
		a.r.charge(context.WithoutCancel(a.ctx), &row, a.s.held, used{candidate: a.s.chosen, usage: a.usage, text: a.said()})
		rows := append(a.s.rows, row)
		overrun(rows, a.s.hold)
		row = rows[len(rows)-1]
		balances := a.r.settler.settle(a.ctx, billing.Settlement{HoldID: a.s.hold.ID, Attempts: rows})
		a.r.rerate(a.s.asked, row.Tokens.Total())
		a.out.Spend = row
		if balances != nil {
			a.out.Balances = balances
			a.Rates = withQuota(a.limits, balances, a.s.in.At)
		}
		now := a.r.o.Clock()
		if a.Response != nil {
			a.out.Overhead = now.Sub(a.s.timing.start) - a.s.timing.outside
		} else {
			a.out.Overhead += now.Sub(began)
		}
		a.observe(row, now)
	})
}

func (a *Answer) observe(row billing.Spend, now time.Time) {
	rec := Record{
		Event: EventRequest, RequestID: row.RequestID, KeyID: row.Owner.KeyID, TeamID: row.Owner.TeamID,
		RequestedModel: row.RequestedModel, Provider: row.Provider, Model: row.Model, Streamed: row.Streamed,
		Status: row.Status, Reason: row.RouteReason, Attempts: a.Attempts, Tokens: row.Tokens,
		UsageSource: row.UsageSource, Pricing: row.Pricing, Cost: row.Cost.Total,
		OverrunTokens: row.OverrunTokens, OverrunMoney: row.OverrunMoney,
		Total: now.Sub(a.s.timing.start), Overhead: a.out.Overhead, FirstByte: a.first,
	}
	a.r.Observer.Observe(rec)
}
