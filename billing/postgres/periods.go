package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// standingSQL returns a row for every month that has rows or a recorded status, or only
// for month $1.
const standingSQL = `
WITH month AS (
  SELECT month, sum(attempts)::bigint AS attempts, sum(cost_nano)::bigint AS nano
    FROM spend_daily WHERE $1 = '' OR month = $1 GROUP BY month
), unpriced AS (
  SELECT to_char(e.report_day, 'YYYY-MM') AS month, count(*) AS n
    FROM spend_events e
   WHERE ($1 = '' OR e.report_day >= $2::text::date AND e.report_day < $3::text::date) AND e.pricing = 'unpriced' AND e.kind = 'usage'
     AND NOT EXISTS (SELECT FROM spend_events a WHERE a.adjusts_event = e.event_id AND a.kind = 'adjustment' AND a.pricing = 'priced')
   GROUP BY 1
), period AS (
  SELECT to_char(period, 'YYYY-MM') AS month, p.* FROM billing_periods p
)
SELECT month, CASE WHEN p.archived_at IS NOT NULL THEN 'archived' ELSE coalesce(p.status, 'open') END,
       coalesce(p.ledger_rows, m.attempts, 0), coalesce(p.ledger_nano, m.nano, 0)::bigint,
       CASE WHEN p.status = 'closed' THEN coalesce(p.ledger_unpriced, 0) ELSE coalesce(u.n, 0) END,
       coalesce(p.ledger_sha256, ''), p.closed_at, coalesce(p.closed_by, ''), p.archived_at, coalesce(p.archived_by, '')
  FROM month m FULL JOIN period p USING (month) LEFT JOIN unpriced u USING (month)
 WHERE $1 = '' OR month = $1
 ORDER BY month DESC`

func scanPeriod(row pgx.CollectableRow) (p billing.PeriodStanding, err error) {
	var closed, archived *time.Time
	err = row.Scan(&p.Month, &p.Status, &p.Rows, &p.Money, &p.Unpriced, &p.SHA256, &closed, &p.ClosedBy, &archived, &p.ArchivedBy)
	p.ClosedAt, p.ArchivedAt = utc(closed), utc(archived)
	return p, err
}

// period returns the standing of one month. A month without any records is open.
func period(ctx context.Context, q querier, m billing.Month) (billing.PeriodStanding, error) {
	rows, err := q.Query(ctx, standingSQL, string(m), m.First(), m.Next().First())
	if err != nil {
		return billing.PeriodStanding{}, err
	}
	p, err := pgx.CollectExactlyOneRow(rows, scanPeriod)
	if errors.Is(err, pgx.ErrNoRows) {
		return billing.PeriodStanding{Month: m, Status: billing.PeriodOpen}, nil
	}
	return p, err
}

// ListPeriods implements billing.Periods.
func (s *Store) ListPeriods(ctx context.Context) (all []billing.PeriodStanding, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, standingSQL, "", "", "")
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanPeriod)
		return err
	})
	return all, err
}

const (
	closePeriodSQL = `
INSERT INTO billing_periods (period, timezone, status, closed_at, closed_by, ledger_unpriced)
VALUES ($1::text::date, $2, 'closed', $3, $4, $5)
ON CONFLICT (period) DO UPDATE
   SET timezone = excluded.timezone, status = 'closed', closed_at = excluded.closed_at, closed_by = excluded.closed_by,
       ledger_unpriced = excluded.ledger_unpriced, ledger_nano = NULL, ledger_rows = NULL, ledger_sha256 = NULL`
	sumPeriodSQL = `
UPDATE billing_periods SET ledger_nano = $2, ledger_rows = $3, ledger_sha256 = $4
 WHERE period = $1::text::date AND status = 'closed' AND ledger_sha256 IS NULL`
	reopenPeriodSQL = `
UPDATE billing_periods
   SET status = 'open', closed_at = NULL, closed_by = NULL, ledger_nano = NULL, ledger_rows = NULL, ledger_unpriced = NULL,
     ledger_sha256 = NULL
 WHERE period = $1::text::date`
	periodChangeSQL = `
INSERT INTO period_changes (period, action, changed_at, actor, reason, ledger_nano, ledger_rows, ledger_unpriced, ledger_sha256)
VALUES ($1::text::date, $2, $3, $4, $5, $6, $7, $8, nullif($9, ''))`
)

