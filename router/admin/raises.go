package admin

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// raise is the body of raiseBudget.
type raise struct {
	USD      *amount `json:"usd" doc:"By so many dollars."`
	Tokens   int64   `json:"tokens" doc:"By so many tokens."`
	Requests int64   `json:"requests" doc:"By so many requests."`
	From     instant `json:"from" doc:"From when; at once by default."`
	Until    instant `json:"until" required:"true" doc:"When the limit is again what it was."`
	Reason   string  `json:"reason" required:"true"`
}

// raiseBudget is POST /budgets/{id}/raise: the limits are higher for a time.
func raiseBudget(x *exchange, in raise) (manage.BudgetView, error) {
	by := billing.Amount{Tokens: in.Tokens, Requests: in.Requests}
	if money := in.USD.money(); money != nil {
		by.Money = *money
	}
	return viewed(manage.ViewBalance)(x.Actions.RaiseBudget(x.ctx(), billing.Raise{
		BudgetID: x.param("id"), By: by, From: in.From.Time, Until: in.Until.Time,
	}, x.by(in.Reason)))
}
