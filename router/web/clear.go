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

// Clear reports whether others may have read a request on its way: it came from another host
// without TLS, or a trusted proxy does not state that it received it over TLS.
func Clear(r *http.Request, trusted []netip.Prefix) bool {
	socket, _ := netip.ParseAddrPort(r.RemoteAddr)
	from := socket.Addr().Unmap().WithZone("")
	own := r.TLS != nil || from.IsLoopback()
	if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return !own
	}
	said := strings.Join(r.Header.Values("X-Forwarded-Proto"), ",")
	if said == "" { // the proxy calls for itself, or does not say
		return !own || len(r.Header.Values("X-Forwarded-For")) > 0
	}
	for proto := range strings.SplitSeq(said, ",") {
		if !strings.EqualFold(strings.TrimSpace(proto), "https") {
			return true
		}
	}
	return false
}

// Encrypted returns a listener below TLS. Clients that speak plain HTTP to it are told to use
// TLS, and tell, unless it is nil, is called with what they sent: the header of a request, with
// their address.
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

// opening is a connection whose first bytes are inspected: those of a handshake, or of a
// request in plain text.
type opening struct {
	net.Conn
	tell   func(*http.Request)
	begun  bool
	answer []byte // to a request in plain text, instead of what net/http would say
}

// Read implements net.Conn.
func (c *opening) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun {
		c.begun = true
		if p[0] >= 'A' && p[0] <= 'Z' { // the start of a method; a handshake begins with 22
			c.clear(p[:n])
		}
	}
	return n, err
}

// mostClear is the longest header that is read from a plain-text request.
const mostClear = 32 << 10

// clear reads the request that begins with these bytes. The handshake timeout bounds it.
func (c *opening) clear(begins []byte) {
	rest := io.LimitReader(c.Conn, mostClear)
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(begins)), rest)))
	if err != nil {
		return // net/http gives its own answer
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

// CloseWrite ends our side of the connection, for a client that is still sending.
func (c *opening) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unreadClear is how long a plain-text client has to read its answer.
const unreadClear = 250 * time.Millisecond

// Close implements net.Conn. A client whose request has not been read to the end would lose the
// answer.
func (c *opening) Close() error {
	if c.answer != nil && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(unreadClear))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.Conn, mostClear))
	}
	return c.Conn.Close()
}

// NetConn returns the underlying connection.
func (c *opening) NetConn() net.Conn { return c.Conn }
