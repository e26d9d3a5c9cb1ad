package admin

import (
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// adjustSpend is POST /spend/adjustments: a correction of what a key was charged.
// The admin token has no name; who asks may give one.
func adjustSpend(x *exchange) error {
	var keyID, kind, month, reason, actor string
	var amount money
	_, err := x.body(object{"key_id": &keyID, "kind": &kind, "amount_usd": &amount, "month": &month, "reason": &reason, "actor": &actor})
	if err != nil {
		return err
	}
	x.subject = shorten(keyID)
	if amount.Money == nil {
		return invalid("amount_usd", "must be there")
	}
	who := by(reason)
	if actor != "" {
		who.Actor += ":" + actor
	}
	row, err := x.Actions.Adjust(x.ctx(), manage.Adjustment{
		KeyID: billing.KeyID(keyID), Kind: billing.Kind(kind), Amount: *amount.Money, Month: month,
	}, who)
	if err != nil {
		return err
	}
	return x.json(http.StatusCreated, manage.ViewAdjustment(row))
}

// reprice is POST /prices/reprice: what was used in a span of time is costed by
// the prices of the catalogue.
func reprice(x *exchange) error {
	var r manage.Repricing
	var reason string
	_, err := x.body(object{
		"provider": &r.Provider, "model": &r.Model, "from": instantInto(&r.From), "to": instantInto(&r.To), "dry_run": &r.DryRun,
		"reason": &reason,
	})
	if err != nil {
		return err
	}
	sum, err := x.Actions.Reprice(x.ctx(), r, x.Prices(), by(reason))
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewRepriced(r, sum))
}
