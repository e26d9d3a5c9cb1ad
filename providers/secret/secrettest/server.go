package secrettest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clock is a clock that tests control.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that starts at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock forward.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Server is one manager on the loopback interface.
type Server struct {
	URL    string
	Client *http.Client
	Clock  func() time.Time

	// May decides what a login may do with a secret, or, if its name is empty, with the list of
	// all: read, write, delete or list; nil allows everything.
	May func(action, name string) bool

	mu    sync.Mutex
	fault []Fault
	asked []string
}

// Fault is sent once in place of the regular response.
type Fault struct {
	Status     int
	Body       string
	RetryAfter string
}

// serve starts a server whose handler runs under the lock.
func (s *Server) serve(t testing.TB, handler func(w http.ResponseWriter, r *http.Request)) {
	t.Helper()
	s.Clock = time.Now
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.Method+" "+r.URL.EscapedPath())
		if len(s.fault) > 0 {
			f := s.fault[0]
			s.fault = s.fault[1:]
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			w.WriteHeader(f.Status)
			_, _ = w.Write([]byte(f.Body))
			return
		}
		handler(w, r)
	}))
	t.Cleanup(h.Close)
	s.URL, s.Client = h.URL, h.Client()
}

// Fail makes the next responses be these faults.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = append(s.fault, faults...)
}

// Heal cancels faults that are still pending.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = nil
}

// Down makes the next n responses report an unavailable service.
func (s *Server) Down(n int) {
	for range n {
		s.Fail(Fault{Status: http.StatusServiceUnavailable})
	}
}

// Asked counts the calls whose method and path start with prefix.
func (s *Server) Asked(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.asked {
		if strings.HasPrefix(one, prefix) {
			n++
		}
	}
	return n
}

// Do runs f while no call is being handled.
func (s *Server) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) may(action, name string) bool { return s.May == nil || s.May(action, name) }

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type object = map[string]any
