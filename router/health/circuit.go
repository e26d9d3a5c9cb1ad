package health

import "time"

// What opens a circuit, and for how long.
const (
	failuresInARow = 5
	fewestCalls    = 20 // with fewer calls, the share of failures says nothing
	firstOpen      = 5 * time.Second
	refusedOpen    = time.Minute      // our credential or account was refused
	longestWait    = time.Minute      // that a provider may ask for
	firstLimited   = time.Second      // rate-limited, and the provider named no time
	longestLimited = 5 * time.Second  // the same, several times in a row
	trialLease     = 30 * time.Second // others need wait no longer than this for one slow call
	trialUnderway  = time.Second      // returned to those who come during a trial
)

// circuit is the state of one target or provider. It is closed while until is
// zero, open before until, and half-open from then on: one call at a time is
// let through as a trial, and its outcome closes or opens the circuit.
type circuit struct {
	since time.Time // calls begun before this say nothing about the current state
	until time.Time
	lease time.Time // a trial is in progress until then
	cause string

	worked  time.Time // the last success
	opened  int       // how often it has opened without closing in between
	limited int       // the same for rate limits
	inARow  int       // failures
	recent  recent
}

func (c *circuit) state(now time.Time) State {
	switch {
	case c.until.IsZero():
		return State{Status: Healthy}
	case now.Before(c.until):
		return State{Status: Open, Cause: c.cause, RetryAfter: c.until.Sub(now)}
	case now.Before(c.lease):
		return State{Status: Open, Cause: c.cause, RetryAfter: trialUnderway}
	}
	return State{Status: Trial, Cause: c.cause}
}

// begin notes that a call is being made. In a half-open circuit it is the trial.
func (c *circuit) begin(now time.Time) {
	if !c.until.IsZero() {
		c.since, c.lease = now, now.Add(trialLease)
	}
}

// concerns reports whether a finished call says anything about c: calls that began in an
// earlier state come too late, and an open circuit waits for its own trial.
func (c *circuit) concerns(o Outcome, now time.Time) bool {
	return !o.Began.Before(c.since) && !now.Before(c.until)
}

// succeed closes c.
func (c *circuit) succeed(now time.Time) {
	if !c.until.IsZero() {
		*c = circuit{since: now}
	}
	c.worked, c.inARow, c.limited = now, 0, 0
	c.recent.add(now, 0)
}

// bar opens c for the duration of a refusal.
func (c *circuit) bar(cause string, now time.Time) { c.open(cause, now, refusedOpen) }

// workedLately reports whether there was a success within the duration of a refusal, and no
// trouble since.
func (c *circuit) workedLately(now time.Time) bool {
	return c.until.IsZero() && !c.worked.IsZero() && now.Sub(c.worked) < refusedOpen
}

// fail counts a failure, and opens c for the given time if it was one too many.
func (c *circuit) fail(cause string, now time.Time, d time.Duration) {
	c.inARow++
	c.recent.add(now, 1)
	if !c.until.IsZero() || c.inARow >= failuresInARow || c.recent.mostlyFailed(now) {
		c.opened++
		c.open(cause, now, d)
	}
}

// limit opens c for as long as the provider asked.
func (c *circuit) limit(o Outcome, now time.Time) {
	d := min(o.RetryAfter, longestWait)
	if d <= 0 {
		d = min(firstLimited<<min(c.limited, 3), longestLimited)
	}
	c.limited++
	c.open(o.Cause, now, d)
}

// open opens c for d. It is not called while c is open: the end of an open period never moves.
func (c *circuit) open(cause string, now time.Time, d time.Duration) {
	c.since, c.until, c.lease, c.cause = now, now.Add(d), time.Time{}, cause
}

// spare ends a trial that said nothing, so that the next call becomes the trial.
func (c *circuit) spare() { c.lease = time.Time{} }

// recent counts the calls of the last half minute, in slots.
type recent [6]struct{ at, calls, failed int64 }

const slot = 5 * time.Second

func (r *recent) add(now time.Time, failed int64) {
	at := now.UnixNano() / int64(slot)
	s := &r[at%int64(len(r))]
	if s.at != at {
		s.at, s.calls, s.failed = at, 0, 0
	}
	s.calls++
	s.failed += failed
}

// mostlyFailed reports whether at least half of enough calls have failed.
func (r *recent) mostlyFailed(now time.Time) bool {
	calls, failed := r.sum(now)
	return calls >= fewestCalls && failed*2 >= calls
}

// sum returns how many calls there were recently, and how many of them failed.
func (r *recent) sum(now time.Time) (calls, failed int64) {
	oldest := now.UnixNano()/int64(slot) - int64(len(r)) + 1
	for _, s := range r {
		if s.at >= oldest {
			calls, failed = calls+s.calls, failed+s.failed
		}
	}
	return calls, failed
}
