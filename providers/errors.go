package providers

import (
	"fmt"
	"time"

	"tallyroute/providers/chat"
)

// Kind says whose fault a failed call is, which decides what happens next.
type Kind string

// The kinds.
const (
	KindNetwork    Kind = "network"    // no connection, reset, TLS, DNS
	KindTimeout    Kind = "timeout"    // no header, no byte or no end in time
	KindCredential Kind = "credential" // our key was refused: 401, 403, and 402 for an empty account
	KindRate       Kind = "rate"       // 429
	KindQuota      Kind = "quota"      // our account at the provider is used up
	KindOverload   Kind = "overload"   // 5xx, 408, 409, 425, 529
	KindBroken     Kind = "broken"     // an answer that is none: HTML, empty, malformed, cut, too large
	KindRedirect   Kind = "redirect"   // 3xx, which is never followed
	KindRequest    Kind = "request"    // the provider refused the request itself
	KindContext    Kind = "context"    // the prompt is too long for the model
	KindContent    Kind = "content"    // the provider's content policy refused it
	KindUnknown    Kind = "unknown_model"
	KindCanceled   Kind = "canceled" // our caller gave up
)

// Failover reports whether another target may be tried after this kind.
func (k Kind) Failover() bool {
	switch k {
	case KindRequest, KindContent, KindContext, KindCanceled:
		return false
	case KindNetwork, KindTimeout, KindCredential, KindRate, KindQuota, KindOverload, KindBroken, KindRedirect, KindUnknown:
		return true
	}
	return true
}

// Error is a failed call to one target.
type Error struct {
	Provider, Model string
	Kind            Kind
	Status          int           // HTTP status of the provider; 0 where none came
	RetryAfter      time.Duration // clamped to 0..60 s; 0 where the provider did not say
	Detail          chat.Error    // what the provider said, without our credential
	Err             error         // for the log
}

// Error is for the log: it may name hosts and must not be shown to clients.
func (e *Error) Error() string {
	s := fmt.Sprintf("providers: %s/%s: %s", e.Provider, e.Model, e.Kind)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }
