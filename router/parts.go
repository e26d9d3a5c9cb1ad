package router

import (
	"context"
	"net/netip"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/brake"
	"tallyroute/router/health"
	"tallyroute/router/idempotency"
	"tallyroute/router/limit"
	"tallyroute/router/tokens"
)

// Parts are the components of a Router.
type Parts struct {
	Verifier    Verifier
	Watch       Watch // nil: streams go on when their key ends
	Ledger      Ledger
	Events      Events
	Prices      Prices
	Catalogue   Catalogue
	Sender      Sender
	Tokens      Tokens
	Health      *health.Tracker
	Turns       *limit.Turns // for heavy work; nil sets no bound
	Observer    Observer
	Idempotency idempotency.Store // nil keeps no answers
	Background  *limit.Calls      // nil: no call is finished after its client has left
	Fingerprint Fingerprint       // nil: requests get no fingerprint
	Denials     Denials           // nil counts none
	Brake       *brake.Brake      // against runaways; nil: none
	Allotments  Allotments        // of temporary keys; nil: none has one
	Counts      Counts            // token counts by providers; nil asks none
}

// Allotments manages what temporary keys may use; see billing.Allotments.
type Allotments interface {
	Allotted(ctx context.Context, id string) (used billing.Amount, err error)
	TakeAllotted(ctx context.Context, a *billing.Allotment, most, headroom billing.Amount) (used billing.Amount, err error)
	GiveAllotted(ctx context.Context, id string, back billing.Amount) (used billing.Amount, err error)
}

// Denials counts what policies have refused, by rule.
type Denials interface {
	Add(key billing.KeyID, rule string, at time.Time)
}

// Fingerprint recognises requests of a project that are the same or begin alike.
type Fingerprint interface {
	Of(project string, at time.Time, r *chat.Request) (print, prefixes []byte)
}

// Verifier finds the key that a secret belongs to.
type Verifier interface {
	Verify(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error)
	// Recall is Verify without any lookup outside the process. known reports that the secret
	// belongs to a key; if key is nil without an error, Verify must be called.
	Recall(s billing.Secret, now time.Time) (key *billing.Key, known bool, err error)
	// Refresh is Verify bypassing every cache.
	Refresh(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error)
}

// Watch follows keys in use.
type Watch interface {
	// Follow arranges for ended to be called, once, when the key may no longer be used.
	Follow(k *billing.Key, ended func(error)) (stop func())
	// Note counts a request made with a key that has several valid secrets.
	Note(k *billing.Key, from netip.Addr, agent string, at time.Time)
}

// Ledger holds and settles; see billing.Ledger for what it must guarantee.
type Ledger interface {
	Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error)
	Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error
	Widen(ctx context.Context, holdID string, lines []billing.HoldLine) error
	Settle(ctx context.Context, s billing.Settlement) ([]billing.Balance, error)
	Release(ctx context.Context, holdID string) error
	Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error)
}

// Events reads single rows of the ledger.
type Events interface {
	Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error)
	// ListRejects lists the rows of a request that the ledger refused.
	ListRejects(ctx context.Context, requestID string) ([]billing.RejectedRow, error)
}

// Prices returns what a model cost at a given time.
type Prices interface {
	// At returns nil if no price is known, which does not mean free.
	At(provider, model string, at time.Time) *billing.PriceSheet
}

// Catalogue knows which targets serve a name.
type Catalogue interface {
	// Resolve finds the targets behind provider/model, a model or an alias.
	// pinned reports that the client named the provider.
	Resolve(name string) (targets []providers.Target, pinned, ok bool)
	// Nearest returns the known name most similar to the given one, among those that may be
	// shown; "" if none is similar enough.
	Nearest(name string, may func(string) bool) string
	// Models lists every name that can be asked for, in a slice that the caller owns.
	Models() []providers.Listing
}

// Sender makes one call to one target.
type Sender interface {
	Do(ctx context.Context, x providers.Exchange) (*providers.Answer, error)
}

// Counts asks providers to count the tokens of prompts.
type Counts interface {
	// Count returns an error if the provider of x cannot count or returns no count.
	Count(ctx context.Context, x providers.Exchange) (int64, error)
}

// Tokens estimates and counts tokens.
type Tokens interface {
	// Bound is cheap and never below the true count.
	Bound(r *chat.Request, t tokens.Tokenizer) int64
	Prompt(ctx context.Context, r *chat.Request, t tokens.Tokenizer) (tokens.Estimate, error)
	Text(ctx context.Context, text string, t tokens.Tokenizer) (tokens.Estimate, error)
}
