package federation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tallyroute/billing/policy"
)

// platform signs tokens like a platform that runs jobs.
type platform struct {
	*httptest.Server
	t       *testing.T
	keys    map[string]crypto.Signer
	public  map[string]bool
	fetched atomic.Int64
	away    atomic.Bool
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, keys: make(map[string]crypto.Signer), public: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		if p.away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var set jose.JSONWebKeySet
		for id := range p.public {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: p.keys[id].Public(), KeyID: id, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *platform) key(id string) {
	p.t.Helper()
	var err error
	if strings.HasPrefix(id, "rsa") {
		p.keys[id], err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		p.keys[id], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.public[id] = true
}

func (p *platform) token(id string, claims map[string]any) string {
	p.t.Helper()
	algorithm := jose.ES256
	if strings.HasPrefix(id, "rsa") {
		algorithm = jose.RS256
	}
	return p.sign(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: p.keys[id], KeyID: id}}, claims)
}

func (p *platform) sign(key jose.SigningKey, claims map[string]any) string {
	p.t.Helper()
	all := map[string]any{
		"iss": p.URL, "sub": "repo:acme/app:ref:refs/heads/main", "aud": "tallyroute", "repository": "acme/app",
		"iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Add(10 * time.Minute).Unix(),
	}
	maps.Copy(all, claims)
	text, err := json.Marshal(all)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func (p *platform) exchange() *Exchange {
	p.t.Helper()
	bind := func(when string, b Binding) Binding {
		var err error
		if b.When, err = policy.CompileClaims(when); err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	return New([]Issuer{{URL: p.URL, Audience: "tallyroute", Bindings: []Binding{
		bind(`claims.repository == "acme/app" && claims.env == "prod"`, Binding{Key: "key_prod", Life: 5 * time.Minute}),
		bind(`claims.repository == "acme/app"`, Binding{Key: "key_dev", Direct: true}),
	}}}, p.Client())
}

func TestTokenUsesTheKeyThatItsClaimsAreFor(t *testing.T) {
	p := newPlatform(t)
	p.key("rsa1")
	p.key("ec1")
	x := p.exchange()
	for _, id := range []string{"rsa1", "ec1"} {
		k, err := x.Key(t.Context(), p.token(id, map[string]any{"env": "prod"}), noon)
		if err != nil {
			t.Fatal(err)
		}
		if k.KeyID != "key_prod" || !k.Until().Equal(noon.Add(5*time.Minute)) || k.Issuer != p.URL ||
			k.Subject != "repo:acme/app:ref:refs/heads/main" {
			t.Errorf("by %s: %+v", id, k)
		}
		o, err := x.Open(t.Context(), p.token(id, nil), noon)
		if err != nil {
			t.Fatal(err)
		}
		if o.KeyID != "key_dev" || o.Until().After(noon.Add(11*time.Minute)) {
			t.Errorf("by %s: %+v", id, o.Key)
		}
	}
	if _, err := x.Open(t.Context(), p.token("ec1", map[string]any{"env": "prod"}), noon); !errors.Is(err, ErrRefused) {
		t.Errorf("one that is to be exchanged opens: %v", err)
	}
	if n := p.fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestTokenThatIsNotGoodIsRefused(t *testing.T) {
	p, other := newPlatform(t), newPlatform(t)
	p.key("ec1")
	other.key("ec1")
	x := p.exchange()
	good := p.token("ec1", nil)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"of another audience":       p.token("ec1", map[string]any{"aud": "elsewhere"}),
		"without an audience":       p.token("ec1", map[string]any{"aud": nil}),
		"of another issuer":         other.token("ec1", nil),
		"signed by another":         other.token("ec1", map[string]any{"iss": p.URL}),
		"of nobody":                 p.token("ec1", map[string]any{"sub": ""}),
		"of another repository":     p.token("ec1", map[string]any{"repository": "acme/app2"}),
		"without the claim":         p.token("ec1", map[string]any{"repository": nil}),
		"with a claim of its own":   p.token("ec1", map[string]any{"repository": []string{"acme/app"}}),
		"that has ended":            p.token("ec1", map[string]any{"exp": noon.Add(-31 * time.Second).Unix()}),
		"without an end":            p.token("ec1", map[string]any{"exp": nil}),
		"of the future":             p.token("ec1", map[string]any{"nbf": noon.Add(time.Minute).Unix()}),
		"made in the future":        p.token("ec1", map[string]any{"iat": noon.Add(time.Minute).Unix()}),
		"of the secret of a client": p.sign(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, nil),
		"without a signature":       parts[0] + "." + parts[1] + ".",
		"with other claims":         parts[0] + "." + strings.Split(p.token("ec1", map[string]any{"env": "prod"}), ".")[1] + "." + parts[2],
		"that is too long":          good + strings.Repeat("A", longest),
		"that is none":              "eyJ..",
	} {
		for _, x := range []*Exchange{x, x, p.exchange()} { // the last one has not fetched any keys yet
			if k, err := x.Key(t.Context(), token, noon); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %+v, %v", name, k, err)
			}
		}
	}
	if _, err := x.Key(t.Context(), good, noon.Add(11*time.Minute)); !errors.Is(err, ErrRefused) {
		t.Errorf("after its end: %v", err)
	}
}

func TestKeysOfAnIssuerAreFetchedOnceAMinute(t *testing.T) {
	p := newPlatform(t)
	p.key("ec1")
	x := p.exchange()
	if _, err := x.Key(t.Context(), p.token("ec1", nil), noon); err != nil {
		t.Fatal(err)
	}
	p.key("ec2")
	token := p.token("ec2", nil)
	for range 10 {
		if _, err := x.Key(t.Context(), token, noon); !errors.Is(err, ErrRefused) {
			t.Errorf("by a key that is not known yet: %v", err)
		}
	}
	if n := p.fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times in a minute", n)
	}
	k := x.issuers[p.URL].keys
	k.asked = k.asked.Add(-refetch)
	if _, err := x.Key(t.Context(), token, noon); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	delete(p.public, "ec2")
	k.asked, k.got = k.asked.Add(-refetch), k.got.Add(-refresh)
	if _, err := x.Key(t.Context(), token, noon.Add(recheck)); !errors.Is(err, ErrRefused) {
		t.Errorf("by a key that was withdrawn: %v", err)
	}
}

