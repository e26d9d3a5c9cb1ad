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

// OverlongError is a stream that exceeds its request's output bound by more than token counts
// can differ. It is cut off there; what arrived is charged.
type OverlongError struct{ Most int64 } // tokens of output that were held

// Error names the number of tokens held.
func (e *OverlongError) Error() string {
	return fmt.Sprintf("router: the answer goes on beyond the %d tokens that were held for it", e.Most)
}

// How far a stream may go beyond its bound, since providers count differently from what can be
// derived from the text; and how often that is checked: rarely, and first at a length that few
// answers reach.
const (
	marginTokens   = 1000
	marginShare    = 2 // of the bound, one part
	bytesPerToken  = 4
	firstLook      = 4 << 10
	looksGrow      = 4        // by this fraction of the current length
	framesPerToken = 16 << 10 // bytes of a stream per token, whatever they contain
	framesFree     = 64 << 20
)

// extent tracks the length of an answer.
type extent struct {
	most, margin int64 // tokens of output
	look         int   // bytes of text at which it is checked next
}

func newExtent(m *meter.Meter, c *plan.Candidate) extent {
	most := m.Most(c).Output
	if c.Target.Can.Reasoning { // reasoning may come on top of the bound
		most = max(most, billing.SatMul(c.Target.MaxOutput, m.Request.N()))
	}
	e := extent{most: most, margin: billing.SatAdd(most/marginShare, marginTokens)}
	e.look = int(min(billing.SatAdd(billing.SatMul(most, bytesPerToken), firstLook), 1<<40))
	return e
}

// exceeded returns an *OverlongError once text, which arrived in this many bytes, certainly has
// more tokens than allowed.
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

// live is an answer that is still arriving.
type live struct {
	bill   *bill
	other  chat.Metered // what chunks reported besides the usage
	text   strings.Builder
	extent extent
	gone   atomic.Pointer[time.Time] // when the client left
	undo   func() bool               // unties the stream from the client's context
	ended  atomic.Pointer[error]     // why the key of the request may no longer be used
	alone  func()                    // unties the stream from the end of the key
	waits  func()                    // called before waiting; nil if not needed
}

// follow passes on the stream of b. A stream that may be requested again goes on without its
// client if there is room.
func follow(b *bill) *live {
	l := &live{bill: b, extent: newExtent(b.sent.held.meter, b.sent.chosen), undo: func() bool { return true }, alone: func() {}}
	if w := b.r.Watch; w != nil {
		l.alone = w.Follow(b.sent.held.planned.accepted.key, l.keyEnded)
	}
	if a := b.sent.held.planned.accepted; a.in.Caller.Temporary != nil { // only we know when it ends
		at := a.key.ExpiresAt
		if until := a.key.Secret.Until; !until.IsZero() && until.Before(at) { // its parent's secret was replaced
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

// next returns the next chunk. At the end the spend is settled before io.EOF is returned, so a
// client that has seen the end has been charged.
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

// read returns the next chunk and records what it says.
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

// settle settles what has arrived.
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

// lingered reports whether the client has been gone long enough. It is checked after a chunk,
// so that a provider that sends at intervals has time to notice the end before it sends the
// next one.
func (l *live) lingered() bool {
	gone, o := l.gone.Load(), &l.bill.r.o
	return gone != nil && o.Clock().Sub(*gone) > o.Linger/2
}

// keyEnded ends the stream because its key may no longer be used.
func (l *live) keyEnded(why error) {
	l.ended.Store(&why)
	l.bill.sent.end()
}

// clientGone gives the stream a last moment: what the provider has sent by then is counted, so
// that its count and ours agree.
func (l *live) clientGone() {
	now := l.bill.r.o.Clock()
	if l.gone.CompareAndSwap(nil, &now) {
		time.AfterFunc(l.bill.r.o.Linger, l.bill.sent.end)
	}
}

// close continues to read a stream that nobody is listening to: to the end if that is near,
// otherwise for at most one chunk. If it has not reached its end, the client counts as having
// hung up, unless we are stopping.
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
