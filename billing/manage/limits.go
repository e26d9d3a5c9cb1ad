package manage

import (
	"context"
	"errors"

	"tallyroute/billing"
)

// Budgets are all budgets with how they stand now.
func (a Actions) Budgets(ctx context.Context) ([]billing.Balance, error) {
	all, err := a.Store.ListBudgets(ctx)
	if err != nil {
		return nil, err
	}
	return a.Store.Balances(ctx, &billing.Key{Budgets: all}, a.now())
}

// Budget is the budget with an id.
func (a Actions) Budget(ctx context.Context, id string) (billing.Budget, error) {
	all, err := a.Store.ListBudgets(ctx)
	if err != nil {
		return billing.Budget{}, err
	}
	for _, b := range all {
		if b.ID == id {
			return b, nil
		}
	}
	return billing.Budget{}, &billing.NotFoundError{What: "budget", ID: id}
}

// ChangeBudget changes a budget. What was used of it stays used.
func (a Actions) ChangeBudget(ctx context.Context, id string, c BudgetChange, by By) (billing.Budget, error) {
	if err := errors.Join(c.check(), by.check()); err != nil {
		return billing.Budget{}, err
	}
	note := a.note(by, "budget.change", id)
	var same billing.Budget
	b, err := a.Store.UpdateBudget(ctx, billing.Budget{ID: id}, func(b *billing.Budget, existed bool) error {
		switch {
		case !existed:
			return &billing.NotFoundError{What: "budget", ID: id}
		case c.silent() && c.Period == "":
			return nothingSaid()
		}
		if err := c.of(*b); err != nil {
			return err
		}
		return c.noted(note, &same)(b)
	}, note.At, note)
	if errors.Is(err, errNotWritten) {
		return same, nil
	}
	return b, err
}

// RemoveBudget ends a budget: it binds nobody any more. Doing it twice changes nothing.
func (a Actions) RemoveBudget(ctx context.Context, id string, by By) error {
	if err := by.check(); err != nil {
		return err
	}
	note := a.note(by, "budget.remove", id)
	err := a.Store.RemoveBudget(ctx, id, note)
	if none := (*billing.NotFoundError)(nil); !errors.As(err, &none) {
		return err
	}
	before, listErr := a.Store.ListChanges(ctx, billing.ChangeFilter{Object: id, Action: note.Action, Limit: 1})
	if listErr == nil && len(before) > 0 {
		return nil
	}
	return err
}

// ResetBudget has what was used in the current period count no more. It needs a
// reason. The rows stay, and so does what is reported.
func (a Actions) ResetBudget(ctx context.Context, id string, by By) (billing.Balance, error) {
	b, err := a.Budget(ctx, id)
	if err := errors.Join(err, by.needsReason()); err != nil {
		return billing.Balance{}, err
	}
	before, err := a.balance(ctx, b)
	if err != nil {
		return before, err
	}
	note := a.note(by, "budget.reset", id)
	note.Detail = map[string]string{"used": before.UsedMoney.Short() + " USD, " + tokenText(before.UsedTokens) + " → 0"}
	if err := a.Store.ResetBudget(ctx, id, note.At, note); err != nil {
		return before, err
	}
	return a.balance(ctx, b)
}

func (a Actions) balance(ctx context.Context, b billing.Budget) (billing.Balance, error) {
	list, err := a.Store.Balances(ctx, &billing.Key{Budgets: []billing.Budget{b}}, a.now())
	if err == nil && len(list) == 0 {
		err = &billing.NotFoundError{What: "budget", ID: b.ID}
	}
	if err != nil {
		return billing.Balance{}, err
	}
	return list[0], nil
}

// TopUp adds to the budget of a key that is spent once. The same reference again
// changes nothing.
func (a Actions) TopUp(ctx context.Context, id billing.KeyID, amount billing.Money, reference string, by By) (billing.Balance, error) {
	if !isName(reference, maxName) {
		return billing.Balance{}, invalid("reference", "must be plain text of 1 to %d bytes, such as an order's number", maxName)
	}
	k, err := a.Key(ctx, id)
	if err := errors.Join(err, by.check()); err != nil {
		return billing.Balance{}, err
	}
	for _, b := range k.Budgets {
		if b.Scope != billing.ScopeKey || b.Period != billing.PeriodOnce || b.Money == nil {
			continue
		}
		note := a.note(by, "key.top_up", string(id))
		note.Detail = map[string]string{"usd": amount.Short(), "reference": reference, "budget": b.ID}
		t := billing.TopUp{BudgetID: b.ID, Amount: amount, Reference: reference, Actor: note.Actor, Reason: note.Reason, At: note.At}
		if _, err := a.Store.TopUp(ctx, t, note); err != nil {
			return billing.Balance{}, err
		}
		return a.balance(ctx, b)
	}
	return billing.Balance{}, &billing.ConflictError{
		Detail: "key " + string(id) + " has no budget in dollars that is spent once: set one with tallyroute budgets set key --period once",
	}
}
