package web

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"tallyroute/router/limit"
)

// What is wrong with a body that cannot be read, or with its request.
type (
	// TooLargeError is a body beyond the limit. Got is the announced size, 0 if none was
	// announced.
	TooLargeError struct{ Got, Limit int64 }
	// MediaTypeError is a body that is not declared as JSON.
	MediaTypeError struct{ Got string }
	// EncodingError is a body in an encoding that we cannot read.
	EncodingError struct{ Got string }
	// FieldsError is a header with too many fields.
	FieldsError struct{ Got, Limit int }
)

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("web: body of more than %d bytes", e.Limit)
}
func (e *MediaTypeError) Error() string { return fmt.Sprintf("web: media type %q", e.Got) }
func (e *EncodingError) Error() string  { return fmt.Sprintf("web: content encoding %q", e.Got) }
func (e *FieldsError) Error() string {
	return fmt.Sprintf("web: %d header fields, %d allowed", e.Got, e.Limit)
}

// Body reads the request's body, which must be declared as JSON, into memory taken from room.
func (x *Exchange) Body(room *limit.Share) ([]byte, error) {
	r := x.C.Request
	if err := checkMedia(r.Header); err != nil {
		return nil, err
	}
	from, announced := io.Reader(r.Body), r.ContentLength
	if compressed(r.Header) {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, x.unread(err)
		}
		from, announced = unpacked, -1
	}
	body, err := readBody(from, announced, x.Limits.Body, room)
	x.BodyRead = int64(len(body))
	if err != nil {
		return nil, x.unread(err)
	}
	// From now on, reads only detect whether the client is still there. net/http lifts the
	// deadline too, but does not promise to.
	_ = x.RC.SetReadDeadline(time.Time{})
	return body, nil
}

// How long, how many at once and how fast bodies are received for which there is no room: a
// crowd of them must not keep the CPU from others.
const (
	discardTime  = 2 * time.Second
	discards     = 2
	discardPiece = 256 << 10
	discardPace  = 10 * time.Millisecond
)

// discard receives the body from a client and drops it.
func (x *Exchange) discard() {
	within, cancel := context.WithTimeout(x.C.Request.Context(), discardTime)
	defer cancel()
	if x.discards.Take(within) != nil {
		return
	}
	defer x.discards.Free()
	_ = x.RC.SetReadDeadline(time.Now().Add(discardTime))
	piece := make([]byte, discardPiece)
	pace := time.NewTicker(discardPace)
	defer pace.Stop()
	for left := x.Limits.Body; left > 0; {
		n, err := io.ReadFull(x.C.Request.Body, piece)
		if left -= int64(n); err != nil {
			return
		}
		<-pace.C
	}
}

// compressed reports whether a body must be unpacked.
func compressed(h http.Header) bool { return strings.EqualFold(h.Get("Content-Encoding"), "gzip") }

// unread returns why a body could not be read. A body for which there was no room is received
// all the same, because many clients read no answer before they have sent everything.
func (x *Exchange) unread(err error) error {
	var large *TooLargeError
	var full *limit.FullError
	switch {
	case errors.As(err, &full):
		x.discard()
		return err
	case errors.As(err, &large), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrBodyTimeout
	}
	return fmt.Errorf("%w: %w", ErrBodyCut, err)
}

// jsonMedia are the media types that a body may be declared as. The second is what curl -d
// sends by default; the body must be JSON all the same.
var jsonMedia = map[string]bool{"application/json": true, "application/x-www-form-urlencoded": true}

func checkMedia(h http.Header) error {
	encodings := h.Values("Content-Encoding")
	if e := strings.Join(encodings, ", "); e != "" && !strings.EqualFold(e, "identity") && !strings.EqualFold(e, "gzip") {
		return &EncodingError{e}
	}
	given := h.Values("Content-Type")
	if len(given) == 0 || (len(given) == 1 && given[0] == "") {
		return nil
	}
	if len(given) == 1 && given[0] == "application/json" {
		return nil // sent by nearly all clients
	}
	media, params, err := mime.ParseMediaType(given[0])
	charset := params["charset"]
	if err != nil || len(given) > 1 || !jsonMedia[media] || !isUTF8(charset) {
		return &MediaTypeError{given[0]}
	}
	return nil
}

// isUTF8 reports whether a charset is UTF-8, as clients spell it, or not given.
func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// firstPiece is the most memory allocated for a body before any of it has arrived, and
// readPiece is how much of it is read at once.
const (
	firstPiece = 64 << 10
	readPiece  = 256 << 10
)

// readBody reads a body of at most most bytes whose announced size is announced, or -1. There
// must be room for the announced size, but memory is allocated only as the body arrives: a
// first piece, and then in proportion to what has arrived.
func readBody(from io.Reader, announced, most int64, room *limit.Share) ([]byte, error) {
	if announced > most {
		return nil, &TooLargeError{announced, most}
	}
	end, growth, admitted := announced, int64(4), announced
	if announced < 0 {
		end, growth, admitted = most+1, 2, 0
	}
	if err := room.Admit(admitted); err != nil {
		return nil, err
	}
	var body []byte
	for int64(len(body)) < end {
		if len(body) == cap(body) {
			size := min(max(growth*int64(len(body)), firstPiece), end)
			if size > admitted {
				if err := room.Admit(size - admitted); err != nil {
					return nil, err
				}
				admitted = size
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := from.Read(body[len(body):min(cap(body), len(body)+readPiece)])
		body = body[:len(body)+n]
		if len(body) > firstPiece {
			time.Sleep(room.Came(int64(n), time.Now()))
		}
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
	if announced < 0 {
		return nil, &TooLargeError{0, most}
	}
	return body, nil
}
