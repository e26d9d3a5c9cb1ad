// Package integrity proves that the ledger adds up: rows and adjustments, counters,
// rollup, holds, leases and closed months. It owns the laws and how they are
// checked; the stores lend it a snapshot.
package integrity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// Snapshot is the database as it was at one moment.
type Snapshot interface {
	// Each calls each with every row of a statement.
	Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error, args ...any) error
	// Counters are all counters, with what was used.
	Counters(ctx context.Context) ([]billing.Balance, error)
	// Moments calls each with what every row of the ledger used, and every row
	// that was refused and waits to be booked.
	Moments(ctx context.Context, each func(Moment)) error
	// MonthRows is that of billing.Archives.
	MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error
}

// Dialect is what the databases do not have in common.
type Dialect struct {
	// HeldByWindow is a SELECT of budget_id, window_start, tokens, nano and requests with a
	// row for each hold and window.
	HeldByWindow string
	// Days is that of breakdowns.
	Days breakdown.Dialect
}

// Run checks every law.
func Run(ctx context.Context, s Snapshot, d Dialect, o billing.IntegrityOptions) (billing.IntegrityReport, error) {
	begin := time.Now()
	r := billing.IntegrityReport{RanAt: o.Now}
	for _, l := range laws(d) {
		law := billing.Law{Name: l.name, Says: l.says}
		err := s.Each(ctx, l.sql, func(scan func(...any) error) error {
			var b billing.Breach
			err := scan(&b.Where, &b.Expected, &b.Found)
			law.Add(b)
			return err
		})
		if err != nil {
			return r, err
		}
		r.Add(law)
	}
	if err := breakdownLaws(ctx, s, d, o, &r); err != nil {
		return r, err
	}
	counters, err := countersLaw(ctx, s)
	if err != nil {
		return r, err
	}
	r.Add(counters)
	months, err := monthsLaw(ctx, s, o)
	if err != nil {
		return r, err
	}
	r.Add(months)
	r.Took = time.Since(begin)
	return r, nil
}

// breakdownLaws compare the breakdowns that reports read with the rollup and, where it is
// asked for, with every row.
func breakdownLaws(ctx context.Context, s Snapshot, d Dialect, o billing.IntegrityOptions, r *billing.IntegrityReport) error {
	law := billing.Law{Name: "breakdowns", Says: "breakdowns of days that reports read have the sums of the rollup"}
	add := func(b breakdown.Breach) { law.Add(billing.Breach(b)) }
	if err := breakdown.VerifySums(ctx, s, d.Days, add); err != nil {
		return err
	}
	r.Add(law)
	if !o.Digests {
		return nil
	}
	law = billing.Law{Name: "values", Says: "breakdowns of days that reports read have what the rows have"}
	if err := breakdown.VerifyRows(ctx, s, d.Days, add); err != nil {
		return err
	}
	r.Add(law)
	return nil
}

func countersLaw(ctx context.Context, s Snapshot) (billing.Law, error) {
	counters, err := s.Counters(ctx)
	if err != nil {
		return billing.Law{}, err
	}
	t := NewTally(counters)
	if err := s.Moments(ctx, t.Add); err != nil {
		return billing.Law{}, err
	}
	return t.Judge(), nil
}

const closedSQL = `
SELECT substr(CAST(period AS text), 1, 7), coalesce(ledger_sha256, ''), coalesce(rollup_sha256, ''),
       CASE WHEN archived_at IS NULL THEN 0 ELSE 1 END
  FROM billing_periods WHERE status = 'closed' ORDER BY period`

type closedMonth struct {
	month          billing.Month
	ledger, rollup string
	archived       int
}

// monthsLaw compares digests: of archived months that of the rollup, which is
// all that is left of them; of others, where it is asked for, that of the rows.
func monthsLaw(ctx context.Context, s Snapshot, o billing.IntegrityOptions) (billing.Law, error) {
	law := billing.Law{Name: "months", Says: "closed and archived months are as they were closed and archived"}
	var closed []closedMonth
	err := s.Each(ctx, closedSQL, func(scan func(...any) error) error {
		var c closedMonth
		err := scan(&c.month, &c.ledger, &c.rollup, &c.archived)
		closed = append(closed, c)
		return err
	})
	if err != nil {
		return law, err
	}
	for _, c := range closed {
		where, want, got := "billing_periods: rows of "+string(c.month), c.ledger, c.ledger
		switch {
		case c.archived == 1:
			where, want = "spend_daily: rollup of "+string(c.month), c.rollup
			got, err = RollupDigest(ctx, s, c.month)
		case o.Digests || c.ledger == "":
			got, err = monthDigest(ctx, s, c.month)
		}
		if err != nil {
			return law, err
		}
		if want == "" {
			want = "a digest; run tallyroute period close again"
		}
		if got != want {
			law.Add(billing.Breach{Where: where, Expected: want, Found: got})
		}
	}
	return law, nil
}

func monthDigest(ctx context.Context, s Snapshot, m billing.Month) (string, error) {
	d := billing.NewMonthDigest()
	err := s.MonthRows(ctx, m, func(row billing.Spend) error {
		_, err := d.Add(row)
		return err
	})
	return d.SHA256(), err
}

// RollupDigest is the SHA-256 of a month's rows of the rollup, in hexadecimal:
// once the month is archived, they are the only copy of its totals.
func RollupDigest(ctx context.Context, s Eacher, m billing.Month) (string, error) {
	var lines []string
	err := s.Each(ctx, rollupLinesSQL(m), func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		lines = append(lines, line)
		return err
	})
	slices.Sort(lines) // here, because databases sort texts in different ways
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// Eacher is the part of a Snapshot that runs statements.
type Eacher interface {
	Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error, args ...any) error
}
