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

// Encode returns v as JSON, without escaping HTML characters. It is for our own values, which
// always have a JSON form.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Write answers with body. Each piece has its own write timeout.
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

// piece writes p, which the client must accept within a limited time.
func (x *Exchange) piece(p []byte) (int, error) {
	x.Deadline()
	return x.C.Writer.Write(p)
}

// Deadline starts the client's time limit for accepting what is written next.
func (x *Exchange) Deadline() {
	_ = x.RC.SetWriteDeadline(time.Now().Add(x.Limits.Write))
}

// Gone records that the client is no longer listening.
func (x *Exchange) Gone(err error) {
	x.Refused, x.Err, x.Cut = CodeClientGone, err, true
}
