package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/router/certificate"
	"tallyroute/router/certificate/certtest"
	"tallyroute/router/web"
)

// encrypt makes the rig listen over TLS, too; its client calls that address from then on.
func (g *rig) encrypt(protocol string) {
	g.t.Helper()
	ca := certtest.New(g.t)
	cert, key := ca.Leaf(g.t, "router", time.Now().Add(time.Hour)).Write(g.t, g.t.TempDir())
	k, err := certificate.Open(certificate.Files{Cert: cert, Key: key})
	if err != nil {
		g.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	s := Bare(web.Limits{}, zap.NewNop())
	s.TLSConfig, s.Handler = k.Config(), g.http.Handler
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(web.Encrypted(l, nil), "", "") }()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetHTTP2(protocol == "HTTP/2.0")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, Protocols: protocols}
	g.client, g.addr = &http.Client{Transport: transport}, l.Addr().String()
	g.t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = s.Shutdown(ctx) // waits for connections
		<-done
	})
}

// overTLS is like request, but over TLS.
func (g *rig) overTLS(method, path, body string) *http.Request {
	req := g.request(method, path, body)
	req.URL.Scheme = "https"
	return req
}

func TestRequestsAreAnsweredOverTLS(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			g := newRig(t)
			g.encrypt(protocol)
			plain := g.do(g.overTLS(http.MethodPost, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
			if plain.StatusCode != http.StatusOK || plain.Proto != protocol || plain.Header.Get("X-Tallyroute-Cost-Usd") == "" {
				t.Errorf("%s, status %d: %s", plain.Proto, plain.StatusCode, plain.body)
			}
			g.waitSettled()
			large := g.overTLS(http.MethodPost, "/v1/chat/completions", `{"model":"m","pad":"`+strings.Repeat("x", 11<<20)+`"}`)
			if resp, err := g.client.Do(large); err == nil { // or it is told while it is still sending
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("a body of 11 MiB: status %d", resp.StatusCode)
				}
			}
		})
	}
}

func TestKeyThatComesInClearFromAnotherHostIsRefusedAndTold(t *testing.T) {
	type exposure struct {
		text string
		from netip.Addr
	}
	told := make(chan exposure, 10)
	g := newRig(t, func(o *Options) {
		o.RequireTLS, o.TrustedProxies = true, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		o.Exposed = func(text string, from netip.Addr) { told <- exposure{text, from} }
	})
	ask := func(from string, header ...string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer "+g.secret)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.http.Handler.ServeHTTP(w, r)
		return w
	}
	for from, header := range map[string][]string{
		"203.0.113.9:1000": nil,
		"10.0.0.7:1000":    {"X-Forwarded-Proto", "http", "X-Forwarded-For", "203.0.113.9"},
	} {
		w := ask(from, header...)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `"tls_required"`) ||
			strings.Contains(w.Body.String(), g.secret) {
			t.Errorf("from %s: %d %s", from, w.Code, w.Body)
		}
		if e := prove.Receive(t, "the exposure", told); e.text != g.secret || e.from != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("from %s: told of %q from %s", from, e.text, e.from)
		}
	}
	for from, header := range map[string][]string{
		"127.0.0.1:1000": nil,
		"10.0.0.7:1000":  {"X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.9"},
	} {
		if w := ask(from, header...); w.Code != http.StatusOK {
			t.Errorf("from %s: %d %s", from, w.Code, w.Body)
		}
	}
	if n := g.verifier.calls.Load(); n != 2 {
		t.Errorf("%d keys were looked up, want those of 2 requests", n)
	}
	if len(told) > 0 {
		t.Errorf("told of %v", <-told)
	}
}

// Anything that shows a secret is refused in plain text, with or without a key.
func TestSecretsAreNotShownInClear(t *testing.T) {
	g := newRig(t, func(o *Options) {
		o.RequireTLS = true
		o.Handover = func(context.Context, string, string) (Handed, error) { return Handed{Secret: "sk-shown"}, nil }
	})
	for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: `{"token":"x"}`} {
		r := httptest.NewRequest(method, "/handover", bytes.NewBufferString(body))
		r.RemoteAddr = "203.0.113.9:1"
		w := httptest.NewRecorder()
		g.http.Handler.ServeHTTP(w, r)
		if text, _ := io.ReadAll(w.Body); w.Code != http.StatusForbidden || !strings.Contains(string(text), "tls_required") {
			t.Errorf("%s: %d %s", method, w.Code, text)
		}
	}
}
