package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/router"
	"tallyroute/router/idempotency"
	"tallyroute/router/kept"
	"tallyroute/router/limit"
	"tallyroute/router/plan"
	"tallyroute/router/web"
)

// exchange is one request while it is being answered.
type exchange struct {
	*server
	web.Exchange
	ctx   context.Context // ends when the client has gone
	leave func(error)     // ends ctx
	room  *limit.Share    // the memory that the request occupies
	// speaks is the client's format, and lost the request members that no provider is given.
	speaks entrance
	lost   []string
	shape  shape      // of a stream
	owner  kept.Owner // of a response that is kept
	// keyEnd is how messages identify the key that was sent: " (…x7qd)".
	keyEnd  string
	key     billing.KeyID // for the log, once it is known
	version int           // of its secret
	holder  *billing.Key  // for messages; nil if not known

	unwatch   func() bool // nil if ctx is the request's
	silence   silence
	recorded  *recording // of a stream that is kept; otherwise nil
	streaming bool       // an event stream has begun
	events    *sse.Writer
	batched   bool // events are flushed before waiting for the next one
	unsent    bool // there are unflushed events
}

// serve wraps every route in what they have in common: a request id, limits on the header,
// recovery, and one line in the log.
func (s *server) serve(h func(*exchange)) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := s.begin(c)
		defer x.end()
		err := x.Admit()
		if err == nil {
			err = x.mayCome()
		}
		if err != nil {
			x.fail(err)
			return
		}
		h(x)
	}
}

func (s *server) begin(c *gin.Context) *exchange {
	x := &exchange{server: s, Exchange: s.listener.Begin(c), room: s.Bytes.Open(), speaks: &completions{}}
	x.present()
	return x
}

// end is deferred: it handles a panic, and writes the log.
func (x *exchange) end() {
	x.hush()
	defer x.room.Close()
	if v := recover(); v != nil {
		if err := x.Panicked(v); err != nil {
			x.fail(err)
		}
	}
	status := x.C.Writer.Status()
	if x.Refused == web.CodeClientGone {
		status = web.StatusClientGone
	}
	took := x.Clock().Sub(x.Start)
	x.log(status, took)
	x.record(status)
	x.Observe(method(x.C.Request.Method), x.route(), status, took)
	x.unattended()
	if x.Cut {
		x.linger()
		panic(http.ErrAbortHandler) // closes the connection without ending the answer
	}
}

// unread is how long a client has to read the error of a stream before its connection is
// closed: some clients throw away what they have not read by then.
const unread = 250 * time.Millisecond

// linger waits until the client has read the error or has gone.
func (x *exchange) linger() {
	if !x.streaming {
		return
	}
	timer := time.NewTimer(unread)
	defer timer.Stop()
	select {
	case <-x.C.Request.Context().Done():
	case <-timer.C:
	}
}

// from returns the client's address: that of the socket, unless a trusted proxy forwards for
// somebody else. If the proxy does not say for whom in a form that we understand, it is the
// zero value, which no list of addresses admits.
func (x *exchange) from() netip.Addr {
	socket, _ := netip.ParseAddrPort(x.C.Request.RemoteAddr)
	at := socket.Addr().Unmap().WithZone("")
	header := strings.Join(x.C.Request.Header.Values("X-Forwarded-For"), ",")
	for header != "" && x.trusts(at) {
		last := header
		if i := strings.LastIndexByte(header, ','); i >= 0 {
			header, last = header[:i], header[i+1:]
		} else {
			header = ""
		}
		var ok bool
		if at, ok = forwarded(strings.TrimSpace(last)); !ok {
			return netip.Addr{}
		}
	}
	return at
}

// errNetwork refuses a client because of the network that it comes from.
var errNetwork = errors.New("server: network not allowed")

