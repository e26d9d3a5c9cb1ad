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

// Clock is a time that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock begins at a fixed time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Server is one manager on the loopback.
type Server struct {
	URL    string
	Client *http.Client
	Clock  func() time.Time

	mu    sync.Mutex
	fault []Fault
	asked []string
}

// Fault is an answer in place of the right one, once.
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

// Fail has the next answers be these.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = append(s.fault, faults...)
}

// Heal takes back what Fail announced.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = nil
}

// Down has all answers of a while be n times a service that is away.
func (s *Server) Down(n int) {
	for range n {
		s.Fail(Fault{Status: http.StatusServiceUnavailable})
	}
}

// Asked counts the calls whose method and path begin like this.
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

// Do runs f while nobody is answered.
func (s *Server) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type object = map[string]any
