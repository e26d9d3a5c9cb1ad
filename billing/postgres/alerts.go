package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

const (
	// endAlertSQL ends an alert whose claim was last seen longer ago than its rearm time.
	endAlertSQL = `
UPDATE alerts SET ended = true
 WHERE claim = $1 AND NOT ended AND rearm_s > 0 AND seen_at < $2::timestamptz - rearm_s * interval '1 second'`
	// fireAlertSQL returns whether the alert is new. If it is already open, only the time
	// that it was last seen changes.
	fireAlertSQL = `
WITH f AS (
  INSERT INTO alerts AS a (id, claim, kind, object, severity, title, text, remedy, team_id, team, owner, data, occurred_at, seen_at,
    rearm_s)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15)
  ON CONFLICT (claim) WHERE NOT ended DO UPDATE SET seen_at = greatest(a.seen_at, excluded.seen_at)
  RETURNING id
), n AS (
  INSERT INTO alert_notices (alert_id, channel, due_at)
  SELECT f.id, to_channel, to_due FROM f, unnest($16::text[], $17::timestamptz[]) AS t (to_channel, to_due) WHERE f.id = $1
)
SELECT EXISTS (SELECT FROM f WHERE id = $1)`
	judgeEventsSQL = `
UPDATE events SET judged = true
 WHERE dedup_id IN (SELECT dedup_id FROM events WHERE dedup_id = ANY($1) AND NOT judged ORDER BY dedup_id FOR NO KEY UPDATE)`
	judgeChangesSQL = "UPDATE alert_progress SET audit_seq = greatest(audit_seq, $1)"

	alertColumns = `a.id, a.claim, a.rearm_s, a.kind, a.object, a.severity, a.title, a.text, a.remedy, a.team_id, a.team, a.owner, a.data,
  a.occurred_at`
	noticeStatus = `CASE WHEN n.delivered_at IS NOT NULL THEN 'delivered' WHEN n.dead_at IS NOT NULL THEN 'dead'
  WHEN n.failure <> '' THEN 'failing' ELSE 'pending' END`
	listAlertsSQL = "SELECT " + alertColumns + `, a.ended FROM alerts a
 WHERE ($1 = '' OR a.id = $1) AND ($2 = '' OR a.kind = $2) AND ($3 = '' OR a.object = $3) AND a.occurred_at >= $4
   AND ($5 = '' OR EXISTS (SELECT FROM alert_notices n WHERE n.alert_id = a.id AND ` + noticeStatus + ` = $5))
   AND ($7 = '' OR (a.recorded_at, a.id) < (SELECT recorded_at, id FROM alerts WHERE id = $7))
 ORDER BY a.recorded_at DESC, a.id DESC LIMIT $6`
	noticeColumns  = "n.channel, n.due_at, n.tries, n.failure, n.delivered_at, n.dead_at"
	listNoticesSQL = "SELECT n.alert_id, " + noticeColumns + " FROM alert_notices n WHERE n.alert_id = ANY($1) ORDER BY n.channel"
	claimNoticeSQL = `
WITH n AS (
  UPDATE alert_notices SET due_at = $2, tries = tries + 1
   WHERE (alert_id, channel) = (
     SELECT alert_id, channel FROM alert_notices
      WHERE due_at <= $1 AND delivered_at IS NULL AND dead_at IS NULL AND channel <> ALL ($3::text[])
      ORDER BY due_at, alert_id, channel LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING *)
SELECT ` + alertColumns + ", " + noticeColumns + " FROM n JOIN alerts a ON a.id = n.alert_id"
	endNoticeSQL = `
UPDATE alert_notices SET failure = $3, due_at = CASE WHEN $4::timestamptz IS NULL THEN due_at ELSE $4 END, delivered_at = $5, dead_at = $6
 WHERE alert_id = $1 AND channel = $2`
	replayAlertSQL = `
INSERT INTO alert_notices (alert_id, channel, due_at) VALUES ($1, $2, $3)
ON CONFLICT (alert_id, channel) DO UPDATE SET due_at = excluded.due_at, tries = 0, failure = '', delivered_at = NULL, dead_at = NULL`
	// pruneAlertsSQL deletes a limited batch and leaves the rest for the next run, so that
	// locks are held only briefly.
	pruneAlertsSQL = `
DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE seen_at < $1 ORDER BY seen_at LIMIT 5000 FOR UPDATE SKIP LOCKED)`
)

