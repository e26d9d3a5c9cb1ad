package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

const monthRows = selectEvents + `WHERE report_day >= ?1 AND report_day < ?2 ORDER BY event_id`

// MonthRows implements billing.Archives.
func (s *Store) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return rowsOf(ctx, s.read, m, each)
}

func rowsOf(ctx context.Context, from *session, m billing.Month, each func(billing.Spend) error) error {
	return from.rows(ctx, monthRows, []any{m.First(), m.Next().First()}, func(scan scanner) error {
		var row billing.Spend
		if err := scanEvent(scan, &row); err != nil {
			return err
		}
		return each(row)
	})
}

const (
	// keepMoments keeps what windows of budgets may need to know of the rows.
	keepMoments = `INSERT INTO spend_archived (report_day, slot, moved, key_id, project_id, team_id, events, tokens, nano)
SELECT report_day, substr(occurred_at, 1, 14) || printf('%02d', CAST(substr(occurred_at, 15, 2) AS INTEGER) / 15 * 15) || ':00.000000000Z',
  adjusts_period IS NOT NULL, key_id, project_id, team_id,
  count(*), sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens), coalesce(sum(cost_nano), 0)
FROM spend_events WHERE report_day >= ? AND report_day < ? GROUP BY 1, 2, 3, 4, 5, 6`
	archivePeriod = `UPDATE billing_periods SET archived_at = ?, archived_by = ?, rollup_sha256 = ? WHERE period = ?`
	olderRows     = `SELECT substr(report_day, 1, 7) FROM spend_events WHERE report_day < ? ORDER BY report_day LIMIT 1`
	dropRows      = `DELETE FROM spend_events WHERE report_day >= ? AND report_day < ?`
)

// ArchiveMonth implements billing.Archives. Other writers wait until the rows
// are deleted.
func (s *Store) ArchiveMonth(ctx context.Context, a billing.ArchivedMonth) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		p, err := period(ctx, tx, a.Month)
		if err == nil {
			err = a.Check(p)
		}
		if err != nil {
			return err
		}
		var older string
		found, err := tx.row(ctx, olderRows, []any{a.Month.First()}, &older)
		if err != nil {
			return err
		}
		if found {
			return &billing.ConflictError{Detail: fmt.Sprintf("month %s still has rows: archive it before %s", older, a.Month)}
		}
		if _, err := tx.exec(ctx, keepMoments, a.Month.First(), a.Month.Next().First()); err != nil {
			return err
		}
		rollup, err := integrity.RollupDigest(ctx, snapshot{tx}, a.Month)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, archivePeriod, stamp(a.Now), billing.CleanText(a.Actor), rollup, a.Month.First()); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, dropRows, a.Month.First(), a.Month.Next().First()); err != nil {
			return err
		}
		return recordChange(ctx, tx, "archive", billing.PeriodChange{Month: a.Month, Actor: a.Actor, Now: a.Now, Notes: a.Notes}, p)
	})
}

// What is thrown away, so many at a time that nobody waits long for it.
const (
	pruneBatch = 1000
	// pruneLeases throws away leases of which nothing is left.
	pruneLeases = `DELETE FROM leases WHERE (budget_id, window_start, replica_id, epoch) IN (
  SELECT budget_id, window_start, replica_id, epoch FROM leases WHERE tokens = 0 AND nano = 0 LIMIT ?)`
	// pruneCounters throws away windows that ended a quarter ago, and of which
	// nothing is held or leased. A row that is late makes its window again.
	pruneCounters = `DELETE FROM budget_counters WHERE (budget_id, window_start) IN (
  SELECT budget_id, window_start FROM budget_counters
   WHERE window_end < ? AND held_tokens = 0 AND held_nano = 0 AND leased_tokens = 0 AND leased_nano = 0 LIMIT ?)`
	pruneAfter = 92 * 24 * time.Hour
	// pruneRefusals keeps a year, and the month before it.
	pruneRefusals = `DELETE FROM refusals WHERE (hour, key_id, model, code, project_id, team_id) IN (
  SELECT hour, key_id, model, code, project_id, team_id FROM refusals WHERE hour < ? LIMIT ?)`
	refusalsKept = 397 * 24 * time.Hour
)

// Upkeep implements billing.Archives: it throws away leases and windows that
// are over. There is nothing to prepare in a file.
func (s *Store) Upkeep(ctx context.Context) error {
	if err := s.prune(ctx, pruneLeases, pruneBatch); err != nil {
		return err
	}
	if err := s.prune(ctx, pruneCounters, stamp(s.clock().Add(-pruneAfter)), pruneBatch); err != nil {
		return err
	}
	return s.prune(ctx, pruneRefusals, stamp(s.clock().Add(-refusalsKept)), pruneBatch)
}

// prune deletes until less than a batch was left.
func (s *Store) prune(ctx context.Context, sql string, args ...any) error {
	for n := int64(pruneBatch); n == pruneBatch; {
		err := s.write.do(ctx, func(ctx context.Context, tx *session) (err error) {
			n, err = tx.exec(ctx, sql, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// inSnapshot does work that reads the database as it is at one moment.
func (s *Store) inSnapshot(ctx context.Context, work func(tx *session) error) (err error) {
	conn, err := s.reads.Conn(ctx)
	if err != nil {
		return fault(err)
	}
	tx := newSession(conn)
	defer func() {
		_, ended := tx.exec(context.WithoutCancel(ctx), rollback)
		err = errors.Join(err, ended, tx.close(), fault(conn.Close()))
	}()
	if err := tx.script(ctx, "BEGIN"); err != nil {
		return err
	}
	return work(tx)
}
