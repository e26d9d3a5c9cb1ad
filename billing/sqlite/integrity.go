package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

// snapshot is what an integrity check reads.
type snapshot struct{ *session }

var _ integrity.Snapshot = snapshot{}

// Each implements integrity.Snapshot.
func (s snapshot) Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error) error {
	return s.rows(ctx, sql, nil, func(scan scanner) error { return each(scan) })
}

const selectAllCounters = `SELECT b.id, b.scope, b.scope_id, c.window_start, c.window_end,
  c.used_tokens + c.forgiven_tokens, c.used_nano + c.forgiven_nano
FROM budget_counters c JOIN budgets b ON b.id = c.budget_id`

// Counters implements integrity.Snapshot.
func (s snapshot) Counters(ctx context.Context) (all []billing.Balance, err error) {
	err = s.rows(ctx, selectAllCounters, nil, func(scan scanner) error {
		var b billing.Balance
		err := scan(&b.Budget.ID, &b.Budget.Scope, &b.Budget.ScopeID, instant{&b.Window.Start}, instant{&b.Window.End}, &b.UsedTokens,
			&b.UsedMoney)
		all = append(all, b)
		return err
	})
	return all, err
}

const selectMoments = `SELECT key_id, project_id, team_id, occurred_at, tokens, coalesce(nano, 0) FROM spend_moments
UNION ALL
SELECT key_id, project_id, team_id, occurred_at, tokens, nano FROM spend_rejects WHERE booked_at IS NULL`

// Moments implements integrity.Snapshot.
func (s snapshot) Moments(ctx context.Context, each func(integrity.Moment)) error {
	return s.rows(ctx, selectMoments, nil, func(scan scanner) error {
		var m integrity.Moment
		err := scan(&m.KeyID, &m.ProjectID, &m.TeamID, instant{&m.At}, &m.Tokens, &m.Money)
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
	HeldByWindow: `SELECT b.value AS budget_id, h.window_starts ->> b.key AS window_start, h.tokens, h.nano FROM holds h, ` +
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

// lastIntegrity is the result of the last check, or zero before the first.
func (s *Store) lastIntegrity(ctx context.Context) (r billing.IntegrityReport, err error) {
	var ms int64
	_, err = s.read.row(ctx, selectLastIntegrity, nil, instant{&r.RanAt}, &ms, &r.Breaches, &r.First)
	r.Took = time.Duration(ms) * time.Millisecond
	return r, err
}
