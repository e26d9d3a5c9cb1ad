package providers

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers/chat"
)

// Kind is the way in which a call failed. Whose fault that is decides what happens next.
type Kind string

// The kinds.
const (
	KindNetwork    Kind = "network"       // no connection, reset, TLS, DNS
	KindTimeout    Kind = "timeout"       // no header, no byte or no end in time
	KindCredential Kind = "credential"    // our key was refused: 401, 403
	KindRate       Kind = "rate"          // 429
	KindQuota      Kind = "quota"         // our account at the provider is exhausted: 402, and some 429
	KindOverload   Kind = "overload"      // 5xx, 408, 409, 425
	KindBroken     Kind = "broken"        // an invalid response: HTML, empty, malformed, truncated, too large
	KindRedirect   Kind = "redirect"      // 3xx, which is never followed
	KindRequest    Kind = "request"       // the provider refused the request itself
	KindLarge      Kind = "too_large"     // more than this account or provider accepts at once: 413, and some 429 and 402
	KindUnfit      Kind = "unfit"         // this target cannot serve the request: nothing was sent
	KindContext    Kind = "context"       // the prompt is too long for the model
	KindContent    Kind = "content"       // the provider's content policy refused it
	KindUnknown    Kind = "unknown_model" // 404, 410
	KindCanceled   Kind = "canceled"      // our caller gave up
	KindRoom       Kind = "no_room"       // the response is more than may be held in memory now
)

// Fault says whose fault a failed call is.
type Fault int

// The faults. A kind that is missing from the table is the target's fault.
const (
	FaultTarget     Fault = iota // the provider, or the route to it, failed
	FaultRate                    // this credential may make no more calls for now
	FaultCredential              // our credential, or the account behind it, was refused
	FaultNobody                  // another target may be able to serve the request
	FaultRequest                 // any provider would refuse the request, or its client has left
)

// faults is the one place that maps a kind to what happens next.
var faults = map[Kind]Fault{
	KindNetwork: FaultTarget, KindTimeout: FaultTarget, KindOverload: FaultTarget,
	KindBroken: FaultTarget, KindRedirect: FaultTarget, KindUnknown: FaultTarget,
	KindRate:       FaultRate,
	KindCredential: FaultCredential, KindQuota: FaultCredential,
	KindUnfit: FaultNobody, KindLarge: FaultNobody,
	KindRequest: FaultRequest, KindContext: FaultRequest, KindContent: FaultRequest, KindCanceled: FaultRequest, KindRoom: FaultRequest,
}

// Fault returns whose fault a call of this kind is.
func (k Kind) Fault() Fault { return faults[k] }

// Failover reports whether another target may be tried after a failure of this kind.
func (k Kind) Failover() bool { return k.Fault() != FaultRequest }

// Refuses reports whether a failure of this kind, reported in place of an answer, means that
// no answer was begun.
func (k Kind) Refuses() bool {
	switch k.Fault() {
	case FaultRate, FaultCredential:
		return true
	case FaultRequest:
		return k == KindRequest || k == KindContext
	case FaultTarget, FaultNobody:
	}
	return k == KindUnknown || k == KindLarge
}

// AnotherCredential reports whether the same target may succeed with another credential.
func (k Kind) AnotherCredential() bool {
	return k.Fault() == FaultRate || k.Fault() == FaultCredential || k == KindLarge
}

// Error is a failed call to one target.
type Error struct {
	Provider, Model string
	Kind            Kind
	Status          int           // HTTP status from the provider; 0 if there was none
	RetryAfter      time.Duration // clamped to 0..60 s; 0 if the provider did not say
	Detail          chat.Error    // what the provider said, without our credential
	Err             error         // for the log

	// Sent reports that the request, or part of it, may have reached the provider, and Free
	// that it was refused in a way for which the provider does not charge.
	Sent, Free bool
	Received   int64 // bytes of a response that could not be used
	// Usage is the usage reported by such a response; nil if it reported none. A call with
	// reported usage is not free.
	Usage *chat.Usage
	// Parts is the outcome of the calls of a request that needs several; nil if it needed
	// only one.
	Parts *Parts
}

// Parts describes the calls of a request of which one failed.
type Parts struct {
	Used chat.Usage // of the calls that were answered
	// Unsure holds the calls that the provider may bill without having reported any usage.
	Unsure []*chat.Request
}

// Charged reports whether the provider may bill the call.
func (e *Error) Charged() bool { return e.Sent && !e.Free }

