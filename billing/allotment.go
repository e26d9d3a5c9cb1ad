package billing

import (
	"context"
	"time"
)

// Allotment is what a temporary key may use, on top of the limits set by the budgets of
// the key that it was made with. Nil means no limit of that kind. It ends with the
// temporary key.
type Allotment struct {
	ID     string
	KeyID  KeyID
	Tokens *int64
	Money  *Money
	Until  time.Time
}

// Allotments tracks what temporary keys have used. What a request may use is taken
// before the request is sent, so that no number of requests across any number of
// routers can exceed a limit, and what it did not use is given back. If a process dies,
// what it had taken is not given back.
type Allotments interface {
	// Allot begins an allotment.
	Allot(ctx context.Context, a Allotment) error
	// Allotted returns how much is used: nothing once the allotment has ended.
	Allotted(ctx context.Context, id string) (used Amount, err error)
	// TakeAllotted takes what a request may use, provided that headroom remains free as
	// well, and returns how much is used afterwards. It returns a *QuotaError where
	// there is too little room, and ErrExpired where the allotment has ended.
	TakeAllotted(ctx context.Context, a *Allotment, most, headroom Amount) (used Amount, err error)
	// GiveAllotted gives back what was not used and returns how much is used afterwards.
	// back is negative where more was used than was taken. Once the allotment has ended,
	// nothing counts as used.
	GiveAllotted(ctx context.Context, id string, back Amount) (used Amount, err error)
	// EndAllotments removes the allotments that have ended and returns how many there
	// were.
	EndAllotments(ctx context.Context, now time.Time) (int, error)
}

// ScopeTemporary is the scope that an allotment has in the balance shown by a refusal.
// No budget of the ledger has this scope.
const ScopeTemporary Scope = "temporary_key"

// Balance returns the allotment's standing in the form of a budget's balance.
func (a *Allotment) Balance(used Amount) Balance {
	return Balance{
		Budget: Budget{ID: a.ID, Scope: ScopeTemporary, ScopeID: a.ID, Period: PeriodOnce, Tokens: a.Tokens, Money: a.Money},
		Window: Window{End: a.Until}, UsedTokens: used.Tokens, UsedMoney: used.Money,
	}
}

// Refuse returns the error for a request that asks for more than the allotment leaves.
func (a *Allotment) Refuse(used, most Amount) error {
	b := a.Balance(used)
	return &QuotaError{Balance: b, AskedTokens: most.Tokens, AskedMoney: most.Money, All: []Balance{b}}
}
