package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// patience is how long a call to Send may take.
const patience = 30 * time.Second

// longest is the most bytes of a message over UDP, which must fit into one datagram.
const longest = 60 << 10

// Server is a syslog server.
type Server struct {
	Network string // udp, tcp or tls
	Address string // host:port
	CAs     *x509.CertPool
}

// Message is a log entry.
type Message struct {
	At       time.Time
	Severity int // 0 to 7
	ID       string
	Data     [][2]string // names and values, in order
	Text     string
}

// logAudit is the facility of all messages.
const logAudit = 13

// Send sends messages in order. Over TCP and TLS it returns nil only after the server has read
// everything and closed its side, as servers do at the end of their input; over UDP there is
// no way to know.
func (s Server) Send(ctx context.Context, host string, messages []Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, m := range messages {
		line := m.format(host)
		if s.Network == "udp" {
			line = strings.ToValidUTF8(line[:min(len(line), longest)], "")
		} else {
			line = fmt.Sprintf("%d %s", len(line), line) // RFC 6587, octet counting
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return fmt.Errorf("syslog: %w", err)
		}
	}
	if s.Network == "udp" {
		return nil
	}
	return finish(conn)
}

func (s Server) dial(ctx context.Context) (net.Conn, error) {
	plain := &net.Dialer{Timeout: patience / 3}
	if s.Network != "tls" {
		return plain.DialContext(ctx, s.Network, s.Address)
	}
	d := &tls.Dialer{NetDialer: plain, Config: &tls.Config{RootCAs: s.CAs, MinVersion: tls.VersionTLS12}}
	return d.DialContext(ctx, "tcp", s.Address)
}

// finish signals the end of the messages, and waits for the server to close its side.
func finish(conn net.Conn) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("syslog: the connection cannot be closed")
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(conn, 1<<20)); err != nil {
		return fmt.Errorf("syslog: the server did not take all: %w", err)
	}
	return nil
}

// format returns a message in the format of RFC 5424.
func (m Message) format(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s tallyroute - %s ", logAudit*8+m.Severity, m.At.UTC().Format("2006-01-02T15:04:05.000000Z"),
		name(host, 255), name(m.ID, 32))
	if len(m.Data) == 0 {
		b.WriteString("-")
	} else {
		b.WriteString("[audit@32473")
		for _, d := range m.Data {
			b.WriteString(" " + name(d[0], 32) + `="` + escaped.Replace(strings.ToValidUTF8(d[1], "")) + `"`)
		}
		b.WriteString("]")
	}
	return b.String() + " \ufeff" + strings.ToValidUTF8(m.Text, "")
}

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// name returns s as printable ASCII without separators, or "-" if nothing is left.
func name(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '=' || r == ']' || r == '"' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
