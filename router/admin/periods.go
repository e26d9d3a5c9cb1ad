package admin

import (
	"bufio"
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// listPeriods is GET /periods: the months, newest first. There are never so
// many that they need pages.
func listPeriods(x *exchange) error {
	all, err := x.Actions.Store.ListPeriods(x.ctx())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, page[manage.PeriodView]{Data: viewsOf(all, manage.ViewPeriod)})
}

// month is the one that the path names.
func (x *exchange) month() string {
	x.subject = shorten(x.c.Param("month"))
	return x.c.Param("month")
}

// closePeriod is POST /periods/2026-10/close.
func closePeriod(x *exchange) error {
	c := manage.Closing{Month: x.month()}
	if err := x.optionalBody(object{"accept_unpriced": &c.AcceptUnpriced}); err != nil {
		return err
	}
	p, err := x.Actions.ClosePeriod(x.ctx(), c, by(""))
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewPeriod(p))
}

// reopenPeriod is POST /periods/2026-10/reopen. It needs a reason.
func reopenPeriod(x *exchange) error {
	var reason string
	if err := x.optionalBody(object{"reason": &reason}); err != nil {
		return err
	}
	p, err := x.Actions.ReopenPeriod(x.ctx(), x.month(), by(reason))
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, manage.ViewPeriod(p))
}

// archiveRows is GET /periods/2026-10/rows: the rows of a closed month as JSON
// lines, for the file in which they are kept. Their digest is in the trailer
// X-Tallyroute-Sha256: lines without it are not whole.
func archiveRows(x *exchange) error {
	m, err := billing.ParseMonth(x.month())
	if err != nil {
		return invalid("month", "must be a month such as 2026-11")
	}
	if err := x.Actions.Archivable(x.ctx(), m); err != nil {
		return err
	}
	const trailer = "X-Tallyroute-Sha256"
	digest := billing.NewMonthDigest()
	out := bufio.NewWriterSize(x.c.Writer, 64<<10)
	x.c.Header("Content-Type", "application/jsonl")
	x.c.Header("Trailer", trailer)
	err = x.Actions.Store.MonthRows(x.ctx(), m, func(row billing.Spend) error {
		line, err := digest.Add(row)
		if err == nil {
			_, err = out.Write(line)
		}
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		x.c.Writer.Header().Set(trailer, digest.SHA256())
	}
	return err
}

// archivePeriod is POST /periods/2026-10/archive: the rows, once they are safe in a
// file, are dropped from the database. What the file holds must be said.
func archivePeriod(x *exchange) error {
	var a billing.ArchivedMonth
	var cost money
	a.Month = billing.Month(x.month())
	if _, err := x.body(object{"rows": &a.Rows, "cost_usd": &cost, "sha256": &a.SHA256}); err != nil {
		return err
	}
	if cost.Money != nil {
		a.Money = *cost.Money
	}
	if err := x.Actions.Archive(x.ctx(), a, by("")); err != nil {
		return err
	}
	return x.json(http.StatusOK, map[string]any{"month": a.Month, "rows": a.Rows, "sha256": a.SHA256})
}
