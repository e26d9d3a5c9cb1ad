package billing

import (
	"cmp"
	"errors"
	"fmt"
)

// The errors of the stores and the verifier.
var (
	ErrMalformedKey = errors.New("billing: not a key of ours, or mistyped")
	ErrUnknownKey   = errors.New("billing: unknown key")
	ErrRevoked      = errors.New("billing: key is revoked")
	ErrExpired      = errors.New("billing: key has expired")
	ErrStopped      = errors.New("billing: key is stopped for its overrun")
	ErrDisabled     = errors.New("billing: key is disabled")
	ErrRotated      = errors.New("billing: key was rotated")
	ErrNoHandover   = errors.New("billing: no such hand-over, or it is over")
	// ErrNoFeed means that this connection to the database does not support listening
	// for notifications.
	ErrNoFeed    = errors.New("billing: this connection to the database cannot listen")
	ErrStaleKey  = errors.New("billing: key has changed since it was read")
	ErrAddress   = errors.New("billing: address not allowed for this key")
	ErrDuplicate = errors.New("billing: already exists")
	ErrNoHold    = errors.New("billing: no such hold")
	// ErrFenced means that the database does not know a replica, or that the replica was
	// forgotten: it must not use what it leased.
	ErrFenced = errors.New("billing: replica is not known")
	// ErrUnavailable wraps every fault of the database itself: no connection, a timeout,
	// a shutdown. The operation may be retried.
	ErrUnavailable = errors.New("billing: database unavailable")
)

// QuotaError is a refused hold: the balance of the budget that refused it and the
// amount asked for.
type QuotaError struct {
	Balance     Balance
	AskedTokens int64
	AskedMoney  Money
	// AskedRequests is 0 where an in-flight request asks for a larger hold.
	AskedRequests int64
	// All holds the balances of every budget of the hold, for working out what would
	// fit.
	All []Balance
	// Holder is the display name of what the budget applies to, such as team "payments".
	// It is empty where the key is not known.
	Holder string
}

// Error names what the budget applies to, what is used and what was asked for.
func (e *QuotaError) Error() string {
	b := e.Balance
	budget := fmt.Sprintf("billing: the %s budget of %s", b.Budget.Period.Adjective(), cmp.Or(e.Holder, b.Budget.Holder()))
	if e.LacksRequests() {
		return fmt.Sprintf("%s: %d of %d requests used, %d under way", budget, b.UsedRequests, *b.Budget.Requests, b.HeldRequests)
	}
	if free, ok := b.FreeTokens(); ok && free < e.AskedTokens {
		return fmt.Sprintf("%s: %d of %d tokens used, %d held, %d asked", budget, b.UsedTokens, *b.Budget.Tokens, b.HeldTokens,
			e.AskedTokens)
	}
	var limit Money
	if b.Budget.Money != nil {
		limit = *b.Budget.Money
	}
	return fmt.Sprintf("%s: $%s of $%s used, $%s held, $%s asked",
		budget, b.UsedMoney.Short(), limit.Short(), b.HeldMoney.Short(), e.AskedMoney.Short())
}

// LacksRequests reports whether the limit that ran out is the one on requests.
func (e *QuotaError) LacksRequests() bool {
	free, limited := e.Balance.FreeRequests()
	return limited && free < e.AskedRequests
}

// Passes reports whether the limit frees up room within a minute: a limit per minute,
// or on what is in flight at once.
func (e *QuotaError) Passes() bool {
	return e.Balance.Budget.Period.Passes()
}

// Lacking returns the limit that has no room: its unit, what is used of it, and the
// limit.
func (e *QuotaError) Lacking() (unit string, used, limit int64) {
	b := e.Balance
	free, limited := b.FreeTokens()
	switch {
	case e.LacksRequests():
		return "requests", b.UsedRequests, *b.Budget.Requests
	case limited && free < e.AskedTokens:
		return "tokens", b.UsedTokens, *b.Budget.Tokens
	case b.Budget.Money != nil:
		return "usd", int64(b.UsedMoney), int64(*b.Budget.Money)
	}
	return "", 0, 0
}

// Refuse returns the error for a request that the budget of balance refused does not
// have room for.
func Refuse(refused Balance, all []Balance, asked Amount) *QuotaError {
	return &QuotaError{
		Balance: refused, All: all, AskedTokens: asked.Tokens, AskedMoney: asked.Money, AskedRequests: asked.Requests,
	}
}

// NotFoundError says what was not found: "key", "project", "team".
type NotFoundError struct{ What, ID string }

// Error names what is missing.
func (e *NotFoundError) Error() string { return fmt.Sprintf("billing: no %s %q", e.What, e.ID) }

// ConflictError says why a change conflicts with the current state.
type ConflictError struct{ Detail string }

// Error returns the detail.
func (e *ConflictError) Error() string { return "billing: " + e.Detail }

// RowError is a row of a posting that the database refuses because of its contents.
// Index is -1 where the database does not say which row it is.
type RowError struct {
	Index int
	Err   error
}

// Error returns the database's message.
func (e *RowError) Error() string { return "billing: row refused: " + e.Err.Error() }

// Unwrap returns the database's error.
func (e *RowError) Unwrap() error { return e.Err }

// FieldError is an invalid field of a request or a key.
type FieldError struct {
	Field  string // as models[0]; "" for the whole
	Code   string // "invalid_value" or "unknown_model"
	Detail string // what it must be
}

// Error names the field.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return "billing: " + e.Detail
	}
	return fmt.Sprintf("billing: %s: %s", e.Field, e.Detail)
}
