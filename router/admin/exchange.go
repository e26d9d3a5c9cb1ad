package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// exchange is one request that is being answered.
type exchange struct {
	web.Exchange
	*server
	status  int    // of the answer, unless it is an error
	raw     []byte // the body
	subject string // the id of what was changed, for the log
}

// serve is what every route has in common: a request id, a deadline, recovery,
// and one line in the log. takes is the longest that it may take.
func (s *server) serve(h handler, takes time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &exchange{Exchange: s.listener.Begin(c), server: s}
		// A connection without deadlines, as in tests, needs none.
		_ = x.RC.SetWriteDeadline(time.Now().Add(takes + requestTimeout))
		ctx, cancel := context.WithTimeout(c.Request.Context(), takes)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		defer x.end()
		err := x.Admit()
		if err == nil && !x.called() {
			err = errHost
		}
		if err == nil {
			err = h(x)
		}
		if err != nil {
			x.fail(err)
		}
	}
}

// end is deferred: it answers for a panic, and writes the log.
func (x *exchange) end() {
	if v := recover(); v != nil {
		if err := x.Panicked(v); err != nil {
			x.fail(err)
		}
	}
	x.log()
	if x.Cut {
		panic(http.ErrAbortHandler) // closes the connection without ending the answer
	}
}

func (x *exchange) log() {
	if !strings.HasPrefix(x.Route(), "/admin/") && x.Err == nil {
		return // probes and scrapes
	}
	status := x.C.Writer.Status()
	fields := []zap.Field{
		zap.String("request_id", x.ID), zap.String("route", x.Route()), zap.Int("status", status),
		zap.Duration("took", x.listener.Clock().Sub(x.Start)), zap.String("from", x.C.RemoteIP()),
	}
	if x.subject != "" {
		fields = append(fields, zap.String("subject", x.subject))
	}
	if x.Err != nil && status >= http.StatusInternalServerError {
		fields = append(fields, zap.Error(x.Err))
	}
	if !errors.Is(x.Err, errTries) {
		x.listener.Log.Info("admin", fields...)
	}
}

// fail answers with an error, in the form of OpenAI's.
func (x *exchange) fail(err error) {
	x.Err = err
	if x.C.Writer.Written() {
		x.Cut = true
		return
	}
	p := errorTable.Problem(err)
	x.Refused = p.Code
	x.Answer(p)
}

// called reports whether the request is for a host that we are. Probes are answered by
// any name: they tell nothing.
func (x *exchange) called() bool {
	switch x.Route() {
	case "/healthz", "/readyz":
		return true
	}
	host := x.C.Request.Host
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
	from, _ := netip.ParseAddr(x.C.RemoteIP())
	return x.wrong.Take(limit.Key{Scope: limit.Network(from), Kind: "token"}, triesPerMinute, 1, x.Start).OK
}

// operatorsOnly lets in who has the admin token. Virtual keys open nothing here.
func operatorsOnly(h handler) handler {
	return func(x *exchange) error {
		want := x.Token()
		if want == "" {
			return errDisabled
		}
		given := x.C.Request.Header.Values("Authorization")
		if len(given) > 1 {
			return web.ErrAmbiguous
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

func (x *exchange) ctx() context.Context { return x.C.Request.Context() }

// param is a part of the path, which is what is changed, and is logged as that.
func (x *exchange) param(name string) string {
	if x.subject = shorten(x.C.Param(name)); strings.HasPrefix(x.subject, "sk-") {
		x.subject = "a secret, which is no id"
	}
	return x.C.Param(name)
}

// madeOrFound is the status of an answer about what was there already, or not.
var madeOrFound = map[bool]int{false: http.StatusCreated, true: http.StatusOK}

// by is who asks. The admin token has no name.
func (x *exchange) by(reason string) manage.By {
	return manage.By{Actor: "admin", Source: x.C.RemoteIP(), Reason: reason}
}
