package web

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Clear reports a request that others may have read on its way: it came from another host
// and not over TLS, or a proxy that is trusted does not say that it came to it over TLS.
func Clear(r *http.Request, trusted []netip.Prefix) bool {
	socket, _ := netip.ParseAddrPort(r.RemoteAddr)
	from := socket.Addr().Unmap().WithZone("")
	own := r.TLS != nil || from.IsLoopback()
	if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return !own
	}
	said := strings.Join(r.Header.Values("X-Forwarded-Proto"), ",")
	if said == "" { // the proxy asks for itself, or does not say
		return !own || len(r.Header.Values("X-Forwarded-For")) > 0
	}
	for proto := range strings.SplitSeq(said, ",") {
		if !strings.EqualFold(strings.TrimSpace(proto), "https") {
			return true
		}
	}
	return false
}

// Encrypted returns a listener below TLS. Clients that speak plain HTTP to it are told to
// speak TLS, and tell, unless it is nil, is told what they sent: the header of a request,
// with their address.
func Encrypted(l net.Listener, tell func(*http.Request)) net.Listener {
	return encrypted{l, tell}
}

type encrypted struct {
	net.Listener
	tell func(*http.Request)
}

// Accept implements net.Listener.
func (l encrypted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &opening{Conn: c, tell: l.tell}, nil
}

// opening is a connection of which the first bytes are looked at: those of a handshake, or
// of a request in clear.
type opening struct {
	net.Conn
	tell   func(*http.Request)
	begun  bool
	answer []byte // to a request in clear, in place of what net/http says
}

// Read implements net.Conn.
func (c *opening) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun {
		c.begun = true
		if p[0] >= 'A' && p[0] <= 'Z' { // a method; a handshake begins with 22
			c.clear(p[:n])
		}
	}
	return n, err
}

// mostClear is the longest header that is read of a request in clear.
const mostClear = 32 << 10

// clear reads the request that begins so. The time of a handshake bounds it.
func (c *opening) clear(begins []byte) {
	rest := io.LimitReader(c.Conn, mostClear)
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(begins)), rest)))
	if err != nil {
		return // net/http answers in its own words
	}
	r.RemoteAddr = c.RemoteAddr().String()
	if c.tell != nil {
		c.tell(r)
	}
	row := Codes()[CodeClear]
	body := Encode(map[string]any{"error": map[string]any{
		"message": "This port speaks TLS: call it by https. What a request in clear carried, others may have read.",
		"type":    row.Type, "param": nil, "code": CodeClear,
	}})
	c.answer = fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		row.Status, http.StatusText(row.Status), JSONType, len(body), body)
}

// Write implements net.Conn.
func (c *opening) Write(p []byte) (int, error) {
	if c.answer == nil {
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(c.answer)
	return len(p), err
}

// CloseWrite ends what is sent, for a client that still sends.
func (c *opening) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unreadClear is how long a client in clear has to read its answer.
const unreadClear = 250 * time.Millisecond

// Close implements net.Conn. A client whose request is not read to its end would lose the answer.
func (c *opening) Close() error {
	if c.answer != nil && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(unreadClear))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, mostClear))
	}
	return c.Conn.Close()
}

// NetConn is the connection below.
func (c *opening) NetConn() net.Conn { return c.Conn }