// FireAlerts implements billing.Alerts. It goes by claim, so that two routers with the same
// alerts cannot deadlock.
func (s *Store) FireAlerts(ctx context.Context, f billing.Firing, now time.Time) (fired []billing.Alert, err error) {
	alerts := slices.SortedStableFunc(slices.Values(f.Alerts), func(a, b billing.Alert) int { return cmp.Compare(a.Claim, b.Claim) })
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		fired = fired[:0]
		for _, a := range alerts {
			a = a.Tidy()
			fresh, err := fireAlert(ctx, tx, a, now)
			if err != nil {
				return err
			}
			if fresh {
				fired = append(fired, a)
			}
		}
		if len(f.Events) > 0 {
			if _, err := tx.Exec(ctx, judgeEventsSQL, f.Events); err != nil {
				return err
			}
		}
		if f.AuditSeq == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, judgeChangesSQL, f.AuditSeq)
		return err
	})
	return fired, err
}

func fireAlert(ctx context.Context, tx pgx.Tx, a billing.Alert, now time.Time) (fresh bool, err error) {
	if a.Rearm > 0 {
		if _, err := tx.Exec(ctx, endAlertSQL, a.Claim, now); err != nil {
			return false, err
		}
	}
	channels, due := make([]string, len(a.To)), make([]time.Time, len(a.To))
	for i, to := range a.To {
		channels[i], due[i] = to.Channel, to.Due
	}
	err = tx.QueryRow(ctx, fireAlertSQL, a.ID, a.Claim, a.Kind, a.Object, a.Severity, a.Title, a.Text, a.Remedy, a.TeamID, a.Team, a.Owner,
		tagsJSON(a.Data), a.At, now, int64(a.Rearm/time.Second), channels, due).Scan(&fresh)
	return fresh, err
}

// alertScan returns scan targets for alertColumns. The caller must call done after the
// scan to fill in the remaining fields.
func alertScan(a *billing.Alert) (columns []any, done func() error) {
	var data []byte
	var rearm int64
	columns = []any{
		&a.ID, &a.Claim, &rearm, &a.Kind, &a.Object, &a.Severity, &a.Title, &a.Text, &a.Remedy, &a.TeamID, &a.Team, &a.Owner, &data, &a.At,
	}
	return columns, func() error {
		a.Rearm, a.At = time.Duration(rearm)*time.Second, a.At.UTC()
		return json.Unmarshal(data, &a.Data)
	}
}

func noticeScan(n *billing.Notice) (columns []any, done func()) {
	var delivered, dead *time.Time
	return []any{&n.Channel, &n.DueAt, &n.Tries, &n.Failure, &delivered, &dead}, func() {
		n.DueAt, n.DeliveredAt, n.DeadAt = n.DueAt.UTC(), utc(delivered), utc(dead)
	}
}

// ListAlerts implements billing.Alerts.
func (s *Store) ListAlerts(ctx context.Context, f billing.AlertFilter) ([]billing.AlertRecord, error) {
	list, err := all(ctx, s, func(row pgx.CollectableRow) (r billing.AlertRecord, err error) {
		columns, done := alertScan(&r.Alert)
		if err := row.Scan(append(columns, &r.Ended)...); err != nil {
			return r, err
		}
		return r, done()
	}, listAlertsSQL, f.ID, f.Kind, billing.CleanText(f.Object), f.Since, f.Status, f.Most(),
		billing.CleanText(f.Before))
	if err != nil || len(list) == 0 {
		return list, err
	}
	ids, at := make([]string, len(list)), make(map[string]int, len(list))
	for i, r := range list {
		ids[i], at[r.ID] = r.ID, i
	}
	_, err = all(ctx, s, func(row pgx.CollectableRow) (n billing.Notice, err error) {
		columns, done := noticeScan(&n)
		if err := row.Scan(append([]any{&n.ID}, columns...)...); err != nil {
			return n, err
		}
		done()
		r := &list[at[n.ID]]
		n.Alert = r.Alert
		r.Notices = append(r.Notices, n)
		return n, nil
	}, listNoticesSQL, ids)
	return list, err
}

// ClaimNotice implements billing.Alerts.
func (s *Store) ClaimNotice(ctx context.Context, busy []string, now, until time.Time) (n billing.Notice, found bool, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		n, err = one(ctx, c, func(row pgx.CollectableRow) (n billing.Notice, err error) {
			ofAlert, alertDone := alertScan(&n.Alert)
			ofNotice, noticeDone := noticeScan(&n)
			if err := row.Scan(append(ofAlert, ofNotice...)...); err != nil {
				return n, err
			}
			noticeDone()
			return n, alertDone()
		}, claimNoticeSQL, now, until, append([]string{}, busy...))
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return n, found, err
}

