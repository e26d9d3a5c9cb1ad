package server

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers/sse"
	"tallyroute/router"
	"tallyroute/router/idempotency"
	"tallyroute/router/web"
)

// What a request that may be sent again says, and what its answer says when it
// was.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
	originalHeader    = "X-Tallyroute-Original-Request-Id"
)

const (
	longestIdempotencyKey = 255
	mostKept              = 1 << 20     // bytes of an answer
	idempotencyWait       = time.Second // before asking again for what is being answered
)

var errIdempotencyKey = errors.New("server: malformed idempotency key")

// idempotencyKey is what the client calls its request, "" where it does not or
// where nothing is kept.
func (x *exchange) idempotencyKey() (string, error) {
	values := x.C.Request.Header.Values(idempotencyHeader)
	if len(values) == 0 || !x.KeepAnswers {
		return "", nil
	}
	key := values[0]
	printable := func(c rune) bool { return c > ' ' && c < 0x7f }
	if len(values) > 1 || key == "" || len(key) > longestIdempotencyKey ||
		strings.ContainsFunc(key, func(c rune) bool { return !printable(c) }) {
		return "", errIdempotencyKey
	}
	if x.speaks.name() != "" { // the same words at another entrance are another request
		key = string(x.speaks.name()) + " " + key
	}
	return key, nil
}

// recording is a stream that is kept as it passes; nil keeps nothing.
type recording struct {
	text  bytes.Buffer
	large bool
}

func (r *recording) events(list []sse.Event) {
	if r == nil {
		return
	}
	for _, e := range list {
		if r.large || r.text.Len()+len(e.Data) > mostKept {
			r.text, r.large = bytes.Buffer{}, true
			return
		}
		_ = sse.NewWriter(&r.text).Event(e) // a buffer takes everything
	}
}

// keep stores an answer, before its last byte is sent.
func (x *exchange) keep(a *router.Answer, body []byte) {
	if !a.Claimed() {
		return
	}
	if len(body) > mostKept {
		body = nil
	}
	a.Keep(describing(x.C.Writer.Header()), body)
}

// describing are the members of a header that belong to the answer and not to
// the call.
func describing(h http.Header) map[string]string {
	kept := make(map[string]string)
	for name, values := range h {
		if (strings.HasPrefix(name, "X-Tallyroute-") || name == "Content-Type") && len(values[0]) <= 2*longestList {
			kept[name] = values[0]
		}
	}
	return kept
}

// replay answers with what was answered before.
func (x *exchange) replay(kept *idempotency.Answer) {
	h := x.C.Writer.Header()
	for name, value := range kept.Header {
		h.Set(name, value)
	}
	h.Set(replayedHeader, "true")
	h.Set(originalHeader, kept.RequestID)
	x.Write(http.StatusOK, kept.Header["Content-Type"], kept.Body)
}

// sentBefore is what a client reads of a request that it has sent before.
func sentBefore(e *idempotency.DuplicateError) web.Problem {
	switch e.Reason {
	case idempotency.DuplicateRunning:
		return web.Problem{
			Code: codeIdempotencyRunning, After: idempotencyWait,
			Message: "The request with this Idempotency-Key is still being answered: " + e.RequestID + ".",
		}
	case idempotency.DuplicateLarge:
		return web.Problem{
			Code:    codeIdempotencyLarge,
			Message: "The request with this Idempotency-Key was answered, and the answer was too large to be kept: " + e.RequestID + ".",
		}
	case idempotency.DuplicateOther:
	}
	return web.Problem{Code: codeIdempotencyConflict, Message: "This Idempotency-Key was used for another request: " + e.RequestID + "."}
}

// keepStream stores a stream that has come to its end.
func (x *exchange) keepStream(a *router.Answer, last []sse.Event) {
	if x.recorded == nil {
		return
	}
	x.recorded.events(last)
	if x.recorded.large {
		x.keep(a, nil)
		return
	}
	x.keep(a, x.recorded.text.Bytes())
	x.recorded = nil
}
