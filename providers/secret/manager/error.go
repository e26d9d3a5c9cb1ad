package manager

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what went wrong at a manager, and so what can be done about it.
type Kind string

// The kinds.
const (
	Unavailable Kind = "unavailable" // it does not answer, or with an error of its own
	Throttled   Kind = "throttled"   // it was asked too often
	Expired     Kind = "login"       // it does not know who asks, or does not any more
	Denied      Kind = "denied"      // who asks may not have this
	NotFound    Kind = "not_found"   // there is no such secret or version
	Conflict    Kind = "conflict"    // somebody else has written meanwhile
	Invalid     Kind = "invalid"     // it cannot be asked like this, or answers what cannot be read
)

// Error is a call that failed. It has no text of a secret.
type Error struct {
	Manager string
	Kind    Kind
	Status  int           // of the answer; 0 without one
	Detail  string        // in the manager's words
	After   time.Duration // when it wants to be asked again; 0 if it does not say
	Err     error         // without an answer
	answer  []byte
}

// Answer is what came with the status, for who can read it.
func (e *Error) Answer() []byte { return e.answer }

// Error says who refused what.
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

// Unwrap is what the network said.
func (e *Error) Unwrap() error { return e.Err }

var words = map[Kind]string{
	Unavailable: "it does not answer as it should", Throttled: "it was asked too often",
	Expired: "the login is not valid, or not any more", Denied: "permission denied", NotFound: "no such secret or version",
	Conflict: "somebody else has written meanwhile", Invalid: "it cannot be asked like this",
}

// KindOf is the kind of an error; what is none of a manager is a service that is away.
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
