package admin

import (
	"net/http"
	"strconv"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// getSpend is GET /spend?group_by=team,month&from=2026-10-01&to=2026-12-01: what was
// spent. Without days it is of this month.
func getSpend(x *exchange) error {
	q, err := x.query("group_by", "month", "from", "to", "key_id", "top")
	if err != nil {
		return err
	}
	ask := billing.SpendQuery{
		GroupBy: []billing.Dimension{"team"}, Month: billing.Month(q.Get("month")), From: q.Get("from"), To: q.Get("to"),
		KeyID: billing.KeyID(q.Get("key_id")),
	}
	if q.Has("group_by") {
		ask.GroupBy = manage.ReadDimensions(q.Get("group_by"))
	}
	if top := q.Get("top"); top != "" {
		if ask.Top, err = strconv.Atoi(top); err != nil || ask.Top < 1 {
			return invalid("top", "must be a number of lines")
		}
	}
	report, err := manage.Spend(x.ctx(), x.Reports, ask, x.start, x.Zone)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, report)
}
