package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/meter"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// OverlongError is a stream that goes on beyond what its request may have and what
// counts may differ by. It is cut off there; what came is charged.
type OverlongError struct{ Most int64 } // tokens of output that were held

// Error tells what was held.
func (e *OverlongError) Error() string {
	return fmt.Sprintf("router: the answer goes on beyond the %d tokens that were held for it", e.Most)
}

// How far a stream may go beyond its bound, since providers count differently from
// what can be told of a text; and where it is looked at: rarely, and the first time
// where few answers come to.
const (
	marginTokens   = 1000
	marginShare    = 2 // of the bound, one part
	bytesPerToken  = 4
	firstLook      = 4 << 10
	looksGrow      = 4        // by one part of what there is
	framesPerToken = 16 << 10 // bytes of a stream for each token, whatever they say
	framesFree     = 64 << 20
)

// extent watches how long an answer gets.
type extent struct {
	most, margin int64 // tokens of output
	look         int   // at how many bytes of text it is looked at next
}

func newExtent(m *meter.Meter, c plan.Candidate) extent {
	most := m.Most(c).Output
	if c.Target.Can.Reasoning { // whose reasoning may come on top of the bound
		most = max(most, billing.SatMul(c.Target.MaxOutput, m.Request.N()))
	}
	e := extent{most: most, margin: billing.SatAdd(most/marginShare, marginTokens)}
	e.look = int(min(billing.SatAdd(billing.SatMul(most, bytesPerToken), firstLook), 1<<40))
	return e
}

// exceeded is an *OverlongError once text, which came in so many bytes, certainly has
// more tokens than it may.
func (e *extent) exceeded(text *strings.Builder, bytes int64) error {
	if e.most <= 0 {
		return nil
	}
	bound := billing.SatAdd(e.most, e.margin)
	if bytes > billing.SatAdd(billing.SatMul(bound, framesPerToken), framesFree) {
		return &OverlongError{e.most}
	}
	if text.Len() < e.look {
		return nil
	}
	e.look = text.Len() + text.Len()/looksGrow
	if tokens.AtLeast(text.String()) > bound {
		return &OverlongError{e.most}
	}
	return nil
}

// live is an answer that is still coming.
type live struct {
	bill   *bill
	other  chat.Metered // what chunks said was done, beside the usage
	text   strings.Builder
	extent extent
	gone   atomic.Pointer[time.Time] // when the client left
	undo   func() bool               // ends the tie between the client's going and the stream
	ended  atomic.Pointer[error]     // why the key of the request may not be used any more
	alone  func()                    // ends the tie between the key's end and the stream
	waits  func()                    // called before waiting; nil where nobody asked
}

// follow passes on the stream of b. One that may be asked for again goes on without
// its client, where there is room.
func follow(b *bill) *live {
	l := &live{bill: b, extent: newExtent(b.sent.held.meter, b.sent.chosen), undo: func() bool { return true }, alone: func() {}}
	if w := b.r.Watch; w != nil {
		l.alone = w.Follow(b.sent.held.planned.accepted.key, l.keyEnded)
	}
	if a := b.sent.held.planned.accepted; a.in.Caller.Temporary != nil { // nobody but us knows when it ends
		at := a.key.ExpiresAt
		if until := a.key.Secret.Until; !until.IsZero() && until.Before(at) { // that of its parent was replaced
			at = until
		}
		end := time.AfterFunc(at.Sub(b.r.o.Clock()), func() { l.keyEnded(a.key.InForce(at)) })
		followed := l.alone
		l.alone = func() { end.Stop(); followed() }
	}
	if !b.sent.held.planned.accepted.claims() {
		b.sent.call.Done()
		l.undo = context.AfterFunc(b.ctx, l.clientGone)
	}
	return l
}

// next is the next chunk. At the end the spend is settled before io.EOF is
// returned, so that a client that has seen the end has been booked.
func (l *live) next() (chat.Chunk, error) {
	c, err := l.read()
	if err == nil {
		if !l.lingered() {
			return c, nil
		}
		_, err = endOf(l.bill.ctx)
	}
	b := l.bill
	ended := l.ended.Load()
	switch over := (*OverlongError)(nil); {
	case errors.Is(err, io.EOF):
		l.settle(billing.StatusOK)
	case ended != nil:
		l.settle(billing.StatusInterrupted)
		err = *ended
	case errors.As(err, &over):
		l.settle(billing.StatusUpstreamAborted)
	case b.sent.abandoned(b.ctx):
		var status billing.Status
		status, err = endOf(b.ctx)
		l.settle(status)
	default:
		now := b.r.o.Clock()
		target := b.sent.chosen.Target
		b.r.Health.Report(callOf(target, b.sent.held.planned.accepted.origin), outcome(providerError(target, err), now), now)
		l.settle(billing.StatusUpstreamAborted)
	}
	return chat.Chunk{}, err
}

// read notes what a chunk says.
func (l *live) read() (chat.Chunk, error) {
	c, err := l.bill.sent.reply.Stream.Next()
	if err != nil {
		return c, err
	}
	for _, u := range c.Metered {
		l.other.Add(u.Meter, u.N)
	}
	if l.bill.id == "" {
		l.bill.id = c.ID.String()
	}
	l.text.WriteString(c.Text)
	l.bill.thought += c.Thought
	l.bill.media += c.Media
	l.bill.bytes += int64(len(c.Data))
	return c, l.extent.exceeded(&l.text, l.bill.bytes)
}

// settle settles what has come.
func (l *live) settle(status billing.Status) {
	if l.bill.settled {
		return
	}
	l.undo()
	l.alone()
	if status != billing.StatusOK {
		l.bill.sent.end()
	}
	if l.waits != nil {
		l.waits() // the ledger may take its time
	}
	told := l.bill.sent.reply.Told()
	l.bill.model = told.Model
	l.bill.told = min(told.Text, l.text.Len())
	if status == billing.StatusOK && told.Usage != nil && l.bill.told == l.text.Len() {
		told.Usage.Partial = false // nothing came after it
	}
	if told.Usage != nil {
		told.Usage.Metered.Include(l.other)
	}
	l.bill.settle(status, told.Usage, l.text.String())
}

// lingered reports that the client has been gone for long enough. It is asked
// after a chunk, so that a provider that sends at intervals has the time to
// notice the end before it sends the next.
func (l *live) lingered() bool {
	gone, o := l.gone.Load(), &l.bill.r.o
	return gone != nil && o.Clock().Sub(*gone) > o.Linger/2
}

// keyEnded ends the stream, because its key may not be used any more.
func (l *live) keyEnded(why error) {
	l.ended.Store(&why)
	l.bill.sent.end()
}

// clientGone gives the stream its last moment: what the provider has sent by
// then is counted, so that it and we agree.
func (l *live) clientGone() {
	now := l.bill.r.o.Clock()
	if l.gone.CompareAndSwap(nil, &now) {
		time.AfterFunc(l.bill.r.o.Linger, l.bill.sent.end)
	}
}

// close reads on a stream that nobody listens to any more: to its end, if that is
// near, else up to a chunk. One that has not come to its end counts as hung up on
// by the client, unless we are stopping.
func (l *live) close() {
	if l.bill.settled {
		return
	}
	l.clientGone()
	for !l.lingered() {
		if _, err := l.read(); err != nil {
			break
		}
	}
	status, _ := endOf(l.bill.ctx)
	l.settle(status)
}
