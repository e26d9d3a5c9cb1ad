package admin

import (
	"cmp"
	"net/http"

	"tallyroute/billing"
)

// adjustmentView is a correction that was posted.
type adjustmentView struct {
	RequestID string        `json:"request_id"`
	KeyID     billing.KeyID `json:"key_id"`
	Kind      billing.Kind  `json:"kind"`
	AmountUSD string        `json:"amount_usd"` // what was charged; below zero what was given back
	Month     billing.Month `json:"month,omitempty"`
	Reason    string        `json:"reason"`
	Actor     string        `json:"actor"`
}

// adjustSpend is POST /spend/adjustments: a correction of what a key was charged.
// The admin token has no name; who asks may give one.
func adjustSpend(x *exchange) error {
	var keyID, kind, month, actor string
	var amount money
	c := billing.Correction{Actor: "admin", Occurred: x.start}
	_, err := x.body(object{"key_id": &keyID, "kind": &kind, "amount_usd": &amount, "month": &month, "reason": &c.Reason, "actor": &actor})
	if err != nil {
		return err
	}
	x.subject = shorten(keyID)
	if amount.Money == nil {
		return invalid("amount_usd", "must be there")
	}
	if c.Reason == "" {
		return invalid("reason", "must say why")
	}
	if actor != "" {
		c.Actor += ":" + actor
	}
	if month != "" {
		if c.Period, err = billing.ParseMonth(month); err != nil {
			return invalid("month", "must be a month such as 2026-11")
		}
	}
	keys, err := x.Keys.ListKeys(x.ctx(), billing.KeyFilter{ID: billing.KeyID(keyID), Now: x.start})
	if err != nil {
		return err
	}
	if keyID == "" || len(keys) == 0 {
		return &billing.NotFoundError{What: "key", ID: keyID}
	}
	c.Kind, c.Amount, c.Owner = billing.Kind(cmp.Or(kind, string(billing.KindAdjustment))), *amount.Money, keys[0].Owner()
	row, err := c.Spend()
	if err != nil {
		return err
	}
	if err := x.Corrections.Correct(x.ctx(), []billing.Spend{row}); err != nil {
		return err
	}
	return x.json(http.StatusCreated, adjustmentView{
		RequestID: row.RequestID, KeyID: row.Owner.KeyID, Kind: row.Kind, AmountUSD: row.Cost.Total.Short(), Month: c.Period, Reason: row.Reason, Actor: row.Actor,
	})
}
