package manager

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the kind of failure at a manager, which decides what can be done about it.
type Kind string

// The kinds.
const (
	Unavailable Kind = "unavailable" // it does not answer, or reports an internal error
	Throttled   Kind = "throttled"   // it was called too often
	Expired     Kind = "login"       // the login is unknown or no longer valid
	Denied      Kind = "denied"      // the caller lacks permission
	NotFound    Kind = "not_found"   // no such secret or version
	Conflict    Kind = "conflict"    // somebody else wrote in the meantime
	Invalid     Kind = "invalid"     // the request is invalid, or the response unreadable
)

// Error is a failed call. It never contains the text of a secret.
type Error struct {
	Manager string
	Kind    Kind
	Status  int           // of the response; 0 without one
	Detail  string        // in the manager's words
	After   time.Duration // how long to wait before the next attempt; 0 if unspecified
	Err     error         // if there was no response
	answer  []byte
}

// Answer returns the body of the response, for callers that can parse it.
func (e *Error) Answer() []byte { return e.answer }

// Error says which manager failed, and how.
func (e *Error) Error() string {
	text := e.Manager + ": " + words[e.Kind]
	if e.Status != 0 {
		text += fmt.Sprintf(" (%d)", e.Status)
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the network error.
func (e *Error) Unwrap() error { return e.Err }

var words = map[Kind]string{
	Unavailable: "it does not answer as it should", Throttled: "it was asked too often",
	Expired: "the login is not valid, or not any more", Denied: "permission denied", NotFound: "no such secret or version",
	Conflict: "it was changed by somebody else in the meantime", Invalid: "the request is invalid",
}

// KindOf returns the kind of an error; any error other than an Error counts as Unavailable.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Unavailable
}

// Is reports whether err is an Error of this kind.
func Is(err error, k Kind) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Kind == k
}
