package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/router"
	"tallyroute/router/limit"
)

func TestBadKeysAreRefused(t *testing.T) {
	g := newRig(t)
	unknown := newRig(t)
	unknown.verifier.err = billing.ErrUnknownKey
	want := bodyWithoutID(g.chat(hi, "Authorization", ""))
	wrongEnd := []byte(g.secret)
	wrongEnd[len(wrongEnd)-1] ^= 1
	for name, header := range map[string]string{
		"injection":      "Bearer ' OR 1=1--",
		"long":           "Bearer " + strings.Repeat("x", 20_000),
		"emoji":          "Bearer 🔑🔑🔑",
		"percent":        "Bearer %00",
		"empty":          "Bearer",
		"nothing":        "",
		"basic":          "Basic " + g.secret,
		"no scheme":      g.secret,
		"space inside":   "Bearer " + g.secret[:10] + " " + g.secret[10:],
		"wrong checksum": "Bearer " + string(wrongEnd),
		"cut":            "Bearer " + g.secret[:len(g.secret)-1],
		"upper case":     "Bearer " + strings.ToUpper(g.secret),
	} {
		r := g.chat(hi, "Authorization", header)
		r.refused(t, http.StatusUnauthorized, "invalid_api_key")
		if got := bodyWithoutID(r); got != want {
			t.Errorf("%s: another body: %s", name, got)
		}
		if r.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s: may be retried", name)
		}
	}
	if n := g.verifier.calls.Load(); n != 0 {
		t.Errorf("%d look-ups for keys that are none", n)
	}
	if got := bodyWithoutID(unknown.chat(hi)); got != want {
		t.Errorf("an unknown key reads %s", got)
	}
	if got := g.raw("GET /v1/key HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\x00b\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("NUL in a header: %q", got)
	}
	for _, scheme := range []string{"bearer", "BEARER"} {
		if r := g.chat(hi, "Authorization", scheme+" "+g.secret); r.StatusCode != 200 {
			t.Errorf("%s: %d", scheme, r.StatusCode)
		}
	}
}

func bodyWithoutID(r reply) string {
	return strings.ReplaceAll(r.body, r.Header.Get("X-Request-Id"), "")
}

func TestSmuggledRequestIsNotServed(t *testing.T) {
	g := newRig(t)
	auth := "Host: x\r\nAuthorization: Bearer " + g.secret + "\r\nContent-Type: application/json\r\n"
	second := "GET /v1/key HTTP/1.1\r\n" + auth + "\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hi), hi)
	for name, tc := range map[string]struct {
		head, body string
		status     []string
	}{
		"chunked":        {"Transfer-Encoding: chunked\r\n", chunked, []string{"200"}},
		"CL and TE":      {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", chunked, []string{"200", "400"}},
		"TE xchunked":    {"Transfer-Encoding: xchunked\r\n", chunked, []string{"400", "501"}},
		"two CL":         {"Content-Length: 4\r\nContent-Length: 5\r\n", "", []string{"400"}},
		"CL -1":          {"Content-Length: -1\r\n", "", []string{"400"}},
		"CL 2^64":        {"Content-Length: 18446744073709551616\r\n", "", []string{"400"}},
		"space in name":  {"Content-Length : 4\r\n", "", []string{"400"}},
		"CR in value":    {"X-A: a\rb\r\n", "", []string{"400"}},
		"bare LF chunks": {"Transfer-Encoding: chunked\r\n", strings.ReplaceAll(chunked, "\r\n", "\n"), []string{"200", "400"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := g.verifier.calls.Load()
			got := g.raw("POST /v1/chat/completions HTTP/1.1\r\n" + auth + tc.head + "\r\n" + tc.body + second)
			if n := strings.Count(got, "HTTP/1.1 "); n != 1 {
				t.Errorf("%d answers: %q", n, got)
			}
			ok := false
			for _, s := range tc.status {
				ok = ok || strings.HasPrefix(got, "HTTP/1.1 "+s)
			}
			if !ok {
				t.Errorf("want %v: %q", tc.status, got)
			}
			if n := g.verifier.calls.Load() - before; n > 1 {
				t.Errorf("%d requests were served", n)
			}
		})
	}
}

func TestTwoCredentialsAreRefused(t *testing.T) {
	g := newRig(t)
	other := strings.Replace(g.secret, "dev", "prod", 1)
	r := g.request(http.MethodGet, "/v1/key", "")
	r.Header["Authorization"] = []string{"Bearer " + g.secret, "Bearer " + g.secret}
	g.do(r).refused(t, http.StatusBadRequest, "ambiguous_credentials")
	g.get("/v1/key", "X-Api-Key", other).refused(t, http.StatusBadRequest, "ambiguous_credentials")
	g.get("/v1/key", "Api-Key", other).refused(t, http.StatusBadRequest, "ambiguous_credentials")
	g.get("/v1/key", "Authorization", "", "X-Api-Key", g.secret, "Api-Key", other).refused(t, http.StatusBadRequest,
		"ambiguous_credentials")
	if g.verifier.calls.Load() != 0 {
		t.Error("a key was looked up")
	}
	if r := g.get("/v1/key", "X-Api-Key", g.secret); r.StatusCode != 200 {
		t.Errorf("the same key twice: %d", r.StatusCode)
	}
}

func TestKeyInAURLOrACookieIsRefused(t *testing.T) {
	g := newRig(t)
	for _, header := range []string{"X-Api-Key", "Api-Key"} {
		if r := g.get("/v1/key", "Authorization", "", header, g.secret); r.StatusCode != 200 {
			t.Errorf("%s: %d", header, r.StatusCode)
		}
	}
	for _, query := range []string{"api_key=" + g.secret, "api-key=x", "key=x", "access_token=x", "x=" + g.secret, "API_KEY=x"} {
		g.get("/v1/key?"+query).refused(t, http.StatusBadRequest, "key_in_url")
	}
	g.get("/v1/key", "Authorization", "", "Cookie", "api_key="+g.secret).refused(t, http.StatusUnauthorized, "invalid_api_key")
}

func TestHeadersAreBounded(t *testing.T) {
	g := newRig(t)
	if got := g.raw("GET /v1/key HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 40<<10) + "\r\n\r\n"); !strings.HasPrefix(got,
		"HTTP/1.1 431") {
		t.Errorf("40 KiB of header: %.100q", got)
	}
	if got := g.raw("GET /v1/key HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a: b\r\n", 20_000) + "\r\n"); !strings.HasPrefix(got,
		"HTTP/1.1 431") {
		t.Errorf("20,000 fields: %.100q", got)
	}
	r := g.request(http.MethodGet, "/v1/key", "")
	for i := range 101 {
		r.Header.Add("X-Many", fmt.Sprint(i))
	}
	g.do(r).refused(t, http.StatusRequestHeaderFieldsTooLarge, "too_many_headers")
}

