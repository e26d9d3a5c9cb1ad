package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
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
	case t.x.Request.Stream() && (mediaType(resp) != "application/json" || t.call.JSONStream):
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
	t.hear(text)
	b.drain()
	if resp.StatusCode/100 == 3 {
		return t.fill(&Error{Kind: KindRedirect, Err: errRedirect}, resp)
	}
	return t.fill(t.x.codec().Fail(t.x, resp.StatusCode, resp.Header, text), resp)
}

func (t *trip) broken(resp *http.Response, b *body, err error) error {
	_ = b.Close()
	return t.fill(&Error{Kind: KindBroken, Err: err}, resp)
}

// whole reads a plain answer.
func (t *trip) whole(resp *http.Response, b *body) (*Answer, error) {
	text, err := b.readAll(resp.ContentLength, t.c.o.MaxBody)
	_ = b.Close()
	t.size = int64(len(text))
	switch {
	case b.err != nil:
		t.hear(text)
		return nil, t.fill(t.network(b.err), resp)
	case b.full != nil:
		t.hear(text)
		return nil, t.fill(&Error{Kind: KindRoom, Err: b.full}, resp)
	case err != nil:
		t.hear(text)
		return nil, t.broken(resp, b, err)
	}
	answer, err := t.decode(resp, text)
	switch {
	case err != nil && len(bytes.TrimSpace(text)) == 0:
		return nil, t.broken(resp, b, errEmpty)
	case err != nil:
		t.hear(text)
		return nil, t.fill(asError(err), resp)
	case t.x.Request.Stream():
		t.told = answer.Usage
		return nil, t.broken(resp, b, errNoStream)
	}
	t.cancel(errClosed)
	return &Answer{Response: answer}, nil
}

// decode reads a whole answer, a large one when there is a slot.
func (t *trip) decode(resp *http.Response, text []byte) (*chat.Response, error) {
	free, err := t.c.slot(t.ctx, len(text))
	if err != nil {
		return nil, t.network(err)
	}
	defer free()
	r, err := t.x.codec().Decode(t.x, resp.Header, text)
	if err == nil && len(t.call.aliases.back) > 0 {
		r.Body = t.call.aliases.restore(r.Body)
	}
	return r, err
}

// hear notes what an answer that cannot be used says of its usage: it, or the part of
// it that a failure is wrapped in or wraps.
func (t *trip) hear(text []byte) {
	const most = 4 << 20 // is looked through, again and again
	text = text[:min(len(text), most)]
	o := operations[t.x.Operation]
	for _, part := range [...]string{"", "response", "error", "message"} {
		body := text
		if part != "" {
			body = jsonraw.Lookup(text, part)
		}
		if o.usage != nil {
			t.told = o.usage(t.x, body)
		}
		if t.told == nil {
			t.told = chat.UsageOf(body)
		}
		if t.told != nil {
			return
		}
	}
}

// network is a failure to send or receive.
func (t *trip) network(err error) *Error {
	e := &Error{Kind: KindNetwork, Err: err}
	switch cause := context.Cause(t.ctx); {
	case errors.Is(cause, errSilent), errors.Is(t.ctx.Err(), context.DeadlineExceeded):
		e.Kind, e.Err = KindTimeout, fmt.Errorf("%w (%s)", cause, t.awaited)
	case cause != nil:
		e.Kind, e.Err = KindCanceled, cause
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Kind = KindBroken
	}
	return e
}

// asError is what an adapter says of an invalid answer.
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
	t.x.reconsider(e)
	e.Provider, e.Model, e.RetryAfter = t.x.Target.Provider, t.x.Target.Model, clamp(e.RetryAfter)
	e.Sent, e.Free, e.Received, e.Usage = t.written.Load() || t.status != 0, t.free(e.Kind) && !t.told.Some(), t.size, t.told
	if t.req != nil {
		e.redact(t.credentials(), t.c.known.all())
	}
	return e
}

// free reports that the provider answered a call that failed in a way for which it
// charges nothing: with the status of a refusal, or with words that are one.
func (t *trip) free(k Kind) bool {
	switch t.status / 100 {
	case 0:
		return false
	case 2:
		return k.Refuses()
	case 5:
		return !t.x.Target.Billing.Errors
	}
	return true
}

func encoded(resp *http.Response) bool {
	e := resp.Header.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

func mediaType(resp *http.Response) string {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}
