package web

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
)

func TestOldestIdleConnectionGoesFirst(t *testing.T) {
	cs := newConnections(2)
	conn := func() net.Conn {
		a, b := net.Pipe()
		t.Cleanup(func() { a.Close(); b.Close() })
		return a
	}
	a, b, c, d := conn(), conn(), conn(), conn()
	for i, step := range []struct {
		c     net.Conn
		state http.ConnState
		gone  net.Conn
	}{
		{a, http.StateNew, nil},
		{b, http.StateNew, nil},
		{a, http.StateActive, nil},
		{c, http.StateNew, b},    // the only other idle one
		{b, http.StateActive, c}, // was chosen but had already begun a request: it stays, and another goes
		{b, http.StateClosed, nil},
		{c, http.StateClosed, nil},
		{a, http.StateIdle, nil},
		{b, http.StateNew, nil},
		{b, http.StateActive, nil},
		{b, http.StateIdle, nil},
		{d, http.StateNew, a}, // idle for longer than b
	} {
		if got := cs.move(step.c, step.state); got != step.gone {
			t.Errorf("step %d: wrong connection closed", i)
		}
	}
}

// A connection on which a request has arrived is not closed for having been idle, even if
// nobody has read it yet.
func TestIdleConnectionsAreDismissedUnlessARequestHasCome(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cs := newConnections(10)
	connect := func() (client, server net.Conn) {
		var d net.Dialer
		client, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		cs.observe(server, http.StateNew)
		return client, server
	}
	asking, asked := connect()
	silent, _ := connect()
	if _, err := asking.Write([]byte("GET / HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		prove.Eventually(t, "the request has come", func() bool { return hasCome(asked) })
		if cs.dismiss(0) {
			t.Error("no connection is left")
		}
		if n, err := asked.Read(make([]byte, 4)); n != 4 {
			t.Errorf("the request cannot be read: %v", err)
		}
	}
	if cs.dismiss(time.Hour); len(cs.open) == 0 {
		t.Error("closed before its grace was over")
	}
	cs.observe(asked, http.StateClosed)
	if !cs.dismiss(0) {
		t.Error("a silent connection is left")
	}
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the silent connection: %v", err)
	}
}
