package health

import "time"

// A request may itself have caused its failure: a body on which the provider
// stumbles, a file that it may not read, more tokens than it takes in a minute. Who
// sends such a request again and again must not take the target from others. So a
// failure of which that is not excluded speaks for the body that met it; for the
// whole key, once two of its bodies have met one; and for everybody, once two keys
// have, with two bodies.

const (
	mostSuspects = 256         // keys whose failures are kept for one target
	suspectFor   = time.Minute // how long a failure counts that none followed
)

// suspect is how a target treats the requests of one key that has met failures.
type suspect struct {
	circuit
	met     time.Time // the last failure; zero after a success
	body    uint64    // that met it
	several bool      // other bodies did, too
}

// binds reports whether the circuit is that of a request with this body.
func (s *suspect) binds(body uint64) bool { return s.several || s.body == body }

// meet notes a failure of a request with this body.
func (s *suspect) meet(body uint64, o Outcome, now time.Time, d time.Duration) {
	switch {
	case s.met.IsZero() || now.Sub(s.met) > suspectFor && s.until.IsZero():
		s.body, s.several = body, false
	case body != s.body:
		s.several = true
	}
	s.met = now
	if s.concerns(o, now) {
		s.blame(o, now, d)
	}
}

// blame counts an outcome that is a failure.
func (c *circuit) blame(o Outcome, now time.Time, d time.Duration) {
	switch o.Class {
	case Failed:
		c.fail(o.Cause, now, d)
	case Limited:
		c.limit(o, now)
	case Refused:
		c.bar(o.Cause, now)
	case OK, Neutral:
	}
}

// targetHealth is the health of one target: what is known for everybody, and what keys
// have met.
type targetHealth struct {
	circuit
	suspects map[string]*suspect

	// The failures that requests may have caused, since the last success.
	runs   [Refused + 1]run
	recent recent // with the calls that succeeded
}

// run are failures of one class without a success between them.
type run struct {
	met          time.Time // the last of them
	first        Origin
	keys, bodies bool // others than the first have met one
	inARow       int
}

// add counts a failure.
func (r *run) add(from Origin, now time.Time) {
	if r.met.IsZero() || now.Sub(r.met) > suspectFor {
		*r = run{first: from}
	}
	r.met = now
	r.keys = r.keys || from.Key != r.first.Key
	r.bodies = r.bodies || from.Body != r.first.Body
	r.inARow++
}

// several reports that the failures have no key and no body in common.
func (r *run) several() bool { return r.keys && r.bodies }

// state is how t stands for a request.
func (t *targetHealth) state(from Origin, now time.Time) State {
	s := t.circuit.state(now)
	if own := t.suspects[from.Key]; own != nil && own.binds(from.Body) {
		s = worse(s, own.state(now))
	}
	return s
}

// begin notes a call.
func (t *targetHealth) begin(from Origin, now time.Time) {
	t.circuit.begin(now)
	if own := t.suspects[from.Key]; own != nil && own.binds(from.Body) {
		own.begin(now)
	}
}

// succeed notes a call that went well.
func (t *targetHealth) succeed(from Origin, o Outcome, now time.Time) {
	if own := t.suspects[from.Key]; own != nil && own.concerns(o, now) {
		own.succeed(now)
		own.met = time.Time{}
	}
	if t.concerns(o, now) {
		t.circuit.succeed(now)
		t.recent.add(now, 0)
		t.runs = [Refused + 1]run{}
	}
}

// spare notes a call that said nothing.
func (t *targetHealth) spare(from Origin, o Outcome, now time.Time) {
	if t.concerns(o, now) {
		t.circuit.spare()
	}
	if own := t.suspects[from.Key]; own != nil && own.binds(from.Body) && own.concerns(o, now) {
		own.spare()
	}
}

// suspect notes a failure that the request may have caused. d is for how long
// repeated failures leave the target alone.
func (t *targetHealth) suspect(from Origin, o Outcome, now time.Time, d func(opened int) time.Duration) {
	own := t.suspectOf(from.Key, now)
	if o.Began.Before(own.since) {
		return
	}
	own.meet(from.Body, o, now, d(own.opened))
	met := &t.runs[o.Class]
	met.add(from, now)
	switch {
	case !t.concerns(o, now):
	case !t.until.IsZero(): // a trial: another key has the next one
		t.opened++
		t.open(o.Cause, now, d(t.opened)/2)
		own.several = true
		own.open(o.Cause, now, d(t.opened))
	case o.Class != Failed:
		if met.several() {
			t.blame(o, now, 0)
		}
	default:
		t.recent.add(now, 1)
		if met.several() && met.inARow >= failuresInARow || t.mostFail(now) {
			t.opened++
			t.open(o.Cause, now, d(t.opened-1))
		}
	}
}

// mostFail reports that most calls fail, those of the key that fails most left out.
func (t *targetHealth) mostFail(now time.Time) bool {
	if !t.recent.mostlyFailed(now) {
		return false
	}
	calls, failed := t.recent.sum(now)
	var worstCalls, worstFailed int64
	for _, s := range t.suspects {
		if c, f := s.recent.sum(now); f > worstFailed {
			worstCalls, worstFailed = c, f
		}
	}
	calls, failed = calls-worstCalls, failed-worstFailed
	return failed > 0 && failed*2 >= calls
}

// suspectOf is the record of a key, in bounded memory.
func (t *targetHealth) suspectOf(key string, now time.Time) *suspect {
	if s := t.suspects[key]; s != nil {
		return s
	}
	if t.suspects == nil {
		t.suspects = make(map[string]*suspect)
	}
	for old, s := range t.suspects {
		if len(t.suspects) >= mostSuspects || s.until.IsZero() && now.Sub(s.met) > suspectFor {
			delete(t.suspects, old)
		}
	}
	s := new(suspect)
	t.suspects[key] = s
	return s
}

// shown is how t stands as operators see it: for everybody, or for those who have
// met nothing but failures while nobody else has succeeded.
func (t *targetHealth) shown(now time.Time) State {
	s := t.circuit.state(now)
	for _, own := range t.suspects {
		if own.met.After(t.worked) {
			s = worse(s, own.state(now))
		}
	}
	return s
}

// worse is the state that allows less, for longer.
func worse(a, b State) State {
	if b.Status > a.Status || b.Status == a.Status && b.RetryAfter > a.RetryAfter {
		return b
	}
	return a
}
