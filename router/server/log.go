package server

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

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
