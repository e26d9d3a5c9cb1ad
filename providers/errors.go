package providers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

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

// betaHeader is the header that asks Anthropic for beta features.
const betaHeader = "Anthropic-Beta"

// Limits for recognising a credential in a provider's message.
const (
	fragment = 6 // bytes of a credential that give it away
	shortest = 4 // a credential shorter than this would match everywhere
)

// credentials returns what signing has added to a request: all header values and query
// parameters that neither we nor the target nor the adapter declared. This way an Auth does
// not have to say which of them are secret.
func credentials(r *http.Request, path string, declared ...http.Header) []string {
	var list []string
	for name, values := range r.Header {
		if name == betaHeader { // signing adds a word to it
			continue
		}
		if slices.ContainsFunc(declared, func(h http.Header) bool { return slices.Equal(h[name], values) }) {
			continue
		}
		for _, v := range values {
			list = append(list, v[strings.LastIndexByte(v, ' ')+1:]) // without the scheme
		}
	}
	for _, values := range r.URL.Query() {
		for _, v := range values {
			if !strings.Contains(path, url.QueryEscape(v)) {
				list = append(list, v)
			}
		}
	}
	return list
}

// pieces holds what gives credentials away: every substring of a fixed length, in lower case.
type pieces map[string]struct{}

func (p pieces) add(secret string, size int) {
	for i := 0; i+size <= len(secret); i++ {
		p[secret[i:i+size]] = struct{}{}
	}
}

// mark marks the parts of a lower-case text that match one of the pieces.
func (p pieces) mark(hit []bool, text string, size int) []bool {
	for i := 0; i+size <= len(text); i++ {
		if _, ok := p[text[i:i+size]]; !ok {
			continue
		}
		if hit == nil {
			hit = make([]bool, len(text))
		}
		for j := i; j < i+size; j++ {
			hit[j] = true
		}
	}
	return hit
}

// spellings yields the forms in which a provider may repeat a secret, in lower case: as it is,
// and in base64, at any offset.
func spellings(secret string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(lower(secret)) || len(secret) < shortestKept {
			return
		}
		for before := range 3 { // bytes before it, which determine the first digits
			digits := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + secret))
			if !yield(lower(digits[(before*8+5)/6 : (before+len(secret))*8/6])) {
				return
			}
		}
	}
}

// scrub replaces the parts of a text that match a credential, ignoring case.
func scrub(said string, secrets []string, others pieces) string {
	text := lower(said)
	hit := others.mark(nil, text, fragment)
	for _, secret := range secrets {
		size := min(fragment, len(secret))
		if size < shortest || len(text) < size {
			continue
		}
		own := make(pieces, len(secret))
		for spelled := range spellings(secret) {
			own.add(spelled, size)
		}
		hit = own.mark(hit, text, size)
	}
	if hit == nil {
		return said
	}
	var b strings.Builder
	for i := range len(said) {
		switch {
		case !hit[i]:
			b.WriteByte(said[i])
		case i == 0 || !hit[i-1]:
			b.WriteString("[redacted]")
		}
	}
	return b.String()
}

// lower returns s with its ASCII letters in lower case, byte for byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// honest returns a text without anything that could deceive a terminal or a reader: control
// characters, and those that are invisible or change the direction of what follows.
func honest(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp):
			return -1
		}
		return r
	}, s)
}

// redact removes credentials and deceptive characters from everything that an error says.
func (e *Error) redact(secrets []string, others pieces) {
	for _, s := range []*string{&e.Detail.Message, &e.Detail.Type, &e.Detail.Param, &e.Detail.Code} {
		*s = scrub(honest(*s), secrets, others)
	}
	if e.Err != nil {
		if text := e.Err.Error(); scrub(text, secrets, others) != text {
			e.Err = errors.New(scrub(text, secrets, others))
		}
	}
}

// Limits on the credentials that a client remembers.
const (
	mostKnown    = 256
	shortestKept = 16 // bytes; a shorter one has too much in common with ordinary words
)

// known holds the credentials that calls were made with, since a provider may reveal one of
// ours other than the one used for the call.
type known struct {
	mu     sync.RWMutex
	of     map[account]bool
	pieces pieces // replaced as a whole, never modified
}

// account identifies a credential.
type account struct{ provider, name string }

// learn remembers the credentials of an account, once.
func (k *known) learn(t *trip) {
	at := account{t.x.Target.Provider, t.x.Target.Account}
	k.mu.RLock()
	done := k.of[at] || len(k.of) >= mostKnown
	k.mu.RUnlock()
	if done {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = make(map[account]bool)
	}
	k.of[at] = true
	all := maps.Clone(k.pieces)
	if all == nil {
		all = make(pieces)
	}
	for _, secret := range t.credentials() {
		if len(secret) >= shortestKept && !strings.Contains(secret, "=") { // signatures and dates contain one
			for spelled := range spellings(secret) {
				all.add(spelled, fragment)
			}
		}
	}
	k.pieces = all
}

// all returns the pieces of the credentials of every account.
func (k *known) all() pieces {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.pieces
}

// credentials returns the credentials of one call.
func (t *trip) credentials() []string {
	return credentials(t.req, t.call.Path, t.own(), t.x.Target.Header, t.call.Header)
}
