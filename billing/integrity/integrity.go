// Package integrity proves that the ledger adds up: rows and adjustments, counters,
// the rollup, holds, leases and closed months. It defines the laws and checks them
// against a snapshot that the store provides.
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

// Snapshot is a consistent view of the database at one point in time.
type Snapshot interface {
	// Each runs a statement and calls each for every row that it returns.
	Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error, args ...any) error
	// Counters returns every counter, including its usage.
	Counters(ctx context.Context) ([]billing.Balance, error)
	// Moments calls each with the usage of every row of the ledger, and of every
	// rejected row that is still waiting to be booked.
	Moments(ctx context.Context, each func(Moment)) error
	// MonthRows does the same as the method of billing.Archives.
	MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error
}

// Dialect holds the SQL that differs between databases.
type Dialect struct {
	// HeldByWindow is a SELECT that returns budget_id, window_start, tokens, nano and
	// requests, one row per hold and window.
	HeldByWindow string
	// Days is the dialect of the daily breakdowns.
	Days breakdown.Dialect
}

// Run checks every law against s and reports the breaches.
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

// breakdownLaws compares the breakdowns that reports read with the rollup and, if
// o.Digests is set, with every row.
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

// monthsLaw compares digests. For an archived month it uses the rollup, which is all
// that is left of it. For any other closed month it uses the rows, but only if
// o.Digests is set or no digest was recorded.
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

// RollupDigest returns the SHA-256 of a month's rollup rows, in hexadecimal. Once the
// month is archived, those rows are the only copy of its totals.
func RollupDigest(ctx context.Context, s Eacher, m billing.Month) (string, error) {
	var lines []string
	err := s.Each(ctx, rollupLinesSQL(m), func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		lines = append(lines, line)
		return err
	})
	slices.Sort(lines) // not in SQL, because databases collate text differently
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
