package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/limit"
)

// Caller is who is calling, from where and when.
type Caller struct {
	Secret billing.Secret
	// Temporary is the temporary key that stands in for the secret; nil if the secret itself was
	// presented.
	Temporary *ephemeral.Opened
	From      netip.Addr
	Agent     string // the client's User-Agent
	At        time.Time
	// Endpoint is what is called. Origin and Referer are those of a browser page.
	Endpoint        policy.Endpoint
	Origin, Referer string
}

// Inbound is one request as the server hands it over.
type Inbound struct {
	Caller    Caller
	RequestID string // "req_" and a ULID, made by the server: the ledger's key
	Operation providers.Operation
	// Room is the memory that the request occupies: its body and what is made from it. The
	// server closes it when the request is over.
	Room *limit.Share
	// Read returns the body. It is called at most once, after the key is known and Room has been
	// assigned to it.
	Read func() ([]byte, error)
	// Translate, if set, turns a body that is not in the operation's own format into what it
	// asks for.
	Translate func(ctx context.Context, key *billing.Key, body []byte, l chat.Limits) (Asked, error)
	// Waiting, if set, is called before a provider is asked for a stream, once every check that
	// could refuse the request has passed.
	Waiting func()
	Tags    map[string]string
	Explain Explain
	// Session is the client's name for the session that the request belongs to; "" if it gives
	// none.
	Session string
	// Idempotency is the client's name for the request, so that it can be sent again but
	// answered once; "" for most requests.
	Idempotency string
}

// Asked is what the body of a request asks for.
type Asked struct {
	Body []byte // in the operation's own format
	// Native is the request as it arrived, if that was in another format; otherwise nil.
	Native *providers.Native
}

// Explain says whether an answer should include its plan.
type Explain int

// The values of Explain.
const (
	ExplainNot  Explain = iota
	ExplainPlan         // every candidate, its price and why it was or was not chosen
)

// Options are the settings of a Router. The zero value of each stands for its default.
type Options struct {
	MaxAttempts      int   // providers tried for one request; default 3
	DefaultMaxOutput int64 // tokens, for models that declare none; default 4096
	MaxOutput        int64 // tokens, if the client gives no bound; 0 is what the model can produce
	// AllowMembers lists request members that are assumed to be free, as PROVIDER/MEMBER or
	// PROVIDER/MODEL/MEMBER. RefuseMembers refuses members that may cost anything even for keys
	// without budgets.
	AllowMembers   []string
	RefuseMembers  bool
	RequestTimeout time.Duration // the whole request, all attempts included; default 10 min
	SettleTimeout  time.Duration // how long a client may wait for its settlement; default 2 s
	ReadTimeout    time.Duration // how long a client may wait to read its budgets or its rows; default 900 ms
	Linger         time.Duration // how long a stream is still read after its client has gone; default 80 ms
	IdempotencyTTL time.Duration // how long an answer is kept for repeated requests; default 24 h
	Requests       chat.Limits   // what a request may contain
	Groups         policy.Groups // of models, as keys and policies name them
	Brake          Brake         // when requests count as a runaway
	Clock          func() time.Time
	// Random returns a number from 0 to n-1, used to share calls between credentials; default
	// rand.Int64N.
	Random func(n int64) int64
}

// Brake says when requests count as a runaway, regardless of policies, and what happens to
// them.
type Brake struct {
	Most   policy.Runaway
	Within time.Duration // the time within which requests count as the same
	Pause  time.Duration // for how long they are stopped
}

// holdGrace is how long a hold outlives the longest request, so that it is never swept while
// its request can still settle.
const holdGrace = time.Minute

