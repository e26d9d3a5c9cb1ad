package router

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
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
