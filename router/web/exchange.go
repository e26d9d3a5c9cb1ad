package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"tallyroute/router/limit"
)

// Listener is what all requests on one listener share.
type Listener struct {
	Log   *zap.Logger
	Clock func() time.Time
	// Ready returns, for probes, how requests can be answered, or an error if they cannot.
	// Clients see only what the error's Reason() string method returns, if it has one.
	Ready    func(ctx context.Context) (map[string]string, error)
	Limits   Limits
	Errors   *Errors
	Stopping func() bool // if true, answers announce that their connection closes; nil means never

	discards limit.Slots
}

// NewListener fills in defaults for fields that are not set.
func NewListener(l Listener) Listener {
	if l.Log == nil {
		l.Log = zap.NewNop()
	}
	if l.Clock == nil {
		l.Clock = time.Now
	}
	if l.Ready == nil {
		l.Ready = func(context.Context) (map[string]string, error) { return map[string]string{"status": "ok"}, nil }
	}
	l.Limits = l.Limits.WithDefaults()
	l.discards = limit.NewSlots(discards)
	return l
}

// Exchange is one request while it is being answered.
type Exchange struct {
	*Listener
	C     *gin.Context
	RC    *http.ResponseController
	ID    string // "req_" and a ULID: ours, never the client's
	Head  Header // of the answer
	Start time.Time

	// For the log.
	Refused string // the code of the error that was returned
	Err     error

	BodyRead int64 // bytes of the request's body, unpacked

	Cut bool // the connection must not make the answer look complete
}

// Begin starts an answer, with the header fields that all answers have.
func (l *Listener) Begin(c *gin.Context) Exchange {
	now := l.Clock()
	x := Exchange{
		Listener: l, C: c, RC: http.NewResponseController(raw(c.Writer)), Start: now, Head: NewHeader(c.Writer.Header()),
		ID: "req_" + ulid.MustNew(ulid.Timestamp(now), rand.Reader).String(),
	}
	x.Head.Set("X-Request-Id", x.ID)
	x.Head.Set("X-Content-Type-Options", "nosniff")
	x.Head.Set("Cache-Control", "no-store") // answers may hold secrets
	if l.Stopping != nil && l.Stopping() {
		x.Head.Set("Connection", "close")
	}
	return x
}

// raw returns the writer below gin's, which swallows the errors of a flush.
func raw(w http.ResponseWriter) http.ResponseWriter {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return u.Unwrap()
	}
	return w
}

// Admit checks the head of a request before any of its body is read.
func (x *Exchange) Admit() error {
	r := x.C.Request
	if slices.Contains(r.TransferEncoding, "chunked") {
		// Where the body ends is then a matter of opinion. A proxy or client that disagrees with
		// us must not be able to smuggle a second request in behind it.
		x.C.Header("Connection", "close")
	}
	if r.ContentLength != 0 {
		_ = x.RC.SetReadDeadline(time.Now().Add(x.Limits.ReadBody))
	}
	if r.URL.Host != "" { // an absolute URI: this is not a proxy
		return ErrNoRoute
	}
	fields := 0
	for _, values := range r.Header {
		fields += len(values)
	}
	if fields > x.Limits.Fields {
		return &FieldsError{fields, x.Limits.Fields}
	}
	return nil
}

// Panicked returns the error to answer with after a handler panicked with v, and logs it. It is
// nil if nothing is to be answered because the connection is to be cut. The value may contain a
// client's text or a secret, so only runtime errors are logged in words.
func (x *Exchange) Panicked(v any) error {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.Cut = true
		return nil
	}
	what := fmt.Sprintf("%T", v)
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	x.Log.Error("panic", zap.String("request_id", x.ID), zap.String("what", what), zap.StackSkip("stack", 4))
	return fmt.Errorf("web: panic: %s", what)
}

// Route returns the pattern that was matched, or "" for a path that no route has: what a client
// can make up must not reach a log or a metric.
func (x *Exchange) Route() string { return x.C.FullPath() }
