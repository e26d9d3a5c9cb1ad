package syslog

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func at() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 250_000_000, time.UTC) }

func two() []Message {
	return []Message{
		{At: at(), Severity: 5, ID: "key.create", Data: [][2]string{{"seq", "1"}, {"actor", `a "b" ]\`}}, Text: "first\nline"},
		{At: at(), Severity: 4, ID: "", Text: "second"},
	}
}

var wanted = []string{
	`<109>1 2026-11-30T12:00:00.250000Z host tallyroute - key.create [audit@32473 seq="1" actor="a \"b\" \]\\"] ` + "\ufefffirst\nline",
	`<108>1 2026-11-30T12:00:00.250000Z host tallyroute - - - ` + "\ufeffsecond",
}

// frames reads length-prefixed messages until the client closes its side.
func frames(r io.Reader) (list []string, err error) {
	for in := bufio.NewReader(r); ; {
		var n int
		if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
			return list, nil //nolint:nilerr // the end
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return list, err
		}
		list = append(list, string(text))
	}
}

func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	pool := x509.NewCertPool()
	pool.AddCert(cert.Certificate())
	for network, listen := range map[string]func() (net.Listener, error){
		"tcp": func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		"tls": func() (net.Listener, error) {
			return tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates})
		},
	} {
		l, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan []string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			list, _ := frames(conn)
			got <- list
			_ = conn.Close()
		}()
		if err := (Server{network, l.Addr().String(), pool}).Send(t.Context(), "host", two()); err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if list := <-got; strings.Join(list, "|") != strings.Join(wanted, "|") {
			t.Errorf("%s: %q", network, list)
		}
		_ = l.Close()
	}
}

func TestDatagramsAreMessages(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := (Server{Network: "udp", Address: conn.LocalAddr().String()}).Send(t.Context(), "host", two()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for _, want := range wanted {
		n, _, err := conn.ReadFrom(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
}

func TestServerThatHangsUpOrStaysSilentHasNotTakenThem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (Server{Network: "tcp", Address: l.Addr().String()}).Send(ctx, "host", two()); err == nil {
		t.Error("nobody has read them")
	}
	if err := (Server{Network: "tcp", Address: "127.0.0.1:1"}).Send(t.Context(), "host", two()); err == nil {
		t.Error("nobody is there")
	}
}
