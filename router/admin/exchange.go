package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
	"tallyroute/router/idempotency"
	"tallyroute/router/identity"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// exchange is one request while it is being answered.
type exchange struct {
	web.Exchange
	*server
	status    int    // of the answer, unless it is an error
	raw       []byte // the body
	subject   string // the id of the object that was changed, for the log
	who       string // the actor; set by authenticate
	role      string // that allowed it
	access    rbac.Access
	principal policy.PrincipalFacts // zero for the static token and on the host
	session   *billing.Session      // the login used for the request; nil for tokens
	csrf      string                // what a page must send along with its cookie; "" without a cookie
	operation operation
	dryRun    bool
	claimed   *idempotency.Claim // for the caller's Idempotency-Key; nil if there is none
}

// serve wraps every route in what they have in common: a request id, a deadline, recovery, and
// one line in the log. takes is the longest that it may take.
func (s *server) serve(h handler, takes time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &exchange{Exchange: s.listener.Begin(c), server: s}
		if s.host != nil && takes != manage.Urgent {
			takes = ledgerTimeout
		}
		// A connection without deadlines, as in tests, does not need one.
		_ = x.RC.SetWriteDeadline(time.Now().Add(takes + requestTimeout))
		ctx, cancel := context.WithTimeout(c.Request.Context(), takes)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		defer x.end()
		err := x.Admit()
		if err == nil && !x.members && !x.called() {
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

// end is deferred: it handles a panic, and writes the log.
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
	if x.Err != nil && (status >= http.StatusInternalServerError || errors.Is(x.Err, identity.ErrRefused)) {
		fields = append(fields, zap.Error(x.Err))
	}
	if !errors.Is(x.Err, errTries) {
		x.listener.Log.Info("admin", fields...)
	}
}

// fail answers with an error in OpenAI's format.
func (x *exchange) fail(err error) {
	x.Err = err
	if x.failed != nil {
		x.failed(err)
	}
	if x.C.Writer.Written() {
		x.Cut = true
		return
	}
	p := errorTable.Problem(err)
	x.Refused = p.Code
	x.Answer(p)
}

// called reports whether the request is addressed to one of our host names. Probes are answered
// under any name: they disclose nothing.
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

// triesPerMinute is how many wrong tokens from one network are answered with what is wrong. A
// token that was accepted before keeps working however many come.
const triesPerMinute = 120

func (x *exchange) mayTry() bool {
	from, _ := netip.ParseAddr(x.C.RemoteIP())
	return x.wrong.Take(limit.Key{Scope: limit.Network(from), Kind: "token"}, triesPerMinute, 1, x.Start).OK
}

// operatorsOnly admits callers who may perform an operation. Virtual keys have no access here.
func operatorsOnly(o operation) handler {
	do := o.precise()
	return func(x *exchange) error {
		x.operation = o
		if o.opened {
			return do(x)
		}
		if err := x.authenticate(); err != nil {
			return err
		}
		if err := x.allowed(o); err != nil {
			return err
		}
		if o.sensitive && !x.fresh() {
			return errStale
		}
		return do(x)
	}
}

// authenticate determines who is calling: the static token, or the token of a principal.
func (x *exchange) authenticate() error {
	if x.host != nil {
		x.who, x.access = x.host.Actor, x.host.Access
		return nil
	}
	given := x.C.Request.Header.Values("Authorization")
	if x.RequireTLS && web.Clear(x.C.Request, x.TrustedProxies) && (len(given) > 0 || x.C.GetHeader("Cookie") != "") {
		x.cameInClear(given)
		return web.ErrClear
	}
	if len(given) == 0 && !x.members {
		if secret, there, err := x.cookieSecret(); there {
			if err == nil {
				x.csrf = csrfToken(secret.Reveal())
				err = x.admit(secret)
			}
			return err
		}
	}
	if len(given) == 0 && !x.members {
		if principal := x.certified(); principal != "" {
			return x.admitCertified(principal)
		}
	}
	if len(given) > 1 {
		return web.ErrAmbiguous
	}
	scheme, token, _ := strings.Cut(strings.Join(given, ""), " ")
	want := x.Token()
	if x.members {
		want = "" // the static token belongs to nobody
	}
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	if want != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		x.who, x.access = "admin", rbac.Everything()
		return nil
	}
	secret, err := billing.ParseSecret(token)
	admin := err == nil && secret.Environment() == billing.EnvironmentAdmin && strings.EqualFold(scheme, "Bearer")
	if admin {
		if err := x.admit(secret); !errors.Is(err, errToken) {
			return err
		}
	}
	switch {
	case want == "" && !admin && x.Login == nil && len(x.Certified) == 0 && !x.members:
		return errDisabled
	case !admin && !x.mayTry():
		return errTries
	case err == nil && !admin:
		return errVirtualKey
	}
	return errToken
}