func TestLargeBodiesAreRefused(t *testing.T) {
	const limit = 1 << 20
	g := newRig(t, func(o *Options) { o.Limits.Body = limit })
	body := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("a", limit) + `"}]}`
	e := g.chat(body).refused(t, http.StatusRequestEntityTooLarge, "request_too_large")
	if m := e["message"].(string); !strings.Contains(m, fmt.Sprint(len(body))) || !strings.Contains(m, fmt.Sprint(limit)) {
		t.Errorf("message %q", m)
	}
	for _, size := range []int{100, 64<<10 - 1, 64 << 10, 64<<10 + 1, limit} {
		b := hi[:len(hi)-1] + strings.Repeat(" ", size-len(hi)) + "}"
		for _, announced := range []int64{int64(size), -1} {
			r := g.request(http.MethodPost, "/v1/chat/completions", b)
			r.ContentLength = announced
			if r := g.do(r); r.StatusCode != 200 {
				t.Errorf("%d bytes, announced as %d: %d %s", size, announced, r.StatusCode, r.body)
			}
		}
	}
	endless := &counting{}
	r := g.request(http.MethodPost, "/v1/chat/completions", "x")
	r.Body, r.ContentLength = io.NopCloser(io.LimitReader(endless, 100<<20)), -1
	if resp, err := g.client.Do(r); err == nil { // the refusal may arrive while we are still writing
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("endless: %d %s", resp.StatusCode, got)
		}
	}
	if n := endless.n.Load(); n > 16<<20 {
		t.Errorf("%d bytes were taken of a body that is refused after %d", n, limit)
	}
}

// counting is an endless body.
type counting struct{ n atomic.Int64 }

