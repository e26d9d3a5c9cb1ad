package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// days is the PostgreSQL dialect for selecting the days of breakdowns.
var days = breakdown.Dialect{
	Day: "$1::text::date", OtherDay: "$2::text::date", RowsOfDay: "e.report_day = $1::text::date",
	CacheSavings: `CASE WHEN e.kind <> 'usage' THEN coalesce(e.cache_savings_nano, 0)
  WHEN e.pricing = 'priced' AND e.cache_read_tokens + e.cache_write_tokens > 0 THEN
    least(div((e.cache_read_tokens + e.cache_write_tokens)::numeric * coalesce(e.input_price_nano, 0) + 500000, 1000000),
          1000000000000000)::bigint
      - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)
  ELSE 0 END`,
}

const (
	// breakdownLockSQL keeps two routers from building the same breakdown at once.
	breakdownLockSQL = `SELECT pg_try_advisory_xact_lock(hashtextextended('tallyroute.breakdowns', 0))`
	// missingBreakdownSQL returns the latest day whose breakdown is missing or out of date,
	// and how many such days there are. Archived months have no rows to build one from.
	missingBreakdownSQL = `
WITH days AS MATERIALIZED (
  SELECT report_day, sum(ledger_rows)::bigint AS ledger_rows FROM spend_daily
   WHERE month NOT IN (SELECT to_char(period, 'YYYY-MM') FROM billing_periods WHERE archived_at IS NOT NULL)
   GROUP BY report_day
)
SELECT d.report_day::text, count(*) OVER ()
  FROM days d LEFT JOIN breakdown_days b ON b.report_day = d.report_day AND ` + breakdown.Current + `
 WHERE b.ledger_rows IS NULL OR b.ledger_rows <> d.ledger_rows AND (d.ledger_rows >= 2 * b.ledger_rows OR b.made_at < $1)
 ORDER BY d.report_day DESC
 LIMIT 1`
	dropBreakdownSQL = `DELETE FROM spend_breakdowns WHERE report_day = $1::text::date`
	insertPartSQL    = `
INSERT INTO spend_breakdowns (report_day, part, name, data)
SELECT $1::text::date, $2, c.name, c.data FROM unnest($3::text[], $4::bytea[]) AS c (name, data)`
	noteBreakdownSQL = `
INSERT INTO breakdown_days (report_day, ledger_rows, made_at) VALUES ($1::text::date, $2, $3)
ON CONFLICT (report_day) DO UPDATE SET ledger_rows = excluded.ledger_rows, made_at = excluded.made_at`
)

// MakeBreakdown implements billing.Breakdowns. It blocks no other work: it reads from the
// snapshot of one statement, and writes tables that nothing else writes.
func (s *Store) MakeBreakdown(ctx context.Context, now time.Time) (left int, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			var mine bool
			if err := tx.QueryRow(ctx, breakdownLockSQL).Scan(&mine); err != nil || !mine {
				return err
			}
			var day string
			err := tx.QueryRow(ctx, missingBreakdownSQL, now.Add(-billing.BreakdownAge)).Scan(&day, &left)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err == nil {
				left--
				err = makeBreakdown(ctx, tx, day, now)
			}
			return err
		})
	})
	return left, err
}

func makeBreakdown(ctx context.Context, tx pgx.Tx, day string, now time.Time) error {
	if _, err := tx.Exec(ctx, dropBreakdownSQL, day); err != nil {
		return err
	}
	m := making{tx: tx, day: day}
	rows, err := breakdown.PackRows(ctx, &m, days, day, m.add)
	if err == nil {
		err = m.write(ctx)
	}
	if err == nil {
		_, err = tx.Exec(ctx, noteBreakdownSQL, day, rows, now)
	}
	return err
}

// making is the breakdown of a day while it is being written. It reads through a cursor, so
// that it can write full parts in the same transaction between fetches.
type making struct {
	tx    pgx.Tx
	day   string
	full  []*breakdown.Part // parts not yet written
	parts int
}

// fetched is the number of rows read per fetch.
const fetched = 8192

// Each implements breakdown.Snapshot.
func (m *making) Each(ctx context.Context, query string, each func(scan func(columns ...any) error) error, args ...any) error {
	args = append([]any{pgx.QueryExecModeSimpleProtocol}, args...) // DECLARE takes no bind parameters
	if _, err := m.tx.Exec(ctx, "DECLARE day NO SCROLL CURSOR FOR "+query, args...); err != nil {
		return err
	}
	for {
		rows, err := m.tx.Query(ctx, fmt.Sprintf("FETCH FORWARD %d FROM day", fetched))
		if err != nil {
			return err
		}
		found := 0
		for rows.Next() && err == nil {
			found++
			err = each(rows.Scan)
		}
		rows.Close()
		if err = errors.Join(err, rows.Err()); err != nil {
			return err
		}
		if found == 0 {
			return nil
		}
		if err := m.write(ctx); err != nil {
			return err
		}
	}
}

func (m *making) add(p *breakdown.Part) error {
	m.full = append(m.full, p)
	return nil
}

// write stores the parts that are full.
func (m *making) write(ctx context.Context) error {
	for _, p := range m.full {
		var names []string
		var data [][]byte
		for _, c := range p.Columns() {
			names, data = append(names, c.Name), append(data, c.Data)
		}
		m.parts++
		if _, err := m.tx.Exec(ctx, insertPartSQL, m.day, m.parts, names, data); err != nil {
			return err
		}
	}
	m.full = nil
	return nil
}
