package leaks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tallyroute/billing/manage"
)

// list returns the public keys in the form in which they are published.
func list(t *testing.T, keys map[string]string) []byte {
	t.Helper()
	type one struct {
		ID  string `json:"key_identifier"`
		Key string `json:"key"`
	}
	var all []one
	for id, key := range keys {
		all = append(all, one{id, key})
	}
	text, err := json.Marshal(map[string]any{"public_keys": all})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTheSampleThatGitHubPublishesIsVerified(t *testing.T) {
	keys := Keys{Fetch: func(context.Context) ([]byte, error) {
		return list(t, map[string]string{"90a4": "-----BEGIN PUBLIC KEY-----\n" +
			"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9MJJHnMfn2+H4xL4YaPDA4RpJqUq\n" +
			"kCmRCBnYERxZanmcpzQSXs1X/AljlKkbJ8qpVIW4clayyef9gWhFbNHWAA==\n-----END PUBLIC KEY-----\n"}), nil
	}}
	body := `[{"token":"some_token","type":"some_type","url":"some_url"}]`
	const signature = "MEUCIQDKZokqnCjrRtw0tni+2Ltvl/uiMJ1EGumEsp1BsNr32AIgQY1YXD2nlj+XNfGK4rBfkMJ1JDOQcYXxa2sY8FNkrKc="
	if err := keys.Verify(t.Context(), "90a4", signature, []byte(body)); err != nil {
		t.Error(err)
	}
	if err := keys.Verify(t.Context(), "90a4", signature, []byte(strings.Replace(body, "some", "same", 1))); !errors.Is(err, ErrSignature) {
		t.Errorf("of another body: %v", err)
	}
}

// signer signs reports like the sender.
type signer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, key}
}

func (s signer) public() string {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signer) request(id, body string) *http.Request {
	sum := sha256.Sum256([]byte(body))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Github-Public-Key-Identifier", id)
	r.Header.Set("Github-Public-Key-Signature", base64.StdEncoding.EncodeToString(signature))
	return r
}

func TestOnlyWhatIsSignedIsTaken(t *testing.T) {
	us, them := newSigner(t), newSigner(t)
	var taken []string
	var failure, away error
	h := Handler(Options{
		Keys: &Keys{Fetch: func(context.Context) ([]byte, error) {
			return list(t, map[string]string{"us": us.public()}), away
		}},
		Take: func(_ context.Context, l manage.Leak) (bool, error) {
			taken = append(taken, l.Secret+" at "+l.URL)
			return l.Secret == "one", failure
		},
		Failed: func(error) {},
	})
	answer := func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const body = `[{"token":"one","type":"t","url":"u1","source":"content"},{"token":"two","type":"t","url":"u2"}]`
	away = errors.New("away")
	if got := answer(us.request("us", body)); got.Code != http.StatusServiceUnavailable || len(taken) > 0 {
		t.Errorf("without the keys: %d, %v", got.Code, taken)
	}
	away = nil
	unsigned := us.request("us", body)
	unsigned.Header.Del("Github-Public-Key-Signature")
	altered := us.request("us", body)
	altered.Body = http.NoBody
	get := us.request("us", body)
	get.Method = http.MethodGet
	for name, tc := range map[string]struct {
		r    *http.Request
		want int
	}{
		"unsigned":               {unsigned, http.StatusUnauthorized},
		"altered":                {altered, http.StatusUnauthorized},
		"signed by somebody":     {them.request("us", body), http.StatusUnauthorized},
		"by a key that is none":  {us.request("they", body), http.StatusUnauthorized},
		"signed, and not a list": {us.request("us", `{}`), http.StatusBadRequest},
		"too large":              {us.request("us", strings.Repeat(" ", mostBody+1)), http.StatusRequestEntityTooLarge},
		"a GET":                  {get, http.StatusMethodNotAllowed},
	} {
		if got := answer(tc.r); got.Code != tc.want || len(taken) > 0 {
			t.Errorf("%s: %d, took %v", name, got.Code, taken)
		}
	}
	got := answer(us.request("us", body))
	if got.Code != http.StatusOK || strings.Join(taken, ", ") != "one at u1, two at u2" ||
		strings.TrimSpace(got.Body.String()) != `[{"token_raw":"one","token_type":"t","label":"true_positive"},`+
			`{"token_raw":"two","token_type":"t","label":"false_positive"}]` {
		t.Errorf("signed: %d %s, took %v", got.Code, got.Body, taken)
	}
	failure = errors.New("the database is away")
	if got := answer(us.request("us", body)); got.Code != http.StatusServiceUnavailable {
		t.Errorf("what was not done is answered with %d", got.Code)
	}
}
