package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/router/limit"
)

// exchange is one request that is being answered.
type exchange struct {
	*server
	c       *gin.Context
	id      string
	start   time.Time
	subject string // the id of what was changed, for the log
	err     error
}

// handler answers, or returns the error to be answered.
type handler func(*exchange) error

// serve is what every route has in common: a request id, a deadline, recovery,
// and one line in the log. takes is the longest that it may take.
func (s *server) serve(h handler, takes time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &exchange{server: s, c: c, id: billing.NewID("req_"), start: s.Clock()}
		if takes > requestTimeout {
			// A connection without deadlines, as in tests, needs none.
			_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(takes))
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), takes)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		head := c.Writer.Header()
		head.Set("X-Request-Id", x.id)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Cache-Control", "no-store") // answers hold secrets
		defer x.end()
		if c.Request.URL.Host != "" { // an absolute URI: we are no proxy
			x.fail(errNoRoute)
			return
		}
		if !x.called() {
			x.fail(errHost)
			return
		}
		if err := h(x); err != nil {
			x.fail(err)
		}
	}
}

// end is deferred: it answers for a panic, and writes the log.
func (x *exchange) end() {
	if v := recover(); v != nil {
		what := fmt.Sprintf("%T", v) // the value itself may hold a secret
		if err, ok := v.(runtime.Error); ok {
			what = err.Error()
		}
		x.Log.Error("panic", zap.String("request_id", x.id), zap.String("what", what), zap.StackSkip("stack", 3))
		x.fail(fmt.Errorf("admin: panic: %s", what))
	}
	route := x.c.FullPath()
	if !strings.HasPrefix(route, "/admin/") && x.err == nil {
		return // probes and scrapes
	}
	fields := []zap.Field{
		zap.String("request_id", x.id), zap.String("route", route), zap.Int("status", x.c.Writer.Status()),
		zap.Duration("took", x.Clock().Sub(x.start)), zap.String("from", x.c.RemoteIP()),
	}
	if x.subject != "" {
		fields = append(fields, zap.String("subject", x.subject))
	}
	if x.err != nil && x.c.Writer.Status() >= http.StatusInternalServerError {
		fields = append(fields, zap.Error(x.err))
	}
	if !errors.Is(x.err, errTries) {
		x.Log.Info("admin", fields...)
	}
}

// called reports whether the request is for a host that we are. Probes are answered by
// any name: they tell nothing.
func (x *exchange) called() bool {
	switch x.c.FullPath() {
	case "/healthz", "/readyz":
		return true
	}
	host := x.c.Request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost" || slices.Contains(x.Hosts, host)
}

// triesPerMinute are the wrong tokens of one network that are told what is wrong. The
// right one opens the API however many came before.
const triesPerMinute = 60

func (x *exchange) mayTry() bool {
	from, _ := netip.ParseAddr(x.c.RemoteIP())
	return x.wrong.Take(limit.Key{Scope: limit.Network(from), Kind: "token"}, triesPerMinute, 1, x.start).OK
}

// operatorsOnly lets in who has the admin token. Virtual keys open nothing here.
func operatorsOnly(h handler) handler {
	return func(x *exchange) error {
		want := x.Token()
		if want == "" {
			return errDisabled
		}
		given := x.c.Request.Header.Values("Authorization")
		if len(given) > 1 {
			return errAmbiguous
		}
		scheme, token, _ := strings.Cut(strings.Join(given, ""), " ")
		a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
		if subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
			return h(x)
		}
		if !x.mayTry() {
			return errTries
		}
		if s, err := billing.ParseSecret(token); err == nil && s.Environment() != billing.EnvironmentAdmin {
			return errVirtualKey
		}
		return errToken
	}
}

// json answers with v.
func (x *exchange) json(status int, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	x.c.Data(status, "application/json; charset=utf-8", b.Bytes())
	return nil
}

func (x *exchange) ctx() context.Context { return x.c.Request.Context() }

func healthz(x *exchange) error { return x.json(http.StatusOK, map[string]string{"status": "ok"}) }

func version(x *exchange) error {
	return x.json(http.StatusOK, map[string]string{"version": x.Version})
}

func readyz(x *exchange) error {
	state, err := x.Ready(x.ctx())
	if err == nil {
		return x.json(http.StatusOK, state)
	}
	x.err = err
	reason := "starting or stopping"
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		reason = r.Reason()
	case errors.Is(err, billing.ErrUnavailable):
		reason = "the database does not answer"
	}
	return x.json(http.StatusServiceUnavailable, map[string]string{"status": "unavailable", "reason": reason})
}

func getHealth(x *exchange) error { return x.json(http.StatusOK, x.Health()) }
