package meter

import (
	"math"
	"time"

	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// defaultRate is the maximum number of tokens per second by which one choice of an answer
// grows, if the catalogue does not say: more than nearly all models that are served.
const defaultRate = 1000

// Unanswered is an attempt that was sent, may be billed, and brought no usable answer.
type Unanswered struct {
	Candidate *plan.Candidate
	Attempt   int // from 1
	Status    billing.Status
	ErrorKind string
	Took      time.Duration // until it ended
	Prompt    int64         // what may be billed for the whole prompt
	Received  int64         // bytes of an answer that could not be used
	Usage     *chat.Usage   // as far as it was reported; nil if it was not
	// Unending is an attempt that we ended but the provider may not: it goes on to generate all
	// of a plain answer that nobody will see.
	Unending bool
}

// Unanswered returns the row of such an attempt: the whole prompt, and as much output as may
// have been or may yet be generated, but no more than was held for it.
func (m *Meter) Unanswered(u Unanswered, count Counter) billing.Spend {
	row := m.row(u.Candidate, u.Attempt)
	row.Status, row.ErrorKind, row.UsageSource = u.Status, u.ErrorKind, billing.Bounded
	most := m.Most(u.Candidate)
	row.Tokens = most
	if !u.Unending {
		row.Tokens = billing.Tokens{
			Input:  most.Input,
			Output: min(most.Output, max(m.unseen(u.Candidate, u.Took), u.Received/tokens.BytesPerToken)),
		}
	}
	row.Tokens.Input = u.Prompt
	if u.Usage != nil {
		b := m.weigh(Use{Candidate: u.Candidate, Usage: u.Usage}, row.ServiceTier, count)
		b.tokens.Output = max(b.tokens.Output, row.Tokens.Output)
		row.Tokens, row.Disputed = b.tokens, b.disputed
		m.compare(&row, u.Usage)
	}
	m.price(&row, u.Candidate, m.used(u.Candidate, u.Usage))
	return row
}

// Parted is an attempt that took several calls, one of which failed.
type Parted struct {
	Candidate *plan.Candidate
	Attempt   int // from 1
	Status    billing.Status
	ErrorKind string
	Used      chat.Usage // by the calls that were answered
	Unsure    int64      // prompt tokens of the calls that may be billed
}

// Parted returns the row of such an attempt.
func (m *Meter) Parted(p Parted) billing.Spend {
	row := m.row(p.Candidate, p.Attempt)
	row.Status, row.ErrorKind, row.Tokens = p.Status, p.ErrorKind, reported(&p.Used)
	if p.Unsure > 0 {
		row.UsageSource, row.Tokens.Input = billing.Bounded, billing.SatAdd(row.Tokens.Input, p.Unsure)
	} else {
		m.compare(&row, &p.Used)
	}
	m.price(&row, p.Candidate, nil)
	return row
}

// Hidden adds, to the row of an answer that was cut and whose usage the provider did not
// report, the reasoning that may have been generated before its first content arrived.
func (m *Meter) Hidden(row billing.Spend, u Use, first time.Duration) billing.Spend {
	c := u.Candidate
	if !c.Target.Can.Reasoning || row.UsageSource == billing.Reported {
		return row
	}
	row.UsageSource = billing.Bounded
	row.Tokens.Output = max(row.Tokens.Output, min(m.Most(c).Output, billing.SatAdd(row.Tokens.Output, m.unseen(c, first))))
	m.price(&row, answeredBy(&row, u, row.Fees), row.Fees)
	return row
}

// unseen returns how many tokens may have been generated in a time. A second that has begun
// counts as a whole one, separately for each choice.
func (m *Meter) unseen(c *plan.Candidate, took time.Duration) int64 {
	rate := c.Target.TokensPerSecond
	if rate == 0 {
		rate = defaultRate
	}
	seconds := int64(math.Ceil(max(took.Seconds(), 1)))
	return billing.SatMul(billing.SatMul(rate, seconds), m.Request.N())
}
