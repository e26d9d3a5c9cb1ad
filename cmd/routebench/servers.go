package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

const (
	answerText = "The quick brown fox jumps over the lazy dog while the accountants count every token that it takes to say so, twice. "
	answerSize = 400
	chunkCount = 100
)

// mock is a provider that answers at once, plain or streamed. It speaks raw HTTP, so that it
// costs less than what is being measured.
type mock struct {
	plain  []byte
	stream [][]byte // each element is written at once
}

// newMock answers prompts of this many tokens.
func newMock(prompt int) mock {
	const (
		details = `,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,` +
			`"audio_tokens":0}}`
		prefix = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"bench",` +
			`"service_tier":"default","choices":[`
	)
	used := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":100,"total_tokens":%d`, prompt, prompt+100) + details
	answer := `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"bench","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"` +
		strings.Repeat(answerText, 4)[:answerSize] +
		`","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":` + used + "}"
	m := mock{plain: fmt.Appendf(nil, plainHead, len(answer), answer)}
	chunk := func(delta, finish string) string {
		return framed(prefix + `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}` + "\n\n")
	}
	next := streamHead + chunk(`{"role":"assistant","content":"","refusal":null}`, "null")
	for range chunkCount { // one token each in every vocabulary, matching the usage
		m.stream = append(m.stream, []byte(next+chunk(`{"content":" account"}`, "null")))
		next = ""
	}
	end := chunk(`{}`, `"stop"`) + framed(prefix+`],"usage":`+used+"}\n\n") +
		framed("data: [DONE]\n\n") + "0\r\n\r\n"
	m.stream = append(m.stream, []byte(end))
	return m
}

// framed returns text as one HTTP chunk.
func framed(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// tokens returns roughly how many tokens a prompt of that size has. A report far below that
// would be disputed, which costs more than what is being measured.
func tokens(size int) int { return size / 4 }

// serveUpstream runs the mock provider.
func serveUpstream(ctx context.Context, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	short, long, natives := newMock(tokens(1<<10)), newMock(tokens(4<<10)), nativeMocks()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(conn, func(path string, size int) mock { return mockFor(path, natives, short, long, size) })
	}
}

// serve answers on one connection until it ends.
func serve(conn net.Conn, of func(path string, size int) mock) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		m := of(req.URL.Path, len(body))
		parts := [][]byte{m.plain}
		if bytes.Contains(body, []byte(`"stream":true`)) {
			parts = m.stream
		}
		for _, part := range parts {
			if _, err := conn.Write(part); err != nil {
				return
			}
		}
	}
}

// serveProxy runs the bare proxy; arg is "address,upstream". It reads a request's body before
// forwarding it, as the router does: a proxy that copies the body as it arrives occasionally
// cuts off an answer, which net/http cannot prevent.
func serveProxy(ctx context.Context, arg string) error {
	addr, upstream, _ := strings.Cut(arg, ",")
	target, err := url.Parse("http://" + upstream)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
	s := &http.Server{
		Addr: addr, ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			proxy.ServeHTTP(w, r)
		}),
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s.ListenAndServe()
}

// freeAddress returns an unused loopback address.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
