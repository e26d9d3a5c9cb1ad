package providertest

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"time"
)

// Reply is a script: a status, headers, and then steps.
type Reply struct {
	Status int // 0 means 200
	Header http.Header
	Steps  []Step
}

// With returns a copy with an additional header.
func (r Reply) With(name, value string) Reply {
	h := r.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set(name, value)
	r.Header = h
	return r
}

// Step is one action of an upstream during a response. It reports whether to continue.
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

// JSON returns a reply with a complete JSON body.
func JSON(status int, body string) Reply {
	return Body(status, "application/json", body)
}

// Body returns a reply with a complete body of any content type.
func Body(status int, contentType, body string) Reply {
	return Reply{Status: status, Steps: []Step{Write(body)}}.With("Content-Type", contentType)
}

// Stream returns a reply with an event stream: each element of data is one event, followed by
// [DONE].
func Stream(data ...string) Reply {
	steps := make([]Step, 0, len(data)+1)
	for _, d := range data {
		steps = append(steps, Event(d))
	}
	return Script(append(steps, Event("[DONE]"))...)
}

// Script returns a reply with an event stream made of steps, without [DONE]. The header is
// sent immediately.
func Script(steps ...Step) Reply {
	return Reply{Steps: append([]Step{Write("")}, steps...)}.With("Content-Type", "text/event-stream")
}

// Redirect returns a reply that redirects to another address.
func Redirect(status int, to string) Reply {
	return Reply{Status: status}.With("Location", to)
}

// Write returns a step that sends text and flushes it.
func Write(text string) Step {
	return func(s *stage) bool {
		if _, err := io.WriteString(s.w, text); err != nil {
			return false
		}
		return http.NewResponseController(s.w).Flush() == nil
	}
}

// Event returns a step that sends an event with only data.
func Event(data string) Step { return Write("data: " + data + "\n\n") }

// Until returns a step that waits until a channel is closed or delivers a value.
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

// Hang returns a step that waits for the caller to disconnect.
func Hang() Step { return Until(nil) }

// Cut returns a step that closes the connection in the middle of a chunk of the transfer
// encoding.
func Cut() Step {
	return func(s *stage) bool {
		if c := s.hijack(); c != nil {
			_, _ = io.WriteString(c, "ffff\r\ndata: {\"id")
			_ = c.Close()
		}
		return false
	}
}

// Reset returns a step that ends the connection with a TCP reset.
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

// Raw returns a step that takes over the connection, sends bytes unchanged, and closes it. As
// the first step of a Reply without a status, it is all that the caller receives.
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

// Endless returns a step that sends text repeatedly, with a pause in between, until the
// caller disconnects.
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

// GzipBomb returns a reply of a few compressed kilobytes that unpack to size bytes.
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

// spaces reads as an endless run of white space.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
