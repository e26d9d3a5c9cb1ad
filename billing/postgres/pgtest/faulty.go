package pgtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Faulty is a proxy between a program and its database that makes statements fail
// with any SQLSTATE. The server itself reports an error in place of the statement,
// so that transactions and pipelines end up in the state that a real failure would
// leave them in; only the error's fields are rewritten on the way back.
type Faulty struct {
	DSN string // connection string for the database through the proxy

	server string
	mu     sync.Mutex
	seen   []string // distinct statements since Set
	fault  Fault
	hits   int
	count  int // number of statements since Set
	conns  map[*faultyConn]bool
}

// Fault describes which statement fails, and how.
type Fault struct {
	Statement string // the whole text of the statement
	Code      string // SQLSTATE
	Table     string // table that the error names; optional
	Times     int    // how many times it fails
	At        int    // instead of Statement: the number of the statement since Set, whatever its text
}

// NewFaulty starts a proxy for a database. It stops when the test ends.
func NewFaulty(t testing.TB, dsn string) *Faulty {
	t.Helper()
	config, err := pgconn.ParseConfig(dsn)
	require(t, err)
	u, err := url.Parse(dsn)
	require(t, err)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require(t, err)
	t.Cleanup(func() { _ = l.Close() })
	u.Host = l.Addr().String()
	u.RawQuery = "sslmode=disable"
	f := &Faulty{DSN: u.String(), conns: make(map[*faultyConn]bool), server: net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(client)
		}
	}()
	return f
}

// Set makes a statement fail from now on. It replaces the previous fault.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.hits, f.count, f.seen = fault, 0, 0, nil
}

// Deallocate makes the server drop the prepared statements of every open
// connection, before the next message on it.
func (f *Faulty) Deallocate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.mu.Lock()
		c.forget = true
		c.mu.Unlock()
	}
}

// Hits returns how many times the fault has occurred.
func (f *Faulty) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Seen returns the distinct statements that the program has sent since Set.
func (f *Faulty) Seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// fails records a statement, and returns the fault that it must fail with, if any.
func (f *Faulty) fails(statement string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.seen, statement) {
		f.seen = append(f.seen, statement)
	}
	f.count++
	if f.hits >= f.fault.Times || f.fault.At != 0 && f.fault.At != f.count || f.fault.At == 0 && f.fault.Statement != statement {
		return Fault{}, false
	}
	f.hits++
	return f.fault, true
}

// message is a protocol message. Its kind is 0 for a client's first message, which has none.
type message struct {
	kind byte
	body []byte
}

func readMessage(from io.Reader) (message, error) {
	var kind [1]byte
	if _, err := io.ReadFull(from, kind[:]); err != nil {
		return message{}, err
	}
	m, err := readFirst(from)
	m.kind = kind[0]
	return m, err
}

// readFirst reads a message that has no type byte.
func readFirst(from io.Reader) (m message, err error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return m, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > 64<<20 {
		return m, fmt.Errorf("pgtest: a message of %d bytes", size)
	}
	m.body = make([]byte, size-4)
	_, err = io.ReadFull(from, m.body)
	return m, err
}

func (m message) write(to io.Writer) error {
	var b bytes.Buffer
	if m.kind != 0 {
		b.WriteByte(m.kind)
	}
	_ = binary.Write(&b, binary.BigEndian, uint32(len(m.body)+4))
	b.Write(m.body)
	_, err := to.Write(b.Bytes())
	return err
}

// texts returns the first n null-terminated strings of a message.
func (m message) texts(n int) []string {
	parts := bytes.SplitN(m.body, []byte{0}, n+1)
	all := make([]string, n)
	for i := range min(n, len(parts)) {
		all[i] = string(parts[i])
	}
	return all
}

// Codes that a client sends to request cancellation or encryption.
const (
	askCancel = 80877102
	askTLS    = 80877103
	askGSS    = 80877104
)

func (f *Faulty) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it ends with us
	var d net.Dialer
	server, err := d.DialContext(context.Background(), "tcp", f.server)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it ends with us
	for {
		first, err := readFirst(client)
		if err != nil || len(first.body) < 4 {
			return
		}
		code := binary.BigEndian.Uint32(first.body)
		if code == askTLS || code == askGSS {
			if _, err := client.Write([]byte("N")); err != nil {
				return
			}
			continue
		}
		if first.write(server) != nil || code == askCancel {
			return
		}
		break
	}
	c := &faultyConn{Faulty: f, client: client, server: server, prepared: make(map[string]string), forgot: make(chan struct{})}
	f.mu.Lock()
	f.conns[c] = true
	f.mu.Unlock()
	go c.back()
	c.forth()
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
}

