package admin

import (
	"cmp"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
)

// spendParameters are the parameters of getSpend.
type spendParameters struct {
	GroupBy *string       `json:"group_by" doc:"One or two dimensions, with a comma; team by default."`
	Month   billing.Month `json:"month" doc:"As 2026-11; this month by default."`
	From    string        `json:"from" doc:"The first day, as 2026-11-01, instead of a month."`
	To      string        `json:"to" doc:"The day after the last."`
	KeyID   billing.KeyID `json:"key_id"`
	Top     *int          `json:"top" doc:"Only the dearest lines."`
}

// getSpend is GET /spend?group_by=team,month&from=2026-10-01&to=2026-12-01: what was
// spent. Without days it is of this month.
func getSpend(x *exchange, in spendParameters) (manage.SpendReport, error) {
	ask := billing.SpendQuery{
		GroupBy: []billing.Dimension{"team"}, Month: in.Month, From: in.From, To: in.To, KeyID: in.KeyID,
	}
	if in.KeyID == "" {
		ask.Within = x.within(rbac.SpendRead)
	} else if err := x.mayReadSpend(in.KeyID); err != nil {
		return manage.SpendReport{}, err
	}
	if in.GroupBy != nil {
		ask.GroupBy = manage.ReadDimensions(*in.GroupBy)
	}
	if in.Top != nil {
		if ask.Top = *in.Top; ask.Top < 1 {
			return manage.SpendReport{}, invalid("top", "must be a number of lines")
		}
	}
	return manage.Spend(x.ctx(), x.Reports, ask, x.Start, x.Zone)
}

// usageParameters are the parameters of getUsage.
type usageParameters struct {
	By   string `json:"by" doc:"key, project, model or provider; key by default."`
	From string `json:"from" doc:"A day of the reporting zone or an instant; a day before to by default."`
	To   string `json:"to" doc:"The day or instant after the last; now by default."`
	Top  *int   `json:"top" doc:"Only the first lines."`
}

// getUsage is GET /usage?by=key&from=2026-11-30T00:00:00Z: the hours of keys, projects,
// models or providers.
func getUsage(x *exchange, in usageParameters) (manage.UsageReport, error) {
	ask := billing.UsageQuery{By: "key", Within: x.within(rbac.SpendRead)}
	if in.By != "" {
		ask.By = billing.ReadUsageBy(in.By)
	}
	var err error
	if ask.From, err = x.moment("from", in.From); err != nil {
		return manage.UsageReport{}, err
	}
	if ask.To, err = x.moment("to", in.To); err != nil {
		return manage.UsageReport{}, err
	}
	if in.Top != nil {
		if ask.Lines = *in.Top; ask.Lines < 1 {
			return manage.UsageReport{}, invalid("top", "must be a number of lines")
		}
	}
	return manage.Usage(x.ctx(), x.Reports, ask, x.Start)
}

// moment reads an instant, or a day of the reporting zone; "" is the zero time.
func (x *exchange) moment(name, text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err = time.ParseInLocation(time.DateOnly, text, x.Zone); err != nil {
		return at, invalid(name, "must be a day such as 2026-11-30, or an instant such as 2026-11-30T12:00:00Z")
	}
	return at, nil
}

// priceParameters are the parameters of getPriceChanges.
type priceParameters struct {
	Month    billing.Month `json:"month" doc:"As 2026-11; this month by default."`
	From     string        `json:"from" doc:"The first day, as 2026-11-01, instead of a month."`
	To       string        `json:"to" doc:"The day after the last."`
	Provider string        `json:"provider" doc:"Only this one."`
	Model    string        `json:"model" doc:"Only this one, as reports call it."`
}

// getPriceChanges is GET /prices?from=2026-11-01&to=2026-12-01: which prices changed,
// and what usage costs by the old and the new one.
func getPriceChanges(x *exchange, in priceParameters) (manage.PriceReport, error) {
	return manage.PriceChanges(x.ctx(), x.Reports, manage.PriceQuery(in), x.Start, x.Zone)
}

// eventFilter are the parameters of listEvents.
type eventFilter struct {
	Kind   billing.EventKind `json:"kind"`
	Object string            `json:"object" doc:"The id of the key, budget or request that it is about."`
	Since  *instant          `json:"since"`
	Limit  *int              `json:"limit" doc:"How many at the most: 1 to 1000; 200 by default."`
}

// mostEvents is the longest list of events, which has no pages.
const mostEvents = 1000

// listEvents is GET /events?kind=&object=&since=&limit=: the newest first.
func listEvents(x *exchange, in eventFilter) (page[manage.EventView], error) {
	f := billing.EventFilter{Kind: in.Kind, Object: in.Object}
	f.Limit = mostListed
	if in.Limit != nil {
		if f.Limit = *in.Limit; f.Limit < 1 || f.Limit > mostEvents {
			return page[manage.EventView]{}, invalid("limit", "must be between 1 and %d", mostEvents)
		}
	}
	if kinds := billing.EventKinds(); f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		return page[manage.EventView]{}, invalid("kind", "must be %s", oneOf(kinds))
	}
	f.Since = cmp.Or(in.Since, &instant{}).Time
	all, err := x.Actions.Events(x.ctx(), f)
	return listOf(all, manage.ViewEvent), err
}

// mayReadSpend asks for what a key spent.
func (x *exchange) mayReadSpend(id billing.KeyID) error {
	if x.access.Full() {
		return x.needs(rbac.SpendRead, rbac.Place{}, nil)
	}
	at, err := x.placeOfKey(id)
	if err != nil {
		return err
	}
	return x.needs(rbac.SpendRead, at, &billing.NotFoundError{What: "key", ID: string(id)})
}
