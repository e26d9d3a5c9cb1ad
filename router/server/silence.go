package server

import (
	"sync"
	"time"

	"tallyroute/providers/sse"
	"tallyroute/router"
)

// keepAlive is the comment that says that a stream is still being worked on.
const keepAlive = "keepalive"

// silenceRepeat is the longest between two comments.
const silenceRepeat = 10 * time.Second

// silence keeps a stream alive while nothing comes that could be passed on: after a
// time its header goes out, and a comment, and then one comment after the other, so
// that no proxy takes the connection for a dead one. The comments are written beside
// the goroutine that answers, so whatever is written to a stream is written under mu.
type silence struct {
	mu    sync.Mutex
	timer *time.Timer // nil where no stream is waited for
	wrote time.Time   // when something was last flushed
	after time.Duration

	described bool  // the header says who answers
	early     bool  // it went out before that was known
	over      bool  // nothing is to be written any more
	lost      error // why a comment could not be written
}

// waiting begins to watch over the silence of a stream that a provider is asked for.
func (x *exchange) waiting() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote, s.after = time.Now(), x.patience
	s.timer = time.AfterFunc(s.after, x.comment)
}

// comment says that the stream is being worked on, if nothing has been said for long enough.
func (x *exchange) comment() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.lost != nil {
		return
	}
	if quiet := time.Since(s.wrote); quiet < s.after {
		s.timer.Reset(s.after - quiet)
		return
	}
	if !x.streaming {
		if !s.described {
			s.early = true
		}
		x.open()
	}
	if x.say(); s.lost != nil {
		x.leave(s.lost)
		return
	}
	s.after = min(s.after, silenceRepeat)
	s.timer.Reset(s.after)
}

// say writes a comment. The lock is held.
func (x *exchange) say() {
	s := &x.silence
	x.Deadline()
	if s.lost = x.events.Comment(keepAlive); s.lost == nil {
		s.lost = x.RC.Flush()
	}
	x.unsent = false
	s.wrote = time.Now()
}

// open begins the event stream. The lock of its silence is held.
func (x *exchange) open() {
	x.Head.Set("Content-Type", "text/event-stream; charset=utf-8")
	x.Head.Set("X-Accel-Buffering", "no") // nginx would collect events
	x.streaming, x.events = true, sse.NewWriter(x.C.Writer)
}

// answered writes the header of a stream, unless it has gone out.
func (x *exchange) answered(a *router.Answer) {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if !x.streaming {
		x.describe(a)
		s.described = true
	}
}

// hush ends the comments. Nothing is written beside its caller from then on.
func (x *exchange) hush() {
	s := &x.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// served is what the header of a stream says otherwise: its last chunk has it where
// the header went out before.
type served struct {
	Provider       string  `json:"provider"`
	Model          string  `json:"model"`
	RequestedModel string  `json:"requested_model"`
	Attempts       int     `json:"attempts"`
	RouteReason    string  `json:"route_reason"`
	CostUSD        *string `json:"cost_usd"` // null: unpriced
	CostStatus     string  `json:"cost_status"`
}

func servedBy(a *router.Answer) served {
	way := a.Route
	s := served{
		Provider: way.Target.Provider, Model: way.Target.Model, RequestedModel: way.Requested,
		Attempts: len(way.Attempts), RouteReason: string(way.Reason),
	}
	s.CostStatus, s.CostUSD = costOf(a.Outcome())
	return s
}