func TestIssuerThatIsAway(t *testing.T) {
	p := newPlatform(t)
	p.key("ec1")
	p.away.Store(true)
	x := p.exchange()
	token := p.token("ec1", nil)
	for range 3 {
		if _, err := x.Key(t.Context(), token, noon); !errors.Is(err, ErrUnavailable) {
			t.Errorf("before its keys are known: %v", err)
		}
	}
	p.away.Store(false)
	k := x.issuers[p.URL].keys
	k.asked = k.asked.Add(-refetch)
	if _, err := x.Key(t.Context(), token, noon); err != nil {
		t.Fatal(err)
	}
	p.away.Store(true)
	k.asked, k.got = k.asked.Add(-refetch), k.got.Add(-refresh)
	if _, err := x.Key(t.Context(), p.token("ec1", map[string]any{"jti": "2"}), noon); err != nil {
		t.Errorf("with keys that it had: %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	t := &testing.T{}
	p := newPlatform(t)
	defer p.Close()
	for _, id := range []string{"rsa", "ec"} {
		p.key(id)
		x := p.exchange()
		token := p.token(id, nil)
		if _, err := x.Open(b.Context(), token, noon); err != nil {
			b.Fatal(err)
		}
		b.Run(id+"/cold", func(b *testing.B) {
			for b.Loop() {
				if _, err := x.check(b.Context(), token, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(id+"/warm", func(b *testing.B) {
			for b.Loop() {
				if _, err := x.Open(b.Context(), token, noon); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestKeysAreTakenFromSafeAddresses(t *testing.T) {
	for at, want := range map[string]bool{
		"https://issuer.example.com/keys":     true,
		"http://127.0.0.1:8080/keys":          true,
		"http://localhost/keys":               true,
		"http://issuer.example.com/keys":      false,
		"http://localhost:80@evil.example/k":  false,
		"https://a:b@issuer.example.com/keys": false,
		"http://localhost.evil.example/keys":  false,
		"https:///keys":                       false,
		"ftp://127.0.0.1/keys":                false,
		"":                                    false,
	} {
		if got := Safe(at); got != want {
			t.Errorf("%q: %t, want %t", at, got, want)
		}
	}
}
