package bedrock

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// frames reads AWS event streams: binary messages with headers and two checksums.
type frames struct {
	from    counter
	decoder *eventstream.Decoder
	payload []byte // reused for each message
}

// counter counts bytes, to tell whether a message had begun when the stream ended.
type counter struct {
	r *bufio.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func newFrames(r io.Reader) *frames {
	return &frames{from: counter{r: bufio.NewReader(r)}, decoder: eventstream.NewDecoder(), payload: make([]byte, 0, 4<<10)}
}

// frame is one event. Its data is valid until the next call of next.
type frame struct {
	name   string
	failed bool // it is an exception, called name
	data   []byte
}

// next returns io.EOF at a clean end, and io.ErrUnexpectedEOF in the middle of a message.
func (f *frames) next() (frame, error) {
	f.from.n = 0
	m, err := f.decoder.Decode(&f.from, f.payload[:0])
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && f.from.n > 0:
		return frame{}, io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return frame{}, err
	default:
		return frame{}, translate.Broken(fmt.Errorf("bedrock: event stream: %w", err))
	}
	f.payload = m.Payload[:len(m.Payload):cap(m.Payload)]
	text := func(name string) string {
		if v := m.Headers.Get(name); v != nil {
			return v.String()
		}
		return ""
	}
	switch text(":message-type") {
	case "exception":
		return frame{name: text(":exception-type"), failed: true, data: m.Payload}, nil
	case "error":
		return frame{name: text(":error-code"), failed: true, data: jsonraw.One("message", jsonraw.Quote(text(":error-message")))}, nil
	}
	return frame{name: text(":event-type"), data: m.Payload}, nil
}
