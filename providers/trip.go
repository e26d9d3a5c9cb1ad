package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// trip is one call under way.
type trip struct {
	c      *Client
	x      Exchange
	call   Call
	req    *http.Request
	ctx    context.Context // of the request; its cause says why it was cut short
	cancel context.CancelCauseFunc
	timer  *time.Timer // cancels when nothing came in time
}

// Why we end a call ourselves.
var (
	errSilent = errors.New("providers: nothing came in time")
	errClosed = errors.New("providers: the answer was closed")
)

// Answers that are none.
var (
	errEncoded   = errors.New("providers: the answer is compressed, which was not asked for")
	errTooLarge  = errors.New("providers: the answer is too large")
	errEmpty     = errors.New("providers: the answer is empty")
	errNoStream  = errors.New("providers: the answer is whole where a stream was asked for")
	errHTML      = errors.New("providers: the answer is a web page")
	errRedirect  = errors.New("providers: the provider redirects, which is not followed")
	errNoContent = errors.New("providers: the stream goes on without content")
)

// begin writes and signs the request.
func (c *Client) begin(ctx context.Context, x Exchange, call Call) (*trip, error) {
	t := &trip{c: c, x: x, call: call}
	if err := checkCall(call.Path); err != nil {
		return nil, unsendable(x, err)
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	// The body can be read again, so that a request of which nothing was sent, or
	// of which the provider has said that it ignored it, can go over another
	// connection. Go does not repeat a POST for any other reason.
	req, err := http.NewRequestWithContext(t.ctx, http.MethodPost, x.Target.BaseURL+call.Path, bytes.NewReader(call.Body))
	if err != nil {
		return nil, t.abort(&Error{Kind: KindNetwork, Err: fmt.Errorf("providers: %w", err)})
	}
	t.req = req
	for _, h := range []http.Header{t.own(), x.Target.Header, call.Header} {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	if x.Target.Auth != nil {
		if err := x.Target.Auth.Sign(t.ctx, req); err != nil {
			return nil, t.abort(&Error{Kind: KindCredential, Err: err})
		}
	}
	return t, nil
}

// own are the headers that are ours.
func (t *trip) own() http.Header {
	if t.x.Request.Stream() {
		return t.c.streamed
	}
	return t.c.plain
}

// checkCall refuses a path that would lead elsewhere than below the base URL,
// because of a model's name in it.
func checkCall(path string) error {
	plain, _, _ := strings.Cut(path, "?")
	read, err := url.PathUnescape(plain)
	if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "# ") || strings.Contains(read, "\\") || !plainPath(read) {
		return fmt.Errorf("providers: %q is no path below a base URL", path)
	}
	return nil
}

// send makes the request and waits for the header of its answer. The transport
// is used without a http.Client: nothing follows redirects, and nothing is
// gained from the rest of it.
func (t *trip) send() (*http.Response, error) {
	t.timer = time.AfterFunc(t.headerTimeout(), func() { t.cancel(errSilent) })
	resp, err := t.transport().RoundTrip(t.req)
	t.timer.Stop()
	if err != nil {
		return nil, t.network(fmt.Errorf("providers: %w", err))
	}
	return resp, nil
}

func (t *trip) transport() *http.Transport {
	if t.x.Target.Private {
		return t.c.open
	}
	return t.c.guarded
}

func (t *trip) headerTimeout() time.Duration {
	switch {
	case t.x.Request.Stream():
		return t.c.o.StreamTimeout
	case t.x.Target.HeaderTimeout > 0:
		return t.x.Target.HeaderTimeout
	}
	return t.c.o.HeaderTimeout
}

// answer reads what has come, as far as it must be read to tell whether it is one.
func (t *trip) answer(resp *http.Response) (*Answer, error) {
	b := t.body(resp)
	switch {
	case resp.StatusCode/100 != 2:
		return nil, t.refused(resp, b)
	case encoded(resp):
		return nil, t.broken(resp, b, errEncoded)
	case mediaType(resp) == "text/html":
		return nil, t.broken(resp, b, errHTML)
	case t.x.Request.Stream() && mediaType(resp) != "application/json":
		return t.stream(resp, b)
	}
	return t.whole(resp, b)
}

// refused reads a failed call.
func (t *trip) refused(resp *http.Response, b *body) error {
	var text []byte
	if !encoded(resp) {
		b.until = time.Now().Add(errorTime)
		text, _ = io.ReadAll(io.LimitReader(b, maxError)) // what came of it will do
	}
	b.drain()
	if resp.StatusCode/100 == 3 {
		return t.fill(&Error{Kind: KindRedirect, Err: errRedirect}, resp)
	}
	return t.fill(t.x.Target.Adapter.Fail(t.x, resp.StatusCode, resp.Header, text), resp)
}

func (t *trip) broken(resp *http.Response, b *body, err error) error {
	_ = b.Close()
	return t.fill(&Error{Kind: KindBroken, Err: err}, resp)
}

// whole reads a plain answer.
func (t *trip) whole(resp *http.Response, b *body) (*Answer, error) {
	text, err := b.readAll(resp.ContentLength, t.c.o.MaxBody)
	_ = b.Close()
	switch {
	case b.err != nil:
		return nil, t.fill(t.network(b.err), resp)
	case err != nil:
		return nil, t.broken(resp, b, err)
	}
	answer, err := t.x.Target.Adapter.Decode(t.x, text)
	switch {
	case err != nil && len(bytes.TrimSpace(text)) == 0:
		return nil, t.broken(resp, b, errEmpty)
	case err != nil:
		return nil, t.fill(asError(err), resp)
	case t.x.Request.Stream():
		return nil, t.broken(resp, b, errNoStream)
	}
	t.cancel(errClosed)
	return &Answer{Response: answer}, nil
}

// network is a failure to send or receive.
func (t *trip) network(err error) *Error {
	e := &Error{Kind: KindNetwork, Err: err}
	switch cause := context.Cause(t.ctx); {
	case errors.Is(cause, errSilent), errors.Is(t.ctx.Err(), context.DeadlineExceeded):
		e.Kind, e.Err = KindTimeout, cause
	case cause != nil:
		e.Kind, e.Err = KindCanceled, cause
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Kind = KindBroken
	}
	return e
}

// asError is what an adapter says of an answer that is none.
func asError(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindBroken, Err: err}
}

// fill adds what the answer's header tells.
func (t *trip) fill(e *Error, resp *http.Response) *Error {
	if e.Status == 0 {
		e.Status = resp.StatusCode
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = RetryAfter(resp.Header, time.Now())
	}
	return e
}

// abort ends a call that has failed and makes its error complete.
func (t *trip) abort(err error) *Error {
	e := asError(err)
	t.cancel(errClosed)
	e.Provider, e.Model, e.RetryAfter = t.x.Target.Provider, t.x.Target.Model, clamp(e.RetryAfter)
	if t.req != nil {
		e.redact(credentials(t.req, t.call.Path, t.own(), t.x.Target.Header, t.call.Header))
	}
	return e
}

func encoded(resp *http.Response) bool {
	e := resp.Header.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

func mediaType(resp *http.Response) string {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
