package admin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"tallyroute/billing"
)

// Cookies of browsers. Their prefix has browsers take them from us alone, over TLS or from
// the loopback, and send them nowhere else.
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

// cookieSecret is the secret of the session in the cookie of a page of ours. What changes
// something needs the token beside it, which pages of others cannot send.
func (x *exchange) cookieSecret() (secret billing.Secret, there bool, err error) {
	c, err := x.C.Request.Cookie(sessionCookie)
	if err != nil {
		return secret, false, nil //nolint:nilerr // there is none
	}
	if site := x.C.GetHeader("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return secret, true, errCSRF
	}
	if origin := x.C.GetHeader("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, x.C.Request.Host) {
			return secret, true, errCSRF
		}
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

// browserLogin is GET /login?return=/page: to the page of the identity provider.
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

// browserCallback is GET /login/callback: the identity provider sends the browser here.
// The session is always a new one, whatever cookie came.
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
	if err != nil || a.Return == "" { // an attempt of a program is no browser's
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

// cameInClear tells of a credential that others may have read.
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

// sealed is a value that only routers with the same key can read, for whoever keeps it.
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

// unsealed reads what sealed made with the same key into v.
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
