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

// exchange is one request that is being answered.
type exchange struct {
	*server
	web.Exchange
	ctx   context.Context // ends when the client has gone
	leave func(error)     // ends ctx
	room  *limit.Share    // what the request holds in memory
	// speaks is the format of the client, and lost what of its request nobody is told of.
	speaks entrance
	lost   []string
	shape  shape      // of a stream
	owner  kept.Owner // of a response that is kept
	// keyEnd is how messages name the key that was sent: " (…x7qd)".
	keyEnd  string
	key     billing.KeyID // for the log, once it is known
	version int           // of its secret
	holder  *billing.Key  // for messages; nil where it is not known

	unwatch   func() bool // nil where ctx is the request's
	silence   silence
	recorded  *recording // of a stream that is kept; else nil
	streaming bool       // an event stream has begun
	events    *sse.Writer
	batched   bool // events are flushed when the next one is waited for
	unsent    bool // there are events that were not flushed
}

// serve is what every route has in common: a request id, limits on the header,
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

// end is deferred: it answers for a panic, and writes the log.
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

// unread is how long a client has to read the error of a stream before its connection
// is closed: some throw away what they have not read by then.
const unread = 250 * time.Millisecond

// linger waits until the client has read the error or gone.
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

// from is the address of the client: of the socket, unless a proxy that we trust
// speaks for somebody else. It is the zero value, which no list of addresses admits,
// where that proxy does not say for whom in words that we understand.
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

// errNetwork refuses a client for the network that it comes from.
var errNetwork = errors.New("server: network not allowed")

// mayCome refuses clients of networks that are blocked, or are none of those allowed. An
// address that is not known is in none. Probes may come from anywhere.
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

// log writes one line: no body, no header but the client's own label for the
// request, and no path that a client can make up.
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

// wrongKeyLines are the lines about keys that are nobody's, in a minute and from one
// network. Whoever tries keys shall not fill the log.
const wrongKeyLines = 60

// nobody reports a request whose key is invalid.
func (x *exchange) nobody() bool {
	return x.Err != nil && x.key == "" && (errors.Is(x.Err, billing.ErrMalformedKey) || errors.Is(x.Err, billing.ErrUnknownKey) ||
		errors.As(x.Err, new(*router.StrangerError)))
}

// of notes whose key the request has.
func (x *exchange) of(k *billing.Key) {
	if k != nil {
		x.key, x.version = k.ID, k.Secret.Number
	}
}

// strangerEntries are the entries of the record of access about keys that are nobody's, in
// a minute and from one network. Whoever tries keys shall not fill the database.
const strangerEntries = 600

// record notes who asked for what, and what was decided.
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

// isPublic reports a route that tells everybody the same.
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
	case route == "/healthz" || route == "/readyz": // asked every few seconds
		return zap.DebugLevel
	}
	return zap.InfoLevel
}

// route is the pattern that was matched: what a client can make up is not a label.
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

// unpriced says what has no price: the model, or the tier that is asked for.
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

// byName puts the name of a key that is known in place of "This API key".
func byName(message string, k *billing.Key, end string) string {
	name := thisKey + end
	if k != nil && k.Name != "" {
		name = fmt.Sprintf("API key %q%s", k.Name, end)
	}
	return strings.Replace(message, thisKey, name, 1)
}

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