// periodsLockSQL lets only one process at a time close, reopen or archive months.
const periodsLockSQL = "SELECT pg_advisory_xact_lock(hashtextextended('tallyroute.periods', 0))"

// ClosePeriod implements billing.Periods. First it closes the month to new rows, which
// waits for inserts in progress; then it adds up the month's rows, while work on other
// months continues.
func (s *Store) ClosePeriod(ctx context.Context, c billing.PeriodChange) (p billing.PeriodStanding, err error) {
	if err := errors.Join(c.Check(), c.NotOver(s.reporting)); err != nil {
		return p, err
	}
	err = s.long(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return s.beginClose(ctx, tx, c) })
		if err != nil {
			return err
		}
		d := billing.NewMonthDigest()
		err = monthRows(ctx, conn, c.Month, func(row billing.Spend) error {
			_, err := d.Add(row)
			return err
		})
		if err != nil {
			return err
		}
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			p, err = finishClose(ctx, tx, c, d)
			return err
		})
	})
	return p, err
}

func (s *Store) beginClose(ctx context.Context, tx pgx.Tx, c billing.PeriodChange) error {
	if _, err := tx.Exec(ctx, periodsLockSQL); err != nil {
		return err
	}
	p, err := period(ctx, tx, c.Month)
	switch {
	case err != nil:
		return err
	case p.SHA256 != "":
		return &billing.ConflictError{Detail: fmt.Sprintf("month %s is closed already, by %s", c.Month, p.ClosedBy)}
	case p.Status == billing.PeriodClosed:
		return nil // an earlier close was interrupted
	}
	if _, err := tx.Exec(ctx, "SELECT spend_add_partition($1::text::date)", c.Month.First()); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+partition(c.Month)+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	if p, err = period(ctx, tx, c.Month); err != nil {
		return err
	}
	if err := c.Unaccepted(p); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, closePeriodSQL, c.Month.First(), s.reporting.String(), c.Now, c.Actor, p.Unpriced)
	if err != nil {
		return err
	}
	return note(ctx, tx, c.Begun())
}

func finishClose(ctx context.Context, tx pgx.Tx, c billing.PeriodChange, d *billing.MonthDigest) (p billing.PeriodStanding, err error) {
	if _, err := tx.Exec(ctx, periodsLockSQL); err != nil {
		return p, err
	}
	done, err := tx.Exec(ctx, sumPeriodSQL, c.Month.First(), int64(d.Money), d.Rows, d.SHA256())
	if err != nil {
		return p, err
	}
	if done.RowsAffected() == 0 {
		return p, &billing.ConflictError{Detail: fmt.Sprintf("month %s was closed or reopened by somebody else in the meantime", c.Month)}
	}
	if p, err = period(ctx, tx, c.Month); err != nil {
		return p, err
	}
	return p, recordChange(ctx, tx, "close", c, p)
}

func recordChange(ctx context.Context, tx pgx.Tx, action string, c billing.PeriodChange, p billing.PeriodStanding) error {
	_, err := tx.Exec(ctx, periodChangeSQL, c.Month.First(), action, c.Now, billing.CleanText(c.Actor), billing.CleanText(c.Reason),
		int64(p.Money), p.Rows, p.Unpriced, p.SHA256)
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
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, periodsLockSQL); err != nil {
			return err
		}
		was, err := period(ctx, tx, c.Month)
		if err != nil {
			return err
		}
		if err := c.Reopenable(was); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, reopenPeriodSQL, c.Month.First()); err != nil {
			return err
		}
		if p, err = period(ctx, tx, c.Month); err != nil {
			return err
		}
		return recordChange(ctx, tx, "reopen", c, was)
	})
	return p, err
}

// partition returns the quoted name of the table that holds the rows of a month.
func partition(m billing.Month) string {
	return pgx.Identifier{"spend_events_" + string(m[:4]) + "_" + string(m[5:])}.Sanitize()
}

// longLock is how long work that is not urgent waits for a lock.
const longLock = "10s"

// long runs work on its own connection, outside the pools, without a statement timeout.
func (s *Store) long(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	if s.closed.Load() {
		return fault(ctx, errClosed)
	}
	conn, err := s.dial(ctx, map[string]string{
		"TimeZone": "UTC", "DateStyle": "ISO", "jit": "off", "lock_timeout": longLock,
		"statement_timeout": "0",
	})
	if err != nil {
		return fault(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // there is nothing left to save
	return fault(ctx, work(ctx, conn))
}
