package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Responses that are not answers.
var (
	errEncoded   = errors.New("providers: the answer is compressed, which was not asked for")
	errTooLarge  = errors.New("providers: the answer is too large")
	errEmpty     = errors.New("providers: the answer is empty")
	errNoStream  = errors.New("providers: the answer is whole where a stream was asked for")
	errHTML      = errors.New("providers: the answer is a web page")
	errRedirect  = errors.New("providers: the provider redirects, which is not followed")
	errNoContent = errors.New("providers: the stream goes on without content")
)

// answer reads as much of the response as is needed to tell whether it is an answer.
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

// refused reads the response to a failed call.
func (t *trip) refused(resp *http.Response, b *body) error {
	var text []byte
	if !encoded(resp) {
		b.until = time.Now().Add(errorTime)
		text, _ = io.ReadAll(io.LimitReader(b, maxError)) // a partial body is good enough
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

// whole reads a response that is not streamed.
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
	if err != nil && t.x.Native == nil {
		answer, err = t.gathered(text, err)
	}
	switch {
	case err != nil && len(bytes.TrimSpace(text)) == 0:
		return nil, t.broken(resp, b, errEmpty)
	case err != nil:
		t.hear(text)
		return nil, t.fill(asError(err), resp)
	case t.x.Request.Stream():
		t.told = answer.Usage
		return t.streamed(resp, b, answer)
	}
	t.cancel(errClosed)
	return &Answer{Response: answer}, nil
}

// streamed converts a complete response to the stream that was requested.
func (t *trip) streamed(resp *http.Response, b *body, whole *chat.Response) (*Answer, error) {
	s, err := whole.Streamed()
	if err != nil || t.x.Native != nil {
		return nil, t.broken(resp, b, errNoStream)
	}
	t.cancel(errClosed)
	return &Answer{Stream: s}, nil
}

// decode decodes a complete response. A large one waits for its turn first.
func (t *trip) decode(resp *http.Response, text []byte) (*chat.Response, error) {
	free, err := t.x.turn(t.ctx, len(text))
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

// gathered reads a complete response from a stream that was not requested. If text is no stream,
// it returns the error that decoding has ended with.
func (t *trip) gathered(text []byte, err error) (*chat.Response, error) {
	o, start := operations[t.x.Operation], bytes.TrimSpace(text[:min(len(text), modest)])
	isEvents := bytes.HasPrefix(start, []byte("data:")) || bytes.HasPrefix(start, []byte("event:")) || bytes.HasPrefix(start, []byte(":"))
	if o.stream == nil || !isEvents {
		return nil, err
	}
	r, err := chat.Whole(o.stream(t.x, io.NopCloser(bytes.NewReader(text))))
	if err == nil && len(t.call.aliases.back) > 0 {
		r.Body = t.call.aliases.restore(r.Body)
	}
	return r, err
}

// hear records the usage in an unusable response: in the response itself, in its member
// response, error or message, or in its events if it is a stream that was not requested.
func (t *trip) hear(text []byte) {
	const most = 4 << 20 // bytes to search, because they are searched repeatedly
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
	if o.stream == nil || len(bytes.TrimSpace(text)) == 0 {
		return
	}
	s := o.stream(t.x, io.NopCloser(bytes.NewReader(text)))
	for err := error(nil); err == nil; {
		_, err = s.Next()
	}
	t.told = s.Told().Usage
}

// network returns the error for a failure to send or receive.
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

// asError returns an adapter's error about an invalid response as an *Error.
func asError(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindBroken, Err: err}
}

// fill adds what the response header says.
func (t *trip) fill(e *Error, resp *http.Response) *Error {
	if e.Status == 0 {
		e.Status = resp.StatusCode
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = RetryAfter(resp.Header, time.Now())
	}
	return e
}

// abort ends a failed call and completes its error.
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

// free reports whether the provider answered the failed call in a way for which it charges
// nothing: with a status, or an error message, that refuses it.
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

// Answered reports whether the model that a provider says has answered is the one that t asks
// for. Names of one model may differ by host, in word order and separators, and in a version
// date that only one of them has. A deployment with a name of its own reports the name of its
// model.
func (t *Target) Answered(said string) bool {
	if said == "" || said == t.Upstream || said == t.Model {
		return true
	}
	var name, asked, ours words
	name.read(said)
	if asked.read(t.Upstream); alike(name.model(), asked.model()) {
		return name.fits(&asked)
	}
	ours.read(t.Model)
	return alike(name.model(), ours.model()) && name.fits(&ours)
}

// NamesOf yields the names under which a catalogue may list the model that a provider calls
// said: that name, the name without its host, and that with more and more of its version
// cut off.
func NamesOf(said string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(said) {
			return
		}
		name := said[strings.LastIndexByte(said, '/')+1:]
		for name != "" {
			if name != said && !yield(name) {
				return
			}
			end := strings.LastIndexAny(name, "-:@.")
			word, rest := firstWord(name[end+1:])
			if end <= 0 || word == "" || rest != "" && word != "v" || !isDigit(word[0]) && word != "v" && !neutral(word) {
				return
			}
			name = name[:end]
		}
	}
}

