package router

import (
	"cmp"
	"context"
	"errors"
	"iter"
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

// Outcome is what an answer came to. It is known once a plain answer is
// returned, and for a stream after Next has returned an error or Close was called.
type Outcome struct {
	Spend    billing.Spend // of the attempt that answered
	Earlier  billing.Money // cost of the attempts that failed before it
	Balances []billing.Balance
	Rates    []Rate
	Overhead time.Duration // our own time: all but waiting for a provider or the client
}

// ChargedError is the failure of a request that costs something all the same.
type ChargedError struct {
	Outcome Outcome
	Err     error
}

// Error is that of the failure.
func (e *ChargedError) Error() string { return e.Err.Error() }

// Unwrap is the failure.
func (e *ChargedError) Unwrap() error { return e.Err }

// counting counts for one attempt, what is large when the key's turn has come. It does
// not end with the client.
type counting struct {
	ctx       context.Context
	router    *Router
	key       billing.KeyID
	request   *chat.Request
	tokenizer tokens.Tokenizer
}

var _ meter.Counter = counting{}

func (r *Router) counting(ctx context.Context, m *meter.Meter, c plan.Candidate) counting {
	return counting{context.WithoutCancel(ctx), r, m.Row.Owner.KeyID, m.Request, tokenizer(c.Target)}
}

// turn waits until so many bytes may be counted.
func (c counting) turn(size int) (free func()) {
	free, err := c.router.turn(c.ctx, c.key, size)
	if err != nil { // cannot be: the context does not end
		return func() {}
	}
	return free
}

// Bound is cheap and never below the true count.
func (c counting) Bound() int64 { return c.router.Tokens.Bound(c.request, c.tokenizer) }

// Least is what any tokenizer makes of the texts of the request at least. Of an
// assistant's turns providers leave out what they will, such as its reasoning.
func (c counting) Least() (n int64) {
	defer c.turn(len(c.request.Body()))()
	for m := range c.request.Messages() {
		if string(m.Role) == `"assistant"` {
			continue
		}
		for p := range m.Pieces() {
			if p.Kind == chat.PieceText || p.Kind == chat.PieceToolCall {
				n += tokens.AtLeast(string(p.Text.Bytes()))
			}
		}
	}
	return n
}

// Prompt counts the request.
func (c counting) Prompt() (tokens.Estimate, error) {
	defer c.turn(len(c.request.Body()))()
	return c.router.Tokens.Prompt(c.ctx, c.request, c.tokenizer)
}

// Text counts the text of an answer.
func (c counting) Text(text string) (tokens.Estimate, error) {
	defer c.turn(len(text))()
	return c.router.Tokens.Text(c.ctx, text, c.tokenizer)
}

// answeredBy is who answered, where that is another model than c's: by the prices of the
// catalogue, where it has that one of the same provider.
func (r *Router) answeredBy(c plan.Candidate, said string, at time.Time) meter.Answered {
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

// charge is the row of an attempt that is paid for. Counting does not end with the
// client. What the provider reported calibrates the next estimates: also where it is far
// above them, or they would be as far below it ever after.
func (r *Router) charge(ctx context.Context, m *meter.Meter, u meter.Use) billing.Spend {
	c := u.Candidate
	row, observed := m.Used(u, r.counting(ctx, m, c))
	if observed {
		r.calibration.Observe(sample(m.Request, c.Target, m.Plan.Basis(c), c.Prompt), row.Tokens.Prompt())
	}
	return row
}

// failed is the row of an attempt that failed: at nothing where it is sure to be
// free, else at what the provider may bill.
func (r *Router) failed(ctx context.Context, m *meter.Meter, n int, c plan.Candidate, tried Attempt, pe *providers.Error) billing.Spend {
	status := billing.StatusError
	if ctx.Err() != nil && (pe.Status == 0 || pe.Kind == providers.KindCanceled) { // it is not the provider who ended it
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
	left := pe.Kind == providers.KindCanceled || pe.Kind == providers.KindTimeout // it is us who ended it
	u := meter.Unanswered{
		Usage: pe.Usage, Prompt: r.promptWhole(m, c, count), Candidate: c, Attempt: n, Status: status, ErrorKind: string(pe.Kind),
		Took: tried.Took, Received: pe.Received,
		Unending: left && !m.Request.Stream() && !c.Target.Billing.Stops,
	}
	return m.Unanswered(u, count)
}

// parted is the row of a request that took several calls, of which one failed: what
// those used that were answered, and the prompts of those that may be billed.
func (r *Router) parted(
	ctx context.Context, m *meter.Meter, n int, c plan.Candidate, status billing.Status, pe *providers.Error,
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

// promptWhole is what a provider may bill for a prompt of which it has told nothing: the
// count, by what has been learned of its own, as far as it is held.
func (r *Router) promptWhole(m *meter.Meter, c plan.Candidate, count counting) int64 {
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
	chosen   plan.Candidate // the last one tried
	attempts []Attempt
	rows     []billing.Spend // of the attempts that failed
	unfit    error           // of the first candidate that could not be asked for this
	owed     billing.Amount  // of these rows, what the hold has not grown by
	wider    billing.Amount  // likewise, for a candidate for which it was not taken
	upstream context.Context // of the calls
	end      context.CancelFunc
	call     *limit.Call // what becomes of the calls when the client leaves
}

// send tries the candidates in turn until one begins to answer. Until then
// nothing has reached the client, so that a failure costs time, and what the
// provider may bill for it: the next attempt is made only if that is granted
// besides the hold. Those that cannot be asked do not count: others are.
func (r *Router) send(ctx context.Context, h held) (sent, error) {
	upstream, end := context.WithTimeout(context.WithoutCancel(ctx), r.o.RequestTimeout)
	s := sent{held: h, upstream: upstream, end: end, call: r.Background.Follow(ctx, string(h.planned.accepted.key.ID), end)}
	if in := h.planned.accepted.in; in.Waiting != nil && h.meter.Request.Stream() {
		in.Waiting()
	}
	declared := h.first.Target.Name()
	from := h.planned.accepted.origin
	var last error
	asked := 0                     // candidates
	var outgrown *providers.Target // whose context turned out to be too short
	for i, candidate := range h.planned.try {
		if asked == r.o.MaxAttempts {
			break
		}
		if outgrown != nil && !longer(candidate.Target, outgrown) {
			continue
		}
		if i >= r.o.MaxAttempts {
			s.wider = s.wider.Plus(h.meter.Also(candidate))
		}
		before := len(s.attempts)
		for c := range r.calls(h, i, from) {
			if len(s.attempts) > 0 && !r.ready(c.Target, from) {
				continue // went down since it was planned
			}
			fits, wider, err := r.widen(s.upstream, &s, c)
			if err != nil {
				return sent{}, r.giveUp(ctx, s, err)
			}
			if !fits {
				continue // a limit of it has no room
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
			err = r.callChosen(ctx, &s)
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

// widen holds for a call of a target that is counted with others than those before it. It
// reports false where a limit has no room for it.
func (r *Router) widen(ctx context.Context, s *sent, c plan.Candidate) (ok, wider bool, err error) {
	l := s.held.limits
	if l == nil {
		return true, false, nil
	}
	if s.held.full.blocks(l, c.Target) {
		return false, false, nil
	}
	for {
		lines, err := l.Lines(c.Target, s.held.hold.Lines)
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
		case errors.As(err, &crowded) && l.Share(crowded.BudgetID):
		default:
			return false, false, err
		}
	}
}

// calls are those that may be made of the candidate at a place, in order.
func (r *Router) calls(h held, i int, from health.Origin) iter.Seq[plan.Candidate] {
	if i < len(h.draws) {
		return slices.Values(h.draws[i])
	}
	return r.withCredentials(h.planned.try[i], from)
}

// final reports a failure after which the client is told what the provider said.
func final(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && !pe.Kind.Failover()
}

// tooLong reports a prompt that is too long for the target that was asked.
func tooLong(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind == providers.KindContext
}

// longer reports a target that may take a prompt which is too long for another one.
func longer(t, than *providers.Target) bool {
	return t.Context == 0 || than.Context == 0 || t.Context > than.Context
}

// declare tells the ledger which attempt comes next: should the process die, it is
// booked like one that was answered. The hold has said so of the first. What those
// before are charged with is held besides.
func (r *Router) declare(s *sent) error {
	lost := append(slices.Clone(s.rows), s.held.meter.Lost(s.chosen, len(s.rows)+1))
	hold, err := r.holds.grow(s.upstream, s.held.hold, s.owed.Plus(s.wider), lost)
	if err == nil {
		s.held.hold, s.owed, s.wider = hold, billing.Amount{}, billing.Amount{}
	}
	return err
}

// callChosen calls the candidate that was chosen. The row of a failure says what the
// provider may bill for it.
func (r *Router) callChosen(ctx context.Context, s *sent) error {
	a := s.held.planned.accepted
	if a.claims() || !a.request.Stream() && !s.chosen.Target.Billing.Stops {
		s.call.Finish()
	} else {
		s.call.Drop()
	}
	reply, tried, err := r.attempt(s.upstream, s.held, s.chosen)
	switch {
	case err == nil:
		s.reply, s.attempts = reply, append(s.attempts, tried)
		return nil
	case errors.Is(err, errTrialTaken) || unfit(err): // nothing was sent
		return err
	}
	s.attempts = append(s.attempts, tried)
	row := r.failed(ctx, s.held.meter, len(s.attempts), s.chosen, tried, providerError(s.chosen.Target, err))
	row.Took = &tried.Took
	s.rows = append(s.rows, row)
	s.owed = s.owed.Plus(billing.Amount{Tokens: row.Tokens.Total(), Money: row.Cost.Total})
	return err
}

// abandoned reports that the client has left and that nobody goes on without it.
func (s sent) abandoned(ctx context.Context) bool {
	return ctx.Err() != nil && (!s.held.planned.accepted.claims() || s.upstream.Err() != nil)
}

// failure is that no attempt was answered. Where nobody could be asked, the first of
// the reasons says what to change; unless some are down, who perhaps can.
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

// exchange is the request as a candidate is called with it.
func (r *Router) exchange(p planned, c plan.Candidate) providers.Exchange {
	a := p.accepted
	x := providers.Exchange{
		Operation: a.in.Operation, Target: *c.Target, Request: a.request, Stored: a.key.AllowProviderObjects,
		Turn: r.Turns.Of(string(a.key.ID)),
	}
	if c.Native {
		x.Native, x.Bounded = a.native, p.input.Rights.Bounded()
	} else if a.native != nil {
		x.Unsayable = a.native.Only
	}
	if a.in.Room != nil {
		x.Room = a.in.Room
	}
	return x
}

// attempt makes one call and tells the health of the target how it went. What
// fails is a *providers.Error.
func (r *Router) attempt(ctx context.Context, h held, c plan.Candidate) (*providers.Answer, Attempt, error) {
	began := r.o.Clock()
	a := Attempt{Provider: c.Target.Provider, Model: c.Target.Model, Credential: c.Target.Account}
	call := callOf(c.Target, h.planned.accepted.origin)
	if !r.Health.Begin(call, began) {
		return nil, a, &providers.Error{Provider: a.Provider, Model: a.Model, Kind: providers.KindOverload, Err: errTrialTaken}
	}
	x := r.exchange(h.planned, c)
	x.Request, x.MaxOutput = h.meter.Request, h.meter.MaxOutput(c)
	reply, err := r.Sender.Do(ctx, x)
	now := r.o.Clock()
	a.Took = now.Sub(began)
	if err == nil {
		r.Health.Report(call, health.Outcome{Class: health.OK, Began: began}, now)
		return reply, a, nil
	}
	pe := providerError(c.Target, err)
	a.Kind, a.Status = pe.Kind, pe.Status
	r.Health.Report(call, outcome(pe, began), now)
	return nil, a, pe
}

// giveUp settles a request that no provider answered, and passes on why. Without an
// attempt the hold is given back.
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

// providerError is err as an error of a provider. Of one that is none it is not
// known whether anything was sent.
func providerError(t *providers.Target, err error) *providers.Error {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe
	}
	return &providers.Error{Provider: t.Provider, Model: t.Model, Kind: providers.KindNetwork, Err: err, Sent: true}
}

// unfit reports that a target could not be asked at all: the request has no words in
// its format. That is not an attempt, and the next candidate may do.
func unfit(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind == providers.KindUnfit && !pe.Sent
}

// anotherMay reports that a call failed for what another credential may not meet.
func anotherMay(err error) bool {
	var pe *providers.Error
	return errors.As(err, &pe) && pe.Kind.AnotherCredential() || errors.Is(err, errTrialTaken)
}

// limited reports that every attempt was refused for its rate.
func limited(attempts []Attempt) bool {
	return len(attempts) > 0 && !slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Kind != providers.KindRate })
}

func retryAfter(err error) time.Duration {
	if pe := (*providers.Error)(nil); errors.As(err, &pe) {
		return pe.RetryAfter
	}
	return 0
}
