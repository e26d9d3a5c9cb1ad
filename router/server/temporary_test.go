package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/policy"
	"tallyroute/router/federation"
)

// withTemporary configures a listener that makes temporary keys, what they may use, and a
// clock.
func withTemporary(t *testing.T, allotted *[]billing.Allotment, now *time.Time) func(*Options) {
	t.Helper()
	p, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) {
		o.Clock = func() time.Time { return *now }
		o.Temporary = &Temporary{Ring: ephemeral.New(p), Allot: func(_ context.Context, a billing.Allotment) error {
			*allotted = append(*allotted, a)
			return nil
		}}
	}
}

func TestTemporaryKeyOpensLessThanItsKey(t *testing.T) {
	var allotted []billing.Allotment
	now := time.Now()
	g := newRig(t, withTemporary(t, &allotted, &now))
	r := g.do(g.request("POST", "/v1/key/tokens", `{"expires_in":600,"policy":{"models":["m"],"max_output_tokens":7},`+
		`"budget":{"usd":"0.50"},"tags":{"run":"42"},"end_user":"eva"}`))
	var made temporaryKey
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	if made.KeyID != "key_1" || made.ExpiresIn != 600 || !strings.HasPrefix(made.Token, "sk-tr-tmp-") ||
		r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("made %+v", made)
	}
	if len(allotted) != 1 || allotted[0].ID != made.ID || *allotted[0].Money != billing.NanoPerUSD/2 || allotted[0].Tokens != nil {
		t.Errorf("allotted %+v", allotted)
	}
	key := "Bearer " + made.Token
	answered := g.do(g.request("POST", "/v1/chat/completions", hi, "Authorization", key, "Idempotency-Key", "one"))
	if left := answered.Header.Get("X-Tallyroute-Budget-Remaining-Usd"); answered.StatusCode != http.StatusOK || left == "" ||
		left > "0.5" {
		t.Errorf("%d %s; left: %q", answered.StatusCode, answered.body, left)
	}
	if r := g.do(g.request("POST", "/v1/chat/completions", hi, "Idempotency-Key", "one")); r.Header.Get("Idempotent-Replayed") != "" {
		t.Error("the key is answered by what its temporary key asked for")
	}
	if self := g.do(g.request("GET", "/v1/key", "", "Authorization", key)); !strings.Contains(self.body,
		`"temporary_key":{"models":["m"]`) {
		t.Errorf("GET /v1/key: %d %s", self.StatusCode, self.body)
	}
	long := `{"model":"m","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}`
	if r := g.do(g.request("POST", "/v1/chat/completions", long, "Authorization", key)); r.StatusCode != http.StatusForbidden ||
		!strings.Contains(r.body, "temporary_key.max_output_tokens") {
		t.Errorf("more output than it may have: %d %s", r.StatusCode, r.body)
	}
	for from, want := range map[time.Time]int{now.Add(-time.Minute): http.StatusOK, now.Add(time.Minute): http.StatusUnauthorized} {
		narrowed := *g.verifier.key
		narrowed.TokensFrom = from
		g.verifier.key = &narrowed
		if r := g.do(g.request("POST", "/v1/chat/completions", hi, "Authorization", key)); r.StatusCode != want {
			t.Errorf("those made before %s have ended: %d %s", from, r.StatusCode, r.body)
		}
	}
	if r := g.do(g.request("POST", "/v1/chat/completions", hi)); r.StatusCode != http.StatusOK {
		t.Errorf("its key: %d %s", r.StatusCode, r.body)
	}
	back := *g.verifier.key
	back.TokensFrom = time.Time{}
	g.verifier.key = &back
	if r := g.do(g.request("POST", "/v1/key/tokens", `{}`, "Authorization", key)); !strings.Contains(r.body, codeTemporary) {
		t.Errorf("exchanged for another: %d %s", r.StatusCode, r.body)
	}
	if r := g.do(g.request("GET", "/v1/models", "", "Authorization", key+"x")); r.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(r.body, codeInvalidKey) {
		t.Errorf("forged: %d %s", r.StatusCode, r.body)
	}
	now = now.Add(11 * time.Minute)
	if r := g.do(g.request("GET", "/v1/models", "", "Authorization", key)); r.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(r.body, codeTemporaryOver) {
		t.Errorf("after its end: %d %s", r.StatusCode, r.body)
	}
}

