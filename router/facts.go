package router

import (
	"cmp"
	"context"

	"tallyroute/billing"
)

// facts are what the rows of a request say beside usage and cost: the same for
// all of its attempts.
func (r *Router) facts(ctx context.Context, a accepted) (row billing.Spend, err error) {
	row.Session = cmp.Or(a.in.Session, billing.CleanSession(a.request.Session()))
	n := int64(len(a.request.Body()))
	row.BytesIn = &n
	if r.Fingerprint == nil {
		return row, nil
	}
	free, err := r.turn(ctx, a.key.ID, len(a.request.Body()))
	if err != nil {
		return row, err
	}
	defer free()
	row.Fingerprint, row.Prefixes = r.Fingerprint.Of(a.key.ProjectID, a.in.Caller.At, a.request)
	return row, nil
}
