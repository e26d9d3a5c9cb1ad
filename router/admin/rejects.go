package admin

import (
	"net/http"

	"tallyroute/billing"
)

// rejectView is a row that the ledger refused and that waits to be booked.
type rejectView struct {
	RequestID  string        `json:"request_id"`
	Attempt    int           `json:"attempt"`
	KeyID      billing.KeyID `json:"key_id"`
	RejectedAt *string       `json:"rejected_at"`
	OccurredAt *string       `json:"occurred_at"`
	Provider   string        `json:"provider"`
	Model      string        `json:"model"`
	Tokens     int64         `json:"tokens"`
	CostUSD    string        `json:"cost_usd"`
	Reason     string        `json:"reason"`
}

// listRejects is GET /rejects: the rows that wait, oldest first.
func listRejects(x *exchange) error {
	all, err := x.Rejects.ListRejects(x.ctx())
	if err != nil {
		return err
	}
	views := make([]rejectView, len(all))
	for i, r := range all {
		used := r.Used()
		views[i] = rejectView{
			RequestID: r.Row.RequestID, Attempt: r.Row.Attempt, KeyID: r.Row.Owner.KeyID, RejectedAt: instant(r.At), OccurredAt: instant(r.Row.OccurredAt),
			Provider: r.Row.Provider, Model: r.Row.Model, Tokens: used.Tokens, CostUSD: used.Money.Short(), Reason: r.Reason,
		}
	}
	return x.json(http.StatusOK, page[rejectView]{Data: views})
}

// bookReject is POST /rejects/req_…/book: the rows of a request that wait.
func bookReject(x *exchange) error {
	if err := x.optionalBody(object{}); err != nil {
		return err
	}
	request := x.c.Param("request")
	x.subject = shorten(request)
	n, err := x.Rejects.BookRejects(x.ctx(), request, "admin")
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, map[string]any{"request_id": request, "booked": n})
}
