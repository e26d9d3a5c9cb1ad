package admin

import (
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// adjustment is the body of adjustSpend.
type adjustment struct {
	KeyID  billing.KeyID `json:"key_id" required:"true"`
	Kind   billing.Kind  `json:"kind" enum:"adjustment,credit,refund,fee" doc:"adjustment by default."`
	Amount *amount       `json:"amount_usd" required:"true" doc:"What is charged; below zero what is given back."`
	Month  string        `json:"month" doc:"Which it is for, as 2026-11; the current one by default."`
	Reason string        `json:"reason" required:"true"`
	Actor  string        `json:"actor" doc:"Who asks: the admin token has no name."`
}

// adjustSpend is POST /spend/adjustments: a correction of what a key was charged.
func adjustSpend(x *exchange, in adjustment) (manage.AdjustmentView, error) {
	x.subject = shorten(string(in.KeyID))
	if in.Amount == nil {
		return manage.AdjustmentView{}, invalid("amount_usd", "is required")
	}
	who := x.by(in.Reason)
	if in.Actor != "" {
		who.Actor += ":" + in.Actor
	}
	row, err := x.Actions.Adjust(x.ctx(), manage.Adjustment{
		KeyID: in.KeyID, Kind: in.Kind, Amount: billing.Money(*in.Amount), Month: in.Month,
	}, who)
	if err != nil {
		return manage.AdjustmentView{}, err
	}
	x.status = http.StatusCreated
	return manage.ViewAdjustment(row), nil
}

// repricing is the body of reprice.
type repricing struct {
	Provider string  `json:"provider" doc:"All, if it is not named."`
	Model    string  `json:"model" doc:"All, if it is not named."`
	From     instant `json:"from" required:"true"`
	To       instant `json:"to" required:"true" doc:"The first instant that is not looked at."`
	DryRun   bool    `json:"dry_run" doc:"Only say what would be posted."`
	Reason   string  `json:"reason" required:"true"`
}

// reprice is POST /prices/reprice: what was used in a span of time is costed by
// the prices of the catalogue.
func reprice(x *exchange, in repricing) (manage.RepricedView, error) {
	r := manage.Repricing{Provider: in.Provider, Model: in.Model, From: in.From.Time, To: in.To.Time, DryRun: in.DryRun}
	sum, err := x.Actions.Reprice(x.ctx(), r, x.Prices(), x.by(in.Reason))
	if err != nil {
		return manage.RepricedView{}, err
	}
	return manage.ViewRepriced(r, sum), nil
}
