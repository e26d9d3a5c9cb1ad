package providers_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/openai"
	pt "tallyroute/providers/providertest"
)

// These benchmarks compare the client with a bare http.Client on the same upstream, to show
// what a call costs beyond its transport. The upstream does as little as possible, so that
// the CPU time of the process is nearly that of the caller.

// canned answers every request of size bytes with the same parts.
func canned(b *testing.B, size int, parts ...string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveCanned(conn, size, parts)
		}
	}()
	return "http://" + l.Addr().String()
}

func serveCanned(conn net.Conn, size int, parts []string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := r.Discard(size); err != nil {
			return
		}
		for _, p := range parts {
			if _, err := io.WriteString(conn, p); err != nil {
				return
			}
		}
	}
}

func plainParts() []string {
	body := pt.Completion("m", strings.Repeat("word ", 200), 3, 200)
	return []string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}
}

func streamParts() []string {
	parts := []string{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"}
	chunk := func(text string) { parts = append(parts, fmt.Sprintf("%x\r\n%s\r\n", len(text), text)) }
	for _, d := range pt.Chunks("m", 3, 20, strings.Fields(strings.Repeat("word ", 17))...) {
		chunk("data: " + d + "\n\n")
	}
	chunk("data: [DONE]\n\n")
	return append(parts, "0\r\n\r\n")
}

// cpu reports the CPU time used, which does not depend on the load of the machine.
func cpu(b *testing.B, f func()) {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	b.ReportAllocs()
	before := used()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op")
}

func bare(b *testing.B, url, body string) {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
	b.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr}
	cpu(b, func() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/chat/completions", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+canary)
		resp, err := c.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	})
}

func ours(b *testing.B, url, body string) {
	c := client(b, providers.Options{})
	x := exchange(b, pt.NewUpstream(b), body)
	x.Target.BaseURL = url
	cpu(b, func() {
		a, err := c.Do(context.Background(), x)
		if err != nil {
			b.Fatal(err)
		}
		for a.Stream != nil {
			if _, err := a.Stream.Next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		_ = a.Close()
	})
}

func BenchmarkPlain(b *testing.B) {
	b.Run("bare", func(b *testing.B) { bare(b, canned(b, len(ask), plainParts()...), ask) })
	b.Run("client", func(b *testing.B) { ours(b, canned(b, len(ask), plainParts()...), ask) })
}

func BenchmarkStream20(b *testing.B) {
	b.Run("bare", func(b *testing.B) { bare(b, canned(b, len(askStream), streamParts()...), askStream) })
	b.Run("client", func(b *testing.B) { ours(b, canned(b, len(askStream), streamParts()...), askStream) })
}

// BenchmarkStreamRead measures what the adapter and the client add to reading bytes.
func BenchmarkStreamRead(b *testing.B) {
	var text bytes.Buffer
	for _, d := range pt.Chunks("m", 3, 1000, strings.Fields(strings.Repeat("word ", 1000))...) {
		text.WriteString("data: " + d + "\n\n")
	}
	x := exchange(b, pt.NewUpstream(b), askStream)
	b.SetBytes(int64(text.Len()))
	cpu(b, func() {
		s := openai.New().Chat.Stream(x, io.NopCloser(bytes.NewReader(text.Bytes())))
		for {
			if _, err := s.Next(); err != nil {
				break
			}
		}
	})
}