// admit admits the holder of a token or session, unless too many wrong ones came from its
// network.
func (x *exchange) admit(secret billing.Secret) error {
	seen := sha256.Sum256([]byte(secret.Reveal()))
	if !x.known.contains(seen) && !x.mayTry() {
		return errTries
	}
	c, err := x.Actions.Authenticate(x.ctx(), secret)
	if errors.Is(err, billing.ErrUnknownToken) {
		return errToken
	}
	if err != nil {
		return err
	}
	x.known.add(seen)
	x.is(c)
	return nil
}

func (x *exchange) is(c manage.Caller) {
	x.who, x.access = manage.Actor(c.Principal), c.Access
	x.principal, x.session = manage.Who(c.Principal), c.Session
}

func (x *exchange) ctx() context.Context { return x.C.Request.Context() }

// param returns a path parameter and logs it as the object of the request.
func (x *exchange) param(name string) string {
	if x.subject = wire.Shorten(x.C.Param(name)); strings.HasPrefix(x.subject, "sk-") {
		x.subject = "a secret, which is no id"
	}
	return x.C.Param(name)
}

// madeOrFound is the status of an answer, by whether the object already existed.
var madeOrFound = map[bool]int{false: http.StatusCreated, true: http.StatusOK}

// seenTag returns the state that a change was based on, from If-Match; "" is any.
func (x *exchange) seenTag() string {
	given := strings.TrimSpace(x.C.GetHeader("If-Match"))
	if given == "*" {
		return ""
	}
	if tag, ok := strings.CutPrefix(given, `"`); ok {
		return strings.TrimSuffix(tag, `"`)
	}
	return given // not one of our tags
}

// answersKept is how long a request can be retried with its Idempotency-Key.
const answersKept = 24 * time.Hour

// How a retry waits for the answer to the first request.
const (
	lookForFirst   = 50 * time.Millisecond // doubled after each look
	lookAtLeast    = time.Second
	looksAtRunning = 11              // 7.5 s
	looksAtDone    = 7               // 2.5 s: the router may have died
	claimEnds      = 5 * time.Second // after the operation's maximum duration
)

// claim makes sure that a request retried with the same Idempotency-Key takes effect only once
// across all routers. It returns the answer to an earlier request, if there was one, and waits
// while that request is still being answered.
func (x *exchange) claim() (*idempotency.Answer, error) {
	names := x.C.Request.Header.Values("Idempotency-Key")
	if o := x.operation; len(names) == 0 || o.named || o.opened || o.method == http.MethodGet {
		return nil, nil
	}
	if len(names) > 1 || names[0] == "" || len(names[0]) > mostIdempotencyKey {
		return nil, wire.Invalid("Idempotency-Key", "must be one header of 1 to %d bytes", mostIdempotencyKey)
	}
	seed := x.Actions.Pepper.Derive("tallyroute admin requests")
	r := idempotency.Request{
		ID: x.ID, KeyID: billing.KeyID("admin " + cmp.Or(x.principal.ID, x.who)), Name: string(seed[:]) + names[0],
		Path: x.C.Request.Method + " " + x.C.Request.URL.RequestURI() + " " + x.seenTag(), Body: x.raw,
	}
	looks := map[idempotency.DuplicateReason]int{idempotency.DuplicateRunning: looksAtRunning, idempotency.DuplicateDone: looksAtDone}
	for look, n := lookForFirst, 1; ; n++ {
		now := x.listener.Clock()
		claim, kept, err := idempotency.Take(x.ctx(), x.Actions.Store, r, now, now.Add(x.operation.takes+claimEnds))
		var twice *idempotency.DuplicateError
		if !errors.As(err, &twice) || n >= looks[twice.Reason] {
			if twice != nil && twice.Reason == idempotency.DuplicateDone && x.operation.finds() {
				return nil, nil // the operation finds what was created
			}
			x.claimed = claim
			return kept, err
		}
		select {
		case <-x.ctx().Done():
			return nil, err
		case <-time.After(look):
			look = min(2*look, lookAtLeast)
		}
	}
}

// Limits in bytes.
const (
	mostIdempotencyKey = 256
	mostKept           = 1 << 20 // length of an answer
)

// Headers of stored answers, and of their replays.
const (
	statusField   = ":status"
	tagField      = "Etag"
	replayedField = "Idempotent-Replayed"
	originalField = "X-Tallyroute-Original-Request-Id"
)

