package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
)

// What is wrong with a body that cannot be read, or with the request around it.
type (
	// tooLargeError is a body beyond the limit. Got is what the client
	// announced, 0 where it did not.
	tooLargeError struct{ Got, Limit int64 }
	// mediaTypeError is a body that is not said to be JSON.
	mediaTypeError struct{ Got string }
	// encodingError is a compressed body.
	encodingError struct{ Got string }
	// fieldsError is a header of too many fields.
	fieldsError struct{ Got, Limit int }
)

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("server: body of more than %d bytes", e.Limit)
}
func (e *mediaTypeError) Error() string { return fmt.Sprintf("server: media type %q", e.Got) }
func (e *encodingError) Error() string  { return fmt.Sprintf("server: content encoding %q", e.Got) }
func (e *fieldsError) Error() string {
	return fmt.Sprintf("server: %d header fields, %d allowed", e.Got, e.Limit)
}

var (
	errBodyTimeout = errors.New("server: the body did not come in time")
	errBodyCut     = errors.New("server: the body is cut short or malformed")
)

// bodyReader reads whole bodies in bounded memory. Where the length is
// announced, that much is allocated, once. Where it is not, all but short
// bodies take turns at one scratch buffer: such clients are rare, and many of
// them at once must not fill the memory with bodies that will be refused.
type bodyReader struct {
	limit   int64
	scratch chan []byte // holds the buffer; nil before its first use
}

// shortBody is what a body of unknown length may have without waiting its turn.
const shortBody = 64 << 10

func newBodyReader(l Limits) bodyReader {
	b := bodyReader{limit: l.Body, scratch: make(chan []byte, 1)}
	b.scratch <- nil
	return b
}

// body is the request's body, as JSON by its own account.
func (x *exchange) body() ([]byte, error) {
	r := x.c.Request
	if err := checkMedia(r.Header); err != nil {
		return nil, err
	}
	body, err := x.bodies.read(r)
	var large *tooLargeError
	switch {
	case err == nil:
		// What is read from now on is only whether the client is still there.
		// net/http lifts the deadline too, but does not promise it.
		_ = x.rc.SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, &large), errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errBodyTimeout
	}
	return nil, fmt.Errorf("%w: %w", errBodyCut, err)
}

// jsonMedia are the media types that a body may be declared as. The second is
// what curl -d sends of its own accord; the body has to be JSON all the same.
var jsonMedia = map[string]bool{"application/json": true, "application/x-www-form-urlencoded": true}

func checkMedia(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &encodingError{e}
	}
	given := h.Values("Content-Type")
	if len(given) == 0 || (len(given) == 1 && given[0] == "") {
		return nil
	}
	if len(given) == 1 && given[0] == "application/json" {
		return nil // as nearly all send it
	}
	media, params, err := mime.ParseMediaType(given[0])
	charset := params["charset"]
	if err != nil || len(given) > 1 || !jsonMedia[media] || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return &mediaTypeError{given[0]}
	}
	return nil
}

func (b bodyReader) read(r *http.Request) ([]byte, error) {
	if r.ContentLength > b.limit {
		return nil, &tooLargeError{r.ContentLength, b.limit}
	}
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		_, err := fill(body, r.Body)
		return body, err
	}
	short := make([]byte, min(b.limit+1, shortBody))
	n, err := fill(short, r.Body)
	if err != nil || n < len(short) {
		return short[:n], err
	}
	return b.readLong(short, r)
}

// readLong reads on after short, when it is this body's turn.
func (b bodyReader) readLong(short []byte, r *http.Request) ([]byte, error) {
	var scratch []byte
	select {
	case scratch = <-b.scratch:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if scratch == nil {
		scratch = make([]byte, b.limit+1)
	}
	defer func() { b.scratch <- scratch }()
	n := copy(scratch, short)
	more, err := fill(scratch[n:], r.Body)
	if n += more; err == nil && n == len(scratch) {
		err = &tooLargeError{0, b.limit}
	}
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), scratch[:n]...), nil
}

// fill reads until p is full or r ends. Unlike io.ReadFull it tells an end
// from a body that was cut short.
func fill(p []byte, r io.Reader) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
