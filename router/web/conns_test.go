package web

import (
	"net"
	"net/http"
	"testing"
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
		{c, http.StateNew, b},    // the only idle one besides it
		{b, http.StateActive, c}, // had begun before it noticed: it is back, so another goes
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
