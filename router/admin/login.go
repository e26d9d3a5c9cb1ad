package admin

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
	"tallyroute/router/identity"
	"tallyroute/router/limit"
)

// Login configures how people log in.
type Login struct {
	Provider *identity.Provider
	Rules    manage.LoginRules
	// URL is where browsers reach the listener, for logins with cookies; "" disables those.
	URL string
}

// loginPatience is how long a login may take from start to finish.
const loginPatience = 10 * time.Minute

// loginOperations let people log in and out.
func loginOperations() []operation {
	return []operation{
		does("beginLogin", post, "/login", "Begin a login: the page of the identity provider, and what finishes it.", beginLogin).open(),
		does("beginDeviceLogin", post, "/login/device", "Begin a login that is finished on another device.", beginDeviceLogin).open(),
		does("finishLogin", post, "/login/finish", "Finish a login. The token is in this answer and nowhere else.", finishLogin).open(),
		does("logout", post, "/logout", "End the login by which this is asked.", logout),
		does("listSessions", get, "/sessions", "List logins: one's own, or of all for who may read principals.", listSessions),
		does("endSession", remove, "/sessions/:id", "End a login of one's own, or any for who may change principals.", endSession),
	}
}

func loginRules() map[string]rule {
	return map[string]rule{
		"beginLogin": {rbac.Any, nil}, "beginDeviceLogin": {rbac.Any, nil}, "finishLogin": {rbac.Any, nil}, "logout": {rbac.Any, nil},
		"listSessions": {rbac.Any, nil}, "endSession": {rbac.Any, nil},
	}
}

// Login errors.
var (
	errNoLogin  = errors.New("admin: logins are not configured")
	errAttempt  = errors.New("admin: not an attempt of ours, or too old")
	errStale    = errors.New("admin: the login is too old for this")
	errCSRF     = errors.New("admin: a cookie without its token")
	errNoReturn = errors.New("admin: the page to return to is not ours")
)

// attempt is a login in progress. The client that started it keeps it, sealed.
type attempt struct {
	identity.Attempt
	Device  identity.Device
	Return  string // the page to go to afterwards
	Expires time.Time
}

const sealOfAttempt = "tallyroute login attempt"

func (x *exchange) seal(a attempt) (string, error) {
	return sealed(x.Actions.Pepper.Derive(sealOfAttempt), a)
}

func (x *exchange) unseal(text string) (a attempt, err error) {
	if unsealed(x.Actions.Pepper.Derive(sealOfAttempt), text, &a) != nil || x.Start.After(a.Expires) {
		return a, errAttempt
	}
	return a, nil
}

// secretText returns a text that nobody can guess.
func secretText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (x *exchange) newAttempt(redirect string) attempt {
	a := attempt{Expires: x.Start.Add(loginPatience)}
	a.Attempt = identity.Attempt{State: secretText(), Nonce: secretText(), Verifier: secretText(), Redirect: redirect}
	return a
}

// loginBody is the body of beginLogin.
type loginBody struct {
	RedirectURI string `json:"redirect_uri" required:"true" doc:"The loopback address of the program that logs in: http://127.0.0.1:PORT/…"`
	Fresh       bool   `json:"fresh" doc:"The person must authenticate again, even with an active session at the identity provider."`
}

// BegunLogin is a login in progress.
type BegunLogin struct {
	URL       string  `json:"url" doc:"The identity provider's page."`
	Login     string  `json:"login" doc:"Send it to finishLogin together with the code and the state."`
	ExpiresAt *string `json:"expires_at"`
}

