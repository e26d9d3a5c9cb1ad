package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
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

// ErrStopping says that the process ends, and with it the requests that are under way.
// Whoever cancels the context of a request for that gives it as the cause.
var ErrStopping = errors.New("router: the process is stopping")

// endOf is how a request ends whose context is done: by its client, unless by us.
func endOf(ctx context.Context) (billing.Status, error) {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return billing.StatusInterrupted, ErrStopping
	}
	return billing.StatusClientAborted, ErrClientGone
}

// errTrialTaken says that another request is trying an unhealthy target already.
var errTrialTaken = errors.New("router: target is being tried by another request")
