package admin

import (
	"net/http"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// listEvents is GET /events?kind=&object=&since=&limit=: the newest first.
func listEvents(x *exchange) error {
	q, err := x.query("kind", "object", "since", "limit")
	if err != nil {
		return err
	}
	f := billing.EventFilter{Kind: billing.EventKind(q.Get("kind")), Object: q.Get("object")}
	if f.Limit, err = limitOf(q); err != nil {
		return err
	}
	if f.Kind != "" && !slices.Contains(billing.EventKinds(), f.Kind) {
		return invalid("kind", "must be overrun, disputed, rejected, breach or denied")
	}
	if since := q.Get("since"); since != "" {
		if f.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return invalid("since", "must be an instant such as 2026-11-01T00:00:00Z")
		}
	}
	all, err := x.Actions.Store.ListEvents(x.ctx(), f)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, page[manage.EventView]{Data: viewsOf(all, manage.ViewEvent)})
}