// Error returns a message for the log: it may name hosts and must not be shown to clients.
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of a failure whose status alone is known. Adapters start with it
// and look closer if the provider says more.
func KindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return KindCredential
	case http.StatusPaymentRequired:
		return KindQuota
	case http.StatusTooManyRequests:
		return KindRate
	case http.StatusNotFound, http.StatusGone:
		return KindUnknown
	case http.StatusRequestEntityTooLarge:
		return KindLarge
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusFailedDependency, http.StatusTooEarly, 498:
		return KindOverload // 498 and 424: the model failed, not the request
	}
	switch status / 100 {
	case 3:
		return KindRedirect
	case 4:
		return KindRequest
	case 5:
		return KindOverload
	}
	return KindBroken
}

// maxRetryAfter is the longest wait that a provider can impose.
const maxRetryAfter = time.Minute

// RetryAfter returns the wait that a provider's header asks for, given in milliseconds, in
// seconds or as a date. Any other form is ignored.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	if d, ok := number(h.Get("Retry-After-Ms"), time.Millisecond); ok && d > 0 {
		return d
	}
	after := h.Get("Retry-After")
	if d, ok := number(after, time.Second); ok {
		return d
	}
	if at, err := http.ParseTime(after); err == nil {
		return clamp(at.Sub(now))
	}
	return 0
}

func number(s string, unit time.Duration) (time.Duration, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return clamp(time.Duration(min(max(f, 0), float64(maxRetryAfter/unit)) * float64(unit))), true
}

func clamp(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }

// reconsider finds failures that a provider reports as its own but that are about what was
// asked: no other request would meet them.
func (x Exchange) reconsider(e *Error) {
	message := strings.ToLower(e.Detail.Message)
	switch {
	case (e.Kind == KindRate || e.Kind == KindQuota) && tooLarge(message):
		e.Kind = KindLarge
	case e.Status == http.StatusUnauthorized:
	case (e.Kind == KindCredential || e.Kind == KindUnknown) && x.names(e.Detail.Message):
		e.Kind = KindRequest
	}
}

// tooLarge reports whether a message says that the request on its own exceeds what is ever
// allowed.
func tooLarge(message string) bool {
	for _, said := range [...]string{"request too large", "request is too large", "fewer max_tokens", "can only afford"} {
		if strings.Contains(message, said) {
			return true
		}
	}
	limit, ok := numberAfter(message, "limit")
	if !ok {
		return false
	}
	requested, ok := numberAfter(message, "requested")
	return ok && requested > limit
}

// numberAfter returns the number that follows a word: "limit 8000", "limit: 8,000".
func numberAfter(text, word string) (int64, bool) {
	for {
		_, rest, found := strings.Cut(text, word)
		if !found {
			return 0, false
		}
		text = rest
		rest = strings.TrimLeft(rest, " :=")
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != ',' })
		if end < 0 {
			end = len(rest)
		}
		if n, err := strconv.ParseInt(strings.ReplaceAll(rest[:end], ",", ""), 10, 64); err == nil {
			return n, true
		}
	}
}

// things are what a request refers to by an id that our account may not know or may not be
// allowed to use.
var things = [...]string{
	"cached content", "cachedcontent", "cached_content", "the file ", "file id", "file object", "file_id", "files/", "file with",
	"vector store", "vector_store", "previous response", "previous_response", "conversation with", "prompt with", "prompt id",
	"container with", "storage object", "storage.objects", "s3://", "gs://", "bucket",
}

// mostNames is the number of words of an error that are looked up in a request.
const mostNames = 32

// names reports whether an error is about something that the request names, other than its
// model.
func (x Exchange) names(message string) bool {
	lower := strings.ToLower(message)
	for _, t := range things {
		if strings.Contains(lower, t) {
			return true
		}
	}
	if x.Request == nil {
		return false
	}
	body, left := x.Request.Body(), mostNames
	for word := range strings.FieldsFuncSeq(message, func(r rune) bool {
		return r > '~' || r <= ' ' ||
			strings.ContainsRune("\"'`()[]{}<>,;", r)
	}) {
		word = strings.Trim(word, ".:/!?")
		if !isID(word) || x.isModel(word) {
			continue
		}
		if left--; left < 0 {
			return false
		}
		if bytes.Contains(body, []byte(word)) {
			return true
		}
	}
	return false
}

// isID reports whether a word is an id and not a word of a language.
func isID(word string) bool {
	return len(word) >= 6 && strings.ContainsAny(word, "0123456789_/:")
}

// isModel reports whether a word is the model's name, contains it or is contained in it.
func (x Exchange) isModel(word string) bool {
	for _, name := range [...]string{x.Target.Upstream, x.Target.Model, x.Request.Model()} {
		if name != "" && (strings.Contains(word, name) || strings.Contains(name, word)) {
			return true
		}
	}
	return false
}
