package router

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
	"tallyroute/router/limit"
	"tallyroute/router/meter"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// Outcome is what an answer came to. It is known once a plain answer has been returned or, for
// a stream, once Next has returned an error or Close was called.
type Outcome struct {
	Spend    billing.Spend // the attempt that answered
	Earlier  billing.Money // cost of the attempts that failed before it
	Balances []billing.Balance
	Rates    []Rate
	Overhead time.Duration // our own time: everything but waiting for a provider or the client
}

// ChargedError is a request that failed but is charged all the same.
type ChargedError struct {
	Outcome Outcome
	Err     error
}

// Error returns the message of the failure.
func (e *ChargedError) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e *ChargedError) Unwrap() error { return e.Err }

// counting counts tokens for one attempt; large inputs wait for the key's turn. It does not
// stop when the client leaves.
type counting struct {
	ctx       context.Context
	router    *Router
	key       billing.KeyID
	request   *chat.Request
	tokenizer tokens.Tokenizer
}

var _ meter.Counter = counting{}

func (r *Router) counting(ctx context.Context, m *meter.Meter, c *plan.Candidate) counting {
	return counting{context.WithoutCancel(ctx), r, m.Row.Owner.KeyID, m.Request, tokenizer(c.Target)}
}

// turn waits until this many bytes may be counted.
func (c counting) turn(size int) (free func()) {
	free, err := c.router.turn(c.ctx, c.key, size)
	if err != nil { // cannot happen: the context does not end
		return func() {}
	}
	return free
}

// Bound is cheap and never below the true count.
func (c counting) Bound() int64 { return c.router.Tokens.Bound(c.request, c.tokenizer) }

// Least returns a lower bound, for any tokenizer, of the tokens in the texts of the request.
func (c counting) Least() int64 {
	defer c.turn(len(c.request.Body()))()
	return tokens.Least(c.request)
}

// Prompt counts the tokens of the request.
func (c counting) Prompt() (tokens.Estimate, error) {
	defer c.turn(len(c.request.Body()))()
	return c.router.Tokens.Prompt(c.ctx, c.request, c.tokenizer)
}

// Text counts the tokens of an answer's text.
func (c counting) Text(text string) (tokens.Estimate, error) {
	defer c.turn(len(text))()
	return c.router.Tokens.Text(c.ctx, text, c.tokenizer)
}

// answeredBy returns the model that answered if it is not c's, with its prices if the catalogue
// has that model at the same provider.
func (r *Router) answeredBy(c *plan.Candidate, said string, at time.Time) meter.Answered {
	t := c.Target
	if t.Answered(said) {
		return meter.Answered{}
	}
	a := meter.Answered{Model: said}
	for name := range providers.NamesOf(said) {
		if others, pinned, ok := r.Catalogue.Resolve(t.Provider + "/" + name); ok && pinned {
			a.Prices = r.Prices.At(t.Provider, others[0].Model, at)
			break
		}
	}
	return a
}

// charge returns the row of a charged attempt. Counting does not stop when the client leaves.
// The usage that the provider reported calibrates later estimates, even if it is far above
// them: otherwise they would stay as far below it.
func (r *Router) charge(ctx context.Context, m *meter.Meter, u meter.Use) billing.Spend {
	c := u.Candidate
	row, observed := m.Used(u, r.counting(ctx, m, c))
	if observed {
		r.calibration.Observe(sample(m.Request, c.Target, m.Plan.Basis(c), c.Prompt), row.Tokens.Prompt())
	}
	return row
}

// failed returns the row of a failed attempt: at no cost if it is certain to be free, otherwise
// at what the provider may bill.
func (r *Router) failed(ctx context.Context, m *meter.Meter, n int, c *plan.Candidate, tried Attempt, pe *providers.Error) billing.Spend {
	status := billing.StatusError
	if ctx.Err() != nil && (pe.Status == 0 || pe.Kind == providers.KindCanceled) { // the provider did not end it
		status, _ = endOf(ctx)
	}
	if !pe.Charged() {
		row := m.Failed(c, n, pe.Kind)
		row.Status = status
		return row
	}
	if pe.Parts != nil {
		return r.parted(ctx, m, n, c, status, pe)
	}
	if pe.Usage.Some() && !pe.Usage.Partial {
		row := r.charge(ctx, m, meter.Use{Candidate: c, Attempt: n, Status: status, ErrorKind: string(pe.Kind), Usage: pe.Usage})
		row.Final = false
		return row
	}
	count := r.counting(ctx, m, c)
	left := pe.Kind == providers.KindCanceled || pe.Kind == providers.KindTimeout // we ended it
	u := meter.Unanswered{
		Usage: pe.Usage, Prompt: r.promptWhole(m, c, count), Candidate: c, Attempt: n, Status: status, ErrorKind: string(pe.Kind),
		Took: tried.Took, Received: pe.Received,
		Unending: left && !m.Request.Stream() && !c.Target.Billing.Stops,
	}
	return m.Unanswered(u, count)
}

// parted returns the row of a request that took several calls, one of which failed: the usage
// of the calls that were answered, and the prompts of those that may be billed.
func (r *Router) parted(
	ctx context.Context, m *meter.Meter, n int, c *plan.Candidate, status billing.Status, pe *providers.Error,
) billing.Spend {
	p := meter.Parted{Candidate: c, Attempt: n, Status: status, ErrorKind: string(pe.Kind), Used: pe.Parts.Used}
	for _, part := range pe.Parts.Unsure {
		counted, err := r.Tokens.Prompt(context.WithoutCancel(ctx), part, tokenizer(c.Target))
		if err != nil {
			counted.Tokens = r.Tokens.Bound(part, tokenizer(c.Target))
		}
		p.Unsure = billing.SatAdd(p.Unsure, counted.Tokens)
	}
	return m.Parted(p)
}

// promptWhole returns what a provider may bill for a prompt whose usage it did not report: our
// count, corrected by calibration, but no more than was held for it.
func (r *Router) promptWhole(m *meter.Meter, c *plan.Candidate, count counting) int64 {
	counted, err := count.Prompt()
	if err != nil {
		return c.Hold
	}
	return min(c.Hold, max(counted.Tokens, r.calibration.Hold(sample(m.Request, c.Target, plan.Basis(counted), counted.Tokens))))
}

// sent is a request that a provider has begun to answer.
type sent struct {
	held     held
	reply    *providers.Answer
	chosen   *plan.Candidate // the last one tried
	attempts []Attempt
	rows     []billing.Spend // of the attempts that failed
	unfit    error           // of the first candidate that could not express the request
	owed     billing.Amount  // the part of these rows that the hold has not grown by
	wider    billing.Amount  // likewise, for a candidate that the hold was not taken for
	upstream context.Context // of the calls
	end      context.CancelFunc
	call     *limit.Call // decides what happens to the calls when the client leaves
}

// send tries the candidates in turn until one begins to answer. Until then nothing has reached
// the client, so a failure costs only time and what the provider may bill for it: the next
// attempt is made only if that can be held in addition. Candidates that cannot be asked do not
// count: others are asked instead.
func (r *Router) send(ctx context.Context, h held) (sent, error) {
	upstream, end := context.WithTimeout(context.WithoutCancel(ctx), r.o.RequestTimeout)
	s := sent{held: h, upstream: upstream, end: end, call: r.Background.Follow(ctx, string(h.planned.accepted.key.ID), end)}
	if in := h.planned.accepted.in; in.Waiting != nil && h.meter.Request.Stream() {
		in.Waiting()
	}
	declared := h.first.Target.Name()
	from := h.planned.accepted.origin
	var last error
	asked := 0                     // number of candidates
	var outgrown *providers.Target // whose context turned out to be too short
	for i := range h.planned.try {
		if asked == r.o.MaxAttempts {
			break
		}
		if outgrown != nil && !longer(h.planned.try[i].Target, outgrown) {
			continue
		}
		if i >= r.o.MaxAttempts {
			s.wider = s.wider.Plus(h.meter.Also(&h.planned.try[i]))
		}
		before := len(s.attempts)
		for calls := r.callsOf(&h, i); len(calls) > 0; calls = calls[1:] {
			c := &calls[0]
			if len(s.attempts) > 0 && !r.ready(c.Target, from) {
				continue // has gone down since the plan was made
			}
			fits, wider, err := r.widen(s.upstream, &s, c)
			if err != nil {
				return sent{}, r.giveUp(ctx, s, err)
			}
			if !fits {
				continue // one of its limits has no room
			}
			s.chosen = c
			if name := c.Target.Name(); len(s.rows) > 0 || name != declared || wider {
				declared = name
				if err := r.declare(&s); err != nil {
					if s.owed != (billing.Amount{}) {
						err = s.failure(last)
					}
					return sent{}, r.giveUp(ctx, s, err)
				}
			}
			err = r.call(ctx, &s)
			if err == nil {
				return s, nil
			}
			if unfit(err) {
				s.unfit = cmp.Or(s.unfit, err)
				break
			}
			last = err
			if s.abandoned(ctx) {
				_, why := endOf(ctx)
				return sent{}, r.giveUp(ctx, s, why)
			}
			if tooLong(last) {
				outgrown = c.Target
				break
			}
			if final(last) {
				return sent{}, r.giveUp(ctx, s, last)
			}
			if upstream.Err() != nil || !anotherMay(last) {
				break
			}
		}
		if upstream.Err() != nil {
			break
		}
		if len(s.attempts) > before {
			asked++
		}
	}
	if final(last) {
		return sent{}, r.giveUp(ctx, s, last)
	}
	return sent{}, r.giveUp(ctx, s, s.failure(last))
}

