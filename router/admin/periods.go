package admin

import (
	"bufio"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// listPeriods is GET /periods: the months, newest first. There are never so
// many that they need pages.
func listPeriods(x *exchange, _ none) (page[manage.PeriodView], error) {
	all, err := x.Actions.Periods(x.ctx())
	return listOf(all, manage.ViewPeriod), err
}

// closing is the body of closePeriod.
type closing struct {
	AcceptUnpriced bool `json:"accept_unpriced" doc:"Although attempts in the month have no price."`
}

// closePeriod is POST /periods/2026-10/close.
func closePeriod(x *exchange, in closing) (manage.PeriodView, error) {
	p, err := x.Actions.ClosePeriod(x.ctx(), manage.Closing{Month: x.param("month"), AcceptUnpriced: in.AcceptUnpriced}, x.by(""))
	return manage.ViewPeriod(p), err
}

// reopenPeriod is POST /periods/2026-10/reopen. It needs a reason.
func reopenPeriod(x *exchange, in reasoned) (manage.PeriodView, error) {
	p, err := x.Actions.ReopenPeriod(x.ctx(), x.param("month"), x.by(in.Reason))
	return manage.ViewPeriod(p), err
}

// archiveRows is GET /periods/2026-10/rows: the rows of a closed month as JSON
// lines, for the file in which they are kept. Their digest is in the trailer
// X-Tallyroute-Sha256: lines without it are not whole.
func archiveRows(x *exchange, _ none) (none, error) {
	m, err := billing.ParseMonth(x.param("month"))
	if err != nil {
		return none{}, invalid("month", "must be a month such as 2026-11")
	}
	if err := x.Actions.Archivable(x.ctx(), m); err != nil {
		return none{}, err
	}
	const trailer = "X-Tallyroute-Sha256"
	digest := billing.NewMonthDigest()
	out := bufio.NewWriterSize(x.C.Writer, 64<<10)
	x.C.Header("Content-Type", "application/jsonl")
	x.C.Header("Trailer", trailer)
	err = x.Actions.MonthRows(x.ctx(), m, func(row billing.Spend) error {
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
		x.C.Writer.WriteHeaderNow() // of a month without rows, too
		x.C.Writer.Header().Set(trailer, digest.SHA256())
	}
	return none{}, err
}

// archived is what the file of a month holds: the body of archivePeriod and its answer.
type archived struct {
	Rows   int64   `json:"rows" required:"true"`
	Cost   *amount `json:"cost_usd" required:"true"`
	SHA256 string  `json:"sha256" required:"true"`
}

// ArchivedPeriod is a month whose rows were dropped.
type ArchivedPeriod struct {
	Month  billing.Month `json:"month"`
	Rows   int64         `json:"rows"`
	SHA256 string        `json:"sha256"`
}

// archivePeriod is POST /periods/2026-10/archive: the rows, once they are safe in a
// file, are dropped from the database. What the file holds must be said.
func archivePeriod(x *exchange, in archived) (ArchivedPeriod, error) {
	a := billing.ArchivedMonth{Month: billing.Month(x.param("month")), Rows: in.Rows, SHA256: in.SHA256}
	if in.Cost != nil {
		a.Money = billing.Money(*in.Cost)
	}
	err := x.Actions.Archive(x.ctx(), a, x.by(""))
	return ArchivedPeriod{a.Month, a.Rows, a.SHA256}, err
}
