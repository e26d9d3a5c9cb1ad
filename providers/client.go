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

// Options are the settings of a Client. A zero field takes the default given here.
type Options struct {
	DialTimeout   time.Duration // 3 s
	TLSTimeout    time.Duration // 5 s
	HeaderTimeout time.Duration // until the header of a plain response, which is sent only when the response is complete: 10 min
	StreamTimeout time.Duration // until the header of a streamed response: 30 s
	// FirstTimeout is the time until the first content of a stream: 5 min, or the target's
	// IdleTimeout if that is longer. A provider that only keeps the connection alive has not
	// answered.
	FirstTimeout time.Duration
	IdleTimeout  time.Duration // between two bytes of a response: 60 s
	MaxBody      int64         // bytes of a plain response: 32 MiB
	IdleConns    int           // kept open per host: 256
	UserAgent    string        // "tallyroute"
	RootCAs      *x509.CertPool
	Proxy        *Proxy // nil means none; the environment's proxy is used only if asked for
}

// Turn limits how many large bodies are read and written at once.
type Turn interface {
	// Take waits for a turn or until ctx ends. Calling free gives the turn back.
	Take(ctx context.Context) (free func(), err error)
}

// Heavy is the size in bytes from which reading or writing a body needs a turn.
const Heavy = 64 << 10

// Limits that nobody has needed to change.
const (
	maxHeader = 64 << 10
	maxError  = 64 << 10 // bytes read of a failed call's body
	errorTime = 5 * time.Second
	keepAlive = 50 * time.Second
	// writeBuffer is large enough to send most requests in one piece.
	writeBuffer = 16 << 10
)

// Client makes calls. It owns everything that touches the network and is safe for concurrent
// use.
type Client struct {
	o       Options
	guarded *http.Transport // refuses addresses that are not public
	open    *http.Transport // for targets declared private

	known known // credentials to keep out of errors

	uncounted uncounted

	plain, streamed http.Header // our own headers, unless the target or the adapter overrides them
}

// NewClient returns a client with the settings in o.
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

// guarded returns a transport that reaches only public addresses, through the proxy if one is
// set.
func (o Options) guarded() *http.Transport {
	free := net.Dialer{Timeout: o.DialTimeout}
	dialer := free
	dialer.Control = guard
	t := o.transport(dialer)
	o.Proxy.through(t, free)
	return t
}

// transport returns a transport without a proxy, and without a header time-out, because that
// depends on the call. Its limits on idle connections are below those of common load
// balancers, so that we do not write to a connection that is being closed.
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

// Close closes idle connections.
func (c *Client) Close() {
	c.guarded.CloseIdleConnections()
	c.open.CloseIdleConnections()
}

// Do makes one call. Its errors are *Error. Cancelling ctx ends the call, including a stream
// that was returned.
func (c *Client) Do(ctx context.Context, x Exchange) (*Answer, error) {
	if split := operations[x.Operation].parts; split != nil {
		parts, err := split(x)
		if err != nil {
			return nil, unsendable(x, err)
		}
		if len(parts) > 0 { // each part is a separate call
			return c.batched(ctx, x, parts)
		}
	}
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

// encode writes the call for x. A large request waits for its turn first.
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

// turn waits for a turn if a body of this size needs one.
func (x *Exchange) turn(ctx context.Context, size int) (free func(), err error) {
	if size < Heavy || x.Turn == nil {
		return func() {}, nil
	}
	return x.Turn.Take(ctx)
}

// unsendable returns the error for a request that the adapter cannot express for this target.
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

// Answer is the result of a successful call: a complete response, or a stream whose first
// content has already been read, so that until Do returns the caller can still fail over. It
// must be closed.
type Answer struct {
	Response *chat.Response // nil for streams
	Stream   chat.Stream    // nil for complete responses
	Header   http.Header    // the provider's, unfiltered: not for clients
	Dropped  []string       // members of the request that were dropped by a declared rule
}

// OnWait makes f be called whenever the next chunk of a stream has not yet arrived, on the
// goroutine that reads the stream. Whatever has been passed on so far can then be flushed
// together. OnWait returns false if the stream cannot tell; each chunk must then be flushed
// on its own.
func (a *Answer) OnWait(f func()) bool {
	l, ok := a.Stream.(*live)
	if ok {
		l.body.waits = f
	}
	return ok
}

// Told returns what the stream has reported of its usage so far.
func (a *Answer) Told() (t chat.Told) {
	if a.Stream != nil {
		t = a.Stream.Told()
	}
	return t
}

// Close ends the call and frees its connection. Further calls have no effect.
func (a *Answer) Close() error {
	if a.Stream == nil {
		return nil
	}
	return a.Stream.Close()
}

// Beside returns the transport for calls to t's provider, including calls other than to models.
func (c *Client) Beside(t *Target) http.RoundTripper {
	if t.Private {
		return c.open
	}
	return c.guarded
}

var errTokenRedirect = errors.New("providers: an authorization server redirects, which is not followed")

// TokenClient returns a client for authorization servers. Like model calls, it reaches only
// public addresses, uses the proxy if there is one, and does not follow redirects.
func TokenClient(p *Proxy) *http.Client { return tokenClient(Options{Proxy: p}.filled().guarded()) }

// PrivateTokenClient returns a client for the authorization server of a provider that may
// have a private address.
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

// CountingCodec is the codec of a format that can count the tokens of a prompt free of
// charge.
type CountingCodec interface {
	ChatCodec
	// Count returns the call that counts the prompt of the call that Encode wrote; false if
	// the target has no such call.
	Count(x Exchange, call Call) (Call, bool)
	// Counted reads the response to that call.
	Counted(body []byte) (tokens int64, ok bool)
}

// ErrUncounted is returned for a prompt that its provider does not count.
var ErrUncounted = errors.New("providers: the provider did not count the prompt")

// mostCount is larger than any response to a count.
const mostCount = 64 << 10

// countAgain is how long to wait before asking again a provider that had no counter.
const countAgain = 10 * time.Minute

// uncounted holds the targets that have no counter, and until when not to ask them.
type uncounted struct{ until sync.Map }

func (u *uncounted) is(t *Target) bool {
	until, ok := u.until.Load(t.Name())
	return ok && time.Now().Before(until.(time.Time)) //nolint:forcetypeassert // nothing else is in it
}

func (u *uncounted) note(t *Target) { u.until.Store(t.Name(), time.Now().Add(countAgain)) }

// Count asks the provider to count the tokens of a prompt. It returns ErrUncounted if the
// provider cannot, or gives no count.
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