func (c *counting) Read(p []byte) (int, error) {
	clear(p) // NULs will do
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestKeyThatHoldsTooMuchIsRefusedAndOthersAreNot fills the share of one key with a body that
// is stalled, and releases it.
func TestKeyThatHoldsTooMuchIsRefusedAndOthersAreNot(t *testing.T) {
	budget := limit.NewBytes(100_000, 1<<20)
	g := newRig(t, func(o *Options) { o.Bytes = budget })
	long := hi[:len(hi)-1] + strings.Repeat(" ", 90_000) + "}"
	conn := g.dial()
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: "+
		"%d\r\n\r\n%s", g.secret, len(long), long[:80_000])
	prove.Eventually(t, "what is announced of the body is held", func() bool { return budget.Used() == int64(len(long)) })
	r := g.chat(hi[:len(hi)-1] + strings.Repeat(" ", 5<<20) + "}") // more than a connection buffers by itself
	r.refused(t, http.StatusTooManyRequests, "too_many_bytes_in_flight")
	if r.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", r.Header.Get("Retry-After"))
	}
	if r := g.chat(hi); r.StatusCode != 200 {
		t.Errorf("a short one of the same key: %d %s", r.StatusCode, r.body)
	}
	fmt.Fprint(conn, long[80_000:])
	if got := g.rest(conn); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("the one that was held up: %.300q", got)
	}
	prove.Eventually(t, "nothing is held any more", func() bool { return budget.Used() == 0 })
	if r := g.chat(long); r.StatusCode != 200 {
		t.Errorf("once there is room again: %d %s", r.StatusCode, r.body)
	}
}

