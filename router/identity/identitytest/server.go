// Package identitytest is an OpenID provider for tests: it follows the protocol as strictly as
// the best of them, over HTTP, and violates it when a test says so.
package identitytest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Client and Secret are the credentials of the only client.
const (
	Client = "tallyroute"
	Secret = "b7Kq2Zr9Wm4Xv1Tb6Ns8Pd3HfLy5" //nolint:gosec // of a server for tests
)

// Claims are members of an id token or of the user info.
type Claims map[string]any

// Server is a provider with one person logged in.
type Server struct {
	*httptest.Server
	// Person is the person who logs in: claims of the id token in addition to those of the
	// protocol.
	Person Claims
	// UserInfo is the user info, apart from the subject of Person.
	UserInfo Claims
	// ManyGroups are served at their own address.
	ManyGroups []string
	// Public accepts a client without a secret.
	Public bool
	// Break, called last, changes the claims of an id token.
	Break func(Claims)
	// Forge signs an id token instead of the server; nil signs correctly.
	Forge func(s *Server, claims Claims) string

	t       *testing.T
	mu      sync.Mutex
	key     *rsa.PrivateKey
	kid     int
	codes   map[string]grant
	tokens  map[string]bool
	devices map[string]string // pending or done
}

// grant is a code that was issued.
type grant struct{ redirect, challenge, nonce string }

// New starts a provider.
func New(t *testing.T) *Server {
	t.Helper()
	s := &Server{
		t: t, codes: map[string]grant{}, tokens: map[string]bool{}, devices: map[string]string{},
		Person: Claims{"sub": "u1", "email": "ann@example.com", "email_verified": true, "preferred_username": "ann"},
	}
	s.Rotate()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /keys", s.keys)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /userinfo", s.userinfo)
	mux.HandleFunc("POST /groups", s.groups)
	mux.HandleFunc("POST /device", s.device)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Rotate signs with another key from now on; the previous key is no longer published.
func (s *Server) Rotate() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.kid = key, s.kid+1
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, code string) {
	answer(w, http.StatusBadRequest, Claims{"error": code})
}

func (s *Server) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Claims{
		"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/keys",
		"userinfo_endpoint": s.URL + "/userinfo", "device_authorization_endpoint": s.URL + "/device",
		"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"},
	})
}

func (s *Server) keys(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, Claims{"keys": []Claims{{
		"kty": "RSA", "alg": "RS256", "use": "sig", "kid": strconv.Itoa(s.kid), "n": base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
	}}})
}

// text returns a value that nobody can guess.
func text() string {
	var b [24]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// authorize logs the person in at once, and sends the browser back with a code.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case q.Get("client_id") != Client, q.Get("response_type") != "code", err != nil || to.Host == "":
		refuse(w, "invalid_request")
		return
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"), q.Get("state") == "", q.Get("nonce") == "",
		q.Get("code_challenge_method") != "S256", len(q.Get("code_challenge")) != 43:
		refuse(w, "invalid_request")
		return
	}
	code := text()
	s.mu.Lock()
	s.codes[code] = grant{q.Get("redirect_uri"), q.Get("code_challenge"), q.Get("nonce")}
	s.mu.Unlock()
	back := to.Query()
	back.Set("code", code)
	back.Set("state", q.Get("state"))
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound) //nolint:gosec // to the client of a test
}

// client reports whether a request comes from the client, with its secret unless the client is
// public.
func (s *Server) client(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	got, _ := url.QueryUnescape(secret)
	return id == Client && (s.Public || got == Secret || secret == Secret)
}

// token issues tokens for a code, once, and for a device.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if !s.client(r) {
		answer(w, http.StatusUnauthorized, Claims{"error": "invalid_client"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		given, ok := s.codes[code]
		delete(s.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || given.redirect != r.PostFormValue("redirect_uri") || given.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			refuse(w, "invalid_grant")
			return
		}
		s.give(w, given.nonce)
	case "urn:ietf:params:oauth:grant-type:device_code":
		switch s.devices[r.PostFormValue("device_code")] {
		case "pending":
			refuse(w, "authorization_pending")
		case "done":
			delete(s.devices, r.PostFormValue("device_code"))
			s.give(w, "")
		default:
			refuse(w, "invalid_grant")
		}
	default:
		refuse(w, "unsupported_grant_type")
	}
}

func (s *Server) give(w http.ResponseWriter, nonce string) {
	claims := Claims{
		"iss": s.URL, "aud": Client, "iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
		"auth_time": time.Now().Unix(),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	for name, v := range s.Person {
		claims[name] = v
	}
	if s.Break != nil {
		s.Break(claims)
	}
	access := text() // opaque
	s.tokens[access] = true
	signed := s.sign(s.key, strconv.Itoa(s.kid), claims)
	if s.Forge != nil {
		signed = s.Forge(s, claims)
	}
	answer(w, http.StatusOK, Claims{"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": signed})
}

func (s *Server) sign(key *rsa.PrivateKey, kid string, claims Claims) string {
	head, _ := json.Marshal(Claims{"alg": "RS256", "typ": "JWT", "kid": kid})
	body, _ := json.Marshal(claims)
	signed := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(signed))
	mark, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		s.t.Error(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(mark)
}

// Stranger signs with somebody else's key, under the name of ours.
func Stranger(s *Server, claims Claims) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Error(err)
		return ""
	}
	return s.sign(key, strconv.Itoa(s.kid), claims)
}

// Unsigned returns an id token without a signature.
func Unsigned(_ *Server, claims Claims) string {
	body, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
}

// bearer reports whether one of our access tokens was sent.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
		answer(w, http.StatusUnauthorized, Claims{"error": "invalid_token"})
		return false
	}
	return true
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	if !s.bearer(w, r) {
		return
	}
	said := Claims{"sub": s.Person["sub"]}
	for name, v := range s.UserInfo {
		said[name] = v
	}
	answer(w, http.StatusOK, said)
}

func (s *Server) groups(w http.ResponseWriter, r *http.Request) {
	if s.bearer(w, r) {
		answer(w, http.StatusOK, Claims{"value": s.ManyGroups})
	}
}

func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	if !s.client(r) {
		answer(w, http.StatusUnauthorized, Claims{"error": "invalid_client"})
		return
	}
	code := text()
	s.mu.Lock()
	s.devices[code] = "pending"
	s.mu.Unlock()
	answer(w, http.StatusOK, Claims{
		"device_code": code, "user_code": "ABCD-EFGH", "verification_uri": s.URL + "/activate", "expires_in": 300, "interval": 1,
	})
}

// Approve finishes every login on another device.
func (s *Server) Approve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for code := range s.devices {
		s.devices[code] = "done"
	}
}

// Browse requests a page of the provider and returns the address that it redirects the browser
// to.
func (s *Server) Browse(page string) *url.URL {
	s.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, page, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	to, err := resp.Location()
	if err != nil {
		s.t.Fatalf("%s: status %d: %v", page, resp.StatusCode, err)
	}
	return to
}
