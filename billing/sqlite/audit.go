package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
)

// snapshot is what an audit reads.
type snapshot struct{ *session }

var _ audit.Snapshot = snapshot{}

// Each implements audit.Snapshot.
func (s snapshot) Each(ctx context.Context, sql string, each func(scan func(columns ...any) error) error) error {
	return s.rows(ctx, sql, nil, func(scan scanner) error { return each(scan) })
}

const selectAllCounters = `SELECT b.id, b.scope, b.scope_id, c.window_start, c.window_end, c.used_tokens, c.used_nano
FROM budget_counters c JOIN budgets b ON b.id = c.budget_id`

// Counters implements audit.Snapshot.
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

// Moments implements audit.Snapshot.
func (s snapshot) Moments(ctx context.Context, each func(audit.Moment)) error {
	return s.rows(ctx, selectMoments, nil, func(scan scanner) error {
		var m audit.Moment
		err := scan(&m.KeyID, &m.ProjectID, &m.TeamID, instant{&m.At}, &m.Tokens, &m.Money)
		each(m)
		return err
	})
}

// MonthRows implements audit.Snapshot.
func (s snapshot) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return rowsOf(ctx, s.session, m, each)
}

const (
	selectLastAudit = `SELECT ran_at, took_ms, breaches, first FROM audits ORDER BY id DESC LIMIT 1`
	insertAudit     = `INSERT INTO audits (ran_at, took_ms, breaches, first) VALUES (?, ?, ?, ?)`
)

// dialect bounds sums as addUsed does.
var dialect = audit.Dialect{
	HeldByWindow: `SELECT b.value AS budget_id, h.window_starts ->> b.key AS window_start, h.tokens, h.nano FROM holds h, ` +
		`json_each(h.budget_ids) b`,
	Clamp: func(tokens int64, money billing.Money) (int64, billing.Money) {
		return min(max(tokens, -mostUsedTokens), mostUsedTokens), min(max(money, -mostUsedNano), mostUsedNano)
	},
}

// Audit implements billing.Auditor.
func (s *Store) Audit(ctx context.Context, o billing.AuditOptions) (r billing.AuditReport, err error) {
	if !o.Since.IsZero() {
		last, err := s.lastAudit(ctx)
		if err != nil || last.RanAt.After(o.Since) {
			return last, err
		}
	}
	err = s.inSnapshot(ctx, func(tx *session) error {
		r, err = audit.Run(ctx, snapshot{tx}, dialect, o)
		return err
	})
	if err == nil && !o.Since.IsZero() {
		err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
			_, err := tx.exec(ctx, insertAudit, stamp(r.RanAt), r.Took.Milliseconds(), r.Breaches, billing.CleanText(r.First))
			if err == nil && r.Breaches > 0 {
				err = s.tell(ctx, tx, r.BreachEvent())
			}
			return err
		})
	}
	return r, err
}

// lastAudit is zero where there was none yet.
func (s *Store) lastAudit(ctx context.Context) (r billing.AuditReport, err error) {
	var ms int64
	_, err = s.read.row(ctx, selectLastAudit, nil, instant{&r.RanAt}, &ms, &r.Breaches, &r.First)
	r.Took = time.Duration(ms) * time.Millisecond
	return r, err
}
