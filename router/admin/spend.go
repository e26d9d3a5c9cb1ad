package admin

import (
	"tallyroute/billing"
	"tallyroute/billing/manage"
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
