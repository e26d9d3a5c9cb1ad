package auth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/auth"
)

// office issues numbered tokens to callers with a valid signature.
type office struct {
	*httptest.Server
	asked  atomic.Int64
	status int
	key    *rsa.PrivateKey
	claims map[string]any
}

func newOffice(t *testing.T) *office {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{status: http.StatusOK, key: key}
	o.Server = httptest.NewTLSServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *office) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.asked.Add(1)
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	if len(parts) != 3 {
		http.Error(w, "no token", http.StatusBadRequest)
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&o.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		http.Error(w, "not signed", http.StatusForbidden)
		return
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	_ = json.Unmarshal(text, &o.claims)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(o.status)
	if o.status != http.StatusOK {
		fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"not with %s"}`, r.PostFormValue("assertion"))
		return
	}
	fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, n)
}

func (o *office) account(t *testing.T, email string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(o.key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": email, "private_key_id": "k1", "token_uri": o.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestGoogleTokenIsFetchedOnceForAll(t *testing.T) {
	o := newOffice(t)
	text := o.account(t, "robot@acme.example")
	a := auth.Google(func(context.Context) (string, error) { return text, nil }, o.Client())
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := sign(t, a); got != "Bearer token-1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wait.Wait()
	if n := o.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if o.claims["iss"] != "robot@acme.example" || o.claims["scope"] != "https://www.googleapis.com/auth/cloud-platform" ||
		o.claims["aud"] != o.URL+"/token" {
		t.Errorf("claims %v", o.claims)
	}
}

func TestGoogleRefusedWithoutTellingTheKey(t *testing.T) {
	o := newOffice(t)
	good := o.account(t, "robot@acme.example")
	for _, c := range []struct {
		name, key string
		status    int
		kind      providers.Kind // "" means that of the credential
	}{
		{"no JSON", "not JSON", 200, ""},
		{"another kind", `{"type":"authorized_user","refresh_token":"secret"}`, 200, ""},
		{"no key", `{"type":"service_account","client_email":"a","private_key":"rubbish","token_uri":"https://a.example/"}`, 200, ""},
		{"in the open", strings.Replace(good, "https:", "http:", 1), 200, ""},
		{"refused", good, 400, ""},
		{"busy", good, 503, providers.KindOverload},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.status = c.status
			a := auth.Google(func(context.Context) (string, error) { return c.key, nil }, o.Client())
			got, err := sign(t, a)
			e := (*providers.Error)(nil)
			if kind := providers.Kind(""); errors.As(err, &e) {
				kind = e.Kind
				if kind != c.kind {
					t.Errorf("kind %q, want %q", kind, c.kind)
				}
			} else if c.kind != "" {
				t.Errorf("no kind, want %q", c.kind)
			}
			if got != "" || err == nil || strings.Contains(err.Error(), "rubbish") || strings.Contains(err.Error(), "not with") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestGoogleReachesOnlyPublicAddresses(t *testing.T) {
	o := newOffice(t)
	text := o.account(t, "robot@acme.example")
	a := auth.Google(func(context.Context) (string, error) { return text, nil }, providers.TokenClient(nil))
	if _, err := sign(t, a); !errors.Is(err, providers.ErrNotPublic) || o.asked.Load() != 0 {
		t.Errorf("%v", err)
	}
}
