package web

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"tallyroute/billing/billingtest/prove"
)

// frames is a client that writes individual HTTP/2 frames.
type frames struct {
	*http2.Framer
	conn   net.Conn
	header bytes.Buffer
	packs  *hpack.Encoder
}

func (s *encryptedServer) frames(t *testing.T) *frames {
	t.Helper()
	settings := s.trusts.Clone()
	settings.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", s.addr, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(prove.Patience))
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := &frames{Framer: http2.NewFramer(conn, conn), conn: conn}
	f.packs = hpack.NewEncoder(&f.header)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// ask starts a request.
func (f *frames) ask(id uint32, method string) error {
	f.header.Reset()
	for _, h := range [][2]string{{":method", method}, {":scheme", "https"}, {":path", "/"}, {":authority", "localhost"}} {
		if err := f.packs.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	return f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: f.header.Bytes(), EndHeaders: true, EndStream: method == http.MethodGet,
	})
}

// until reads frames until found returns true for one, or the connection is over.
func (f *frames) until(found func(http2.Frame) bool) error {
	for {
		got, err := f.ReadFrame()
		if err != nil {
			return err
		}
		if found(got) {
			return nil
		}
	}
}

// ends reads until the server has closed the connection.
func (f *frames) ends(t *testing.T) {
	t.Helper()
	err := f.until(func(http2.Frame) bool { return false })
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection was not closed")
	}
}

func TestStreamsThatAreResetAtOnceDoNotPileUp(t *testing.T) {
	var running, most atomic.Int64
	s := serveTLS(t, Limits{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		defer running.Add(-1)
		for n := running.Add(1); ; {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		<-r.Context().Done()
		time.Sleep(time.Millisecond) // like a handler once its client has gone
	}), nil)
	f := s.frames(t)
	gone := make(chan struct{})
	go func() { defer close(gone); f.ends(t) }()
	for id := uint32(1); id < 20_000; id += 2 {
		if errors.Join(f.ask(id, http.MethodGet), f.WriteRSTStream(id, http2.ErrCodeCancel)) != nil {
			break // the server has had enough
		}
	}
	_ = f.conn.Close()
	prove.Receive(t, "the end of the connection", gone)
	prove.Eventually(t, "no request under way", func() bool { return running.Load() == 0 })
	if got := most.Load(); got > mostStreams {
		t.Errorf("%d requests of one connection at once", got)
	}
}

func TestRequestsOfAllConnectionsTogetherAreBounded(t *testing.T) {
	begun, end := make(chan struct{}, 4), make(chan struct{})
	s := serveTLS(t, Limits{Connections: 2}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-end
	}), nil)
	c, answers := s.client(t, "HTTP/2.0"), make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := c.Get("https://" + s.addr)
			if err != nil {
				answers <- 0
				return
			}
			_ = resp.Body.Close()
			answers <- resp.StatusCode
		}()
	}
	prove.Receive(t, "a request", begun)
	prove.Receive(t, "a request", begun)
	resp, err := c.Get("https://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), CodeOverloaded) ||
		resp.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", resp.StatusCode, text)
	}
	close(end)
	for range 2 {
		if got := prove.Receive(t, "an answer", answers); got != http.StatusOK {
			t.Errorf("one that had begun: %d", got)
		}
	}
}

func TestHeaderWithoutEndIsCutOff(t *testing.T) {
	s := serveTLS(t, Limits{}, http.NotFoundHandler(), nil)
	f := s.frames(t)
	gone := make(chan struct{})
	go func() { defer close(gone); f.ends(t) }()
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82, 0x87, 0x84}})
	piece := bytes.Repeat([]byte{0x40, 0x01, 'a', 0x01, 'b'}, 3000)
	sent := 0
	for ; err == nil && sent < 10_000; sent++ {
		err = f.WriteContinuation(1, false, piece)
	}
	if err == nil {
		t.Errorf("%d bytes of one header were taken", sent*len(piece))
	}
	prove.Receive(t, "the end of the connection", gone)
}

func TestBodiesThatNobodyReadsAreNotBuffered(t *testing.T) {
	end := make(chan struct{})
	s := serveTLS(t, Limits{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-end }), nil)
	defer close(end)
	f := s.frames(t)
	window, more := int64(0), int64(65_535) // for a stream, and for the connection
	for id := uint32(1); id <= 3; id += 2 {
		if err := f.ask(id, http.MethodPost); err != nil {
			t.Fatal(err)
		}
	}
	err := f.until(func(got http2.Frame) bool {
		switch got := got.(type) {
		case *http2.SettingsFrame:
			if v, ok := got.Value(http2.SettingInitialWindowSize); ok {
				window = int64(v)
			}
			return got.IsAck()
		case *http2.WindowUpdateFrame:
			more += int64(got.Increment)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	if window > mostAhead || more > mostAhead {
		t.Errorf("a stream may send %d bytes ahead and a connection %d, want at most %d", window, more, mostAhead)
	}
	piece := make([]byte, mostFrame)
	for sent := 0; sent <= mostAhead; sent += mostFrame {
		if err = f.WriteData(1, false, piece); err != nil {
			break
		}
	}
	over := f.until(func(got http2.Frame) bool {
		_, reset := got.(*http2.RSTStreamFrame)
		_, away := got.(*http2.GoAwayFrame)
		return reset || away
	})
	if ne := net.Error(nil); errors.As(over, &ne) && ne.Timeout() {
		t.Error("what was sent beyond the window was taken")
	}
}

// A client that requests much and accepts nothing, either through its window or by not reading
// at all.
func TestClientThatReadsNothingIsGivenUp(t *testing.T) {
	ended := make(chan error, 2)
	s := serveTLS(t, Limits{Write: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		rc, piece, err := http.NewResponseController(w), make([]byte, 64<<10), error(nil)
		for err == nil {
			_ = rc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			_, err = w.Write(piece)
		}
		ended <- err
	}), nil)
	narrow := s.frames(t)
	if err := narrow.ask(1, http.MethodGet); err != nil {
		t.Fatal(err)
	}
	prove.Receive(t, "the end of the handler", ended)
	deaf := s.frames(t)
	if err := errors.Join(deaf.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}),
		deaf.WriteWindowUpdate(0, 1<<30), deaf.ask(1, http.MethodGet)); err != nil {
		t.Fatal(err)
	}
	prove.Receive(t, "the end of the handler", ended)
	_ = deaf.conn.(*tls.Conn).NetConn().Close() // closing the TLS connection would wait for it
}
