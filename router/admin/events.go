package admin

import (
	"cmp"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// eventFilter are the parameters of listEvents.
type eventFilter struct {
	Kind   billing.EventKind `json:"kind"`
	Object string            `json:"object" doc:"The id of the key, budget or request that it is about."`
	Since  *instant          `json:"since"`
	Limit  *int              `json:"limit" doc:"How many at the most; 200 by default, which is the most."`
}

// listEvents is GET /events?kind=&object=&since=&limit=: the newest first.
func listEvents(x *exchange, in eventFilter) (page[manage.EventView], error) {
	f := billing.EventFilter{Kind: in.Kind, Object: in.Object}
	var err error
	if f.Limit, err = (paging{Limit: in.Limit}).limit(); err != nil {
		return page[manage.EventView]{}, err
	}
	if kinds := billing.EventKinds(); f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		return page[manage.EventView]{}, invalid("kind", "must be %s", oneOf(kinds))
	}
	f.Since = cmp.Or(in.Since, &instant{}).Time
	all, err := x.Actions.Events(x.ctx(), f)
	return listOf(all, manage.ViewEvent), err
}
