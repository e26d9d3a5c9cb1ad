package manage

import (
	"context"
	"time"

	"tallyroute/billing"
)

// NamesQuery selects names that a budget limits, each by itself.
type NamesQuery struct {
	Name  string // only this one
	After string // for paging: the id of the last one before
	Limit int    // 0 is all
}

// BudgetNames returns the budgets of the names that a budget for a part limits, with their
// state, ordered by id. Names that were not used in the current window may be missing.
func (a Actions) BudgetNames(ctx context.Context, id string, q NamesQuery) ([]billing.Balance, error) {
	b, err := a.Budget(ctx, id)
	if err != nil {
		return nil, err
	}
	f := billing.BudgetFilter{Below: b.ID, After: q.After, Limit: q.Limit}
	if q.Name != "" {
		f.ID = b.Below(q.Name).ID
	}
	below, err := a.Store.ListBudgets(ctx, f)
	if err != nil || len(below) == 0 {
		return nil, err
	}
	return a.BalancesOf(ctx, below)
}

// NameView is one name that a budget for a part limits, in JSON.
type NameView struct {
	ID       string    `json:"id"`     // as in the rows of the ledger
	Name     *string   `json:"name"`   // null: of a person, of whom only a hash is stored, or of several
	Shared   bool      `json:"shared"` // it is the limit that all further names share
	Standing *Standing `json:"standing"`
}

// ViewName converts the budget of a name to JSON form.
func ViewName(b billing.Balance, now time.Time) NameView {
	return NameView{
		ID: b.Budget.ID, Name: TextOrNull(b.Budget.StoredName()), Shared: b.Budget.IsRest(), Standing: ViewBalance(b, now).Standing,
	}
}