// faultyConn is one connection of the program.
type faultyConn struct {
	*Faulty
	client, server net.Conn
	prepared       map[string]string // statements by name
	mu             sync.Mutex
	due            []Fault // faults that the server is about to report
	forget         bool    // the server must drop its prepared statements
	idle           bool    // the server is waiting for the next message
	swallow        bool    // the server's messages are not for the program
	forgot         chan struct{}
}

// forgets makes the server drop its prepared statements if that is due and it is idle.
func (c *faultyConn) forgets() error {
	c.mu.Lock()
	due := c.forget && c.idle
	if due {
		c.forget, c.swallow = false, true
	}
	c.idle = false
	c.mu.Unlock()
	if !due {
		return nil
	}
	if err := (message{'Q', []byte("DEALLOCATE ALL\x00")}).write(c.server); err != nil {
		return err
	}
	<-c.forgot
	return nil
}

// broken is a statement that fails to parse, with a code that no real statement
// fails with.
const (
	broken     = "a fault"
	brokenCode = "42601"
)

// forth forwards the program's messages. It replaces a statement that must fail by
// a broken one, and drops the rest of its pipeline, which the server would ignore.
func (c *faultyConn) forth() {
	defer c.server.Close() //nolint:errcheck // it ends with us
	for skipping := false; ; {
		m, err := readMessage(c.client)
		if err != nil {
			return
		}
		if c.forgets() != nil {
			return
		}
		switch statement := c.statement(m); {
		case skipping && m.kind != 'S':
			continue
		case skipping:
			skipping = false
		case statement == "":
		default:
			fault, fails := c.fails(statement)
			if !fails {
				break
			}
			c.mu.Lock()
			c.due = append(c.due, fault)
			c.mu.Unlock()
			if m.kind == 'Q' {
				m.body = append([]byte(broken), 0)
				break
			}
			skipping = true
			m = message{'P', append([]byte("\x00"+broken), 0, 0, 0)}
		}
		if m.write(c.server) != nil {
			return
		}
	}
}

// statement returns the text of the statement that a message executes, or "".
func (c *faultyConn) statement(m message) string {
	switch m.kind {
	case 'P':
		names := m.texts(2)
		c.prepared[names[0]] = names[1]
	case 'B':
		return c.prepared[m.texts(2)[1]]
	case 'Q':
		return m.texts(1)[0]
	}
	return ""
}

// back forwards the server's messages.
func (c *faultyConn) back() {
	defer c.client.Close() //nolint:errcheck // it ends with us
	defer close(c.forgot)
	for {
		m, err := readMessage(c.server)
		if err != nil {
			return
		}
		var over bool
		switch m.kind {
		case 'E':
			over = c.rename(&m)
		case 'Z':
			c.mu.Lock()
			c.due, c.idle = nil, true
			c.mu.Unlock()
		}
		if c.swallows(m) {
			continue
		}
		if err := m.write(c.client); err != nil || over {
			return
		}
	}
}

// swallows reports whether a message answers our own statement and not the program's.
func (c *faultyConn) swallows(m message) bool {
	c.mu.Lock()
	swallow := c.swallow
	last := swallow && m.kind == 'Z'
	if last {
		c.swallow = false
	}
	c.mu.Unlock()
	if last {
		c.forgot <- struct{}{}
	}
	return swallow
}

// rename turns the error of a broken statement into the fault that was set, and
// reports whether a server would close the connection after it.
func (c *faultyConn) rename(m *message) (over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) == 0 || !bytes.Contains(m.body, []byte("C"+brokenCode+"\x00")) {
		return false
	}
	fault := c.due[0]
	c.due = c.due[1:]
	severity := "ERROR"
	if over = strings.HasPrefix(fault.Code, "08") || strings.HasPrefix(fault.Code, "57P0"); over {
		severity = "FATAL"
	}
	m.body = nil
	for _, field := range []string{"S" + severity, "V" + severity, "C" + fault.Code, "Ma fault of a test", "spublic", "t" + fault.Table} {
		if len(field) > 1 {
			m.body = append(append(m.body, field...), 0)
		}
	}
	m.body = append(m.body, 0)
	return over
}
