package providertest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// The HTTP/2 frame types and error codes that tests write.
const (
	FrameData, FrameHeaders, FrameReset, FrameSettings, FrameGoAway byte = 0, 1, 3, 4, 7

	NoError, InternalError         uint32 = 0, 2
	RefusedStream, EnhanceYourCalm uint32 = 7, 11

	endStream  = 1
	endHeaders = 4

	preface int64 = 24
)

// Wire is a server's connection on which HTTP/2 frames are written by hand.
type Wire struct{ net.Conn }

// Frame writes a frame without flags.
func (w Wire) Frame(kind byte, stream uint32, payload ...byte) { w.flagged(kind, 0, stream, payload) }

func (w Wire) flagged(kind, flags byte, stream uint32, payload []byte) {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8|uint32(kind))
	head[4] = flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = w.Write(append(head, payload...))
}

// Head begins a response with status 200.
func (w Wire) Head(stream uint32, contentType string) {
	const ok, contentTypeIs = 0x88, "\x0f\x10" // by their numbers in the static table
	w.flagged(FrameHeaders, endHeaders, stream, append([]byte{ok}, contentTypeIs+string(rune(len(contentType)))+contentType...))
}

// End writes the last piece of a response.
func (w Wire) End(stream uint32, text string) { w.flagged(FrameData, endStream, stream, []byte(text)) }

// Numbers returns the payload of a frame that consists of numbers.
func Numbers(list ...uint32) (b []byte) {
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// request waits until the next request has arrived completely.
func (w Wire) request() (stream uint32, ok bool) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(w, head[:]); err != nil {
			return 0, false
		}
		length := int64(binary.BigEndian.Uint32(head[:]) >> 8)
		if _, err := io.CopyN(io.Discard, w, length); err != nil {
			return 0, false
		}
		if kind := head[3]; (kind == FrameData || kind == FrameHeaders) && head[4]&endStream != 0 {
			return binary.BigEndian.Uint32(head[5:]), true
		}
	}
}

// HTTP2 is a server whose frames are written by hand.
type HTTP2 struct {
	URL   string
	Cert  *x509.Certificate // its own, which clients have to trust
	Asked atomic.Int64      // number of requests
}

// NewHTTP2 starts a server that calls answer to respond to every request with HTTP/2 frames.
func NewHTTP2(t testing.TB, answer func(w Wire, stream uint32)) *HTTP2 {
	t.Helper()
	h := &HTTP2{}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			w := Wire{c}
			if _, err := io.CopyN(io.Discard, w, preface); err != nil {
				return
			}
			w.Frame(FrameSettings, 0)
			for {
				stream, ok := w.request()
				if !ok {
					return
				}
				h.Asked.Add(1)
				answer(w, stream)
			}
		},
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	h.URL, h.Cert = server.URL, server.Certificate()
	return h
}

// Roots returns a pool with which clients trust the server.
func (h *HTTP2) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(h.Cert)
	return pool
}
