package health

import "time"

// A request may itself have caused its failure: a body that makes the provider fail, a file
// that it cannot access, more tokens than it accepts in a minute. Someone who keeps sending
// such a request must not make the target unavailable to others. So a failure that may have
// been caused by the request counts only against the body that met it; against the whole key,
// once two of its bodies have met one; against a team, once two of its keys have, with two
// bodies; and for everybody, once two teams have. The keys that one person holds belong to one
// team.

const (
	mostSuspects = 256         // keys whose failures are kept for one target
	mostTeams    = 64          // teams, likewise
	suspectFor   = time.Minute // how long a failure counts unless another follows
)

// suspect is the state of a target for the requests of one key that has met failures.
type suspect struct {
	circuit
	team    string
	met     time.Time // the last failure; zero after a success
	body    uint64    // the body that met it
	several bool      // other bodies met one, too
}

// binds reports whether the circuit applies to a request with this body.
func (s *suspect) binds(body uint64) bool { return s.several || s.body == body }

// meet records a failure of a request with this body.
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

// blame counts a failure.
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

// run is a series of failures of one class without a success in between.
type run struct {
	met             time.Time // the last of them
	member          string    // of the crowd: the one who met the first failure
	body            uint64
	members, bodies bool // others besides the first have met one
	inARow          int
}

// add counts a failure.
func (r *run) add(member string, body uint64, now time.Time) {
	if r.met.IsZero() || now.Sub(r.met) > suspectFor {
		*r = run{member: member, body: body}
	}
	r.met = now
	r.members = r.members || member != r.member
	r.bodies = r.bodies || body != r.body
	r.inARow++
}

// several reports whether the failures have neither a member nor a body in common.
func (r *run) several() bool { return r.members && r.bodies }

// crowd is a group that shares a view of a target: the keys of a team, or all teams.
type crowd struct {
	circuit
	runs  [Refused + 1]run // failures since the last success that requests may have caused
	calls recent           // including those that succeeded
	met   time.Time        // the last failure
}

// succeed records a call of the crowd that went well.
func (c *crowd) succeed(now time.Time) {
	c.circuit.succeed(now)
	c.calls.add(now, 0)
	c.runs = [Refused + 1]run{}
}

// met is a failure that a request by a member of a crowd may have caused.
type met struct {
	member string
	body   uint64
	Outcome
	now     time.Time
	openFor func(opened int) time.Duration
}

// meet records a failure. It reports whether the failed call was a trial: the next trial is
// another member's.
func (c *crowd) meet(m met, worst recent) (trial bool) {
	c.met = m.now
	run := &c.runs[m.Class]
	run.add(m.member, m.body, m.now)
	switch {
	case !c.concerns(m.Outcome, m.now):
	case !c.until.IsZero():
		c.opened++
		c.open(m.Cause, m.now, m.openFor(c.opened)/2)
		return true
	case m.Class != Failed:
		if run.several() {
			c.blame(m.Outcome, m.now, 0)
		}
	default:
		c.calls.add(m.now, 1)
		if run.several() && run.inARow >= failuresInARow || c.mostFail(m.now, worst) {
			c.opened++
			c.open(m.Cause, m.now, m.openFor(c.opened-1))
		}
	}
	return false
}

// mostFail reports whether most calls fail, leaving out those of the member that fails most.
func (c *crowd) mostFail(now time.Time, worst recent) bool {
	if !c.calls.mostlyFailed(now) {
		return false
	}
	calls, failed := c.calls.sum(now)
	worstCalls, worstFailed := worst.sum(now)
	calls, failed = calls-worstCalls, failed-worstFailed
	return failed > 0 && failed*2 >= calls
}

// targetHealth is the health of one target: what is known for everybody, and what keys and
// teams have met.
type targetHealth struct {
	crowd
	suspects map[string]*suspect
	teams    map[string]*crowd
}

// of returns the circuits of a target that apply to a request: everybody's, its team's and its
// own.
func (t *targetHealth) of(from Origin) [3]*circuit {
	list := [3]*circuit{&t.circuit}
	if team := t.teams[from.Team]; team != nil {
		list[1] = &team.circuit
	}
	if own := t.suspects[from.Key]; own != nil && own.binds(from.Body) {
		list[2] = &own.circuit
	}
	return list
}