// EndNotice implements billing.Alerts.
func (s *Store) EndNotice(ctx context.Context, n billing.Notice) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, endNoticeSQL, n.ID, n.Channel, billing.CleanText(n.Failure), orNull(n.DueAt), orNull(n.DeliveredAt),
			orNull(n.DeadAt))
		return err
	})
}

// ReplayAlert implements billing.Alerts.
func (s *Store) ReplayAlert(ctx context.Context, id string, to []billing.NoticeTo, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM alerts WHERE id = $1)", id).Scan(&there); err != nil {
			return err
		}
		if !there {
			return &billing.NotFoundError{What: "alert", ID: id}
		}
		for _, t := range to {
			if _, err := tx.Exec(ctx, replayAlertSQL, id, t.Channel, t.Due); err != nil {
				return err
			}
		}
		return note(ctx, tx, notes)
	})
}

// PruneAlerts implements billing.Alerts.
func (s *Store) PruneAlerts(ctx context.Context, before time.Time) (n int, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, pruneAlertsSQL, before)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

const (
	unjudgedEventsSQL = `
SELECT kind, object, severity, text, data, dedup_id, occurred_at FROM events WHERE NOT judged ORDER BY id LIMIT $1`
	unjudgedChangesSQL = auditSQL + " WHERE seq > (SELECT audit_seq FROM alert_progress) ORDER BY seq LIMIT $1"
	// requestsSQL is the number of requests that a counter has used or, for a concurrency
	// limit, that are in flight.
	requestsSQL = `CASE WHEN b.period <> 'concurrent' THEN c.used_requests ELSE c.held_requests + coalesce((
         SELECT sum(l.busy_requests) FROM leases l WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start), 0)::bigint END`
	standingsSQL = `
SELECT b.id, b.scope, b.scope_id, b.period, b.zone, b.token_limit, b.amount_nano, b.request_limit, b.starts, b.near_action, b.thresholds,
  b.part, b.named, b.parent_id, c.window_start, c.window_end, c.used_tokens, c.used_nano,
       c.held_tokens, c.held_nano, c.forgiven_tokens, c.forgiven_nano,
       ` + requestsSQL + `, c.forgiven_requests,
       CASE b.scope WHEN 'key' THEN coalesce(k.name, '') WHEN 'project' THEN coalesce(t.name || '/' || p.name, '')
         WHEN 'team' THEN coalesce(t.name, '') ELSE '' END,
       coalesce(t.id, ''), coalesce(t.name, ''), coalesce(nullif(k.owner, ''), t.owner_email, '')
  FROM budgets b
  JOIN budget_counters c ON c.budget_id = b.id AND (c.window_start <= $1 AND c.window_end > $4 OR b.period = 'concurrent')
  LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
  LEFT JOIN projects p ON p.id = CASE b.scope WHEN 'project' THEN b.scope_id WHEN 'key' THEN k.project_id END
  LEFT JOIN teams t ON t.id = CASE b.scope WHEN 'team' THEN b.scope_id ELSE p.team_id END
 WHERE b.archived_at IS NULL AND ($2 = '' OR b.id = $2)
   AND ($2 <> '' OR b.amount_nano > 0 AND c.used_nano >= b.amount_nano / 2 OR b.token_limit > 0 AND c.used_tokens >= b.token_limit / 2
        OR b.request_limit > 0 AND ` + requestsSQL + ` >= b.request_limit / 2 OR b.thresholds <> '[50,80,100]'
        OR CASE WHEN isfinite(c.window_start) AND isfinite(c.window_end) THEN
             extract(epoch FROM c.window_end - c.window_start) * c.used_nano
               >= extract(epoch FROM $1 - c.window_start) * nullif(b.amount_nano, 0)
             OR extract(epoch FROM c.window_end - c.window_start) * c.used_tokens
               >= extract(epoch FROM $1 - c.window_start) * nullif(b.token_limit, 0)
             OR extract(epoch FROM c.window_end - c.window_start) * c.used_requests
               >= extract(epoch FROM $1 - c.window_start) * nullif(b.request_limit, 0)
           ELSE false END)
 ORDER BY b.id LIMIT $3`
	expiriesSQL = `
SELECT 'key', k.id, k.name, t.id, t.name, coalesce(nullif(k.owner, ''), t.owner_email), k.expires_at
  FROM api_keys k JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
 WHERE k.expires_at > $1 AND k.expires_at <= $2 AND k.revoked_at IS NULL
UNION ALL
SELECT 'token', a.id, p.name || ': ' || a.name, '', '', p.email, a.expires_at
  FROM admin_tokens a JOIN principals p ON p.id = a.principal_id
 WHERE a.expires_at > $1 AND a.expires_at <= $2 AND a.ended_at IS NULL AND p.disabled_at IS NULL
UNION ALL
SELECT 'credential', id, provider || '/' || name, '', '', owner, expires_at
  FROM credentials WHERE expires_at > $1 AND expires_at <= $2 AND disabled_at IS NULL
UNION ALL
SELECT 'secret', k.id, k.name, t.id, t.name, coalesce(nullif(k.owner, ''), t.owner_email), k.due_at
  FROM (SELECT *, ` + rotationDueSQL + ` AS due_at FROM api_keys k) AS k
  JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
 WHERE k.due_at > $1 AND k.due_at <= $2 AND k.revoked_at IS NULL AND k.disabled_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > k.due_at)
   AND NOT EXISTS (SELECT FROM key_sinks s WHERE s.key_id = k.id AND NOT s.removing)
 ORDER BY 7 LIMIT 1000`
	unpricedSinceSQL = `
SELECT report_day::text, provider, model, count(*) FROM spend_events WHERE pricing = 'unpriced' AND report_day >= $1::text::date
 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1000`
	failingSQL = "SELECT " + deliveryColumns + " FROM key_sinks WHERE failures >= $1 ORDER BY key_id LIMIT 1000"
)

