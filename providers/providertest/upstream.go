package providertest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
)

// Upstream is a provider on loopback that does as it is told. It is closed at the end of its
// test.
type Upstream struct {
	server *httptest.Server
	done   chan struct{} // closed at the end of the test, to release hanging replies

	mu      sync.Mutex
	replies []Reply
	seen    []Call
	arrived chan struct{} // closed and replaced at each request
}

// Call is a request that an Upstream has received.
type Call struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
	Remote              string // the caller's address
	// Gone is closed if the caller hangs up before the script has finished.
	Gone <-chan struct{}
	// Done is closed when the script has finished.
	Done <-chan struct{}
}

// NewUpstream starts an Upstream. It gives the replies in order, one per request, and the
// last one to all further requests.
func NewUpstream(t testing.TB, replies ...Reply) *Upstream {
	t.Helper()
	u := &Upstream{done: make(chan struct{}), replies: replies, arrived: make(chan struct{})}
	u.server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.close)
	return u
}

func (u *Upstream) close() {
	close(u.done)
	u.server.CloseClientConnections()
	u.server.Close()
}

// Then appends replies.
func (u *Upstream) Then(replies ...Reply) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.replies = append(u.replies, replies...)
}

// Set replaces all replies that have not been given yet.
func (u *Upstream) Set(replies ...Reply) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.replies = replies
}

// URL returns the server's address, without a trailing slash.
func (u *Upstream) URL() string { return u.server.URL }

// Target returns a target at this server, named provider/model, whose model has the same name
// upstream.
func (u *Upstream) Target(a providers.Adapter, provider, model string) providers.Target {
	return providers.Target{
		Provider: provider, Model: model, Upstream: model, BaseURL: u.URL(), Adapter: a,
		Private: true, Weight: 1, Can: providers.Abilities{Stream: true, Tools: true, Vision: true, JSONSchema: true},
	}
}

// Calls returns the requests received so far.
func (u *Upstream) Calls() []Call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.seen)
}

// Wait returns the nth request, counted from 1, as soon as it has arrived. The test fails if
// it does not arrive.
func (u *Upstream) Wait(t testing.TB, n int) Call {
	t.Helper()
	deadline := time.After(prove.Patience)
	for {
		u.mu.Lock()
		arrived := u.arrived
		if len(u.seen) >= n {
			defer u.mu.Unlock()
			return u.seen[n-1]
		}
		u.mu.Unlock()
		select {
		case <-arrived:
		case <-deadline:
			t.Fatalf("request %d did not come; %d came", n, len(u.Calls()))
		}
	}
}

// Await waits for a channel to be closed, such as Call.Gone, and fails the test if that does
// not happen.
func Await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	prove.Receive(t, what, c)
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller disconnected during its request
	}
	gone, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	stop := context.AfterFunc(r.Context(), func() { close(gone) })
	defer func() {
		if stop() && r.Context().Err() != nil {
			close(gone) // the script finished first
		}
	}()
	reply := u.record(Call{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body,
		Remote: r.RemoteAddr, Gone: gone, Done: done,
	})
	if reply == nil {
		http.Error(w, "no reply was scripted", http.StatusNotImplemented)
		return
	}
	reply.play(&stage{w: w, r: r, done: u.done})
}

// record records a request and takes the reply for it.
func (u *Upstream) record(c Call) *Reply {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, c)
	close(u.arrived)
	u.arrived = make(chan struct{})
	if len(u.replies) == 0 {
		return nil
	}
	reply := u.replies[0]
	if len(u.replies) > 1 {
		u.replies = u.replies[1:]
	}
	return &reply
}