// state returns the state of t for a request.
func (t *targetHealth) state(from Origin, now time.Time) (s State) {
	for _, c := range t.of(from) {
		if c != nil {
			s = worse(s, c.state(now))
		}
	}
	return s
}

// begin records a call.
func (t *targetHealth) begin(from Origin, now time.Time) {
	for _, c := range t.of(from) {
		if c != nil {
			c.begin(now)
		}
	}
}

// succeed records a call that went well.
func (t *targetHealth) succeed(from Origin, o Outcome, now time.Time) {
	if own := t.suspects[from.Key]; own != nil && own.concerns(o, now) {
		own.succeed(now)
		own.met = time.Time{}
	}
	if team := t.teams[from.Team]; team != nil && team.concerns(o, now) {
		team.succeed(now)
	}
	if t.concerns(o, now) {
		t.crowd.succeed(now)
	}
}

// spare records a call that said nothing.
func (t *targetHealth) spare(from Origin, o Outcome, now time.Time) {
	for _, c := range t.of(from) {
		if c != nil && c.concerns(o, now) {
			c.spare()
		}
	}
}

// suspect records a failure that the request may have caused. openFor says for how long
// repeated failures leave the target alone.
func (t *targetHealth) suspect(from Origin, o Outcome, now time.Time, openFor func(opened int) time.Duration) {
	own, team := t.suspectOf(from, now), t.teamOf(from.Team, now)
	if o.Began.Before(own.since) {
		return
	}
	own.meet(from.Body, o, now, openFor(own.opened))
	m := met{from.Key, from.Body, o, now, openFor}
	if team.meet(m, t.worstKey(from.Team, now)) {
		own.several = true
		own.open(o.Cause, now, openFor(team.opened))
	}
	m.member = from.Team
	if t.meet(m, t.worstTeam(now)) {
		own.several = true
		own.open(o.Cause, now, openFor(t.opened))
		team.open(o.Cause, now, openFor(t.opened))
	}
}

// worstKey returns the recent calls of the team's key with the most failures.
func (t *targetHealth) worstKey(team string, now time.Time) (worst recent) {
	most := int64(0)
	for _, s := range t.suspects {
		if _, failed := s.recent.sum(now); s.team == team && failed > most {
			worst, most = s.recent, failed
		}
	}
	return worst
}

// worstTeam returns the recent calls of the team with the most failures.
func (t *targetHealth) worstTeam(now time.Time) (worst recent) {
	most := int64(0)
	for _, team := range t.teams {
		if _, failed := team.calls.sum(now); failed > most {
			worst, most = team.calls, failed
		}
	}
	return worst
}

// suspectOf returns the record of a key, in bounded memory.
func (t *targetHealth) suspectOf(from Origin, now time.Time) *suspect {
	s, known := record(&t.suspects, from.Key, mostSuspects,
		func(s *suspect) bool { return s.until.IsZero() && now.Sub(s.met) > suspectFor })
	if !known {
		s.team = from.Team
	}
	return s
}

// teamOf returns the record of a team, in bounded memory.
func (t *targetHealth) teamOf(name string, now time.Time) *crowd {
	c, _ := record(&t.teams, name, mostTeams, func(c *crowd) bool { return c.until.IsZero() && now.Sub(c.met) > suspectFor })
	return c
}

// record returns the record of a name, or a new one. To make room, old ones are dropped, and
// others if there are too many.
func record[T any](all *map[string]*T, name string, most int, old func(*T) bool) (r *T, known bool) {
	if r := (*all)[name]; r != nil {
		return r, true
	}
	if *all == nil {
		*all = make(map[string]*T)
	}
	for other, r := range *all {
		if len(*all) >= most || old(r) {
			delete(*all, other)
		}
	}
	r = new(T)
	(*all)[name] = r
	return r, false
}

// shown returns the state of t as operators see it: for everybody, or for those who have met
// nothing but failures if nobody else has succeeded.
func (t *targetHealth) shown(now time.Time) State {
	s := t.circuit.state(now)
	for _, own := range t.suspects {
		if own.met.After(t.worked) {
			s = worse(s, own.state(now))
		}
	}
	for _, team := range t.teams {
		if team.met.After(t.worked) {
			s = worse(s, team.state(now))
		}
	}
	return s
}

// worse returns the state that allows less, for longer.
func worse(a, b State) State {
	if b.Status > a.Status || b.Status == a.Status && b.RetryAfter > a.RetryAfter {
		return b
	}
	return a
}