// keep stores the answer for retries of the request. If that fails, the claim still records that
// the change was made.
func (x *exchange) keep(out any) {
	if x.claimed == nil {
		return
	}
	header := map[string]string{statusField: strconv.Itoa(x.status)}
	if tag := x.C.Writer.Header().Get(tagField); tag != "" {
		header[tagField] = tag
	}
	answer := idempotency.Answer{Header: header, Body: web.Encode(out)}
	if len(answer.Body) > mostKept {
		answer.Body = nil
	}
	x.ended(func(ctx context.Context) error { return x.claimed.Keep(ctx, answer, x.Start.Add(answersKept)) })
}

// forget releases the claim, unless a change was made under it.
func (x *exchange) forget() {
	if x.claimed != nil {
		x.ended(x.claimed.Forget)
	}
}

// ended ends the claim, even if the caller has disconnected.
func (x *exchange) ended(end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx()), 2*time.Second)
	defer cancel()
	if err := end(ctx); err != nil {
		x.listener.Log.Warn("the claim of an Idempotency-Key", zap.String("request_id", x.ID), zap.Error(err))
	}
}

// replay sends the answer to an earlier request again.
func (x *exchange) replay(kept *idempotency.Answer) {
	status, err := strconv.Atoi(kept.Header[statusField])
	if err != nil {
		status = http.StatusOK // unreachable: keep always has one
	}
	if tag := kept.Header[tagField]; tag != "" {
		x.C.Header(tagField, tag)
	}
	x.C.Header(replayedField, "true")
	x.C.Header(originalField, kept.RequestID)
	x.Write(status, web.JSONType, append(kept.Body, '\n'))
}

// by returns who is calling. The static token has no name.
func (x *exchange) by(reason string) manage.By {
	by := manage.By{
		Actor: cmp.Or(x.who, "unknown"), Role: x.role, Source: x.C.RemoteIP(), Reason: reason, Access: x.access,
		PrincipalID: x.principal.ID, Address: x.principal.Email, Seen: x.seenTag(), DryRun: x.dryRun,
	}
	if x.host != nil {
		by.Source = x.host.Source
	}
	if x.claimed != nil {
		by.Claim = x.claimed.Change(x.Start.Add(answersKept))
	}
	return by
}

// Browser cookies. Their prefix makes browsers accept them only from us, over TLS or from the
// loopback, and send them nowhere else.
const (
	sessionCookie = "__Host-tallyroute"
	attemptCookie = "__Host-tallyroute-login"
	csrfHeader    = "X-CSRF-Token"
)

func (x *exchange) setCookie(name, value string, seconds int) {
	http.SetCookie(x.C.Writer, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func (x *exchange) forgetCookie() { x.setCookie(sessionCookie, "", -1) }

// cookieSecret returns the session secret from the cookie of one of our pages. Changes also
// need the CSRF token, which other sites' pages cannot send.
func (x *exchange) cookieSecret() (secret billing.Secret, there bool, err error) {
	c, err := x.C.Request.Cookie(sessionCookie)
	if err != nil {
		return secret, false, nil //nolint:nilerr // there is none
	}
	if x.otherSite() {
		return secret, true, errCSRF
	}
	if !safeMethods[x.C.Request.Method] {
		sent, want := x.C.GetHeader(csrfHeader), csrfToken(c.Value)
		if subtle.ConstantTimeCompare([]byte(sent), []byte(want)) != 1 {
			return secret, true, errCSRF
		}
	}
	secret, err = billing.ParseSecret(c.Value)
	if err != nil || secret.Environment() != billing.EnvironmentAdmin {
		return secret, true, errToken
	}
	return secret, true, nil
}

// otherSite reports whether a browser says that a page of another site sends the request.
func (x *exchange) otherSite() bool {
	if site := x.C.GetHeader("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return true
	}
	origin := x.C.GetHeader("Origin")
	u, err := url.Parse(origin)
	return origin != "" && (err != nil || !strings.EqualFold(u.Host, x.C.Request.Host))
}

// cameInClear reports a credential that others may have read.
func (x *exchange) cameInClear(given []string) {
	x.listener.Log.Warn("a credential of the admin API came in clear", zap.String("from", x.C.RemoteIP()))
	_, text, _ := strings.Cut(strings.Join(given, ""), " ")
	if secret, there, err := x.cookieSecret(); len(given) == 0 && there && err == nil {
		text = secret.Reveal()
	}
	if from, err := netip.ParseAddr(x.C.RemoteIP()); err == nil && text != "" && x.Exposed != nil {
		x.Exposed(text, from)
	}
}
