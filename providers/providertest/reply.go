package providertest

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"time"
)

// Reply is a script: a status, headers, then steps.
type Reply struct {
	Status int // 0 is 200
	Header http.Header
	Steps  []Step
}

// With is a copy with one header more.
func (r Reply) With(name, value string) Reply {
	h := r.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set(name, value)
	r.Header = h
	return r
}

// Step is one thing that an upstream does while it answers. It reports whether
// to go on.
type Step func(s *stage) bool

// stage is what steps act on.
type stage struct {
	w    http.ResponseWriter
	r    *http.Request
	done <-chan struct{}
}

func (r *Reply) play(s *stage) {
	h := s.w.Header()
	for name, values := range r.Header {
		h[name] = values
	}
	if r.Status != 0 {
		s.w.WriteHeader(r.Status)
	}
	for _, step := range r.Steps {
		if !step(s) {
			return
		}
	}
}

// JSON answers whole.
func JSON(status int, body string) Reply {
	return Body(status, "application/json", body)
}

// Body answers whole with any content type.
func Body(status int, contentType, body string) Reply {
	return Reply{Status: status, Steps: []Step{Write(body)}}.With("Content-Type", contentType)
}

// Stream answers with an event stream: each of data is one event, and [DONE]
// comes last.
func Stream(data ...string) Reply {
	steps := make([]Step, 0, len(data)+1)
	for _, d := range data {
		steps = append(steps, Event(d))
	}
	return Script(append(steps, Event("[DONE]"))...)
}

// Script answers with an event stream made of steps; no [DONE] is added. The
// header goes out at once.
func Script(steps ...Step) Reply {
	return Reply{Steps: append([]Step{Write("")}, steps...)}.With("Content-Type", "text/event-stream")
}

// Redirect answers with a redirect to another address.
func Redirect(status int, to string) Reply {
	return Reply{Status: status}.With("Location", to)
}

// Write sends text and flushes it.
func Write(text string) Step {
	return func(s *stage) bool {
		if _, err := io.WriteString(s.w, text); err != nil {
			return false
		}
		return http.NewResponseController(s.w).Flush() == nil
	}
}

// Event sends an event that has only data.
func Event(data string) Step { return Write("data: " + data + "\n\n") }

// Until waits for a channel to be closed, or to give something, before it goes on.
func Until(c <-chan struct{}) Step {
	return func(s *stage) bool {
		select {
		case <-c:
			return true
		case <-s.r.Context().Done():
		case <-s.done:
		}
		return false
	}
}

// Hang waits for the caller to go.
func Hang() Step { return Until(nil) }

// Cut closes the connection in the middle of a chunk of the transfer.
func Cut() Step {
	return func(s *stage) bool {
		if c := s.hijack(); c != nil {
			_, _ = io.WriteString(c, "ffff\r\ndata: {\"id")
			_ = c.Close()
		}
		return false
	}
}

// Reset ends the connection with a TCP reset.
func Reset() Step {
	return func(s *stage) bool {
		c := s.hijack()
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		if c != nil {
			_ = c.Close()
		}
		return false
	}
}

// Raw takes the connection and sends bytes as they are, then closes it. As a
// first step of a Reply without status it is all that the caller gets.
func Raw(text string) Step {
	return func(s *stage) bool {
		if c := s.hijack(); c != nil {
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
		return false
	}
}

func (s *stage) hijack() net.Conn {
	c, _, err := http.NewResponseController(s.w).Hijack()
	if err != nil {
		return nil
	}
	return c
}

// Endless sends text over and over, with a pause between, until the caller goes.
func Endless(text string, pause time.Duration) Step {
	send := Write(text)
	return func(s *stage) bool {
		for send(s) {
			if pause == 0 {
				continue
			}
			select {
			case <-time.After(pause):
			case <-s.r.Context().Done():
				return false
			case <-s.done:
				return false
			}
		}
		return false
	}
}

// GzipBomb answers with a few compressed kilobytes that unpack to size bytes.
func GzipBomb(size int64) Reply {
	return Reply{Steps: []Step{func(s *stage) bool {
		z, err := gzip.NewWriterLevel(s.w, gzip.BestSpeed)
		if err != nil {
			return false
		}
		_, err = io.CopyN(z, spaces{}, size)
		return err == nil && z.Close() == nil
	}}}.With("Content-Type", "application/json").With("Content-Encoding", "gzip")
}

// spaces is an endless run of white space.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
