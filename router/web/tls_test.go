package web

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/router/certificate"
	"tallyroute/router/certificate/certtest"
)

// encryptedServer serves h over TLS, and trusts is how clients verify it.
type encryptedServer struct {
	*Server
	addr   string
	trusts *tls.Config
}

func serveTLS(t *testing.T, l Limits, h http.Handler, tell func(*http.Request)) *encryptedServer {
	t.Helper()
	ca := certtest.New(t)
	cert, key := ca.Leaf(t, "router", time.Now().Add(time.Hour)).Write(t, t.TempDir())
	k, err := certificate.Open(certificate.Files{Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(l.WithDefaults(), NewListener(Listener{}).Log)
	s.Strict, s.TLSConfig = 24*time.Hour, k.Config()
	s.Handle(h)
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(Encrypted(listening, tell), "", "") }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := prove.Receive(t, "the end of the server", done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &encryptedServer{s, listening.Addr().String(), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}}
}

// client returns a client that speaks HTTP/2, or HTTP/1.1 only.
func (s *encryptedServer) client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(protocol == "HTTP/1.1")
	protocols.SetHTTP2(protocol == "HTTP/2.0")
	transport := &http.Transport{TLSClientConfig: s.trusts.Clone(), Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestBothVersionsOfHTTPAreSpokenOverTLS(t *testing.T) {
	s := serveTLS(t, Limits{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}), nil)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		resp, err := s.client(t, protocol).Post("https://"+s.addr, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.Proto != protocol || string(body) != "hello" {
			t.Errorf("%s: %s answers %q", protocol, resp.Proto, body)
		}
		if got := resp.Header.Get("Strict-Transport-Security"); got != "max-age=86400" {
			t.Errorf("%s: Strict-Transport-Security is %q", protocol, got)
		}
	}
}

func TestPlainHTTPAtAPortForTLSIsAnsweredAndTold(t *testing.T) {
	told := make(chan *http.Request, 1)
	s := serveTLS(t, Limits{}, http.NotFoundHandler(), func(r *http.Request) { told <- r })
	for _, body := range []string{"", strings.Repeat("x", 100_000)} {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v1/models", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer sk-secret")
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(text), CodeClear) ||
			strings.Contains(string(text), "secret") {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
		r := prove.Receive(t, "the request in clear", told)
		if r.Header.Get("Authorization") != "Bearer sk-secret" || !strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") {
			t.Errorf("told of %v from %s", r.Header, r.RemoteAddr)
		}
	}
}

func TestWhatOthersMayHaveReadIsClear(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.2/32")}
	for _, c := range []struct {
		what, from string
		tls        bool
		header     http.Header
		clear      bool
	}{
		{"another host", "203.0.113.9:1", false, nil, true},
		{"another host over TLS", "203.0.113.9:1", true, nil, false},
		{"this host", "127.0.0.1:1", false, nil, false},
		{"this host, IPv6", "[::1]:1", false, nil, false},
		{"this host, as IPv6", "[::ffff:127.0.0.1]:1", false, nil, false},
		{"another host that says https", "203.0.113.9:1", false, http.Header{"X-Forwarded-Proto": {"https"}}, true},
		{"a proxy that says https", "10.1.1.1:1", false, http.Header{"X-Forwarded-Proto": {"HTTPS"}}, false},
		{"a proxy that says http", "10.1.1.1:1", false, http.Header{"X-Forwarded-Proto": {"http"}}, true},
		{"a proxy over TLS that says http", "10.1.1.1:1", true, http.Header{"X-Forwarded-Proto": {"http"}}, true},
		{"a proxy behind one that says http", "10.1.1.1:1", false, http.Header{"X-Forwarded-Proto": {"http, https"}}, true},
		{"said twice", "10.1.1.1:1", false, http.Header{"X-Forwarded-Proto": {"https", "http"}}, true},
		{"a proxy that says nothing", "10.1.1.1:1", false, nil, true},
		{"a proxy over TLS that asks for itself", "10.1.1.1:1", true, nil, false},
		{"a proxy over TLS that does not say", "10.1.1.1:1", true, http.Header{"X-Forwarded-For": {"203.0.113.9"}}, true},
		{"a proxy on this host that says http", "127.0.0.2:1", false, http.Header{"X-Forwarded-Proto": {"http"}}, true},
		{"no address", "@", false, nil, true},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: c.header}
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := Clear(r, proxies); got != c.clear {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
