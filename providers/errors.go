package providers

import (
	"bytes"
	"errors"
	"fmt"
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

// Kind is how a call failed. Whose fault that is decides what happens next.
type Kind string

// The kinds.
const (
	KindNetwork    Kind = "network"       // no connection, reset, TLS, DNS
	KindTimeout    Kind = "timeout"       // no header, no byte or no end in time
	KindCredential Kind = "credential"    // our key was refused: 401, 403
	KindRate       Kind = "rate"          // 429
	KindQuota      Kind = "quota"         // our account at the provider is used up: 402, and some 429
	KindOverload   Kind = "overload"      // 5xx, 408, 409, 425
	KindBroken     Kind = "broken"        // an invalid answer: HTML, empty, malformed, cut, too large
	KindRedirect   Kind = "redirect"      // 3xx, which is never followed
	KindRequest    Kind = "request"       // the provider refused the request itself
	KindLarge      Kind = "too_large"     // more than this account or provider takes at once: 413, and some 429 and 402
	KindUnfit      Kind = "unfit"         // this target cannot be asked for it: nothing was sent
	KindContext    Kind = "context"       // the prompt is too long for the model
	KindContent    Kind = "content"       // the provider's content policy refused it
	KindUnknown    Kind = "unknown_model" // 404, 410
	KindCanceled   Kind = "canceled"      // our caller gave up
	KindRoom       Kind = "no_room"       // the answer is more than may be held in memory now
)

// Fault is whose fault a failed call is.
type Fault int

// The faults. A kind that the table does not have is the target's.
const (
	FaultTarget     Fault = iota // the provider or the way to it could not answer
	FaultRate                    // this credential may make no more calls for now
	FaultCredential              // our credential, or the account behind it, was refused
	FaultNobody                  // another target may be one that can be asked for it
	FaultRequest                 // any provider would refuse the request, or its client has left
)

// faults is the one place that says what a kind means for what happens next.
var faults = map[Kind]Fault{
	KindNetwork: FaultTarget, KindTimeout: FaultTarget, KindOverload: FaultTarget,
	KindBroken: FaultTarget, KindRedirect: FaultTarget, KindUnknown: FaultTarget,
	KindRate:       FaultRate,
	KindCredential: FaultCredential, KindQuota: FaultCredential,
	KindUnfit: FaultNobody, KindLarge: FaultNobody,
	KindRequest: FaultRequest, KindContext: FaultRequest, KindContent: FaultRequest, KindCanceled: FaultRequest, KindRoom: FaultRequest,
}

// Fault is whose fault a call of this kind is.
func (k Kind) Fault() Fault { return faults[k] }

// Failover reports whether another target may be tried after this kind.
func (k Kind) Failover() bool { return k.Fault() != FaultRequest }

// Refuses reports that a failure of this kind, told where an answer should be, says
// that no answer was begun.
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

// AnotherCredential reports whether the same target may do with another credential
// what it did not with this one.
func (k Kind) AnotherCredential() bool {
	return k.Fault() == FaultRate || k.Fault() == FaultCredential || k == KindLarge
}

// Error is a failed call to one target.
type Error struct {
	Provider, Model string
	Kind            Kind
	Status          int           // HTTP status of the provider; 0 where none came
	RetryAfter      time.Duration // clamped to 0..60 s; 0 where the provider did not say
	Detail          chat.Error    // what the provider said, without our credential
	Err             error         // for the log

	// Sent says that the request, or part of it, may have reached the provider, and
	// Free that it was refused in a way for which the provider charges nothing.
	Sent, Free bool
	Received   int64 // bytes of an answer that could not be used
	// Usage is what such an answer said of its usage, nil where it said nothing: a
	// provider that says as much is not free.
	Usage *chat.Usage
	// Parts is what became of the calls of a request that takes several; nil where it
	// took one.
	Parts *Parts
}

// Parts are the calls of a request of which one failed.
type Parts struct {
	Used chat.Usage // of those that were answered
	// Unsure are those that the provider may bill, and has told nothing of.
	Unsure []*chat.Request
}

// Charged reports that the provider may bill the call.
func (e *Error) Charged() bool { return e.Sent && !e.Free }

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

// KindOf is the kind of a failure of which only the status is known. Adapters
// begin with it and look closer where the provider says more.
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
		return KindOverload // 498 and 424: the model, not the request, could not
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

// maxRetryAfter is the longest that a provider may send us away.
const maxRetryAfter = time.Minute

// RetryAfter is what a provider's header says of when to come back: in
// milliseconds, in seconds, or as a date. What it says otherwise is ignored.
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

// reconsider finds failures that a provider tells like its own and that are about
// what was asked: no other request would meet them.
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

// tooLarge reports words that say that the request alone is more than is allowed at
// any time.
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

// numberAfter is the number that follows a word: "limit 8000", "limit: 8,000".
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

// things are what requests name by an id that our account may not know, or not use.
var things = [...]string{
	"cached content", "cachedcontent", "cached_content", "the file ", "file id", "file object", "file_id", "files/", "file with",
	"vector store", "vector_store", "previous response", "previous_response", "conversation with", "prompt with", "prompt id",
	"container with", "storage object", "storage.objects", "s3://", "gs://", "bucket",
}

// mostNames bounds how many words of an error are looked for in a request.
const mostNames = 32

// names reports that an error is about a thing that the request names and that is not
// its model.
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

// isID reports a word that is not a word of a language.
func isID(word string) bool {
	return len(word) >= 6 && strings.ContainsAny(word, "0123456789_/:")
}

// isModel reports a word that is the model's name, or has it in it.
func (x Exchange) isModel(word string) bool {
	for _, name := range [...]string{x.Target.Upstream, x.Target.Model, x.Request.Model()} {
		if name != "" && (strings.Contains(word, name) || strings.Contains(name, word)) {
			return true
		}
	}
	return false
}

// betaHeader names what is asked of Anthropic beyond the rule.
const betaHeader = "Anthropic-Beta"

// Bounds of what is taken for a credential in a provider's words.
const (
	fragment = 6 // bytes of it that betray it
	shortest = 4 // a shorter credential would be found everywhere
)

// credentials are what signing has put on a request: all header values and query
// parameters that neither we nor the target nor the adapter have declared. So no
// Auth has to say what of its doing is secret.
func credentials(r *http.Request, path string, declared ...http.Header) []string {
	var list []string
	for name, values := range r.Header {
		if name == betaHeader { // which signing adds a word to
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

// pieces are what betrays credentials: every run of some bytes of them, in lower case.
type pieces map[string]struct{}

func (p pieces) add(secret string, size int) {
	for i := 0; i+size <= len(secret); i++ {
		p[secret[i:i+size]] = struct{}{}
	}
}

// mark marks what a text, in lower case, shares with them.
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

// scrub replaces in text what it shares with a credential, in whatever case.
func scrub(said string, secrets []string, others pieces) string {
	text := lower(said)
	hit := others.mark(nil, text, fragment)
	for _, secret := range secrets {
		secret = lower(secret)
		size := min(fragment, len(secret))
		if size < shortest || len(text) < size {
			continue
		}
		own := make(pieces, len(secret))
		own.add(secret, size)
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

// lower is s with its ASCII letters in lower case, byte for byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// honest is a text without what a terminal or a reader could be deceived with: control
// characters, and those that change the direction of what follows or cannot be seen.
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

// redact takes the credentials out of all that an error says, and what deceives.
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

// Bounds of the credentials that a client remembers.
const (
	mostKnown    = 256
	shortestKept = 16 // bytes; a shorter one shares too much with words
)

// known are the credentials that calls were made with: a provider may tell one of ours
// that is not the one of the call.
type known struct {
	mu     sync.RWMutex
	of     map[account]bool
	pieces pieces // never changed, but replaced
}

// account is what one credential is for.
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
		if len(secret) >= shortestKept && !strings.Contains(secret, "=") { // which signatures and dates have
			all.add(lower(secret), fragment)
		}
	}
	k.pieces = all
}

// all are the pieces of the credentials of every account.
func (k *known) all() pieces {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.pieces
}

// credentials are those of one call.
func (t *trip) credentials() []string {
	return credentials(t.req, t.call.Path, t.own(), t.x.Target.Header, t.call.Header)
}
