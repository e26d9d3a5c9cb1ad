package admin

import (
	"context"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// leaverOperations are about keys whose owners have left.
func leaverOperations() []operation {
	return []operation{
		does("listLeavers", get, "/leavers", "List the keys of people who have left, and what was decided about them, newest first.",
			listLeavers),
		does("transferLeaverKey", post, "/leavers/:id/transfer", "Give the key to somebody else.", transferLeaverKey).afresh(),
		does("keepLeaverKey", post, "/leavers/:id/keep", "Let the key go on as it is. It needs a reason.",
			decideLeaver(manage.Actions.KeepLeaverKey)).afresh(),
		does("disableLeaverKey", post, "/leavers/:id/disable", "Disable the key before it is due.",
			decideLeaver(manage.Actions.DisableLeaverKey)),
	}
}

func leaverRules() map[string]rule {
	return map[string]rule{
		"listLeavers":       {rbac.KeysRead, nil},
		"transferLeaverKey": {rbac.KeysWrite, ofLeaver},
		"keepLeaverKey":     {rbac.KeysWrite, ofLeaver},
		"disableLeaverKey":  {rbac.KeysRevoke, ofLeaver},
	}
}

func ofLeaver(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOfLeaver(x.ctx(), x.C.Param("id"))
}

// leaverFilter are the parameters of listLeavers.
type leaverFilter struct {
	Outcome string `json:"outcome" enum:"open,transferred,kept,disabled,returned,ended"`
}

func listLeavers(x *exchange, in leaverFilter) (page[manage.LeaverView], error) {
	f := billing.ReviewFilter{Outcome: billing.ReviewOutcome(in.Outcome), Within: x.within(rbac.KeysRead)}
	all, err := x.Actions.LeaverReviews(x.ctx(), f)
	return listOf(all, manage.ViewLeaver), err
}

// transfer is the body of transferLeaverKey.
type transfer struct {
	To     string `json:"to" required:"true" doc:"Id, name or address of who owns the key from now on."`
	Reason string `json:"reason"`
}

func transferLeaverKey(x *exchange, in transfer) (manage.LeaverView, error) {
	return viewed(manage.ViewLeaver)(x.Actions.TransferKey(x.ctx(), x.param("id"), in.To, x.by(in.Reason)))
}

func decideLeaver(
	do func(manage.Actions, context.Context, string, manage.By) (billing.LeaverReview, error),
) func(*exchange, reasoned) (manage.LeaverView, error) {
	return func(x *exchange, in reasoned) (manage.LeaverView, error) {
		return viewed(manage.ViewLeaver)(do(x.Actions, x.ctx(), x.param("id"), x.by(in.Reason)))
	}
}
