package sqlite

import (
	"context"
	"errors"
	"fmt"

	"tallyroute/billing"
)

// selectPeriods has a row for every month that has rows or a state, or for ?1.
const selectPeriods = `
WITH month AS (
  SELECT month, sum(attempts) AS attempts, sum(cost_nano) AS nano
    FROM spend_daily WHERE ?1 = '' OR month = ?1 GROUP BY month
), unpriced AS (
  SELECT substr(e.report_day, 1, 7) AS month, count(*) AS n
    FROM spend_events e
   WHERE (?1 = '' OR substr(e.report_day, 1, 7) = ?1) AND e.pricing = 'unpriced' AND e.kind = 'usage'
     AND NOT EXISTS (SELECT 1 FROM spend_events a WHERE a.adjusts_event = e.event_id AND a.kind = 'adjustment' AND a.pricing = 'priced')
   GROUP BY 1
), period AS (
  SELECT substr(period, 1, 7) AS month, p.* FROM billing_periods p
)
SELECT month, CASE WHEN p.archived_at IS NOT NULL THEN 'archived' ELSE coalesce(p.status, 'open') END,
       coalesce(p.ledger_rows, m.attempts, 0), coalesce(p.ledger_nano, m.nano, 0),
       CASE WHEN p.status = 'closed' THEN coalesce(p.ledger_unpriced, 0) ELSE coalesce(u.n, 0) END,
       coalesce(p.ledger_sha256, ''), p.closed_at, coalesce(p.closed_by, ''), p.archived_at, coalesce(p.archived_by, '')
  FROM month m FULL JOIN period p USING (month) LEFT JOIN unpriced u USING (month)
 WHERE ?1 = '' OR month = ?1
 ORDER BY month DESC`

func periods(ctx context.Context, from *session, month billing.Month) (all []billing.PeriodStanding, err error) {
	err = from.rows(ctx, selectPeriods, []any{string(month)}, func(scan scanner) error {
		var p billing.PeriodStanding
		err := scan(&p.Month, &p.Status, &p.Rows, &p.Money, &p.Unpriced, &p.SHA256, instant{&p.ClosedAt}, &p.ClosedBy,
			instant{&p.ArchivedAt}, &p.ArchivedBy)
		all = append(all, p)
		return err
	})
	return all, err
}

// period is how one month stands. A month that nobody heard of is open.
func period(ctx context.Context, from *session, m billing.Month) (billing.PeriodStanding, error) {
	all, err := periods(ctx, from, m)
	if err != nil || len(all) == 0 {
		return billing.PeriodStanding{Month: m, Status: billing.PeriodOpen}, err
	}
	return all[0], nil
}

// ListPeriods implements billing.Periods.
func (s *Store) ListPeriods(ctx context.Context) ([]billing.PeriodStanding, error) {
	return periods(ctx, s.read, "")
}

const (
	closePeriod = `INSERT INTO billing_periods (period, timezone, status, closed_at, closed_by, ledger_unpriced)
	  VALUES (?, ?, 'closed', ?, ?, ?)
ON CONFLICT DO UPDATE SET timezone = excluded.timezone, status = 'closed', closed_at = excluded.closed_at, closed_by = excluded.closed_by,
  ledger_unpriced = excluded.ledger_unpriced, ledger_nano = NULL, ledger_rows = NULL, ledger_sha256 = NULL`
	sumPeriod = `UPDATE billing_periods SET ledger_nano = ?, ledger_rows = ?, ledger_sha256 = ?
WHERE period = ? AND status = 'closed' AND ledger_sha256 IS NULL`
	reopenPeriod = `UPDATE billing_periods SET status = 'open', closed_at = NULL, closed_by = NULL,
  ledger_nano = NULL, ledger_rows = NULL, ledger_unpriced = NULL, ledger_sha256 = NULL
WHERE period = ?`
	insertPeriodChange = `INSERT INTO period_changes (period, action, changed_at, actor, reason, ledger_nano, ledger_rows,
	  ledger_unpriced, ledger_sha256)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// ClosePeriod implements billing.Periods. First the month stops taking rows,
// then what it has is added up, while the writer does other work.
func (s *Store) ClosePeriod(ctx context.Context, c billing.PeriodChange) (p billing.PeriodStanding, err error) {
	if err := errors.Join(c.Check(), c.NotOver(s.reporting)); err != nil {
		return p, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error { return s.beginClose(ctx, tx, c) })
	if err != nil {
		return p, err
	}
	d := billing.NewMonthDigest()
	err = s.MonthRows(ctx, c.Month, func(row billing.Spend) error {
		_, err := d.Add(row)
		return err
	})
	if err != nil {
		return p, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, sumPeriod, int64(d.Money), d.Rows, d.SHA256(), c.Month.First())
		if err == nil && n == 0 {
			err = &billing.ConflictError{Detail: fmt.Sprintf("month %s was closed or reopened by somebody else meanwhile", c.Month)}
		}
		if err != nil {
			return err
		}
		if p, err = period(ctx, tx, c.Month); err != nil {
			return err
		}
		return recordChange(ctx, tx, "close", c, p)
	})
	return p, err
}

func (s *Store) beginClose(ctx context.Context, tx *session, c billing.PeriodChange) error {
	p, err := period(ctx, tx, c.Month)
	switch {
	case err != nil:
		return err
	case p.SHA256 != "":
		return &billing.ConflictError{Detail: fmt.Sprintf("month %s is closed already, by %s", c.Month, p.ClosedBy)}
	case p.Status == billing.PeriodClosed:
		return nil // its close was cut short
	}
	if err := c.Unaccepted(p); err != nil {
		return err
	}
	_, err = tx.exec(ctx, closePeriod, c.Month.First(), s.reporting.String(), stamp(c.Now), billing.CleanText(c.Actor), p.Unpriced)
	return err
}

func recordChange(ctx context.Context, tx *session, action string, c billing.PeriodChange, p billing.PeriodStanding) error {
	_, err := tx.exec(ctx, insertPeriodChange, c.Month.First(), action, stamp(c.Now), billing.CleanText(c.Actor),
		billing.CleanText(c.Reason), int64(p.Money), p.Rows, p.Unpriced, text(p.SHA256))
	if err != nil {
		return err
	}
	return note(ctx, tx, c.Notes)
}

// ReopenPeriod implements billing.Periods.
func (s *Store) ReopenPeriod(ctx context.Context, c billing.PeriodChange) (p billing.PeriodStanding, err error) {
	if err := errors.Join(c.Check(), c.NeedsReason()); err != nil {
		return p, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		was, err := period(ctx, tx, c.Month)
		if err == nil {
			err = c.Reopenable(was)
		}
		if err == nil {
			err = recordChange(ctx, tx, "reopen", c, was)
		}
		if err == nil {
			_, err = tx.exec(ctx, reopenPeriod, c.Month.First())
		}
		if err == nil {
			p, err = period(ctx, tx, c.Month)
		}
		return err
	})
	return p, err
}
