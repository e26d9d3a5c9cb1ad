package web

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections keeps the number of open connections within a bound. Beyond it, the one that has
// waited longest without a request is closed, so that a crowd of idle connections cannot lock
// others out.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // nil while a request is in progress
	idle list.List                  // of waiting, longest idle first
}

// waiting is a connection without a request in progress.
type waiting struct {
	conn  net.Conn
	since time.Time
}

func newConnections(most int) *connections {
	return &connections{most: most, open: make(map[net.Conn]*list.Element)}
}

// observe is the ConnState hook of an http.Server.
func (cs *connections) observe(c net.Conn, state http.ConnState) {
	if victim := cs.move(c, state); victim != nil {
		_ = victim.Close() // its own goroutine reports the end
	}
}

// move records the new state of c and returns the connection that must be closed, if any.
func (cs *connections) move(c net.Conn, state http.ConnState) (victim net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if e := cs.open[c]; e != nil {
		cs.idle.Remove(e)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		cs.open[c] = cs.idle.PushBack(waiting{c, time.Now()})
	case http.StateActive:
		cs.open[c] = nil
	case http.StateHijacked, http.StateClosed:
		delete(cs.open, c)
	}
	if len(cs.open) <= cs.most || cs.idle.Len() == 0 {
		return nil
	}
	oldest := cs.idle.Front()
	victim = cs.idle.Remove(oldest).(waiting).conn
	delete(cs.open, victim)
	return victim
}

// dismiss closes the connections that have been idle for grace and have no unread data, and
// reports whether none are left. A client that was answered a moment ago may be sending the
// next request, and a request that has arrived but has not been read yet would be lost.
func (cs *connections) dismiss(grace time.Duration) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for e := cs.idle.Front(); e != nil; {
		w, next := e.Value.(waiting), e.Next()
		if time.Since(w.since) < grace {
			break
		}
		if !hasCome(w.conn) {
			cs.idle.Remove(e)
			delete(cs.open, w.conn)
			_ = w.conn.Close() // its own goroutine reports the end
		}
		e = next
	}
	return len(cs.open) == 0
}
