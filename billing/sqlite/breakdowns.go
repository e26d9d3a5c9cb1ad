package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// days is the dialect in which breakdowns address days here. It reads the rows of a day in the
// order in which the file stores them: in index order, each page would be read several times.
var days = breakdown.Dialect{
	Day: "?1", OtherDay: "?2", RowsOfDay: "e.rowid IN (SELECT rowid FROM spend_events WHERE report_day = ?1)",
	CacheSavings: `CASE WHEN e.kind <> 'usage' THEN coalesce(e.cache_savings_nano, 0)
  WHEN e.pricing = 'priced' AND e.cache_read_tokens + e.cache_write_tokens > 0 THEN
    min((e.cache_read_tokens + e.cache_write_tokens) * (coalesce(e.input_price_nano, 0) / 1000000)
      + ((e.cache_read_tokens + e.cache_write_tokens) * (coalesce(e.input_price_nano, 0) % 1000000) + 500000) / 1000000, 1000000000000000)
      - coalesce(e.cache_read_cost_nano, 0) - coalesce(e.cache_write_cost_nano, 0)
  ELSE 0 END`,
}

// missingBreakdown selects the latest day whose breakdown is missing or outdated, and counts all
// such days. Archived months are left out: they have no rows left to make one from.
const missingBreakdown = `WITH days AS MATERIALIZED (
  SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily
  WHERE month NOT IN (SELECT substr(period, 1, 7) FROM billing_periods WHERE archived_at IS NOT NULL)
  GROUP BY report_day
)
SELECT d.report_day, count(*) OVER ()
FROM days d LEFT JOIN breakdown_days b ON b.report_day = d.report_day AND ` + breakdown.Current + `
WHERE b.ledger_rows IS NULL OR b.ledger_rows <> d.ledger_rows AND (d.ledger_rows >= 2 * b.ledger_rows OR b.made_at < ?1)
ORDER BY d.report_day DESC LIMIT 1`

const (
	dropBreakdownNote = `DELETE FROM breakdown_days WHERE report_day = ?`
	dropBreakdown     = `DELETE FROM spend_breakdowns WHERE report_day = ?`
	insertColumn      = `INSERT INTO spend_breakdowns (report_day, part, name, data) VALUES (?, ?, ?, ?)`
	sizeOfBreakdown   = `SELECT count(*), coalesce(sum(length(data)), 0) FROM spend_breakdowns WHERE report_day = ?`
	noteBreakdown     = `INSERT INTO breakdown_days (report_day, ledger_rows, made_at) VALUES (?, ?, ?)`
)

// MakeBreakdown implements billing.Breakdowns. It reads the rows in one snapshot and writes each
// part in a transaction of its own, so the writer is not blocked while rows are read. Reports
// use a breakdown only once its note exists, and the note is written last.
func (s *Store) MakeBreakdown(ctx context.Context, now time.Time) (left int, err error) {
	var day string
	found, err := s.read.row(ctx, missingBreakdown, []any{stamp(now.Add(-billing.BreakdownAge))}, &day, &left)
	if err != nil || !found {
		return 0, err
	}
	m := making{store: s, day: day}
	if err := m.change(ctx, dropBreakdownNote, dropBreakdown); err != nil {
		return 0, err
	}
	var rows int64
	err = s.inSnapshot(ctx, func(tx *session) error {
		rows, err = breakdown.PackRows(ctx, snapshot{tx}, days, day, func(p *breakdown.Part) error { return m.add(ctx, p) })
		return err
	})
	if err != nil {
		return 0, err
	}
	return left - 1, m.note(ctx, rows, now)
}

// making is the breakdown of a day while it is being written.
type making struct {
	store                *Store
	day                  string
	parts, columns, size int64
}

func (m *making) change(ctx context.Context, statements ...string) error {
	return m.store.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, statement := range statements {
			if _, err := tx.exec(ctx, statement, m.day); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *making) add(ctx context.Context, p *breakdown.Part) error {
	columns := p.Columns()
	m.parts++
	for _, c := range columns {
		m.columns, m.size = m.columns+1, m.size+int64(len(c.Data))
	}
	return m.store.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, c := range columns {
			if _, err := tx.exec(ctx, insertColumn, m.day, m.parts, c.Name, c.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// note records that the breakdown is complete, unless another process has changed it in the
// meantime.
func (m *making) note(ctx context.Context, rows int64, now time.Time) error {
	return m.store.write.do(ctx, func(ctx context.Context, tx *session) error {
		var columns, size int64
		if _, err := tx.row(ctx, sizeOfBreakdown, []any{m.day}, &columns, &size); err != nil {
			return err
		}
		if columns != m.columns || size != m.size {
			return &billing.ConflictError{Detail: "another process makes the breakdown of " + m.day}
		}
		_, err := tx.exec(ctx, noteBreakdown, m.day, rows, stamp(now))
		return err
	})
}