func TestTemporaryKeyIsRefusedWithEveryFault(t *testing.T) {
	var allotted []billing.Allotment
	now := time.Now()
	g := newRig(t, withTemporary(t, &allotted, &now))
	for body, want := range map[string]string{
		`{"expires_in":0,"end_user":"\u0007"}`: "end_user must be plain text of at most 128 bytes; " +
			"expires_in must be 1 to 3600 seconds.",
		`{"expires_in":9e99}`:                                  "expires_in: must be a whole number",
		`{"budget":{}}`:                                        "must hold usd or tokens",
		`{"budget":{"usd":"NaN"}}`:                             "want an amount in dollars",
		`{"budget":{"usd":0.5}}`:                               "budget.usd: must be a text",
		`{"budget":{"tokens":-1}}`:                             "budget.tokens must be 0 to 1000000000000000.",
		`{"budget":{"tokens":9223372036854775807}}`:            "budget.tokens must be 0 to",
		`{"expires_in":60,"expires_in":70}`:                    `duplicate_field`,
		`{"Expires_In":60}`:                                    `unknown_parameter`,
		`{"policy":{"hours":[{"from":"8:00","from":"9:00"}]}}`: `policy.hours[0].from: is there twice`,
		`{"models":["m"]}`:                                     `unknown_parameter`,
		`{} {}`:                                                "must be one object",
		`[]`:                                                   "must be an object",
	} {
		r := g.do(g.request("POST", "/v1/key/tokens", body))
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %s, want %q", body, r.StatusCode, r.body, want)
		}
	}
	if len(allotted) != 0 {
		t.Errorf("allotted %+v", allotted)
	}
	r := g.do(g.request("GET", "/v1/models", "", "X-Tallyroute-Tags", "tallyroute.token=mine"))
	chat := g.do(g.request("POST", "/v1/chat/completions", `{"model":"m","messages":[]}`, "X-Tallyroute-Tags", "tallyroute.token=mine"))
	if !strings.Contains(chat.body, "the router's own") {
		t.Errorf("a tag of ours from a client: %d %s, %d %s", r.StatusCode, r.body, chat.StatusCode, chat.body)
	}
}

func TestIdentityTokenIsExchangedForATemporaryKey(t *testing.T) {
	p := newPlatform(t)
	when, err := policy.CompileClaims(`claims.repository == "acme/app"`)
	if err != nil {
		t.Fatal(err)
	}
	var allotted []billing.Allotment
	now := time.Now()
	g := newRig(t, withTemporary(t, &allotted, &now), func(o *Options) {
		o.Temporary = o.Temporary.With(federation.New([]federation.Issuer{{
			URL: p.URL, Audience: "tallyroute", Bindings: []federation.Binding{{Key: "key_1", When: when, Direct: true}},
		}}, p.Client()))
	})
	exchange := func(form url.Values) reply {
		r := g.request("POST", "/v1/oauth/token", "")
		r.Header.Del("Authorization")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form.Encode())), int64(len(form.Encode()))
		return g.do(r)
	}
	good := url.Values{
		"grant_type": {grantExchange}, "subject_token_type": {typePrefix + "jwt"}, "subject_token": {p.token("acme/app", now)},
	}
	r := exchange(good)
	var made granted
	if err := json.Unmarshal([]byte(r.body), &made); err != nil || r.StatusCode != http.StatusOK || made.TokenType != "Bearer" ||
		made.ExpiresIn != 900 || made.IssuedTokenType != typeAccessToken {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	for _, key := range []string{made.AccessToken, good.Get("subject_token")} {
		if r := g.do(g.request("GET", "/v1/key", "", "Authorization", "Bearer "+key)); r.StatusCode != http.StatusOK {
			t.Errorf("with %.12s…: %d %s", key, r.StatusCode, r.body)
		}
	}
	for change, want := range map[[2]string]string{
		{"grant_type", "password"}:                        "unsupported_grant_type",
		{"subject_token_type", "jwt"}:                     "invalid_request",
		{"subject_token", p.token("acme/other", now)}:     "invalid_grant",
		{"subject_token", "x"}:                            "invalid_grant",
		{"subject_token", strings.Repeat("x", mostForm)}:  "invalid_request",
		{"subject_token", good.Get("subject_token")[:99]}: "invalid_grant",
	} {
		form := maps.Clone(good)
		form.Set(change[0], change[1])
		r := exchange(form)
		var refused notGranted
		if err := json.Unmarshal([]byte(r.body), &refused); err != nil || r.StatusCode != http.StatusBadRequest || refused.Error != want {
			t.Errorf("%s=%.40s: %d %s, want %s", change[0], change[1], r.StatusCode, r.body, want)
		}
	}
	bad := "Bearer " + p.token("acme/other", now)
	if r := g.do(g.request("GET", "/v1/key", "", "Authorization", bad)); r.StatusCode != http.StatusUnauthorized ||
		!strings.Contains(r.body, codeInvalidKey) {
		t.Errorf("a token that is for no key opens: %d %s", r.StatusCode, r.body)
	}
}

// platform signs tokens like a platform that runs jobs.
type platform struct {
	*httptest.Server
	key ed25519.PrivateKey
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": base64.RawURLEncoding.EncodeToString(public),
		}}})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *platform) token(repository string, now time.Time) string {
	text, _ := json.Marshal(map[string]any{ // always has a JSON form
		"iss": p.URL, "aud": "tallyroute", "sub": "repo:" + repository, "repository": repository,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(text)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(p.key, []byte(signed)))
}
