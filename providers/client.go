package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"tallyroute/providers/chat"
)

// Options are the bounds of a Client. The zero value is the default of each.
type Options struct {
	DialTimeout   time.Duration // 3 s
	TLSTimeout    time.Duration // 5 s
	HeaderTimeout time.Duration // until the header of a plain answer, which comes when all of it is there: 10 min
	StreamTimeout time.Duration // until the header of a streamed one: 30 s
	// FirstTimeout is until the first content of a stream, 5 min, or the target's
	// IdleTimeout if that is longer: a provider that only keeps the connection
	// alive does not answer.
	FirstTimeout time.Duration
	IdleTimeout  time.Duration // between two bytes of an answer: 60 s
	MaxBody      int64         // of a plain answer: 32 MiB
	IdleConns    int           // kept open per host: 256
	UserAgent    string        // "tallyroute"
	RootCAs      *x509.CertPool
	Proxy        *Proxy // nil means none; that of the environment is used only when asked for
}

// Turn bounds how many large bodies are read and written at once.
type Turn interface {
	// Take waits for the turn, until ctx ends. free ends it.
	Take(ctx context.Context) (free func(), err error)
}

// Heavy is how large a body is at least whose reading or writing waits for its turn.
const Heavy = 64 << 10

// Bounds that nobody has had a reason to move.
const (
	maxHeader = 64 << 10
	maxError  = 64 << 10 // of the body of a failed call that is read
	errorTime = 5 * time.Second
	keepAlive = 50 * time.Second
	// writeBuffer takes most requests whole, so that they are sent in one piece.
	writeBuffer = 16 << 10
)

// Client makes calls. It owns everything that touches the network. It is for
// many goroutines at once.
type Client struct {
	o       Options
	guarded *http.Transport // refuses addresses that are not public
	open    *http.Transport // for targets that are declared private

	known known // credentials, to be kept out of errors

	uncounted uncounted

	plain, streamed http.Header // ours, unless the target or the adapter says otherwise
}

// NewClient is a client with the bounds of o.
func NewClient(o Options) *Client {
	o = o.filled()
	return &Client{
		o: o, guarded: o.guarded(), open: o.transport(net.Dialer{Timeout: o.DialTimeout}),
		plain: o.header("application/json"), streamed: o.header("text/event-stream"),
	}
}

func (o Options) header(accept string) http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Accept": {accept}, "User-Agent": {o.UserAgent}}
}

func (o Options) filled() Options {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&o.DialTimeout, 3 * time.Second},
		{&o.TLSTimeout, 5 * time.Second},
		{&o.HeaderTimeout, 10 * time.Minute},
		{&o.StreamTimeout, 30 * time.Second},
		{&o.FirstTimeout, 5 * time.Minute},
		{&o.IdleTimeout, 60 * time.Second},
	} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	if o.MaxBody == 0 {
		o.MaxBody = 32 << 20
	}
	if o.IdleConns == 0 {
		o.IdleConns = 256
	}
	if o.UserAgent == "" {
		o.UserAgent = "tallyroute"
	}
	return o
}

// guarded reaches public addresses alone, through a proxy where there is to be one.
func (o Options) guarded() *http.Transport {
	free := net.Dialer{Timeout: o.DialTimeout}
	dialer := free
	dialer.Control = guard
	t := o.transport(dialer)
	o.Proxy.through(t, free)
	return t
}

// transport has no proxy of its own accord, and no time-out of its own for headers, because that depends on
// the call. The bounds on idle connections are below those of common load
// balancers, so that we do not write into a connection that is being closed.
func (o Options) transport(d net.Dialer) *http.Transport {
	return &http.Transport{
		DialContext: d.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		TLSHandshakeTimeout:    o.TLSTimeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    o.IdleConns,
		WriteBufferSize:        writeBuffer,
		IdleConnTimeout:        keepAlive,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// Close frees the connections that are not in use.
func (c *Client) Close() {
	c.guarded.CloseIdleConnections()
	c.open.CloseIdleConnections()
}

// Do makes one call. Its errors are *Error. Cancelling ctx ends the call, a
// stream that was returned included.
func (c *Client) Do(ctx context.Context, x Exchange) (*Answer, error) {
	parts, err := x.parts()
	switch {
	case err != nil:
		return nil, unsendable(x, err)
	case len(parts) > 0:
		return c.batched(ctx, x, parts)
	}
	return c.single(ctx, x)
}

func (c *Client) single(ctx context.Context, x Exchange) (*Answer, error) {
	call, err := c.encode(ctx, x)
	if err != nil {
		return nil, err
	}
	t, err := c.begin(ctx, x, call)
	if err != nil {
		return nil, err
	}
	resp, err := t.send() //nolint:bodyclose // answer does, or what it returns
	if err != nil {
		return nil, t.abort(err)
	}
	a, err := t.answer(resp)
	if err != nil {
		return nil, t.abort(err)
	}
	a.Header, a.Dropped = resp.Header, call.Dropped
	return a, nil
}

// encode writes the call for x, of a large request when its turn has come.
func (c *Client) encode(ctx context.Context, x Exchange) (Call, error) {
	free, err := x.turn(ctx, len(x.Request.Body()))
	if err != nil {
		return Call{}, &Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: KindCanceled, Err: err}
	}
	defer free()
	call, err := Encode(x)
	if err != nil {
		return Call{}, unsendable(x, err)
	}
	return call, nil
}

// turn waits for the turn of a body that is so large as to need one.
func (x *Exchange) turn(ctx context.Context, size int) (free func(), err error) {
	if size < Heavy || x.Turn == nil {
		return func() {}, nil
	}
	return x.Turn.Take(ctx)
}

// unsendable is a request that the adapter cannot express for this target.
func unsendable(x Exchange, err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Provider, e.Model, e.Kind = x.Target.Provider, x.Target.Model, KindUnfit
		return e
	}
	e := &Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: KindUnfit, Err: err}
	if f := (*chat.FieldError)(nil); errors.As(err, &f) {
		e.Detail = chat.Error{Message: f.Message, Type: "invalid_request_error", Param: f.Param, Code: f.Code}
	}
	return e
}

