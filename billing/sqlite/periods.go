package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

// selectPeriods returns a row for every month that has rows or a state, or only for month ?1.
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

// period returns the state of one month. A month without rows or a state is open.
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

// ClosePeriod implements billing.Periods. First the month stops taking rows; then its rows are
// added up while the writer does other work.
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
			err = &billing.ConflictError{Detail: fmt.Sprintf("month %s was closed or reopened by somebody else in the meantime", c.Month)}
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
	if err != nil {
		return err
	}
	return note(ctx, tx, c.Begun())
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
	// keepMoments keeps, per quarter of an hour, the sums that budget windows may still need
	// once the rows are gone.
	keepMoments = `INSERT INTO spend_archived (report_day, slot, moved, key_id, project_id, team_id, events, tokens, nano, requests)
SELECT report_day, substr(occurred_at, 1, 14) || printf('%02d', CAST(substr(occurred_at, 15, 2) AS INTEGER) / 15 * 15) || ':00.000000000Z',
  adjusts_period IS NOT NULL, key_id, project_id, team_id,
  count(*), sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens), coalesce(sum(cost_nano), 0),
  count(*) FILTER (WHERE kind = 'usage' AND final)
FROM spend_events WHERE report_day >= ? AND report_day < ? GROUP BY 1, 2, 3, 4, 5, 6`
	archivePeriod = `UPDATE billing_periods SET archived_at = ?, archived_by = ?, rollup_sha256 = ? WHERE period = ?`
	olderRows     = `SELECT substr(report_day, 1, 7) FROM spend_events WHERE report_day < ? ORDER BY report_day LIMIT 1`
	dropRows      = `DELETE FROM spend_events WHERE report_day >= ? AND report_day < ?`
)

// ArchiveMonth implements billing.Archives. Other writers wait until the rows are deleted.
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

// What Upkeep deletes, it deletes in batches, so that nobody waits long.
const (
	pruneBatch = 1000
	// pruneLeases deletes leases that have nothing left in them.
	pruneLeases = `DELETE FROM leases WHERE (budget_id, window_start, replica_id, epoch) IN (
  SELECT budget_id, window_start, replica_id, epoch FROM leases WHERE tokens = 0 AND nano = 0 AND requests = 0 LIMIT ?)`
	// pruneCounters deletes windows that ended a quarter of a year ago, or, for windows of a
	// minute, a day ago, if nothing in them is held or leased. A late row creates its window
	// again.
	pruneCounters = `DELETE FROM budget_counters WHERE (budget_id, window_start) IN (
  SELECT budget_id, window_start FROM budget_counters
   WHERE (window_end < ?1 OR window_end < ?2 AND julianday(window_end) - julianday(window_start) < 0.04)
     AND held_tokens = 0 AND held_nano = 0 AND leased_tokens = 0 AND leased_nano = 0 AND held_requests = 0 AND leased_requests = 0
   LIMIT ?3)`
	pruneAfter = 92 * 24 * time.Hour
	// pruneRefusals deletes refusals that are older than a year and a month.
	pruneRefusals = `DELETE FROM refusals WHERE (hour, key_id, model, code, project_id, team_id) IN (
  SELECT hour, key_id, model, code, project_id, team_id FROM refusals WHERE hour < ? LIMIT ?)`
	refusalsKept = 397 * 24 * time.Hour
)

// Upkeep implements billing.Archives: it deletes unused names, spent leases, old windows and old
// refusals. A SQLite file has nothing to prepare.
func (s *Store) Upkeep(ctx context.Context) error {
	if err := s.pruneNames(ctx); err != nil {
		return err
	}
	if err := s.prune(ctx, pruneLeases, pruneBatch); err != nil {
		return err
	}
	if err := s.prune(ctx, pruneCounters, stamp(s.clock().Add(-pruneAfter)), stamp(s.clock().Add(-24*time.Hour)), pruneBatch); err != nil {
		return err
	}
	return s.prune(ctx, pruneRefusals, stamp(s.clock().Add(-refusalsKept)), pruneBatch)
}

// prune repeats a deletion until it removes less than a full batch.
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

