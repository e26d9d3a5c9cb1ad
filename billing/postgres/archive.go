package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

const monthRowsSQL = selectEventsSQL + `
 WHERE e.report_day >= $1::text::date AND e.report_day < $2::text::date
 ORDER BY e.event_id`

// MonthRows implements billing.Archives.
func (s *Store) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error { return monthRows(ctx, c, m, each) })
}

// monthRows streams the rows of a month from a single statement, and so from one snapshot.
func monthRows(ctx context.Context, q querier, m billing.Month, each func(billing.Spend) error) error {
	rows, err := q.Query(ctx, monthRowsSQL, m.First(), m.Next().First())
	if err != nil {
		return err
	}
	return eachSpend(rows, each)
}

// eachSpend calls each for every row, then closes rows.
func eachSpend(rows pgx.Rows, each func(billing.Spend) error) error {
	defer rows.Close()
	for rows.Next() {
		row, err := scanSpend(rows)
		if err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return rows.Err()
}

const (
	// keepMomentsSQL keeps what budget windows may still need from the rows: their usage,
	// summed per quarter of an hour.
	keepMomentsSQL = `
INSERT INTO spend_archived (report_day, slot, moved, key_id, project_id, team_id, events, tokens, nano, requests)
SELECT report_day, to_timestamp(floor(extract(epoch FROM occurred_at) / 900) * 900), adjusts_period IS NOT NULL, key_id, project_id,
  team_id,
       count(*), sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens), coalesce(sum(cost_nano), 0), count(*)
         FILTER (WHERE kind = 'usage' AND final)
  FROM spend_events
 WHERE report_day >= $1::text::date AND report_day < $2::text::date
 GROUP BY 1, 2, 3, 4, 5, 6`
	archivePeriodSQL = `UPDATE billing_periods SET archived_at = $2, archived_by = $3, rollup_sha256 = $4 WHERE period = $1::text::date`
	olderRowsSQL     = `SELECT coalesce((SELECT to_char(report_day, 'YYYY-MM') FROM spend_events WHERE report_day < $1::text::date ORDER ` +
		`BY report_day LIMIT 1), '')`
)

// ArchiveMonth implements billing.Archives. Only the last step, which detaches and drops
// the partition, blocks writers, and only for as long as the catalogue update takes.
func (s *Store) ArchiveMonth(ctx context.Context, a billing.ArchivedMonth) error {
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		for try := 1; ; try++ {
			err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return archiveMonth(ctx, tx, a) })
			if code(err) != "55P03" && code(err) != "40P01" || try == tries { // lock timeout, deadlock
				return err
			}
		}
	})
}

func archiveMonth(ctx context.Context, tx pgx.Tx, a billing.ArchivedMonth) error {
	if _, err := tx.Exec(ctx, periodsLockSQL); err != nil {
		return err
	}
	p, err := period(ctx, tx, a.Month)
	if err == nil {
		err = a.Check(p)
	}
	if err != nil {
		return err
	}
	var older string
	if err := tx.QueryRow(ctx, olderRowsSQL, a.Month.First()).Scan(&older); err != nil {
		return err
	}
	if older != "" {
		return &billing.ConflictError{Detail: fmt.Sprintf("month %s still has rows: archive it before %s", older, a.Month)}
	}
	if _, err := tx.Exec(ctx, keepMomentsSQL, a.Month.First(), a.Month.Next().First()); err != nil {
		return err
	}
	rollup, err := integrity.RollupDigest(ctx, snapshot{tx}, a.Month)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, archivePeriodSQL, a.Month.First(), a.Now, billing.CleanText(a.Actor), rollup); err != nil {
		return err
	}
	part := partition(a.Month)
	_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'")
	for _, sql := range []string{"ALTER TABLE spend_events DETACH PARTITION " + part, "DROP TABLE " + part} {
		if err == nil {
			_, err = tx.Exec(ctx, sql)
		}
	}
	if err != nil {
		return err
	}
	return recordChange(ctx, tx, "archive", billing.PeriodChange{Month: a.Month, Actor: a.Actor, Now: a.Now, Notes: a.Notes}, p)
}

// Pruning works in batches small enough that nobody has to wait, and skips rows that are
// locked. A booking that is about to update a counter just pruned no longer finds it; its
// ledger row is included in the sum when the window is opened again.
const (
	pruneBatch = 1000
	// pruneLeasesSQL deletes leases that are used up.
	pruneLeasesSQL = `
WITH spent AS (
  SELECT budget_id, window_start, replica_id, epoch FROM leases WHERE tokens = 0 AND nano = 0 AND requests = 0
   LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM leases l USING spent s
 WHERE l.budget_id = s.budget_id AND l.window_start = s.window_start AND l.replica_id = s.replica_id AND l.epoch = s.epoch`
	// pruneCountersSQL deletes windows that ended more than 92 days ago, or more than a day
	// ago if they are shorter than an hour, provided nothing in them is held or leased.
	pruneCountersSQL = `
WITH over AS (
  SELECT budget_id, window_start FROM budget_counters
   WHERE window_end < 'infinity'
     AND window_end < now() - CASE WHEN window_end - window_start < '1 hour' THEN interval '1 day' ELSE interval '92 days' END
     AND held_tokens = 0 AND held_nano = 0 AND leased_tokens = 0 AND leased_nano = 0 AND held_requests = 0 AND leased_requests = 0
   LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM budget_counters c USING over o WHERE c.budget_id = o.budget_id AND c.window_start = o.window_start`
	// pruneRefusalsSQL keeps 397 days: a year and about a month more.
	pruneRefusalsSQL = `
DELETE FROM refusals WHERE ctid IN (SELECT ctid FROM refusals WHERE hour < now() - interval '397 days' LIMIT $1)`
)

// Upkeep implements billing.Archives. It creates the partitions for the coming months, and
// deletes empty leases, past windows and old refusals.
func (s *Store) Upkeep(ctx context.Context) error {
	if err := s.pruneNames(ctx); err != nil {
		return err
	}
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, housekeepingSQL); err != nil {
			return err
		}
		for _, sql := range []string{pruneLeasesSQL, pruneCountersSQL, pruneRefusalsSQL} {
			for {
				tag, err := c.Exec(ctx, sql, pruneBatch)
				if err != nil {
					return err
				}
				if tag.RowsAffected() < pruneBatch {
					break
				}
			}
		}
		return nil
	})
}