// mostWords is the number of words of a name that are compared.
const mostWords = 24

// words holds the words of a model's name and of its version, if it has one.
type words struct {
	all    [mostWords]string // the version's words come last
	models int
	dates  int
}

func (w *words) model() []string { return w.all[:w.models] }

func (w *words) version() []string { return w.all[mostWords-w.dates:] }

func (w *words) fits(other *words) bool {
	return w.dates == 0 || other.dates == 0 || alike(w.version(), other.version())
}

// read splits a name such as eu.anthropic.claude-sonnet-4-5-20250929-v1:0. A word is a run of
// letters or of digits.
func (w *words) read(name string) {
	name = withoutHost(name[strings.LastIndexByte(name, '/')+1:])
	dated := false
	for name != "" && w.models+w.dates < mostWords {
		var word string
		if word, name = firstWord(name); word == "" {
			break
		}
		switch {
		case neutral(word):
		case dated && word == "v": // a revision of that version, which ends the name
			return
		case ofDate(word, name) || dated && len(word) == 2 && isDigit(word[0]):
			dated = true
			w.dates++
			w.all[mostWords-w.dates] = word
			continue
		default:
			w.all[w.models] = word
			w.models++
		}
		dated = false
	}
}

// withoutHost returns a name without its host, and without the revision that Amazon appends
// to the names of other vendors' models.
func withoutHost(name string) string {
	hosted := false
	for {
		host, rest, found := strings.Cut(name, ".")
		if !found || host == "" || strings.ContainsAny(host, "0123456789:@_") {
			break
		}
		name, hosted = rest, true
	}
	if hosted {
		name, _, _ = strings.Cut(name, ":")
		if end := len(name) - len("-v0"); end > 0 && name[end:end+2] == "-v" && isDigit(name[end+2]) {
			name = name[:end]
		}
	}
	return name
}

// firstWord splits off the first word.
func firstWord(s string) (word, rest string) {
	for s != "" && !isDigit(s[0]) && !isLetter(s[0]) {
		s = s[1:]
	}
	end := 0
	for end < len(s) && (isDigit(s[end]) || isLetter(s[end])) && isDigit(s[end]) == isDigit(s[0]) {
		end++
	}
	return s[:end], s[end:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80 }

// neutral reports whether a word says nothing about which model it is.
func neutral(word string) bool {
	return word == "latest" || word == "preview" || word == "exp" || word == "experimental" || word == "gguf"
}

// ofDate reports whether a number is part of a date or a version counter: it has at least
// four digits, starts with a zero, or precedes a year. Two digits after such a number belong
// to it too.
func ofDate(word, rest string) bool {
	if !isDigit(word[0]) || len(word) < 2 {
		return false
	}
	next, _ := firstWord(rest)
	return len(word) >= 4 || word[0] == '0' || len(word) == 2 && len(next) == 4 && strings.HasPrefix(next, "20")
}

// alike compares words, ignoring order and case.
func alike(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	var taken [mostWords]bool
	return !slices.ContainsFunc(a, func(word string) bool {
		for i := range b {
			if !taken[i] && strings.EqualFold(word, b[i]) {
				taken[i] = true
				return false
			}
		}
		return true
	})
}

// maxHeld is how many bytes a stream may send before its first content.
const maxHeld = 4 << 20

// live is a stream in progress. Its first content, and anything before that, is held until
// the caller asks for it.
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

// stream reads a streamed response up to its first content.
func (t *trip) stream(resp *http.Response, b *body) (*Answer, error) {
	l := &live{trip: t, resp: resp, body: b, from: operations[t.x.Operation].stream(t.x, b)}
	t.awaited = "the first content"
	b.until = time.Now().Add(t.firstTimeout())
	if err := l.begin(); err != nil {
		t.told = l.Told().Usage
		_ = l.Close()
		return nil, err
	}
	if t.awaited = "the next byte"; !b.soon {
		b.until = time.Time{}
	}
	return &Answer{Stream: l}, nil
}

// begin holds chunks until one shows that the answer has begun.
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

// read returns the adapter's next chunk, with tool names as the client gave them.
func (l *live) read() (chat.Chunk, error) {
	c, err := l.from.Next()
	if len(l.call.aliases.back) > 0 {
		c.Data = l.call.aliases.restore(c.Data)
	}
	return c, err
}

// Next returns the next chunk, starting with those that were held.
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

// Told returns the usage reported so far.
func (l *live) Told() chat.Told { return l.from.Told() }

// fault returns the reason that a stream failed: what the provider said about it, or else
// what the network did. The adapter may have read ahead, so both may be known.
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

// Close ends the call. The connection can be reused if the stream was read to its end.
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
