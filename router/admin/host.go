package admin

import (
	"io"
	"net/http"
	"sync"

	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// OnHost is the API without a listener, for who works on the host of the database: what
// he asks is done in his name, with every permission. An operation that fails is an
// error of the round trip, as the action gave it.
func OnHost(o Options, by manage.By) http.RoundTripper {
	o = o.withDefaults()
	by.Access = rbac.Everything()
	listener := web.NewListener(web.Listener{Log: o.Log, Clock: o.Clock, Errors: errorTable, Limits: limits()})
	return &host{server{
		Options: o, listener: listener, operations: operations(), wrong: limit.New(), rules: rules(), known: &seenTokens{}, host: &by,
	}}
}

type host struct{ server }

// RoundTrip implements http.RoundTripper. The body of the answer is read while the
// operation writes it.
func (h *host) RoundTrip(r *http.Request) (*http.Response, error) {
	once := h.server // errors of this request alone
	var failed error
	once.failed = func(err error) { failed = err }
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: out, begun: make(chan struct{})}
	served := r.Clone(r.Context())
	served.Host, served.URL.Host, served.RemoteAddr = "localhost", "", "127.0.0.1:0"
	go func() {
		newEngine(&once).ServeHTTP(w, served)
		w.begin(http.StatusOK)
		_ = out.CloseWithError(failed) // nil is the end of the answer
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if w.status >= http.StatusBadRequest {
		_, _ = io.Copy(io.Discard, body) // until failed is set
		return nil, failed
	}
	return &http.Response{StatusCode: w.status, Header: w.header, Body: body, Request: r}, nil
}

// pipeWriter is the writer of an answer that is read on the other end of a pipe.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{}
	status int
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) { w.begin(status) }

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.body.Write(b)
}

func (w *pipeWriter) begin(status int) {
	w.once.Do(func() {
		w.status = status
		close(w.begun)
	})
}
