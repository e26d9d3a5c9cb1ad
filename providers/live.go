package providers

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"tallyroute/providers/chat"
)

// maxHeld bounds what a stream may send before its first content.
const maxHeld = 4 << 20

// live is a stream under way. What came before its first content, and that, is
// held back until the caller asks.
type live struct {
	*trip
	resp   *http.Response
	body   *body
	from   chat.Stream
	held   []chat.Chunk
	end    error
	closed bool
}

var _ chat.Stream = (*live)(nil)

// stream reads a streamed answer up to its first content.
func (t *trip) stream(resp *http.Response, b *body) (*Answer, error) {
	l := &live{trip: t, resp: resp, body: b, from: operations[t.x.Operation].stream(t.x, b)}
	t.awaited = "the first content"
	b.until = time.Now().Add(t.firstTimeout())
	if err := l.begin(); err != nil {
		t.told = l.Told().Usage
		_ = l.Close()
		return nil, err
	}
	t.awaited, b.until = "the next byte", time.Time{}
	return &Answer{Stream: l}, nil
}

// begin holds chunks until one says that the answer has begun.
func (l *live) begin() error {
	for size := 0; ; {
		c, err := l.read()
		switch {
		case errors.Is(err, io.EOF):
			l.end = err
			return l.fill(&Error{Kind: KindBroken, Err: errEmpty}, l.resp)
		case err != nil:
			return l.fault(err)
		case c.Content || c.Finish != "" || c.UsageOnly:
			l.held = append(l.held, c)
			return nil
		}
		if size += len(c.Data); size > maxHeld {
			return l.fill(&Error{Kind: KindBroken, Err: errNoContent}, l.resp)
		}
		c.Data = bytes.Clone(c.Data)
		l.held = append(l.held, c)
	}
}

// read is the next chunk of the adapter's, with the names that the client gave.
func (l *live) read() (chat.Chunk, error) {
	c, err := l.from.Next()
	if len(l.call.aliases.back) > 0 {
		c.Data = l.call.aliases.restore(c.Data)
	}
	return c, err
}

// Next is the next chunk, first of those that were held back.
func (l *live) Next() (chat.Chunk, error) {
	if len(l.held) > 0 {
		c := l.held[0]
		l.held = l.held[1:]
		return c, nil
	}
	if l.end != nil {
		return chat.Chunk{}, l.end
	}
	c, err := l.read()
	if err == nil {
		return c, nil
	}
	if l.end = err; !errors.Is(err, io.EOF) {
		l.end = l.abort(l.fault(err))
	}
	return chat.Chunk{}, l.end
}

// Told is what was told of the usage so far.
func (l *live) Told() chat.Told { return l.from.Told() }

// fault is why a stream failed: what the provider said of it, or else what the
// network did. The adapter may have read ahead, so that both can be known.
func (l *live) fault(err error) *Error {
	if l.body.full != nil {
		return l.fill(&Error{Kind: KindRoom, Err: l.body.full}, l.resp)
	}
	said := (*Error)(nil)
	if !errors.As(err, &said) && l.body.err != nil {
		return l.fill(l.network(l.body.err), l.resp)
	}
	return l.fill(asError(err), l.resp)
}

// Close ends the call. The connection of a stream that was read to its end can
// be used again.
func (l *live) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	if l.end == nil {
		l.end = l.abort(&Error{Kind: KindCanceled, Err: errClosed})
	} else if errors.Is(l.end, io.EOF) {
		l.body.drain()
	}
	err := l.from.Close()
	l.cancel(errClosed)
	return err
}
