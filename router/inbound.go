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

// Caller is who asks, from where and when.
type Caller struct {
	Secret billing.Secret
	// Temporary is the temporary key that stands for the secret; nil where it came itself.
	Temporary *ephemeral.Opened
	From      netip.Addr
	Agent     string // as the client calls itself
	At        time.Time
	// Endpoint is what is called. Origin and Referer are those of a browser's page.
	Endpoint        policy.Endpoint
	Origin, Referer string
}

// Inbound is one request as the server hands it over.
type Inbound struct {
	Caller    Caller
	RequestID string // "req_" and a ULID, made by the server: the ledger's key
	Operation providers.Operation
	// Room is what the request holds in memory, its body and what is made of it. The
	// server closes it when the request is over.
	Room *limit.Share
	// Read returns the body. It is called at most once, after the key is known and Room is
	// the key's.
	Read func() ([]byte, error)
	// Translate, where it is set, is what a body of a key asks for that is not one of the
	// operation.
	Translate func(ctx context.Context, key *billing.Key, body []byte, l chat.Limits) (Asked, error)
	// Waiting, where it is set, is called before a provider is asked for a stream:
	// all that could refuse the request has been asked.
	Waiting func()
	Tags    map[string]string
	Explain Explain
	// Session is what the client calls the session that the request belongs to, ""
	// where it does not say.
	Session string
	// Idempotency is what the client calls the request, so that it may send it
	// again and have it answered once; "" for most.
	Idempotency string
}

// Asked is what the body of a request asks for.
type Asked struct {
	Body []byte // of the operation's own format
	// Native is the request as it came, where that was in another format; else nil.
	Native *providers.Native
}

// Explain says whether an answer shall carry its plan.
type Explain int

// The values of Explain.
const (
	ExplainNot  Explain = iota
	ExplainPlan         // every candidate, its price and why it was or was not taken
)

// Options are the settings of a Router. The zero value of each has a default.
type Options struct {
	MaxAttempts      int   // providers tried for one request; default 3
	DefaultMaxOutput int64 // tokens, for models that declare none; default 4096
	MaxOutput        int64 // tokens, where the client gives no bound; 0 is what the model can
	// AllowMembers are members of requests that are taken for free, as PROVIDER/MEMBER or
	// PROVIDER/MODEL/MEMBER, and
	// RefuseMembers refuses what may cost anything to keys without budgets, too.
	AllowMembers   []string
	RefuseMembers  bool
	RequestTimeout time.Duration // the whole request, all attempts included; default 10 min
	SettleTimeout  time.Duration // how long a client may wait for its settlement; default 2 s
	ReadTimeout    time.Duration // how long a client may wait to read its budgets or its rows; default 900 ms
	Linger         time.Duration // how long a stream is read on after its client has gone; default 80 ms
	IdempotencyTTL time.Duration // how long an answer is kept for whoever asks again; default 24 h
	Requests       chat.Limits   // what a request may hold
	Groups         policy.Groups // of models, as keys and policies name them
	Brake          Brake         // from when on requests have run away
	Clock          func() time.Time
	// Random is a number from 0 to n-1, by which credentials share calls; default
	// rand.Int64N.
	Random func(n int64) int64
}

// Brake is from when on requests have run away, whatever policies say besides, and what
// becomes of them.
type Brake struct {
	Most   policy.Runaway
	Within time.Duration // in which requests are the same
	Pause  time.Duration // for how long they are stopped
}

// holdGrace is how long a hold outlives the longest request, so that it is
// never swept while its request may still settle.
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

// Event is what a Record tells of.
type Event string

// The events.
const (
	EventRequest       Event = "request"        // a request has ended
	EventBooked        Event = "booked"         // the rows of a request are settled, whether it was answered or not
	EventSettleDelayed Event = "settle_delayed" // the database did not take a settlement; it is tried again
	EventRepeated      Event = "replayed"       // a request got the answer that it had got before
	EventClaimLost     Event = "replay_lost"    // an answer was not kept, or a claim not given up; it lapses
	EventSettleLost    Event = "settle_lost"    // a settlement was given up; its hold will be swept
)

// Record is what happened, after the fact. It has no secret and no text.
type Record struct {
	Event          Event
	RequestID      string
	KeyID          billing.KeyID
	TeamID         string
	RequestedModel string // as the client wrote it; empty where it is not a name we know
	Streamed       bool
	Status         billing.Status // of the last attempt; StatusError for requests that were refused
	Refusal        string         // for requests that never had an attempt: why, as a fixed word
	Attempts       []Attempt
	Rows           []billing.Spend // of all attempts, the one that answered last; not to be changed
	Total          time.Duration
	Overhead       time.Duration // our own time: all but waiting for a provider or the client
	FirstByte      time.Duration // until the first content of the answer was there
	Err            error         // for the log
	Original       string        // of a replay: the request that was answered
}

// Observer is told what happened. It must not block.
type Observer interface{ Observe(Record) }

// Attempt is one call to one provider, for headers and error messages.
type Attempt struct {
	Provider, Model string
	Credential      string         // as the ledger names it; "" is the only one of its provider
	Status          int            // HTTP status of the provider, 0 where none came
	Kind            providers.Kind // "" for success
	Took            time.Duration  // until the first content of a stream, or the whole of a plain answer
}

// ModelError is a model that does not exist or that the key may not see.
type ModelError struct {
	Asked   string
	Nearest string // "" where nothing is near
}

// Error names what was asked for.
func (e *ModelError) Error() string { return fmt.Sprintf("router: no model %q", e.Asked) }

// ForbiddenModelError is a model that exists but that the key may not use.
type ForbiddenModelError struct {
	Asked   string
	Allowed []string
}

// Error names what was asked for.
func (e *ForbiddenModelError) Error() string {
	return fmt.Sprintf("router: model %q is not allowed for this key", e.Asked)
}

// FailedError says that every candidate was tried, or none could be.
type FailedError struct {
	Attempts   []Attempt
	RetryAfter time.Duration // when the next candidate may be back; 0 is not known
	Err        error         // of the last attempt, nil where none was made
	// RateLimited says that every provider takes no more requests for now.
	RateLimited bool
}

// Error counts the attempts.
func (e *FailedError) Error() string {
	if e.Err == nil {
		return "router: no healthy provider"
	}
	return fmt.Sprintf("router: all %d attempts failed: %v", len(e.Attempts), e.Err)
}

// Unwrap is the error of the last attempt.
func (e *FailedError) Unwrap() error { return e.Err }

// ErrClientGone says that the client hung up before anything could be answered.
var ErrClientGone = errors.New("router: the client has gone")

// ErrStopping says that the process ends, and with it the requests that are under way.
// Whoever cancels the context of a request for that gives it as the cause.
var ErrStopping = errors.New("router: the process is stopping")

// endOf is how a request ends whose context is done: by its client, unless by us.
func endOf(ctx context.Context) (billing.Status, error) {
	if errors.Is(context.Cause(ctx), ErrStopping) {
		return billing.StatusInterrupted, ErrStopping
	}
	return billing.StatusClientAborted, ErrClientGone
}

// errTrialTaken says that another request is trying an unhealthy target already.
var errTrialTaken = errors.New("router: target is being tried by another request")
