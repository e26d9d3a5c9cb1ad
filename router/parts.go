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

// Parts are what a Router is made of.
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
	Turns       *limit.Turns // for heavy work; nil has no bound
	Observer    Observer
	Idempotency idempotency.Store // nil keeps no answers
	Background  *limit.Calls      // nil finishes no call without its client
	Fingerprint Fingerprint       // nil makes none
	Denials     Denials           // nil counts none
	Brake       *brake.Brake      // of what runs away; nil has none
	Allotments  Allotments        // of temporary keys; nil: none has any
	Counts      Counts            // of prompts by their providers; nil asks none
}

// Allotments is what temporary keys may use; see billing.Allotments.
type Allotments interface {
	Allotted(ctx context.Context, id string) (used billing.Amount, err error)
	TakeAllotted(ctx context.Context, a *billing.Allotment, most, headroom billing.Amount) (used billing.Amount, err error)
	GiveAllotted(ctx context.Context, id string, back billing.Amount) (used billing.Amount, err error)
}

// Denials counts what policies have refused, by their rules.
type Denials interface {
	Add(key billing.KeyID, rule string, at time.Time)
}

// Fingerprint tells requests of a project that are the same, or begin alike.
type Fingerprint interface {
	Of(project string, at time.Time, r *chat.Request) (print, prefixes []byte)
}

// Verifier finds the key of a secret.
type Verifier interface {
	Verify(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error)
	// Recall is Verify as far as nobody need be asked. known reports a secret that is a
	// key's; where the key is nil beside no error, it has to be verified.
	Recall(s billing.Secret, now time.Time) (key *billing.Key, known bool, err error)
	// Refresh is Verify past every cache.
	Refresh(ctx context.Context, s billing.Secret, now time.Time) (*billing.Key, error)
}

// Watch is told of keys in use.
type Watch interface {
	// Follow has ended called, once, when the key may not be used any more.
	Follow(k *billing.Key, ended func(error)) (stop func())
	// Note counts a request of a key of which several secrets are good.
	Note(k *billing.Key, from netip.Addr, agent string, at time.Time)
}

// Ledger holds and settles; see billing.Ledger for the obligations.
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

// Prices answers what a model cost at an instant.
type Prices interface {
	// At is nil where no price is known, which is not free.
	At(provider, model string, at time.Time) *billing.PriceSheet
}

// Catalogue knows which targets serve a name.
type Catalogue interface {
	// Resolve finds the targets behind provider/model, a model or an alias.
	// pinned reports that the client named the provider.
	Resolve(name string) (targets []providers.Target, pinned, ok bool)
	// Nearest is the known name most like the one given, among those that may
	// be shown; "" where none is near.
	Nearest(name string, may func(string) bool) string
	// Models lists every name that can be asked for, in a slice of the caller's own.
	Models() []providers.Listing
}

// Sender makes one call to one target.
type Sender interface {
	Do(ctx context.Context, x providers.Exchange) (*providers.Answer, error)
}

// Counts has providers count the tokens of prompts.
type Counts interface {
	// Count is an error where the provider of x has no way to, or gives no count.
	Count(ctx context.Context, x providers.Exchange) (int64, error)
}

// Tokens estimates and counts.
type Tokens interface {
	// Bound is cheap and never below the true count.
	Bound(r *chat.Request, t tokens.Tokenizer) int64
	Prompt(ctx context.Context, r *chat.Request, t tokens.Tokenizer) (tokens.Estimate, error)
	Text(ctx context.Context, text string, t tokens.Tokenizer) (tokens.Estimate, error)
}
