package router

import (
	"errors"
	"fmt"
	"time"

	"tallyroute/providers"
)

// ModelError is a model that does not exist or that the key may not see.
type ModelError struct {
	Asked   string
	Nearest string // "" where nothing is near
}

// Error names what was asked for.
func (e *ModelError) Error() string { return fmt.Sprintf("router: no model %q", e.Asked) }

// ForbiddenModelError is a model that exists but that the key may not use.
type ForbiddenModelError struct {
	Asked   string
	Allowed []string
}

// Error names what was asked for.
func (e *ForbiddenModelError) Error() string {
	return fmt.Sprintf("router: model %q is not allowed for this key", e.Asked)
}

// AbilityError is a request that no provider of the model can do.
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

// UnpricedError is a model without a known price, asked for by a key whose
// budget is in money.
type UnpricedError struct{ Model string }

// Error names the model.
func (e *UnpricedError) Error() string {
	return fmt.Sprintf("router: no price is known for %s", e.Model)
}

// RateError is a limit on requests or tokens per minute.
type RateError struct {
	Kind       string // "requests" or "tokens"
	Limit      int64  // per minute
	Asked      int64
	RetryAfter time.Duration
	Rates      []Rate
}

// Error gives the limit.
func (e *RateError) Error() string {
	return fmt.Sprintf("router: more than %d %s per minute", e.Limit, e.Kind)
}

// FailedError says that every candidate was tried, or none could be.
type FailedError struct {
	Attempts   []Attempt
	RetryAfter time.Duration // when the next candidate may be back; 0 is not known
	Err        error         // of the last attempt, nil where none was made
	// RateLimited says that every provider takes no more requests for now.
	RateLimited bool
}

// Error counts the attempts.
func (e *FailedError) Error() string {
	if e.Err == nil {
		return "router: no healthy provider"
	}
	return fmt.Sprintf("router: all %d attempts failed: %v", len(e.Attempts), e.Err)
}

// Unwrap is the error of the last attempt.
func (e *FailedError) Unwrap() error { return e.Err }

// ErrClientGone says that the client hung up before anything could be answered.
var ErrClientGone = errors.New("router: the client has gone")

// errTrialTaken says that another request is trying an unhealthy target already.
var errTrialTaken = errors.New("router: target is being tried by another request")
