package router

import (
	"context"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Inbound is one request as the server hands it over.
type Inbound struct {
	Caller
	RequestID string // "req_" and a ULID, made by the server: the ledger's key
	// Read returns the body. It is called at most once, after the key is known.
	Read func() ([]byte, error)
	Tags map[string]string
	// Explain asks for the list of candidates in the answer.
	Explain Explain
}

// Caller is who asks, from where and when.
type Caller struct {
	Secret billing.Secret
	From   netip.Addr
	At     time.Time
}

// Explain says whether an answer shall carry its plan.
type Explain int

// The values of Explain.
const (
	ExplainNot  Explain = iota
	ExplainPlan         // every candidate, its price and why it was or was not taken
)

// Answer is a completion under way or done. Like a response body it must be
// closed; closing settles the spend, once.
type Answer struct {
	Response *chat.Response // nil for streams

	Requested  string // the model as the client named it
	Target     providers.Target
	Reason     billing.RouteReason
	Attempts   []Attempt
	Candidates []Candidate // only when the request asked to explain
	WantsUsage bool        // the client asked for the usage chunk
	MaxOutput  int64       // the output bound that was lowered to what fits; 0 where it was not
	Dropped    []string    // members that the provider cannot take
	Estimate   billing.Money
	Estimated  bool // whether Estimate is known, that is, the target is priced
	Rates      []Rate
	Key        *billing.Key
}

// Attempt is one call to one provider, for headers and error messages.
type Attempt struct {
	Provider, Model string
	Status          int            // HTTP status of the provider, 0 where none came
	Kind            providers.Kind // "" for success
	Took            time.Duration
}

// Rate is one limit on requests or tokens as x-ratelimit headers show it.
type Rate struct {
	Kind      string // "requests" or "tokens"
	Limit     int64
	Remaining int64
	Reset     time.Duration
}

// Outcome is what an answer came to. It is known once a plain answer is
// returned, and for a stream after Next has returned io.EOF or Close was called.
type Outcome struct {
	Spend    billing.Spend // of the attempt that answered
	Balances []billing.Balance
	Overhead time.Duration // our own time: all but waiting for the upstream and the client
}

// Next is the next chunk of a stream. At its end the spend is settled before
// io.EOF is returned, so that a client that has seen the end has been booked.
func (a *Answer) Next() (chat.Chunk, error) { return chat.Chunk{}, nil }

// Outcome is what the answer came to so far.
func (a *Answer) Outcome() Outcome { return Outcome{} }

// Close ends the call, settles what was used and frees everything. A stream
// that is closed before its end counts as hung up on by the client.
func (a *Answer) Close() error { return nil }

// Candidate is one target as the plan saw it.
type Candidate struct {
	Target   providers.Target
	Price    billing.Price
	Priced   bool
	Prompt   int64         // tokens, as estimated for its tokenizer
	Exact    bool          // whether Prompt is a count rather than a bound
	Output   int64         // tokens of output that the price assumes
	Cost     billing.Money // of this request, by which candidates are ordered
	Health   string        // "healthy", or why not
	Excluded string        // why it cannot be taken; "" where it can
	Chosen   bool
}

// Complete runs one chat completion. Errors are those of billing, *chat.FieldError,
// *providers.Error (a request that the provider itself refused), and the typed
// errors of this package.
func (r *Router) Complete(ctx context.Context, in Inbound) (*Answer, error) { return nil, nil }

// Explain plans a request without a key and without sending it.
func (r *Router) Explain(ctx context.Context, req *chat.Request, now time.Time) ([]Candidate, error) {
	return nil, nil
}

// Model is one name that a key may ask for, as GET /v1/models lists it.
type Model struct {
	ID            string
	Created       time.Time
	OwnedBy       string
	ContextLength int64
	MaxOutput     int64
	Providers     []string
	// Prompt and Completion are the cheapest known prices in nano-dollars per
	// million tokens; nil where none is known.
	Prompt, Completion *billing.Money
}

// Models lists what the key may use.
func (r *Router) Models(ctx context.Context, c Caller) ([]Model, error) {
	return nil, nil
}

// Self is a key and how its budgets stand.
func (r *Router) Self(ctx context.Context, c Caller) (*billing.Key, []billing.Balance, error) {
	return nil, nil, nil
}

// Events lists the newest rows that the key itself has caused; those of one
// request where requestID is not empty.
func (r *Router) Events(ctx context.Context, c Caller, requestID string) ([]billing.Spend, error) {
	return nil, nil
}

// Router answers chat completions. Its parts are set once by New.
type Router struct{}