// mayCome refuses clients from networks that are blocked or not among those allowed. An unknown
// address belongs to none. Probes may come from anywhere.
func (x *exchange) mayCome() error {
	if len(x.allowed) == 0 && len(x.blocked) == 0 || x.route() == "/healthz" || x.route() == "/readyz" {
		return nil
	}
	from := x.from()
	within := func(p netip.Prefix) bool { return p.Contains(from) }
	if !from.IsValid() || slices.ContainsFunc(x.blocked, within) || len(x.allowed) > 0 && !slices.ContainsFunc(x.allowed, within) {
		return errNetwork
	}
	return nil
}

func (x *exchange) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(x.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwarded reads one entry of X-Forwarded-For; some proxies add a port.
func forwarded(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(entry, "[]"))
	if err != nil {
		with, err := netip.ParseAddrPort(entry)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = with.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// log writes one line: no body, no header except the client's own label for the request, and no
// path that a client can make up.
func (x *exchange) log(status int, took time.Duration) {
	if x.nobody() {
		most := limit.Key{Scope: limit.Network(x.from()), Kind: "log"}
		if !x.wrong.Take(most, wrongKeyLines, 1, x.Start).OK {
			return
		}
	}
	line := x.Log.Check(x.level(status), "request")
	if line == nil {
		return
	}
	fields := append(make([]zap.Field, 0, 8),
		zap.String("request_id", x.ID),
		zap.String("method", method(x.C.Request.Method)),
		zap.String("route", x.route()),
		zap.Int("status", status),
		zap.Duration("took", took),
	)
	if x.key != "" {
		fields = append(fields, zap.String("key_id", string(x.key)))
	}
	if x.Refused != "" {
		fields = append(fields, zap.String("code", web.Label(x.Refused, 64)))
	}
	if x.Err != nil && (status >= 500 || x.streaming) {
		fields = append(fields, zap.String("error", web.Label(x.Err.Error(), 1024)))
	}
	if theirs := x.C.GetHeader("X-Request-Id"); theirs != "" {
		fields = append(fields, zap.String("client_request_id", web.Label(theirs, 256)))
	}
	if n, err := strconv.ParseUint(x.C.GetHeader("X-Stainless-Retry-Count"), 10, 8); err == nil && n > 0 {
		fields = append(fields, zap.Uint64("client_retry", n))
	}
	line.Write(fields...)
}

// wrongKeyLines is how many log lines about unknown keys one network may cause per minute, so
// that someone who tries out keys cannot fill the log.
const wrongKeyLines = 60

// nobody reports whether the request's key is invalid.
func (x *exchange) nobody() bool {
	return x.Err != nil && x.key == "" && (errors.Is(x.Err, billing.ErrMalformedKey) || errors.Is(x.Err, billing.ErrUnknownKey) ||
		errors.As(x.Err, new(*router.StrangerError)))
}

// of records whose key the request uses.
func (x *exchange) of(k *billing.Key) {
	if k != nil {
		x.key, x.version = k.ID, k.Secret.Number
	}
}

// strangerEntries is how many access-log entries about unknown keys one network may cause per
// minute, so that someone who tries out keys cannot fill the database.
const strangerEntries = 600

// record records who asked for what, and the decision.
func (x *exchange) record(status int) {
	route := x.route()
	if x.Access == nil || isPublic(route) {
		return
	}
	from := x.from()
	key, version := x.key, x.version
	var refused *router.RefusedKeyError
	switch {
	case errors.As(x.Err, &refused):
		key, version = refused.Key.ID, refused.Key.Secret.Number
	case key == "":
		most := limit.Key{Scope: limit.Network(from), Kind: "access"}
		if !x.wrong.Take(most, strangerEntries, 1, x.Start).OK {
			x.Access.Drop(1)
			return
		}
	}
	decision := access.Allowed
	if x.Refused != "" {
		decision = web.Label(x.Refused, 64)
	}
	x.Access.Record(access.Entry{
		At: x.Start, RequestID: x.ID, KeyID: string(key), Version: version, Address: from, Agent: x.C.Request.UserAgent(),
		Endpoint: route, Decision: decision, Status: status,
		BytesIn: x.BodyRead, BytesOut: int64(max(x.C.Writer.Size(), 0)),
	})
}

// isPublic reports whether a route tells everyone the same.
func isPublic(route string) bool {
	switch route {
	case "/healthz", "/readyz", "/", "/docs/errors/:code":
		return true
	}
	return false
}

func (x *exchange) level(status int) zapcore.Level {
	switch route := x.route(); {
	case status >= http.StatusInternalServerError:
		return zap.WarnLevel
	case route == "/healthz" || route == "/readyz": // polled every few seconds
		return zap.DebugLevel
	}
	return zap.InfoLevel
}

// route returns the pattern that was matched: a path that a client can make up is not a label.
func (x *exchange) route() string {
	if p := x.C.FullPath(); p != "" {
		return p
	}
	return "unknown"
}

func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// unpriced says what has no price: the model, or the requested tier.
func unpriced(e *plan.UnpricedError) web.Problem {
	model := web.Label(e.Model, chat.MaxModel)
	if e.Tier == "" {
		return web.Problem{Code: codeUnpriced, Param: "model", Message: fmt.Sprintf(
			"No price is known for %s, and a budget in money binds this key.", model)}
	}
	member := "service_tier"
	if e.Tier == billing.TierFast {
		member = "speed"
	}
	return web.Problem{
		Code: codeUnpriced, Param: member, Message: fmt.Sprintf(
			"No price is known for %s with %s %q, and a budget in money binds this key.", model, member, web.Label(e.Tier, 64)),
		Fix: fmt.Sprintf("Leave out %s, or have the price of this tier added to the configuration.", member),
	}
}

// byName replaces "This API key" with the name of a known key.
func byName(message string, k *billing.Key, end string) string {
	name := thisKey + end
	if k != nil && k.Name != "" {
		name = fmt.Sprintf("API key %q%s", k.Name, end)
	}
	return strings.Replace(message, thisKey, name, 1)
}

// The header of a request that may be sent again, and those of the answer to a repeated one.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
	originalHeader    = "X-Tallyroute-Original-Request-Id"
)

const (
	longestIdempotencyKey = 255
	mostKept              = 1 << 20     // bytes of an answer
	idempotencyWait       = time.Second // before checking again on a request still being answered
)

var errIdempotencyKey = errors.New("server: malformed idempotency key")

// idempotencyKey returns the client's name for its request; "" if it gives none or nothing is
// kept.
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
	if x.speaks.name() != "" { // the same key at another entrance means another request
		key = string(x.speaks.name()) + " " + key
	}
	return key, nil
}

