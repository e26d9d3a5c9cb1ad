package billing

import (
	"context"
	"time"
)

// Allotment is what a temporary key may use, of the budgets of the key that it was made
// with and besides them. Nil is no limit of that kind. It ends with the temporary key.
type Allotment struct {
	ID     string
	KeyID  KeyID
	Tokens *int64
	Money  *Money
	Until  time.Time
}

// Allotments keeps what temporary keys have used. What a request may use is taken before
// it is sent, so that no number of requests at any number of routers exceeds a limit, and
// what it did not use is given back. A process that dies gives nothing back.
type Allotments interface {
	// Allot begins an allotment.
	Allot(ctx context.Context, a Allotment) error
	// Allotted says how much is used; nothing is of what has ended.
	Allotted(ctx context.Context, id string) (used Amount, err error)
	// TakeAllotted takes what a request may use, where the headroom remains free besides,
	// and says how much is used then. A *QuotaError where it is too much, ErrExpired where
	// the allotment has ended.
	TakeAllotted(ctx context.Context, a *Allotment, most, headroom Amount) (used Amount, err error)
	// GiveAllotted gives back what was not used, and says how much is used then. It is
	// negative where more was used than was taken, and nothing is used of what has ended.
	GiveAllotted(ctx context.Context, id string, back Amount) (used Amount, err error)
	// EndAllotments removes those that have ended, and says how many there were.
	EndAllotments(ctx context.Context, now time.Time) (int, error)
}

// ScopeTemporary is the scope of an allotment in the balance that a refusal shows. No
// budget of the ledger has it.
const ScopeTemporary Scope = "temporary_key"

// Balance is how the allotment stands, in the form of a budget's balance.
func (a *Allotment) Balance(used Amount) Balance {
	return Balance{
		Budget: Budget{ID: a.ID, Scope: ScopeTemporary, ScopeID: a.ID, Period: PeriodOnce, Tokens: a.Tokens, Money: a.Money},
		Window: Window{End: a.Until}, UsedTokens: used.Tokens, UsedMoney: used.Money,
	}
}

// Refuse is the refusal of what is too much for an allotment of which so much is used.
func (a *Allotment) Refuse(used, most Amount) error {
	b := a.Balance(used)
	return &QuotaError{Balance: b, AskedTokens: most.Tokens, AskedMoney: most.Money, All: []Balance{b}}
}
