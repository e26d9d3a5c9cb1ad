package router

import (
	"fmt"
	"strings"

	"tallyroute/billing"
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
