package postgres_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// severer is a proxy for a database that cuts a connection at the nth message from its
// client: either before the database receives it, or after it has processed it.
type severer struct {
	dsn, server string
	mu          sync.Mutex
	left        int // how many messages still pass; negative means all
	after       bool
	cut         int
}

func newSeverer(t *testing.T, dsn string) *severer {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &severer{server: u.Host, left: -1}
	u.Host = l.Addr().String()
	s.dsn = u.String()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(client)
		}
	}()
	return s
}

func (s *severer) set(left int, after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.after, s.cut = left, after, 0
}

func (s *severer) cuts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

// passes returns whether to forward the next message, and whether to keep the connection.
func (s *severer) passes() (sent, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left != 0 {
		s.left--
		return true, true
	}
	s.cut++
	return s.after, false
}

func (s *severer) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	var d net.Dialer
	server, err := d.DialContext(context.Background(), "tcp", s.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var deaf atomic.Bool // nothing more is sent to the client
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer func() { _ = client.Close() }()
		b := make([]byte, 1<<16)
		for {
			n, err := server.Read(b)
			if err != nil || deaf.Load() {
				return
			}
			_, _ = client.Write(b[:n])
		}
	}()
	b := make([]byte, 1<<16)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		sent, on := s.passes()
		deaf.Store(!on)
		if sent {
			_, _ = server.Write(b[:n])
		}
		if !on && sent {
			<-heard // wait until the database has processed the message
		}
		if !on {
			return
		}
	}
}

// TestLivesSurviveKills kills the router between every two statements of a rotation and of all
// else that happens in the life of a key: before the database receives the next one, or before
// the router receives the response.
func TestLivesSurviveKills(t *testing.T) {
	for name, after := range map[string]bool{"BeforeTheStatement": false, "BeforeItsAnswer": true} {
		t.Run(name, func(t *testing.T) {
			s, dsn := open(t, patient)
			between := newSeverer(t, dsn)
			kill := func(n int, do func(billing.Store)) bool {
				between.set(-1, after)
				doomed := connect(t, between.dsn, patient)
				if err := doomed.Ready(t.Context()); err != nil && !strings.Contains(err.Error(), "schema") {
					t.Fatal(err)
				}
				between.set(n, after)
				do(doomed.Contracts())
				_ = doomed.Close()
				return between.cuts() > 0
			}
			billingtest.RotationsSurviveKills(t, s.Contracts(), kill)
			billingtest.LivesSurviveKills(t, s.Contracts(), kill)
		})
	}
}