// widen extends the hold to a call of a target that counts against further budgets. It returns
// ok false if one of them has no room for it.
func (r *Router) widen(ctx context.Context, s *sent, c *plan.Candidate) (ok, wider bool, err error) {
	l := s.held.limits
	if l == nil {
		return true, false, nil
	}
	if s.held.full.blocks(l, c.Target) {
		return false, false, nil
	}
	for {
		lines, err := l.lines(c.Target, s.held.hold.Lines)
		if err != nil || len(lines) == 0 {
			return true, false, err
		}
		err = r.holds.ledger.Widen(ctx, s.held.hold.ID, lines)
		var crowded *billing.CrowdedError
		switch {
		case err == nil:
			s.held.hold.Lines = append(slices.Clip(s.held.hold.Lines), lines...)
			return true, true, nil
		case s.held.full.notes(err):
			return false, false, nil
		case errors.As(err, &crowded) && l.share(crowded.BudgetID):
		default:
			return false, false, err
		}
	}
}

// callsOf returns the calls to try for the i-th candidate, in order.
func (r *Router) callsOf(h *held, i int) []plan.Candidate {
	if i < len(h.draws) {
		return h.draws[i]
	}
	return r.draw(h.planned.try, i, h.planned.accepted.origin)
}

// final reports a failure after which the client is told what the provider said.
func final(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && !pe.Kind.Failover()
}

// tooLong reports whether a prompt was too long for the target that was asked.
func tooLong(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind == providers.KindContext
}

// longer reports whether t may take a prompt that is too long for another target.
func longer(t, than *providers.Target) bool {
	return t.Context == 0 || than.Context == 0 || t.Context > than.Context
}

// declare tells the ledger which attempt comes next: if the process dies, it is booked as if it
// had been answered. For the first attempt the hold already does this. The charges of the
// earlier attempts are held in addition.
func (r *Router) declare(s *sent) error {
	lost := append(slices.Clone(s.rows), s.held.meter.Lost(s.chosen, len(s.rows)+1))
	err := r.holds.grow(s.upstream, s.held.hold, s.owed.Plus(s.wider), lost)
	if err == nil {
		s.owed, s.wider = billing.Amount{}, billing.Amount{}
	}
	return err
}

