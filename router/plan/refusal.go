package plan

import (
	"cmp"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// AbilityError is a request that no provider of the model can serve.
type AbilityError struct {
	Model string
	Needs []string // "tools", "vision", …
	Asked providers.Operation
	// Serves is what the model is for.
	Serves providers.Operation
}

// Error names the abilities.
func (e *AbilityError) Error() string {
	return fmt.Sprintf("router: %s cannot do %v", e.Model, e.Needs)
}

// ContextError is a prompt that is too long for every provider of the model.
type ContextError struct {
	Model   string
	Prompt  int64 // tokens counted
	Output  int64 // tokens of output asked for
	Context int64 // the longest context among the candidates
}

// Error gives the numbers.
func (e *ContextError) Error() string {
	return fmt.Sprintf("router: %d prompt and %d output tokens exceed the %d of %s", e.Prompt, e.Output, e.Context, e.Model)
}

// PromptError is a prompt that is longer than its key's policies allow.
type PromptError struct {
	Tokens int64 // the lowest count for any provider of the model
	Most   int64
}

// Error gives the numbers.
func (e *PromptError) Error() string {
	return fmt.Sprintf("router: a prompt of %d tokens is longer than the %d that are allowed", e.Tokens, e.Most)
}

// TightError is a request without an output bound, for which the operator's bound is smaller
// than what any provider of the model accepts.
type TightError struct {
	Model string
	Bound int64 // the operator's
	Least int64 // accepted by a provider
}

// Error gives the numbers.
func (e *TightError) Error() string {
	return fmt.Sprintf("router: a bound of %d tokens of output is below the %d that %s takes", e.Bound, e.Least, e.Model)
}

// UnpricedError is a model without a known price, requested with a key whose budget is in
// money.
type UnpricedError struct {
	Model string
	Tier  string // the tier without a price, if the model itself has one; otherwise ""
}

// Error names the model.
func (e *UnpricedError) Error() string {
	return fmt.Sprintf("router: no price is known for %s", e.Model)
}

// MemberError is a request member that the key is not permitted to use.
type MemberError struct {
	Model string
	Bar   providers.Bar
}

// Error names the member.
func (e *MemberError) Error() string {
	return fmt.Sprintf("router: %s of a request for %s: %s", e.Bar.Member, e.Model, e.Bar.Class)
}

// UnhealthyError says that no provider of the model accepts calls for now.
type UnhealthyError struct {
	RetryAfter  time.Duration // when the first of them may be back; 0 if not known
	RateLimited bool          // all of them report too many requests
}

// Error returns a fixed message.
func (e *UnhealthyError) Error() string { return "router: no healthy provider" }

// Refusal returns the error of a plan without a usable candidate: the reason that is most
// likely to go away by waiting, or else by changing the request.
func (p Plan) Refusal(in Input) error {
	req := in.Request
	if len(p.Usable()) > 0 {
		return nil
	}
	var longest Candidate
	unable := &AbilityError{Model: req.Model(), Asked: in.Operation}
	worst := NotExcluded
	var barred *providers.Bar
	var tight *TightError
	var over *PromptError
	tier := ""
	for _, c := range p.Candidates {
		worst = max(worst, c.Why)
		switch c.Why {
		case TooLong:
			if longest.Target == nil || c.Target.Context >= longest.Target.Context {
				longest = c
			}
		case CannotDo:
			if unable.Needs == nil {
				unable.Needs, unable.Serves = lacks(c.Target, in.Operation, req.Needs()), c.Target.Can.Operation
			}
		case TooTight:
			if least := c.Target.LeastOutput(); tight == nil || least < tight.Least {
				tight = &TightError{Model: req.Model(), Bound: in.wanted(c.Target), Least: least}
			}
		case OverPrompt:
			if over == nil || c.Prompt < over.Tokens {
				over = &PromptError{Tokens: c.Prompt, Most: in.MaxPrompt}
			}
		case Barred:
			barred = cmp.Or(barred, c.bar)
		case Unpriced:
			if _, priced := c.Prices.Charged(billing.TierStandard, c.Prompt); priced {
				tier = c.Tier
			}
		case NotExcluded, Unhealthy, Weightless:
		}
	}
	switch worst {
	case CannotDo:
		return unable
	case TooLong:
		return &ContextError{
			Model: req.Model(), Prompt: cmp.Or(longest.Likely, longest.Prompt), Output: req.MaxOutput(), Context: longest.Target.Context,
		}
	case TooTight:
		return tight
	case OverPrompt:
		return over
	case Unpriced:
		return &UnpricedError{Model: req.Model(), Tier: tier}
	case Barred:
		return &MemberError{Model: req.Model(), Bar: *barred}
	case NotExcluded, Unhealthy, Weightless:
	}
	down := p.Down()
	if down == nil {
		down = &UnhealthyError{}
	}
	down.RateLimited = down.RateLimited && worst == Unhealthy
	return down
}

// Down says when the candidates may be back that are excluded only because of their health; nil
// if there are none.
func (p Plan) Down() (down *UnhealthyError) {
	for _, c := range p.Candidates {
		if c.Why != Unhealthy {
			continue
		}
		if down == nil {
			down = &UnhealthyError{RateLimited: true}
		}
		if down.RetryAfter == 0 || c.retryIn < down.RetryAfter {
			down.RetryAfter = c.retryIn
		}
		down.RateLimited = down.RateLimited && c.Health == string(providers.KindRate)
	}
	return down
}