// Answer is a successful call: a whole response, or a stream whose first
// content has already been read, so that a caller may still try elsewhere
// while Do has not returned. It must be closed.
type Answer struct {
	Response *chat.Response // nil for streams
	Stream   chat.Stream    // nil for whole responses
	Header   http.Header    // the provider's, unfiltered: not for clients
	Dropped  []string       // members of the request that were dropped by declared rule
}

// OnWait has f called whenever the next chunk of a stream has not come yet, by
// the goroutine that asks for it. What was passed on until then can so be
// flushed together: all that the provider had sent. It reports false where there
// is no telling; each chunk is then to be flushed by itself.
func (a *Answer) OnWait(f func()) bool {
	l, ok := a.Stream.(*live)
	if ok {
		l.body.waits = f
	}
	return ok
}

// Told is what a stream has told of its usage so far.
func (a *Answer) Told() (t chat.Told) {
	if a.Stream != nil {
		t = a.Stream.Told()
	}
	return t
}

// Close ends the call and frees its connection. Closing twice is closing once.
func (a *Answer) Close() error {
	if a.Stream == nil {
		return nil
	}
	return a.Stream.Close()
}

// Beside is for calls to the provider of t that are not calls of models.
func (c *Client) Beside(t *Target) http.RoundTripper {
	if t.Private {
		return c.open
	}
	return c.guarded
}

var errTokenRedirect = errors.New("providers: an authorization server redirects, which is not followed")

// TokenClient is for talking to authorization servers: it reaches public addresses
// alone, through the proxy where there is one, and follows nothing, as calls of models do.
func TokenClient(p *Proxy) *http.Client { return tokenClient(Options{Proxy: p}.filled().guarded()) }

// PrivateTokenClient is one for the authorization server of a provider that may be on a
// private address.
func PrivateTokenClient() *http.Client {
	o := Options{}.filled()
	return tokenClient(o.transport(net.Dialer{Timeout: o.DialTimeout}))
}

func tokenClient(way *http.Transport) *http.Client {
	return &http.Client{
		Transport:     way,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errTokenRedirect },
	}
}

// CountingCodec is a codec of a format that counts the tokens of a prompt, for nothing.
type CountingCodec interface {
	ChatCodec
	// Count is the call that counts the prompt of what Encode wrote; false where the target
	// has none.
	Count(x Exchange, call Call) (Call, bool)
	// Counted reads the answer to it.
	Counted(body []byte) (tokens int64, ok bool)
}

// ErrUncounted is a prompt that its provider does not count.
var ErrUncounted = errors.New("providers: the provider counted no prompt")

// mostCount is more than the answer to a count has.
const mostCount = 64 << 10

// countAgain is when a provider is asked again that has no counter.
const countAgain = 10 * time.Minute

// uncounted are the targets that have no counter, and until when they are not asked.
type uncounted struct{ until sync.Map }

func (u *uncounted) is(t *Target) bool {
	until, ok := u.until.Load(t.Name())
	return ok && time.Now().Before(until.(time.Time)) //nolint:forcetypeassert // nothing else is in it
}

func (u *uncounted) note(t *Target) { u.until.Store(t.Name(), time.Now().Add(countAgain)) }

// Count has the provider count the tokens of a prompt. ErrUncounted where it has no way
// to, or gives no count.
func (c *Client) Count(ctx context.Context, x Exchange) (int64, error) {
	codec, ok := x.Target.Adapter.Chat.(CountingCodec)
	if !ok || c.uncounted.is(&x.Target) {
		return 0, ErrUncounted
	}
	call, err := c.encode(ctx, x)
	if err != nil {
		return 0, err
	}
	if call, ok = codec.Count(x, call); !ok {
		return 0, ErrUncounted
	}
	t, err := c.begin(ctx, x, call)
	if err != nil {
		return 0, err
	}
	defer t.cancel(errClosed)
	resp, err := t.send()
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := t.body(resp).readAll(resp.ContentLength, mostCount)
	if err != nil {
		return 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if n, ok := codec.Counted(body); ok {
			return n, nil
		}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusForbidden:
		c.uncounted.note(&x.Target)
	}
	return 0, ErrUncounted
}
