package providers_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/providers"
	pt "tallyroute/providers/providertest"
)

// Frames of HTTP/2, as far as these tests write or read them.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	endStream                  = 1
	noError, internal          = 0, 2
	refused, enhanceYour       = 7, 11
	preface              int64 = 24
)

// wire is a connection of a server that writes frames by hand.
type wire struct{ net.Conn }

func (w wire) frame(kind byte, stream uint32, payload ...byte) {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8|uint32(kind))
	binary.BigEndian.PutUint32(head[5:], stream)
	_, _ = w.Write(append(head, payload...))
}

// numbers are the payload of frames that consist of numbers.
func numbers(list ...uint32) (b []byte) {
	for _, n := range list {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// request waits until all of the next request is there.
func (w wire) request() (stream uint32, ok bool) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(w, head[:]); err != nil {
			return 0, false
		}
		length := int64(binary.BigEndian.Uint32(head[:]) >> 8)
		if _, err := io.CopyN(io.Discard, w, length); err != nil {
			return 0, false
		}
		if kind := head[3]; (kind == frameData || kind == frameHeaders) && head[4]&endStream != 0 {
			return binary.BigEndian.Uint32(head[5:]), true
		}
	}
}

// serveHTTP2 answers every request over HTTP/2 by hand, and counts them.
func serveHTTP2(t *testing.T, answer func(w wire, stream uint32)) (url string, roots *x509.CertPool, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
			w := wire{c}
			if _, err := io.CopyN(io.Discard, w, preface); err != nil {
				return
			}
			w.frame(frameSettings, 0)
			for {
				stream, ok := w.request()
				if !ok {
					return
				}
				asked.Add(1)
				answer(w, stream)
			}
		},
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return server.URL, roots, asked
}

// What a provider says that it has not taken up is free over HTTP/2, too, and all else
// that was sent may be billed.
func TestHTTP2SaysWhetherACallMayBeBilled(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w wire, stream uint32)
		sent   bool
		asked  int64 // at most
	}{
		"refused stream":                {func(w wire, s uint32) { w.frame(frameReset, s, numbers(refused)...) }, false, mostAsked},
		"shut down before the stream":   {func(w wire, _ uint32) { w.frame(frameGoAway, 0, numbers(0, noError)...) }, false, 12},
		"broken off before the stream":  {func(w wire, _ uint32) { w.frame(frameGoAway, 0, numbers(0, enhanceYour)...) }, false, 1},
		"reset":                         {func(w wire, s uint32) { w.frame(frameReset, s, numbers(internal)...) }, true, 1},
		"closed":                        {func(w wire, _ uint32) { _ = w.Close() }, true, 1},
		"shut down with it and closed":  {func(w wire, s uint32) { w.frame(frameGoAway, 0, numbers(s, noError)...); _ = w.Close() }, true, 1},
		"broken off with it and closed": {func(w wire, s uint32) { w.frame(frameGoAway, 0, numbers(s, internal)...); _ = w.Close() }, true, 1},
		"no answer":                     {func(wire, uint32) {}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, roots, asked := serveHTTP2(t, c.answer)
			o := providers.Options{RootCAs: roots}
			if name == "no answer" {
				o.HeaderTimeout = 3 * time.Second // time enough for a busy machine to send it
			}
			x := exchange(t, pt.NewUpstream(t), ask)
			x.Target.BaseURL = url
			e := fails(t, client(t, o), x)
			if e.Sent != c.sent || e.Charged() != c.sent || e.Kind == providers.KindUnfit {
				t.Errorf("sent %t, charged %t: %v", e.Sent, e.Charged(), e)
			}
			if n := asked.Load(); n == 0 || n > c.asked {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

const mostAsked = 4

// A request that was refused once, and then taken up, is charged by what became of it.
func TestHTTP2RequestThatIsTakenUpAtLastMayBeBilled(t *testing.T) {
	var times atomic.Int64
	url, roots, asked := serveHTTP2(t, func(w wire, s uint32) {
		if times.Add(1) == 1 {
			w.frame(frameReset, s, numbers(refused)...)
		} else {
			w.frame(frameReset, s, numbers(internal)...)
		}
	})
	x := exchange(t, pt.NewUpstream(t), ask)
	x.Target.BaseURL = url
	if e := fails(t, client(t, providers.Options{RootCAs: roots}), x); !e.Charged() || asked.Load() != 2 || errors.Is(e, io.EOF) {
		t.Errorf("charged %t after %d requests: %v", e.Charged(), asked.Load(), e)
	}
}
