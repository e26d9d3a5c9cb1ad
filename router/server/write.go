package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

const jsonType = "application/json; charset=utf-8"

// json answers with v.
func (x *exchange) json(status int, v any) {
	x.write(status, jsonType, append(encode(v), '\n'))
}

// encode writes v as JSON, characters of HTML as they are. It is for values of
// our own that always have a JSON form.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// write answers with body. Each piece of it has its own time to be taken.
func (x *exchange) write(status int, contentType string, body []byte) {
	x.head.set("Content-Type", contentType)
	x.head.set("Content-Length", strconv.Itoa(len(body)))
	x.c.Status(status)
	if x.c.Request.Method == http.MethodHead {
		return
	}
	for len(body) > 0 {
		n, err := x.piece(body[:min(len(body), pieceSize)])
		if err != nil {
			x.gone(err)
			return
		}
		body = body[n:]
	}
}

const pieceSize = 64 << 10

// piece writes p, which the client has a limited time to take.
func (x *exchange) piece(p []byte) (int, error) {
	x.deadline()
	return x.c.Writer.Write(p)
}

// deadline gives the client its time to take what is written next.
func (x *exchange) deadline() {
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.Limits.Write))
}

// gone notes that the client does not listen any more.
func (x *exchange) gone(err error) {
	x.refused, x.err, x.cut = codeClientGone, err, true
}