// UnjudgedEvents implements billing.AlertSources.
func (s *Store) UnjudgedEvents(ctx context.Context, most int) ([]billing.Event, error) {
	return all(ctx, s, scanEvent, unjudgedEventsSQL, most)
}

// UnjudgedChanges implements billing.AlertSources.
func (s *Store) UnjudgedChanges(ctx context.Context, most int) ([]billing.Change, error) {
	return all(ctx, s, scanChange, unjudgedChangesSQL, most)
}

// Standings implements billing.AlertSources.
func (s *Store) Standings(ctx context.Context, q billing.StandingQuery) ([]billing.BudgetStanding, error) {
	list, err := all(ctx, s, func(row pgx.CollectableRow) (b billing.BudgetStanding, err error) {
		var start, end pgtype.Timestamptz
		var parent pgtype.Text
		var told string
		err = row.Scan(&b.Budget.ID, &b.Budget.Scope, &b.Budget.ScopeID, &b.Budget.Period, &b.Budget.Zone, &b.Budget.Tokens,
			&b.Budget.Money,
			&b.Budget.Requests, &b.Budget.Starts, &b.Budget.Action, &told, &b.Budget.Part, &b.Budget.Named, &parent,
			&start, &end, &b.UsedTokens, &b.UsedMoney, &b.HeldTokens, &b.HeldMoney, &b.Forgiven.Tokens, &b.Forgiven.Money,
			&b.UsedRequests, &b.Forgiven.Requests, &b.Name,
			&b.TeamID, &b.Team, &b.Owner)
		b.Window, b.Budget.Thresholds, b.Budget.Parent = window(start, end), thresholds(told), parent.String
		return b, err
	}, standingsSQL, q.At, q.BudgetID, q.Most, q.At.Add(-billing.LateStanding))
	return billing.InWindow(list, q.At), err
}

// Expiries implements billing.AlertSources.
func (s *Store) Expiries(ctx context.Context, from, to time.Time) ([]billing.Expiry, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (e billing.Expiry, err error) {
		err = row.Scan(&e.What, &e.ID, &e.Name, &e.TeamID, &e.Team, &e.Owner, &e.At)
		e.At = e.At.UTC()
		return e, err
	}, expiriesSQL, from, to)
}

// UnpricedSince implements billing.AlertSources.
func (s *Store) UnpricedSince(ctx context.Context, day string) ([]billing.UnpricedModel, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (u billing.UnpricedModel, err error) {
		err = row.Scan(&u.Day, &u.Provider, &u.Model, &u.Attempts)
		return u, err
	}, unpricedSinceSQL, day)
}

// FailingDeliveries implements billing.AlertSources.
func (s *Store) FailingDeliveries(ctx context.Context, failures int) ([]billing.Delivery, error) {
	return all(ctx, s, scanDelivery, failingSQL, failures)
}
