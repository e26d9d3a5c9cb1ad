package router

import (
	"context"
	"slices"

	"tallyroute/billing"
)

// Models lists what the key may use.
func (r *Router) Models(ctx context.Context, c Caller) ([]Model, error) {
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(r.Catalogue.Models(), func(m Model) bool {
		return !key.AllowsModel(m.ID) && !slices.ContainsFunc(m.Providers, func(p string) bool {
			return key.AllowsModel(p + "/" + m.ID)
		})
	}), nil
}

// Self is a key and how its budgets stand.
func (r *Router) Self(ctx context.Context, c Caller) (*billing.Key, []billing.Balance, error) {
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	balances, err := r.Ledger.Balances(ctx, key, c.At)
	return key, balances, err
}

// Events lists the newest rows that the key itself has caused; those of one
// request where requestID is not empty.
func (r *Router) Events(ctx context.Context, c Caller, requestID string) ([]billing.Spend, error) {
	key, err := r.verify(ctx, c)
	if err != nil {
		return nil, err
	}
	return r.Parts.Events.Events(ctx, billing.EventQuery{RequestID: requestID, KeyID: key.ID})
}
