package main

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"testing"
)

// attackRSS returns the resident memory of this process, in bytes.
func attackRSS(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system does not say how much memory a process has")
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(text)[1]), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return pages * int64(os.Getpagesize())
}

// connect opens a connection with a small window.
func (g *attackTarget) connect() net.Conn {
	g.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(g.t.Context(), "tcp", g.Address("public"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4096)
	}
	return c
}
