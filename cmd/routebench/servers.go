package main

import (
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
	chunkCount = 20
)

// serveUpstream is the mock provider: it answers at once, plain or streamed.
func serveUpstream(ctx context.Context, addr string) error {
	plain := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat(answerText, 3) + `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":256,"completion_tokens":80,"total_tokens":336}}`)
	chunk := func(delta, finish, more string) []byte {
		return []byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"bench","choices":[{"index":0,"delta":` +
			delta + `,"finish_reason":` + finish + `}]` + more + "}\n\n")
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(plain)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flusher := http.NewResponseController(w)
		_, _ = w.Write(chunk(`{"role":"assistant","content":""}`, "null", ""))
		for range chunkCount {
			_, _ = w.Write(chunk(`{"content":"eight ch"}`, "null", ""))
			_ = flusher.Flush()
		}
		_, _ = w.Write(chunk(`{}`, `"stop"`, ""))
		_, _ = w.Write([]byte(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767225600,"model":"bench","choices":[],"usage":{"prompt_tokens":256,"completion_tokens":20,"total_tokens":276}}` + "\n\n"))
		_, _ = w.Write([]byte("data: [DONE]\n\n"))
	}
	return serve(ctx, addr, http.HandlerFunc(handler))
}

// serveProxy is the bare proxy; arg is "address,upstream".
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
	return serve(ctx, addr, proxy)
}

func serve(ctx context.Context, addr string, h http.Handler) error {
	s := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s.ListenAndServe()
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitFor waits until something answers at url with a 2xx status.
func waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing answers at %s", url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