// beginLogin is POST /login, for programs. Codes are sent only to the loopback, so the program
// must be on the same machine as the browser.
func beginLogin(x *exchange, in loginBody) (BegunLogin, error) {
	if err := x.mayLogIn(); err != nil {
		return BegunLogin{}, err
	}
	to, err := url.Parse(in.RedirectURI)
	if err != nil || to.Scheme != "http" || to.User != nil || !isLoopback(to.Hostname()) || to.Port() == "" {
		return BegunLogin{}, wire.Invalid("redirect_uri", "must be on the loopback, such as http://127.0.0.1:53682/callback")
	}
	a := x.newAttempt(in.RedirectURI)
	a.Fresh = in.Fresh
	page, err := x.Login.Provider.URL(x.ctx(), a.Attempt)
	if err != nil {
		return BegunLogin{}, err
	}
	sealed, err := x.seal(a)
	return BegunLogin{page, sealed, manage.Instant(a.Expires)}, err
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// BegunDeviceLogin is a login to be finished on another device.
type BegunDeviceLogin struct {
	UserCode  string  `json:"user_code"`
	URL       string  `json:"verification_uri"`
	FullURL   string  `json:"verification_uri_complete" doc:"The address that includes the code, if the identity provider has one."`
	Login     string  `json:"login" doc:"Send it to finishLogin until the result is no longer pending."`
	ExpiresAt *string `json:"expires_at"`
}

func beginDeviceLogin(x *exchange, _ none) (BegunDeviceLogin, error) {
	if err := x.mayLogIn(); err != nil {
		return BegunDeviceLogin{}, err
	}
	d, err := x.Login.Provider.BeginDevice(x.ctx())
	if err != nil {
		return BegunDeviceLogin{}, err
	}
	sealed, err := x.seal(attempt{Device: d, Expires: x.Start.Add(loginPatience)})
	return BegunDeviceLogin{d.UserCode, d.URL, d.FullURL, sealed, manage.Instant(d.ExpiresAt)}, err
}

// finishBody is the body of finishLogin.
type finishBody struct {
	Login string `json:"login" required:"true" doc:"The login in the response that began it."`
	Code  string `json:"code" doc:"The code that the identity provider sent; not for a login by device."`
	State string `json:"state" doc:"The state that the identity provider sent."`
}

// FinishedLogin is a login with its token.
type FinishedLogin struct {
	Pending   bool    `json:"pending" doc:"The person has not finished yet; ask again."`
	Token     string  `json:"token,omitempty"`
	Actor     string  `json:"actor"`
	ExpiresAt *string `json:"expires_at" doc:"The latest time at which it expires, however much it is used."`
}

// devicePatience is how long a response waits for the person at the other device.
const devicePatience = 10 * time.Second

func finishLogin(x *exchange, in finishBody) (FinishedLogin, error) {
	if err := x.mayLogIn(); err != nil {
		return FinishedLogin{}, err
	}
	a, err := x.unseal(in.Login)
	if err != nil {
		return FinishedLogin{}, err
	}
	if a.Device.Code == "" {
		done, err := x.finish(a, in.Code, in.State)
		return viewFinished(done), err
	}
	ctx, cancel := context.WithTimeout(x.ctx(), devicePatience)
	defer cancel()
	who, err := x.Login.Provider.FinishDevice(ctx, a.Device)
	if errors.Is(err, identity.ErrPending) {
		return FinishedLogin{Pending: true}, nil
	}
	if err != nil {
		return FinishedLogin{}, err
	}
	done, err := x.signIn(who)
	return viewFinished(done), err
}

func viewFinished(in manage.SignedIn) FinishedLogin {
	return FinishedLogin{Token: in.Secret.Reveal(), Actor: manage.Actor(in.Principal), ExpiresAt: manage.Instant(in.Session.ExpiresAt)}
}

// finish redeems the code of an attempt. The state ties the identity provider's response to the
// client that started the attempt.
func (x *exchange) finish(a attempt, code, state string) (manage.SignedIn, error) {
	if a.State == "" || code == "" || state != a.State {
		return manage.SignedIn{}, errAttempt
	}
	who, err := x.Login.Provider.Finish(x.ctx(), a.Attempt, code)
	if err != nil {
		return manage.SignedIn{}, err
	}
	return x.signIn(who)
}

func (x *exchange) signIn(who identity.Person) (manage.SignedIn, error) {
	return x.Actions.SignIn(x.ctx(), manage.Person(who), x.Login.Rules,
		manage.Visitor{Source: x.C.RemoteIP(), UserAgent: x.C.GetHeader("User-Agent")})
}

// loginsPerMinute is how many login steps one network may take per minute.
const loginsPerMinute = 60

// mayLogIn returns an error if logins are not set up, or if the network tries too often.
func (x *exchange) mayLogIn() error {
	if x.Login == nil {
		return errNoLogin
	}
	from, _ := netip.ParseAddr(x.C.RemoteIP())
	if !x.wrong.Take(limit.Key{Scope: limit.Network(from), Kind: "login"}, loginsPerMinute, 1, x.Start).OK {
		return errLogins
	}
	return nil
}

// Done says that something was done.
type Done struct {
	Done bool `json:"done"`
}

// logout is POST /logout. It leaves API tokens alone: they are not logins.
func logout(x *exchange, _ none) (Done, error) {
	if x.session == nil {
		return Done{}, wire.Invalid("Authorization", "is a token and no login: principals end ends it")
	}
	x.forgetCookie()
	return Done{true}, x.Actions.EndSession(x.ctx(), x.session.ID, x.by("logout"))
}

// sessionFilter holds the parameters of listSessions.
type sessionFilter struct {
	wire.Paging
	Principal string `json:"principal" doc:"Whose they are; your own by default."`
}

func listSessions(x *exchange, in sessionFilter) (wire.Page[manage.SessionView], error) {
	whose := in.Principal
	if !x.access.May(rbac.PrincipalsRead, rbac.Place{}) {
		if whose != "" && whose != x.principal.ID {
			return wire.Page[manage.SessionView]{}, x.deny(rbac.PrincipalsRead)
		}
		whose = x.principal.ID
	}
	all, err := x.Actions.Sessions(x.ctx(), whose)
	if err != nil {
		return wire.Page[manage.SessionView]{}, err
	}
	return wire.Paged(in.Paging, all, manage.ViewSession, func(v manage.SessionView) string { return v.ID })
}

func endSession(x *exchange, in rehearsable) (Removed, error) {
	id := x.param("id")
	if !x.access.May(rbac.PrincipalsWrite, rbac.Place{}) {
		own, err := x.Actions.Sessions(x.ctx(), x.principal.ID)
		if err != nil {
			return Removed{}, err
		}
		if !hasSession(own, id) {
			return Removed{}, &billing.NotFoundError{What: "session", ID: id}
		}
	}
	return Removed{id, true}, x.Actions.EndSession(x.ctx(), id, x.by(in.Reason))
}

func hasSession(list []billing.Session, id string) bool {
	for _, s := range list {
		if s.ID == id {
			return true
		}
	}
	return false
}

// fresh reports whether the caller has logged in recently, if logins are set up: a person's
// token does not count, and a service has nobody to ask.
func (x *exchange) fresh() bool {
	switch {
	case x.Login == nil, x.access.Full(), x.principal.Kind == string(billing.PrincipalService):
		return true
	case x.session == nil:
		return false
	}
	return x.Start.Sub(x.session.AuthenticatedAt) <= x.Login.Rules.StepUp
}

// csrfToken returns what a page must send, along with its cookie, to change something. It is
// derived from the secret of the session, which no page can read.
func csrfToken(secret string) string {
	sum := sha256.Sum256([]byte("tallyroute csrf\x00" + secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// localPath reports whether s is a path on this host: not a URL, nor anything that a browser
// reads as one.
func localPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && strings.HasPrefix(s, "/") && u.Host == "" && u.Scheme == "" && !strings.HasPrefix(s, "//") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || r < ' ' || r == 0x7f })
}

var safeMethods = map[string]bool{http.MethodGet: true, http.MethodHead: true}

// browserLogin is GET /login?return=/page: it redirects to the identity provider.
func browserLogin(x *exchange) error {
	if err := x.mayLogIn(); err != nil {
		return err
	}
	if x.Login.URL == "" {
		return errNoLogin
	}
	q := x.C.Request.URL.Query()
	back := q.Get("return")
	if back == "" {
		back = "/"
	}
	if !localPath(back) {
		return errNoReturn
	}
	a := x.newAttempt(strings.TrimSuffix(x.Login.URL, "/") + "/login/callback")
	a.Return, a.Fresh = back, q.Get("fresh") == "true"
	page, err := x.Login.Provider.URL(x.ctx(), a.Attempt)
	if err != nil {
		return err
	}
	sealed, err := x.seal(a)
	if err != nil {
		return err
	}
	x.setCookie(attemptCookie, sealed, int(loginPatience.Seconds()))
	x.C.Redirect(http.StatusFound, page)
	return nil
}

// browserCallback is GET /login/callback: the identity provider sends the browser here. The
// session is always a new one, whatever cookie was sent.
func browserCallback(x *exchange) error {
	if err := x.mayLogIn(); err != nil {
		return err
	}
	c, err := x.C.Request.Cookie(attemptCookie)
	if err != nil {
		return errAttempt
	}
	x.setCookie(attemptCookie, "", -1)
	a, err := x.unseal(c.Value)
	if err != nil || a.Return == "" { // a login started by a program can't be finished by a browser
		return errAttempt
	}
	q := x.C.Request.URL.Query()
	done, err := x.finish(a, q.Get("code"), q.Get("state"))
	if err != nil {
		return err
	}
	x.setCookie(sessionCookie, done.Secret.Reveal(), int(x.Login.Rules.Absolute.Seconds()))
	x.C.Redirect(http.StatusSeeOther, a.Return)
	return nil
}

// sealed encrypts a value that someone else stores, so that only routers with the same key can
// read it.
func sealed(key [32]byte, v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	gcm, err := newGCM(key)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(text)+gcm.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(gcm.Seal(nonce, nonce, text, nil)), nil
}

// unsealed decrypts into v what sealed made with the same key.
func unsealed(key [32]byte, text string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	gcm, err := newGCM(key)
	if err != nil {
		return err
	}
	if len(raw) < gcm.NonceSize() {
		return errAttempt
	}
	plain, err := gcm.Open(nil, raw[:gcm.NonceSize()], raw[gcm.NonceSize():], nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

func newGCM(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// certified returns the principal whom the certificate of the connection names; "" if that is
// nobody, or several.
func (x *exchange) certified() string {
	state := x.C.Request.TLS
	if len(x.Certified) == 0 || state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	names := append(slices.Clone(leaf.DNSNames), leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	found := ""
	for _, name := range append(names, "CN="+leaf.Subject.CommonName) {
		switch is := x.Certified[name]; {
		case is == "" || is == found:
		case found != "":
			return ""
		default:
			found = is
		}
	}
	return found
}

// admitCertified admits the holder of a certificate. A browser shows it to every page that asks, so
// pages of other sites are refused.
func (x *exchange) admitCertified(principal string) error {
	if x.otherSite() {
		return errCSRF
	}
	c, err := x.Actions.AuthenticateCertified(x.ctx(), principal)
	if errors.Is(err, billing.ErrUnknownToken) {
		return errToken
	}
	if err == nil {
		x.is(c)
	}
	return err
}