func (o Options) withDefaults() Options {
	if o.MaxAttempts <= 0 {
		o.MaxAttempts = 3
	}
	if o.DefaultMaxOutput <= 0 {
		o.DefaultMaxOutput = 4096
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 10 * time.Minute
	}
	if o.SettleTimeout <= 0 {
		o.SettleTimeout = 2 * time.Second
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = 900 * time.Millisecond
	}
	if o.Linger <= 0 {
		o.Linger = 80 * time.Millisecond
	}
	if o.IdempotencyTTL <= 0 {
		o.IdempotencyTTL = 24 * time.Hour
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Event is what a Record is about.
type Event string

// The events.
const (
	EventRequest       Event = "request"        // a request has ended
	EventBooked        Event = "booked"         // the rows of a request are settled, whether it was answered or not
	EventSettleDelayed Event = "settle_delayed" // the database did not take a settlement; it is tried again
	EventRepeated      Event = "replayed"       // a request got the answer that was given before
	EventClaimLost     Event = "replay_lost"    // an answer was not kept, or a claim could not be given up; it lapses
	EventSettleLost    Event = "settle_lost"    // a settlement was given up; its hold will be swept
)

// Record describes what happened, after the fact. It contains no secret and no text.
type Record struct {
	Event          Event
	RequestID      string
	KeyID          billing.KeyID
	TeamID         string
	RequestedModel string // as the client wrote it; empty if it is not a name we know
	Streamed       bool
	Status         billing.Status // of the last attempt; StatusError for requests that were refused
	Refusal        string         // for requests without any attempt: the reason, as a fixed word
	Attempts       []Attempt
	Rows           []billing.Spend // of all attempts, the one that answered last; not to be changed
	Total          time.Duration
	Overhead       time.Duration // our own time: everything but waiting for a provider or the client
	FirstByte      time.Duration // until the first content of the answer arrived
	Err            error         // for the log
	Original       string        // for a replay: the request that was answered
}

// Observer receives records. It must not block.
type Observer interface{ Observe(Record) }

// Attempt is one call to one provider, for headers and error messages.
type Attempt struct {
	Provider, Model string
	Credential      string         // as the ledger names it; "" is the provider's only credential
	Status          int            // HTTP status from the provider, 0 if none arrived
	Kind            providers.Kind // "" for success
	Took            time.Duration  // until the first content of a stream, or all of a plain answer
}

// ModelError says that a model does not exist or that the key must not see it.
type ModelError struct {
	Asked   string
	Nearest string // "" if no name is near
}

// Error names what was asked for.
func (e *ModelError) Error() string { return fmt.Sprintf("router: no model %q", e.Asked) }

// ForbiddenModelError says that a model exists but the key may not use it.
type ForbiddenModelError struct {
	Asked   string
	Allowed []string
}

// Error names what was asked for.
func (e *ForbiddenModelError) Error() string {
	return fmt.Sprintf("router: model %q is not allowed for this key", e.Asked)
}

// FailedError says that every candidate was tried, or that none could be.
type FailedError struct {
	Attempts   []Attempt
	RetryAfter time.Duration // when the next candidate may be back; 0 if not known
	Err        error         // from the last attempt, nil if none was made
	// RateLimited says that all providers are refusing further requests for now.
	RateLimited bool
}

// Error counts the attempts.
func (e *FailedError) Error() string {
	if e.Err == nil {
		return "router: no healthy provider"
	}
	return fmt.Sprintf("router: all %d attempts failed: %v", len(e.Attempts), e.Err)
}

// Unwrap returns the error of the last attempt.
func (e *FailedError) Unwrap() error { return e.Err }

// ErrClientGone says that the client hung up before anything could be answered.
var ErrClientGone = errors.New("router: the client has gone")

// ErrStopping says that the process is stopping, and with it the requests in progress. Whoever
// cancels a request's context for that reason passes it as the cause.
var ErrStopping = errors.New("router: the process is stopping")

// endOf returns how a request ends when its context is done: aborted by the client, unless we
// are stopping.
func endOf(ctx context.Context) (billing.Status, error) {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return billing.StatusInterrupted, ErrStopping
	}
	return billing.StatusClientAborted, ErrClientGone
}

// errTrialTaken says that another request is already trying an unhealthy target.
var errTrialTaken = errors.New("router: target is being tried by another request")
