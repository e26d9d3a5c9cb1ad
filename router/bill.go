package router

import (
	"context"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/meter"
)

// bill is the part of an answer that is paid for. It is settled once.
type bill struct {
	r       *Router
	ctx     context.Context // the client's; only used to ask whether the client has gone
	sent    sent
	first   time.Duration // time until the first content of the answer arrived
	opened  time.Time     // when that was
	bytes   int64         // received so far, for a stream
	settled bool
	thought int    // bytes of the text that are reasoning
	media   int    // images and pieces of audio received
	model   string // the model that answered, according to the provider
	id      string // the provider's id for a stream
	told    int    // how many had arrived when the usage of a cut stream was reported
	outcome Outcome
}

// settle charges the attempt, settles the request and records it, once.
func (b *bill) settle(status billing.Status, usage *chat.Usage, text string) {
	if b.settled {
		return
	}
	b.settled = true
	r, s := b.r, b.sent
	a, hold := s.held.planned.accepted, s.held.hold
	began := r.o.Clock()
	use := meter.Use{
		Candidate: s.chosen, Attempt: len(s.attempts), Status: status, Usage: usage, Text: text, Thought: b.thought, Media: b.media,
		Told:        b.told,
		TierDropped: slices.Contains(s.reply.Dropped, "service_tier"),
	}
	use.Answered = r.answeredBy(s.chosen, b.model, a.in.Caller.At)
	use.ResponseID = b.id
	if s.reply.Response != nil {
		use.ResponseID = s.reply.Response.ID
	}
	row := r.charge(b.ctx, s.held.meter, use)
	if status != billing.StatusOK && s.reply.Stream != nil && (usage == nil || b.told == 0) {
		row = s.held.meter.Hidden(row, use, s.attempts[len(s.attempts)-1].Took)
	}
	rows := append(s.rows, row)
	meter.Overrun(rows, hold)
	b.answered(&rows[len(rows)-1], began)
	row = rows[len(rows)-1]
	balances := r.holds.settle(b.ctx, hold, rows)
	if r.Brake != nil {
		r.Brake.Spent(string(row.Owner.KeyID), row.Session, int64(billing.Sum(rows).Money), a.in.Caller.At)
	}
	b.outcome.Spend, b.outcome.Earlier = row, billing.Sum(s.rows).Money
	if balances != nil {
		r.near.note(balances)
		b.outcome.Balances, b.outcome.Rates = balances, ratesOf(balances, a.in.Caller.At)
	}
	now := r.o.Clock()
	b.outcome.Overhead += now.Sub(began)
	r.Observer.Observe(Record{
		Event: EventRequest, RequestID: row.RequestID, KeyID: row.Owner.KeyID, TeamID: row.Owner.TeamID,
		RequestedModel: row.RequestedModel, Streamed: row.Streamed, Status: row.Status, Attempts: s.attempts, Rows: rows,
		Total: now.Sub(a.started), Overhead: b.outcome.Overhead, FirstByte: b.first,
	})
}

// answered records on its row how long an answered attempt took and how large the answer was.
// The attempt itself lasts until the first content; the row of a stream lasts until its end.
func (b *bill) answered(row *billing.Spend, now time.Time) {
	out, first := b.bytes, b.sent.attempts[len(b.sent.attempts)-1].Took
	took := first
	if answer := b.sent.reply.Response; answer != nil {
		out = int64(len(answer.Body))
	} else {
		took += now.Sub(b.opened)
		row.FirstToken = &first
	}
	row.BytesOut, row.Took = &out, &took
}