// recording is a stream that is recorded as it passes; nil records nothing.
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
		_ = sse.NewWriter(&r.text).Event(e) // a buffer accepts everything
	}
}

// keep stores an answer before its last byte is sent.
func (x *exchange) keep(a *router.Answer, body []byte) {
	if !a.Claimed() {
		return
	}
	if len(body) > mostKept {
		body = nil
	}
	a.Keep(describing(x.C.Writer.Header()), body)
}

// describing returns the headers that belong to the answer rather than to the call.
func describing(h http.Header) map[string]string {
	kept := make(map[string]string)
	for name, values := range h {
		if (strings.HasPrefix(name, "X-Tallyroute-") || name == "Content-Type") && len(values[0]) <= 2*longestList {
			kept[name] = values[0]
		}
	}
	return kept
}

// replay sends an answer that was stored.
func (x *exchange) replay(kept *idempotency.Answer) {
	h := x.C.Writer.Header()
	for name, value := range kept.Header {
		h.Set(name, value)
	}
	h.Set(replayedHeader, "true")
	h.Set(originalHeader, kept.RequestID)
	x.Write(http.StatusOK, kept.Header["Content-Type"], kept.Body)
}

// sentBefore returns the problem for a request that the client has already sent.
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
	case idempotency.DuplicateOther, idempotency.DuplicateDone: // requests here make no changes, so DuplicateDone can't occur
	}
	return web.Problem{Code: codeIdempotencyConflict, Message: "This Idempotency-Key was used for another request: " + e.RequestID + "."}
}

// keepStream stores a stream that has reached its end.
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