func TestBodyThatIsNotDeclaredAsPlainJSONIsRefused(t *testing.T) {
	g := newRig(t)
	for _, encoding := range []string{"br", "deflate", "gzip, gzip", "zstd"} {
		g.chat(hi, "Content-Encoding", encoding).refused(t, http.StatusUnsupportedMediaType, "unsupported_content_encoding")
	}
	g.chat(hi, "Content-Encoding", "gzip").refused(t, http.StatusBadRequest, "incomplete_body")
	for _, media := range []string{
		"text/plain", "multipart/form-data; boundary=x", "application/json; charset=latin1", "json",
		"application/xml",
	} {
		g.chat(hi, "Content-Type", media).refused(t, http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	for _, media := range []string{
		"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8",
		"Application/JSON", "", "application/x-www-form-urlencoded",
	} {
		if r := g.chat(hi, "Content-Type", media); r.StatusCode != 200 {
			t.Errorf("%q: %d %s", media, r.StatusCode, r.body)
		}
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	g := newRig(t, func(o *Options) {
		o.Limits.ReadHeader, o.Limits.ReadBody = time.Second, 2*time.Second
	})
	t.Run("header", func(t *testing.T) {
		if got := g.raw("GET /v1/key HTTP/1.1\r\nHost: x\r\nX-A: "); strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%q", got)
		}
	})
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + g.secret + "\r\n"
	t.Run("body", func(t *testing.T) {
		got := g.raw(head + "Content-Length: 100\r\n\r\n{")
		if !strings.HasPrefix(got, "HTTP/1.1 408") || !strings.Contains(got, `"code":"request_timeout"`) {
			t.Errorf("%q", got)
		}
	})
	t.Run("body of unknown length", func(t *testing.T) {
		if got := g.raw(head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"); !strings.HasPrefix(got, "HTTP/1.1 408") {
			t.Errorf("%q", got)
		}
	})
	t.Run("body without a key", func(t *testing.T) { // refused at once, without waiting for the rest of its body
		got := g.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		if !strings.HasPrefix(got, "HTTP/1.1 401") {
			t.Errorf("%q", got)
		}
	})
	t.Run("cut body", func(t *testing.T) {
		conn := g.dial()
		fmt.Fprint(conn, head+"Content-Length: 100\r\n\r\n{")
		_ = conn.(*net.TCPConn).CloseWrite()
		if got := g.rest(conn); got != "" && !strings.HasPrefix(got, "HTTP/1.1 400") {
			t.Errorf("%q", got)
		}
	})
	if r := g.chat(hi); r.StatusCode != 200 {
		t.Errorf("others: %d", r.StatusCode)
	}
}

// TestBodyDeadlineEnds checks that a request may take longer than its body.
func TestBodyDeadlineEnds(t *testing.T) {
	g := newRig(t, func(o *Options) { o.Limits.ReadBody = time.Second })
	g.sender.play = func(ctx context.Context, _ providers.Exchange) (*providers.Answer, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(1500 * time.Millisecond):
			return plainAnswer(), nil
		}
	}
	for range 2 { // on one connection
		if r := g.chat(hi); r.StatusCode != 200 {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
	}
}

func TestSpoofedAddressIsIgnored(t *testing.T) {
	spoofs := []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"}
	seen := make(chan netip.Addr, 1)
	spy := func(o *Options) { o.Router = spyRouter{o.Router, seen} }
	g := newRig(t, spy)
	for _, h := range spoofs {
		g.get("/v1/key", h, "10.1.2.3")
		if from := <-seen; from != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("%s: taken for %s", h, from)
		}
	}
	g = newRig(t, spy, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for header, want := range map[string]string{
		"203.0.113.7":                "203.0.113.7",
		"10.1.2.3, 203.0.113.7":      "203.0.113.7", // only what the proxy itself has added counts
		"203.0.113.7, 127.0.0.9":     "203.0.113.7",
		"10.0.0.1, 203.0.113.7:4711": "203.0.113.7", // some proxies write it this way
		"[2001:db8::7]:4711":         "2001:db8::7",
		"[2001:db8::7]":              "2001:db8::7",
		"::ffff:203.0.113.7":         "203.0.113.7",
		"nonsense":                   "invalid IP",
		"203.0.113.7, unknown":       "invalid IP",
		"203.0.113.7,":               "invalid IP",
		"unknown, 203.0.113.7":       "203.0.113.7",
	} {
		g.get("/v1/key", "X-Forwarded-For", header)
		if from := <-seen; from.String() != want {
			t.Errorf("%s: taken for %s, want %s", header, from, want)
		}
	}
	g.get("/v1/key", "X-Real-Ip", "10.1.2.3")
	if from := <-seen; from != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("X-Real-IP: taken for %s", from)
	}
}

type spyRouter struct {
	Router
	seen chan netip.Addr
}

func (s spyRouter) Self(ctx context.Context, c router.Caller) (*billing.Key, []billing.Balance, error) {
	s.seen <- c.From
	return s.Router.Self(ctx, c)
}

func TestOddPathsAreNotFound(t *testing.T) {
	g := newRig(t)
	auth := "Host: x\r\nConnection: close\r\nAuthorization: Bearer " + g.secret + "\r\n"
	for _, line := range []string{
		"GET //v1/..", "GET /v1%2fkey", "GET /v1/%6bey", "GET /openai/key", "GET /key", "POST /V1/chat/completions",
		"GET /v1/%2e%2e/v1/key", "GET /v1/../v1/key",
		"GET http://evil.example/v1/key", "TRACE /v1/key", "DELETE /v1/key", "GET /v1/chat/completions", "OPTIONS *",
		"OPTIONS /v1/chat/completions", "CONNECT evil.example:443", "GET /", "FOO /v1/key", "POST /v1/key",
	} {
		got := g.raw(line + " HTTP/1.1\r\n" + auth + "X-HTTP-Method-Override: GET\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 404") && !strings.HasPrefix(got, "HTTP/1.1 405") {
			t.Errorf("%s: %.80q", line, got)
		}
		if strings.Contains(got, "\r\nLocation:") || !strings.Contains(got, `{"error":{`) {
			t.Errorf("%s: %q", line, got)
		}
	}
	got := g.raw("GET /v1/key HTTP/1.1\r\n" + strings.Replace(auth, "Connection: close",
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", 1) + "Connection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("h2c: %.80q", got)
	}
	if r := g.do(g.request(http.MethodDelete, "/v1/key", "")); r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", r.Header.Get("Allow"))
	}
}

func TestOtherOriginsGetNothing(t *testing.T) {
	g := newRig(t)
	for _, origin := range []string{"https://evil.example", "null"} {
		for _, r := range []reply{
			g.do(g.request(http.MethodOptions, "/v1/chat/completions", "", "Origin", origin, "Access-Control-Request-Method", "POST")),
			g.chat(hi, "Origin", origin),
		} {
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s: %s", origin, name)
				}
			}
		}
	}
}

func TestOldestIdleConnectionsAreClosed(t *testing.T) {
	const most = 20
	g := newRig(t, func(o *Options) { o.Limits.Connections, o.Limits.ReadHeader = most, time.Minute })
	var started sync.WaitGroup
	started.Add(1)
	release := make(chan struct{})
	g.sender.play = func(context.Context, providers.Exchange) (*providers.Answer, error) {
		started.Done()
		<-release
		return plainAnswer(), nil
	}
	var busy reply
	var wg sync.WaitGroup
	wg.Go(func() { busy = g.chat(hi) })
	started.Wait()

	conns := make([]net.Conn, 3*most)
	for i := range conns {
		conns[i] = g.dial()
	}
	for _, c := range conns[:2*most] { // the oldest have been closed
		g.rest(c)
	}
	g.sender.play = nil
	if r := g.get("/v1/key"); r.StatusCode != 200 {
		t.Errorf("others: %d", r.StatusCode)
	}
	close(release)
	wg.Wait()
	if busy.StatusCode != 200 {
		t.Errorf("the request that was under way: %d", busy.StatusCode)
	}
}
