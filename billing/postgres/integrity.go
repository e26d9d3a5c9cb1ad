package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

// snapshot is the view of the database that an integrity check reads.
type snapshot struct{ querier }

var _ integrity.Snapshot = snapshot{}

// Each implements integrity.Snapshot.
func (s snapshot) Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error, args ...any) error {
	rows, err := s.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

var countersSQL = `
SELECT ` + budgetColumns("b") + `,
       c.window_start, c.window_end, c.used_tokens + c.forgiven_tokens, c.held_tokens, c.used_nano + c.forgiven_nano, c.held_nano,
       c.used_requests + c.forgiven_requests, c.held_requests
  FROM budget_counters c JOIN budgets b ON b.id = c.budget_id`

// Counters implements integrity.Snapshot.
func (s snapshot) Counters(ctx context.Context) ([]billing.Balance, error) {
	rows, err := s.Query(ctx, countersSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (billing.Balance, error) {
		st, err := scanStanding(row)
		b, _ := st.balance()
		return b, err
	})
}

const momentsSQL = `
SELECT key_id, project_id, team_id, occurred_at, tokens, coalesce(nano, 0), requests, limits FROM spend_moments
UNION ALL
SELECT key_id, project_id, team_id, occurred_at, tokens, nano, requests, limits FROM spend_rejects WHERE booked_at IS NULL`

// Moments implements integrity.Snapshot.
func (s snapshot) Moments(ctx context.Context, each func(integrity.Moment)) error {
	rows, err := s.Query(ctx, momentsSQL)
	if err != nil {
		return err
	}
	var m integrity.Moment
	columns := []any{&m.KeyID, &m.ProjectID, &m.TeamID, &m.At, &m.Used.Tokens, &m.Used.Money, &m.Used.Requests, &m.Limits}
	_, err = pgx.ForEachRow(rows, columns,
		func() error {
			each(m)
			return nil
		})
	return err
}

// MonthRows implements integrity.Snapshot.
func (s snapshot) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return monthRows(ctx, s.querier, m, each)
}

const (
	integrityLockSQL = "SELECT pg_try_advisory_xact_lock(hashtextextended('tallyroute.integrity', 0))"
	lastIntegritySQL = "SELECT ran_at, took_ms, breaches, first FROM audits ORDER BY id DESC LIMIT 1"
	noteIntegritySQL = "INSERT INTO audits (ran_at, took_ms, breaches, first) VALUES ($1, $2, $3, $4)"
)

var dialect = integrity.Dialect{
	Days: days,
	HeldByWindow: "SELECT l.budget_id, l.window_start, h.tokens, h.nano, h.requests FROM holds h, " +
		"unnest(h.budget_ids, h.window_starts) AS l (budget_id, window_start)",
}

// CheckIntegrity implements billing.IntegrityChecker. The snapshot is a read-only transaction,
// so a standby can be checked too. The advisory lock is released when the transaction ends.
func (s *Store) CheckIntegrity(ctx context.Context, o billing.IntegrityOptions) (r billing.IntegrityReport, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		told := false // whether r is the result of an earlier check
		snap := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		err := pgx.BeginTxFunc(ctx, c, snap, func(tx pgx.Tx) error {
			if !o.Since.IsZero() {
				var mine bool
				if err := tx.QueryRow(ctx, integrityLockSQL).Scan(&mine); err != nil {
					return err
				}
				if r, err = lastIntegrity(ctx, tx); err != nil || !mine || r.RanAt.After(o.Since) {
					told = true
					return err
				}
			}
			r, err = integrity.Run(ctx, snapshot{tx}, dialect, o)
			return err
		})
		if err == nil && !told && !o.Since.IsZero() {
			note := &pgx.Batch{}
			note.Queue(noteIntegritySQL, r.RanAt, r.Took.Milliseconds(), r.Breaches, billing.CleanText(r.First))
			if r.Breaches > 0 {
				queueEvents(note, []billing.Event{r.BreachEvent()})
			}
			err = c.SendBatch(ctx, note).Close()
		}
		return err
	})
	return r, err
}

// lastIntegrity returns the result of the latest check, or the zero report if there is none.
func lastIntegrity(ctx context.Context, c querier) (r billing.IntegrityReport, err error) {
	var ms int64
	err = c.QueryRow(ctx, lastIntegritySQL).Scan(&r.RanAt, &ms, &r.Breaches, &r.First)
	if errors.Is(err, pgx.ErrNoRows) {
		return billing.IntegrityReport{}, nil
	}
	r.RanAt, r.Took = r.RanAt.UTC(), time.Duration(ms)*time.Millisecond
	return r, err
}
