package admin

import (
	"net/http"

	"tallyroute/billing"
)

// periodView is a month of the ledger.
type periodView struct {
	Month      billing.Month        `json:"month"`
	Status     billing.PeriodStatus `json:"status"`
	Rows       int64                `json:"rows"`
	CostUSD    string               `json:"cost_usd"`
	Unpriced   int64                `json:"unpriced_attempts"`
	SHA256     *string              `json:"sha256"`
	ClosedAt   *string              `json:"closed_at"`
	ClosedBy   *string              `json:"closed_by"`
	ArchivedAt *string              `json:"archived_at"`
}

func viewPeriod(p billing.PeriodStanding) periodView {
	v := periodView{
		Month: p.Month, Status: p.Status, Rows: p.Rows, CostUSD: p.Money.Short(), Unpriced: p.Unpriced,
		ClosedAt: instant(p.ClosedAt), ArchivedAt: instant(p.ArchivedAt),
	}
	if p.SHA256 != "" {
		v.SHA256 = &p.SHA256
	}
	if p.ClosedBy != "" {
		v.ClosedBy = &p.ClosedBy
	}
	return v
}

// listPeriods is GET /periods: the months, newest first. There are never so
// many that they need pages.
func listPeriods(x *exchange) error {
	all, err := x.Periods.ListPeriods(x.ctx())
	if err != nil {
		return err
	}
	views := make([]periodView, len(all))
	for i, p := range all {
		views[i] = viewPeriod(p)
	}
	return x.json(http.StatusOK, page[periodView]{Data: views})
}

// closePeriod is POST /periods/2026-10/close.
func closePeriod(x *exchange) error {
	c := x.periodChange()
	if err := x.optionalBody(object{"accept_unpriced": &c.AcceptUnpriced}); err != nil {
		return err
	}
	p, err := x.Periods.ClosePeriod(x.ctx(), c)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, viewPeriod(p))
}

// reopenPeriod is POST /periods/2026-10/reopen. It needs a reason.
func reopenPeriod(x *exchange) error {
	c := x.periodChange()
	if err := x.optionalBody(object{"reason": &c.Reason}); err != nil {
		return err
	}
	p, err := x.Periods.ReopenPeriod(x.ctx(), c)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, viewPeriod(p))
}

// periodChange is what the path asks for. The admin token has no name.
func (x *exchange) periodChange() billing.PeriodChange {
	month := x.c.Param("month")
	x.subject = shorten(month)
	return billing.PeriodChange{Month: billing.Month(month), Actor: "admin", Now: x.start}
}