// inSnapshot runs work on the database as it is at one moment.
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

// snapshot is what integrity checks and breakdowns read.
type snapshot struct{ *session }

var _ integrity.Snapshot = snapshot{}

// Each implements integrity.Snapshot.
func (s snapshot) Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error, args ...any) error {
	return s.rows(ctx, sql, args, func(scan scanner) error { return each(scan) })
}

const selectAllCounters = `SELECT b.id, b.scope, b.scope_id, b.part, c.window_start, c.window_end,
  c.used_tokens + c.forgiven_tokens, c.used_nano + c.forgiven_nano, c.used_requests + c.forgiven_requests
FROM budget_counters c JOIN budgets b ON b.id = c.budget_id`

// Counters implements integrity.Snapshot.
func (s snapshot) Counters(ctx context.Context) (all []billing.Balance, err error) {
	err = s.rows(ctx, selectAllCounters, nil, func(scan scanner) error {
		var b billing.Balance
		err := scan(&b.Budget.ID, &b.Budget.Scope, &b.Budget.ScopeID, &b.Budget.Part, instant{&b.Window.Start}, instant{&b.Window.End},
			&b.UsedTokens, &b.UsedMoney, &b.UsedRequests)
		all = append(all, b)
		return err
	})
	return all, err
}

const selectMoments = `SELECT key_id, project_id, team_id, occurred_at, tokens, coalesce(nano, 0), requests, limits FROM spend_moments
UNION ALL
SELECT key_id, project_id, team_id, occurred_at, tokens, nano, requests, limits FROM spend_rejects WHERE booked_at IS NULL`

// Moments implements integrity.Snapshot.
func (s snapshot) Moments(ctx context.Context, each func(integrity.Moment)) error {
	return s.rows(ctx, selectMoments, nil, func(scan scanner) error {
		var m integrity.Moment
		err := scan(&m.KeyID, &m.ProjectID, &m.TeamID, instant{&m.At}, &m.Used.Tokens, &m.Used.Money, &m.Used.Requests, orNil{&m.Limits})
		each(m)
		return err
	})
}

// MonthRows implements integrity.Snapshot.
func (s snapshot) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return rowsOf(ctx, s.session, m, each)
}

const (
	selectLastIntegrity = `SELECT ran_at, took_ms, breaches, first FROM audits ORDER BY id DESC LIMIT 1`
	insertIntegrity     = `INSERT INTO audits (ran_at, took_ms, breaches, first) VALUES (?, ?, ?, ?)`
)

var dialect = integrity.Dialect{
	Days: days,
	HeldByWindow: `SELECT b.value AS budget_id, h.window_starts ->> b.key AS window_start, h.tokens, h.nano, h.requests FROM holds h, ` +
		`json_each(h.budget_ids) b`,
}

// CheckIntegrity implements billing.IntegrityChecker.
func (s *Store) CheckIntegrity(ctx context.Context, o billing.IntegrityOptions) (r billing.IntegrityReport, err error) {
	if !o.Since.IsZero() {
		last, err := s.lastIntegrity(ctx)
		if err != nil || last.RanAt.After(o.Since) {
			return last, err
		}
	}
	err = s.inSnapshot(ctx, func(tx *session) error {
		r, err = integrity.Run(ctx, snapshot{tx}, dialect, o)
		return err
	})
	if err == nil && !o.Since.IsZero() {
		err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
			_, err := tx.exec(ctx, insertIntegrity, stamp(r.RanAt), r.Took.Milliseconds(), r.Breaches, billing.CleanText(r.First))
			if err == nil && r.Breaches > 0 {
				err = s.tell(ctx, tx, r.BreachEvent())
			}
			return err
		})
	}
	return r, err
}

// lastIntegrity returns the result of the last check, or the zero value before the first.
func (s *Store) lastIntegrity(ctx context.Context) (r billing.IntegrityReport, err error) {
	var ms int64
	_, err = s.read.row(ctx, selectLastIntegrity, nil, instant{&r.RanAt}, &ms, &r.Breaches, &r.First)
	r.Took = time.Duration(ms) * time.Millisecond
	return r, err
}