// call calls the chosen candidate and reports the result to the health of its target. If it
// fails, with a *providers.Error, the row records what the provider may bill for it.
func (r *Router) call(ctx context.Context, s *sent) error {
	a, c := s.held.planned.accepted, s.chosen
	if a.claims() || !a.request.Stream() && !c.Target.Billing.Stops {
		s.call.Finish()
	} else {
		s.call.Drop()
	}
	began, to := r.o.Clock(), callOf(c.Target, a.origin)
	if !r.Health.Begin(to, began) {
		return &providers.Error{Provider: c.Target.Provider, Model: c.Target.Model, Kind: providers.KindOverload, Err: errTrialTaken}
	}
	x := r.exchange(s.held.planned, c)
	x.Request, x.MaxOutput = s.held.meter.Request, s.held.meter.MaxOutput(c)
	reply, err := r.Sender.Do(s.upstream, x)
	now := r.o.Clock()
	tried := Attempt{Provider: c.Target.Provider, Model: c.Target.Model, Credential: c.Target.Account, Took: now.Sub(began)}
	if err == nil {
		r.Health.Report(to, health.Outcome{Class: health.OK, Began: began}, now)
		s.reply, s.attempts = reply, append(s.attempts, tried)
		return nil
	}
	pe := providerError(c.Target, err)
	r.Health.Report(to, outcome(pe, began), now)
	if unfit(pe) { // nothing was sent
		return pe
	}
	tried.Kind, tried.Status = pe.Kind, pe.Status
	s.attempts = append(s.attempts, tried)
	row := r.failed(ctx, s.held.meter, len(s.attempts), c, tried, pe)
	row.Took = new(tried.Took)
	s.rows = append(s.rows, row)
	s.owed = s.owed.Plus(billing.Amount{Tokens: row.Tokens.Total(), Money: row.Cost.Total})
	return pe
}

// abandoned reports whether the client has left and the request does not go on without it.
func (s sent) abandoned(ctx context.Context) bool {
	return ctx.Err() != nil && (!s.held.planned.accepted.claims() || s.upstream.Err() != nil)
}

// failure returns the error of a request that no attempt answered. If no candidate could be
// asked, the first reason says what to change, unless some candidates are down that might be
// able to serve it.
func (s sent) failure(last error) error {
	down := s.held.planned.plan.Down()
	switch {
	case last != nil || s.unfit == nil:
	case down != nil:
		return &FailedError{RetryAfter: down.RetryAfter, RateLimited: down.RateLimited}
	default:
		return s.unfit
	}
	return &FailedError{Attempts: s.attempts, Err: last, RetryAfter: retryAfter(last), RateLimited: limited(s.attempts)}
}

// exchange returns the request in the form in which a candidate is called.
func (r *Router) exchange(p planned, c *plan.Candidate) providers.Exchange {
	a := p.accepted
	x := providers.Exchange{
		Operation: a.in.Operation, Target: *c.Target, Request: a.request, Stored: a.key.AllowProviderObjects,
		Turn: r.Turns.Of(string(a.key.ID)),
	}
	if c.Native {
		x.Native, x.Bounded = a.native, p.input.Rights.Bounded()
	} else if a.native != nil {
		x.Unsayable, x.Foreign = a.native.Only, a.native.Foreign
	}
	if a.in.Room != nil {
		x.Room = a.in.Room
	}
	return x
}

// giveUp settles a request that no provider answered, and returns the reason. If there was no
// attempt, the hold is given back.
func (r *Router) giveUp(ctx context.Context, s sent, why error) error {
	defer s.call.Done()
	s.end()
	if len(s.rows) == 0 {
		r.holds.release(ctx, s.held.hold)
		return why
	}
	s.rows[len(s.rows)-1].Final = true
	meter.Overrun(s.rows, s.held.hold)
	r.holds.settle(ctx, s.held.hold, s.rows)
	if charged := billing.Sum(s.rows); charged.Tokens == 0 && charged.Money == 0 {
		return why
	}
	last := len(s.rows) - 1
	return &ChargedError{Outcome: Outcome{Spend: s.rows[last], Earlier: billing.Sum(s.rows[:last]).Money}, Err: why}
}

// providerError returns err as an error of a provider. For any other kind of error it is
// unknown whether anything was sent.
func providerError(t *providers.Target, err error) *providers.Error {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe
	}
	return &providers.Error{Provider: t.Provider, Model: t.Model, Kind: providers.KindNetwork, Err: err, Sent: true}
}

// unfit reports whether a target could not be asked at all because its format cannot express
// the request. That is not an attempt, and the next candidate may do.
func unfit(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind == providers.KindUnfit && !pe.Sent
}

// anotherMay reports whether a call failed for a reason that may not apply to another
// credential.
func anotherMay(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind.AnotherCredential() || errors.Is(err, errTrialTaken)
}

// limited reports whether every attempt was refused because of a rate limit.
func limited(attempts []Attempt) bool {
	return len(attempts) > 0 && !slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Kind != providers.KindRate })
}

func retryAfter(err error) time.Duration {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe.RetryAfter
	}
	return 0
}
