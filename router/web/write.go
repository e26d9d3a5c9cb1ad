package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// JSONType is the media type of our own JSON.
const JSONType = "application/json; charset=utf-8"

// JSON answers with v.
func (x *Exchange) JSON(status int, v any) {
	x.Write(status, JSONType, append(Encode(v), '\n'))
}

// Encode writes v as JSON, characters of HTML as they are. It is for values of
// our own that always have a JSON form.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Write answers with body. Each piece of it has its own time to be taken.
func (x *Exchange) Write(status int, contentType string, body []byte) {
	x.Head.Set("Content-Type", contentType)
	x.Head.Set("Content-Length", strconv.Itoa(len(body)))
	x.C.Status(status)
	if x.C.Request.Method == http.MethodHead {
		return
	}
	for len(body) > 0 {
		n, err := x.piece(body[:min(len(body), pieceSize)])
		if err != nil {
			x.Gone(err)
			return
		}
		body = body[n:]
	}
}

const pieceSize = 64 << 10

// piece writes p, which the client has a limited time to take.
func (x *Exchange) piece(p []byte) (int, error) {
	x.Deadline()
	return x.C.Writer.Write(p)
}

// Deadline gives the client its time to take what is written next.
func (x *Exchange) Deadline() {
	_ = x.RC.SetWriteDeadline(time.Now().Add(x.Limits.Write))
}

// Gone notes that the client does not listen any more.
func (x *Exchange) Gone(err error) {
	x.Refused, x.Err, x.Cut = CodeClientGone, err, true
}
