package router

import (
	"cmp"

	"tallyroute/billing"
)

// facts are what the rows of a request say beside usage and cost: the same for
// all of its attempts.
func (r *Router) facts(a accepted) (row billing.Spend) {
	row.Session = cmp.Or(a.in.Session, billing.CleanSession(a.request.Session()))
	n := int64(len(a.request.Body()))
	row.BytesIn = &n
	if r.Fingerprint != nil {
		row.Fingerprint, row.Prefixes = r.Fingerprint.Of(a.key.ProjectID, a.in.Caller.At, a.request)
	}
	return row
}
