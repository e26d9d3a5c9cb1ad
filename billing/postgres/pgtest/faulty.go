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

// Faulty stands between a program and its database, and lets statements fail
// with whatever SQLSTATE. The server itself reports the error, in place of
// the statement, so that transactions and pipelines are in the state that a
// true fault would leave them in; only what the error is called is changed on
// its way back.
type Faulty struct {
	DSN string // of the database behind it

	server string
	mu     sync.Mutex
	seen   []string // statements that went through
	fault  Fault
	hits   int
	count  int // of statements since Set
	conns  map[*faultyConn]bool
}

// Fault is what is to fail, and how.
type Fault struct {
	Statement string // its whole text
	Code      string // SQLSTATE
	Table     string // that the error names; may be empty
	Times     int    // how often it fails
	At        int    // in place of Statement: the so-manieth statement from now on, whatever its text
}

// NewFaulty begins to stand before a database, until the test ends.
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

// Set lets a statement fail from now on, in place of the one before.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.hits, f.count, f.seen = fault, 0, 0, nil
}

// Deallocate makes the server forget what was prepared, on every connection
// that there is, before the next thing that is asked on it.
func (f *Faulty) Deallocate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.mu.Lock()
		c.forget = true
		c.mu.Unlock()
	}
}

// Hits is how often the fault came up.
func (f *Faulty) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Seen are the texts of the statements that went through since Set.
func (f *Faulty) Seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// fails notes a statement, and reports the fault that it is to fail with.
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

// message is one of the protocol: its type, or 0 for the first of a client.
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

// readFirst reads a message without a type.
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

// texts are the first n texts of a message, each of which ends with a nought.
func (m message) texts(n int) []string {
	parts := bytes.SplitN(m.body, []byte{0}, n+1)
	all := make([]string, n)
	for i := range min(n, len(parts)) {
		all[i] = string(parts[i])
	}
	return all
}

// The codes with which a client asks for encryption, or to cancel.
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

// faultyConn is one connection of a program.
type faultyConn struct {
	*Faulty
	client, server net.Conn
	prepared       map[string]string // statements by name
	mu             sync.Mutex
	due            []Fault // that the server is about to report
	forget         bool    // the server is to forget what was prepared
	idle           bool    // the server waits for the next thing
	swallow        bool    // what the server says is not for the program
	forgot         chan struct{}
}

// forgets lets the server forget, where that is due and the server is idle.
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

// broken is a statement that fails before anything is said of it, with a code
// that no true statement fails with.
const (
	broken     = "a fault"
	brokenCode = "42601"
)

// forth passes on what the program says. A statement that is to fail is
// replaced by one that does, and the rest of its pipeline is not passed on, as
// the server would not look at it.
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

// statement is the text of what a message executes, or "".
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

// back passes on what the server says.
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

// swallows reports that the program has not asked for what the server says.
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

// rename makes the error of a broken statement the one that is wanted, and
// reports whether the server would close the connection after it.
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
