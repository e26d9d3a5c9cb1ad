package server

import (
	"bytes"
	"errors"
	"io"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/providers/sse"
	"tallyroute/router"
)

// relay passes a stream on, each event as it came. All events that the provider
// has sent by now are flushed together, before we wait for more. Until the first
// of them a failure is an ordinary error; from then on it is an event, no
// [DONE] follows, and the connection is closed.
func (x *exchange) relay(a *router.Answer) {
	x.answered(a)
	x.speaks.begin(a)
	x.batched = a.OnWait(x.flush)
	if a.Claimed() {
		x.recorded = &recording{}
	}
	x.shape = x.shapeOf(a)
	var last total
	var head []byte       // of the chunk that tells the usage where the provider sends none
	told := !a.WantsUsage // or nobody asks
	for {
		chunk, err := a.Next()
		if err != nil {
			if !told && errors.Is(err, io.EOF) {
				if last.chunk != nil {
					x.event(last.chunk)
				}
				last.chunk = head // nil where the provider's own events pass
			}
			x.endStream(a, last, err)
			return
		}
		chunk.Data = x.shape.of(chunk.Data)
		if told = told || chunk.Usage != nil; !told && head == nil && !a.Native {
			head = usageHead(chunk.Data)
		}
		if chunk.UsageOnly && !a.WantsUsage {
			continue
		}
		if a.Native && last.chunk != nil { // what comes behind the usage waits with it
			if len(last.behind) == mostBehind {
				x.fail(&streamError{errBehind})
				return
			}
			last.behind = append(last.behind, bytes.Clone(chunk.Data))
			continue
		}
		if last.chunk != nil {
			x.event(last.chunk)
			last = total{}
		}
		switch {
		case bearsTotal(chunk) && a.WantsUsage:
			usage := *chunk.Usage
			last = total{chunk: bytes.Clone(chunk.Data), reported: &usage} // Data is gone with the next call
		case chunk.Finish != "" && x.silence.early:
			last = total{chunk: bytes.Clone(chunk.Data)}
		default:
			x.event(chunk.Data)
		}
		if x.Cut && x.recorded == nil {
			return
		}
	}
}

// total is the chunk that bears the usage. It waits for what is booked.
type total struct {
	chunk    []byte
	reported *chat.Usage
	behind   [][]byte // events that came after it
}

// mostBehind is how many events may come after the usage, where one or two do.
const mostBehind = 64

var errBehind = errors.New("more events than there may be came after the usage")

// bearsTotal reports a chunk after which no text is expected. Some providers
// report the usage so far with every chunk; those are not held up.
func bearsTotal(c chat.Chunk) bool {
	return c.Usage != nil && (c.UsageOnly || c.Finish != "")
}

// endStream ends a stream as it ended upstream. The spend is settled by now.
func (x *exchange) endStream(a *router.Answer, last total, err error) {
	if last.chunk != nil {
		x.event(x.lastChunk(a, last))
	}
	for _, data := range last.behind {
		x.event(data)
	}
	if errors.Is(err, io.EOF) {
		last := x.keepLast(x.speaks.end())
		x.keepStream(a, last)
		x.send(last)
		return
	}
	if x.Cut {
		return
	}
	x.fail(&streamError{err})
}

// lastChunk is the last chunk with what is booked, and with what the header could not say.
func (x *exchange) lastChunk(a *router.Answer, last total) []byte {
	data := last.chunk
	if a.WantsUsage {
		data = x.shape.used(data, last.reported, a.Outcome())
	}
	if x.silence.early {
		data = x.shape.more(data, servedBy(a))
	}
	return data
}

// streamError is the failure of a stream that had begun.
type streamError struct{ err error }

func (e *streamError) Error() string { return "server: stream: " + e.err.Error() }
func (e *streamError) Unwrap() error { return e.err }

// event passes a chunk on, in the client's format.
func (x *exchange) event(chunk []byte) { x.send(x.speaks.chunk(chunk)) }

// send sends events and notes where the client has gone. All that is flushed
// together has one time to be taken.
func (x *exchange) send(events []sse.Event) {
	x.recorded.events(events)
	x.silence.mu.Lock()
	defer x.silence.mu.Unlock()
	for _, e := range events {
		if x.Cut {
			return
		}
		if x.silence.lost != nil {
			x.Gone(x.silence.lost)
			return
		}
		if !x.streaming {
			x.open()
		}
		if !x.unsent {
			x.Deadline()
		}
		x.unsent = true
		if err := x.events.Event(e); err != nil {
			x.Gone(err)
			return
		}
	}
	if !x.batched {
		x.flushNow()
	}
}

// flush sends what is known of events. The end of the handler does so, too.
func (x *exchange) flush() {
	x.silence.mu.Lock()
	defer x.silence.mu.Unlock()
	x.flushNow()
}

// flushNow is flush with the lock held.
func (x *exchange) flushNow() {
	if !x.unsent || x.Cut {
		return
	}
	x.unsent = false
	x.silence.wrote = time.Now()
	if err := x.RC.Flush(); err != nil {
		x.Gone(err)
	}
}
