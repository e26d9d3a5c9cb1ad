package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	// endAlert ends the alert of a claim that has not been seen within the rearm period.
	endAlert = `UPDATE alerts SET ended = 1 WHERE claim = ? AND NOT ended AND rearm_s > 0 AND seen_at < ?`
	// fireAlert returns the id of the alert that already has the claim, if there is one, and
	// marks it as seen again.
	fireAlert = `INSERT INTO alerts (id, claim, kind, object, severity, title, text, remedy, team_id, team, owner, data, occurred_at,
	  recorded_at,
  seen_at, rearm_s)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15)
ON CONFLICT (claim) WHERE NOT ended DO UPDATE SET seen_at = max(alerts.seen_at, excluded.seen_at)
RETURNING id`
	addNotice    = `INSERT INTO alert_notices (alert_id, channel, due_at) VALUES (?, ?, ?)`
	judgeEvent   = `UPDATE events SET judged = 1 WHERE dedup_id = ? AND NOT judged`
	judgeChanges = `UPDATE alert_progress SET audit_seq = max(audit_seq, ?)`

	alertColumns = `a.id, a.claim, a.rearm_s, a.kind, a.object, a.severity, a.title, a.text, a.remedy, a.team_id, a.team, a.owner, a.data,
  a.occurred_at`
	noticeStatus = `CASE WHEN n.delivered_at IS NOT NULL THEN 'delivered' WHEN n.dead_at IS NOT NULL THEN 'dead'
  WHEN n.failure <> '' THEN 'failing' ELSE 'pending' END`
	listAlerts = `SELECT ` + alertColumns + `, a.ended FROM alerts a
WHERE (?1 = '' OR a.id = ?1) AND (?2 = '' OR a.kind = ?2) AND (?3 = '' OR a.object = ?3) AND a.occurred_at >= ?4
  AND (?5 = '' OR EXISTS (SELECT 1 FROM alert_notices n WHERE n.alert_id = a.id AND ` + noticeStatus + ` = ?5))
  AND (?7 = '' OR (a.recorded_at, a.id) < (SELECT recorded_at, id FROM alerts WHERE id = ?7))
ORDER BY a.recorded_at DESC, a.id DESC LIMIT ?6`
	noticeColumns = `n.channel, n.due_at, n.tries, n.failure, n.delivered_at, n.dead_at`
	listNotices   = `SELECT ` + noticeColumns + ` FROM alert_notices n WHERE n.alert_id = ? ORDER BY n.channel`
	dueNotice     = `SELECT ` + alertColumns + `, ` + noticeColumns + ` FROM alert_notices n JOIN alerts a ON a.id = n.alert_id
WHERE n.due_at <= ? AND n.delivered_at IS NULL AND n.dead_at IS NULL AND n.channel NOT IN (SELECT value FROM json_each(?))
ORDER BY n.due_at, n.alert_id, n.channel LIMIT 1`
	claimNotice = `UPDATE alert_notices SET due_at = ?, tries = tries + 1 WHERE alert_id = ? AND channel = ?`
	endNotice   = `UPDATE alert_notices SET failure = ?3, due_at = coalesce(?4, due_at), delivered_at = ?5, dead_at = ?6
WHERE alert_id = ?1 AND channel = ?2`
	replayAlert = `INSERT INTO alert_notices (alert_id, channel, due_at) VALUES (?, ?, ?)
ON CONFLICT (alert_id, channel) DO UPDATE SET due_at = excluded.due_at, tries = 0, failure = '', delivered_at = NULL, dead_at = NULL`
	// pruneAlerts deletes one limited batch and leaves the rest for the next run, so that nobody
	// waits long.
	pruneAlerts = `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE seen_at < ? ORDER BY seen_at LIMIT 5000)`
)

// FireAlerts implements billing.Alerts.
func (s *Store) FireAlerts(ctx context.Context, f billing.Firing, now time.Time) (fired []billing.Alert, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		fired = fired[:0]
		for _, a := range f.Alerts {
			a = a.Tidy()
			fresh, err := s.fire(ctx, tx, a, now)
			if err != nil {
				return err
			}
			if fresh {
				fired = append(fired, a)
			}
		}
		for _, id := range f.Events {
			if _, err := tx.exec(ctx, judgeEvent, id); err != nil {
				return err
			}
		}
		if f.AuditSeq == 0 {
			return nil
		}
		_, err := tx.exec(ctx, judgeChanges, f.AuditSeq)
		return err
	})
	return fired, err
}

func (s *Store) fire(ctx context.Context, tx *session, a billing.Alert, now time.Time) (fresh bool, err error) {
	if a.Rearm > 0 {
		if _, err := tx.exec(ctx, endAlert, a.Claim, stamp(now.Add(-a.Rearm))); err != nil {
			return false, err
		}
	}
	var id string
	_, err = tx.row(ctx, fireAlert, []any{
		a.ID, a.Claim, string(a.Kind), a.Object, string(a.Severity), a.Title, a.Text, a.Remedy, a.TeamID, a.Team, a.Owner, asJSON(a.Data),
		stamp(a.At), stamp(now), int64(a.Rearm / time.Second),
	}, &id)
	if err != nil || id != a.ID {
		return false, err
	}
	for _, to := range a.To {
		if _, err := tx.exec(ctx, addNotice, a.ID, to.Channel, stamp(to.Due)); err != nil {
			return false, err
		}
	}
	return true, nil
}

func alertScan(a *billing.Alert) []any {
	return []any{
		&a.ID, &a.Claim,
		seconds{&a.Rearm},
		&a.Kind, &a.Object, &a.Severity, &a.Title, &a.Text, &a.Remedy, &a.TeamID, &a.Team, &a.Owner,
		jsonText{&a.Data},
		instant{&a.At},
	}
}

func noticeScan(n *billing.Notice) []any {
	return []any{&n.Channel, instant{&n.DueAt}, &n.Tries, &n.Failure, instant{&n.DeliveredAt}, instant{&n.DeadAt}}
}

// ListAlerts implements billing.Alerts.
func (s *Store) ListAlerts(ctx context.Context, f billing.AlertFilter) (list []billing.AlertRecord, err error) {
	args := []any{f.ID, string(f.Kind), f.Object, stamp(f.Since), string(f.Status), f.Most(), f.Before}
	err = s.read.rows(ctx, listAlerts, args, func(scan scanner) error {
		var r billing.AlertRecord
		err := scan(append(alertScan(&r.Alert), &r.Ended)...)
		list = append(list, r)
		return err
	})
	for i := range list {
		if err != nil {
			return nil, err
		}
		r := &list[i]
		err = s.read.rows(ctx, listNotices, []any{r.ID}, func(scan scanner) error {
			n := billing.Notice{Alert: r.Alert}
			err := scan(noticeScan(&n)...)
			r.Notices = append(r.Notices, n)
			return err
		})
	}
	return list, err
}

// ClaimNotice implements billing.Alerts.
func (s *Store) ClaimNotice(ctx context.Context, busy []string, now, until time.Time) (n billing.Notice, found bool, err error) {
	list := asJSON(append([]string{}, busy...))
	found, err = s.read.row(ctx, dueNotice, []any{stamp(now), list}, append(alertScan(&n.Alert), noticeScan(&n)...)...)
	if err != nil || !found {
		return n, false, err // usually nothing is due, and then the writer is not needed
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n = billing.Notice{}
		found, err = tx.row(ctx, dueNotice, []any{stamp(now), list}, append(alertScan(&n.Alert), noticeScan(&n)...)...)
		if err != nil || !found {
			return err
		}
		n.DueAt, n.Tries = until, n.Tries+1
		_, err = tx.exec(ctx, claimNotice, stamp(until), n.ID, n.Channel)
		return err
	})
	return n, found, err
}

// EndNotice implements billing.Alerts.
func (s *Store) EndNotice(ctx context.Context, n billing.Notice) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, err := tx.exec(ctx, endNotice, n.ID, n.Channel, billing.CleanText(n.Failure), stampOrNull(n.DueAt), stampOrNull(n.DeliveredAt),
			stampOrNull(n.DeadAt))
		return err
	})
}

// ReplayAlert implements billing.Alerts.
func (s *Store) ReplayAlert(ctx context.Context, id string, to []billing.NoticeTo, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var n int
		if _, err := tx.row(ctx, `SELECT count(*) FROM alerts WHERE id = ?`, []any{id}, &n); err != nil {
			return err
		}
		if n == 0 {
			return &billing.NotFoundError{What: "alert", ID: id}
		}
		for _, t := range to {
			if _, err := tx.exec(ctx, replayAlert, id, t.Channel, stamp(t.Due)); err != nil {
				return err
			}
		}
		return note(ctx, tx, notes)
	})
}

// PruneAlerts implements billing.Alerts.
func (s *Store) PruneAlerts(ctx context.Context, before time.Time) (n int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		gone, err := tx.exec(ctx, pruneAlerts, stamp(before))
		n = int(gone)
		return err
	})
	return n, err
}

const (
	unjudgedEvents = `SELECT kind, object, severity, text, data, dedup_id, occurred_at FROM events WHERE NOT judged ORDER BY id LIMIT ?`
	unjudgedNotes  = selectAudit + `WHERE seq > (SELECT audit_seq FROM alert_progress) ORDER BY seq LIMIT ?`
	spanOfWindow   = `(julianday(c.window_end) - julianday(c.window_start))`
	goneOfWindow   = `(julianday(?1) - julianday(c.window_start))`
	// requestsOf is the number of requests a counter has used or, for a concurrency budget, has
	// in flight.
	requestsOf = `CASE WHEN b.period <> 'concurrent' THEN c.used_requests ELSE c.held_requests + coalesce((
  SELECT sum(l.busy_requests) FROM leases l WHERE l.budget_id = c.budget_id AND l.window_start = c.window_start), 0) END`
	// standings checks the pace only of windows that end.
	standings = `SELECT b.id, b.scope, b.scope_id, b.period, b.zone, b.token_limit, b.amount_nano, b.request_limit, b.starts,
	  b.near_action, b.thresholds, b.part, b.named, b.parent_id, c.window_start, c.window_end, c.used_tokens,
  c.used_nano, c.held_tokens, c.held_nano, c.forgiven_tokens, c.forgiven_nano,
       ` + requestsOf + `, c.forgiven_requests,
  CASE b.scope WHEN 'key' THEN coalesce(k.name, '') WHEN 'project' THEN coalesce(t.name || '/' || p.name, '')
               WHEN 'team' THEN coalesce(t.name, '') ELSE '' END,
  coalesce(t.id, ''), coalesce(t.name, ''), coalesce(nullif(k.owner, ''), t.owner_email, '')
FROM budgets b
JOIN budget_counters c ON c.budget_id = b.id AND (c.window_start <= ?1 AND c.window_end > ?4 OR b.period = 'concurrent')
LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.scope_id
LEFT JOIN projects p ON p.id = CASE b.scope WHEN 'project' THEN b.scope_id WHEN 'key' THEN k.project_id END
LEFT JOIN teams t ON t.id = CASE b.scope WHEN 'team' THEN b.scope_id ELSE p.team_id END
WHERE b.archived_at IS NULL AND (?2 = '' OR b.id = ?2)
  AND (?2 <> '' OR b.amount_nano > 0 AND c.used_nano >= b.amount_nano / 2 OR b.token_limit > 0 AND c.used_tokens >= b.token_limit / 2
        OR b.request_limit > 0 AND ` + requestsOf + ` >= b.request_limit / 2 OR b.thresholds <> '[50,80,100]'
       OR b.period NOT IN ('once', 'concurrent') AND (` + spanOfWindow + ` * c.used_nano >= ` + goneOfWindow + ` * nullif(b.amount_nano, 0)
                               OR ` + spanOfWindow + ` * c.used_tokens >= ` + goneOfWindow + ` * nullif(b.token_limit, 0)
                               OR ` + spanOfWindow + ` * c.used_requests >= ` + goneOfWindow + ` * nullif(b.request_limit, 0)))
ORDER BY b.id LIMIT ?3`
	expiries = `SELECT 'key', k.id, k.name, t.id, t.name, coalesce(nullif(k.owner, ''), t.owner_email), k.expires_at AS at
FROM api_keys k JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
WHERE k.expires_at > ?1 AND k.expires_at <= ?2 AND k.revoked_at IS NULL
UNION ALL
SELECT 'token', a.id, p.name || ': ' || a.name, '', '', p.email, a.expires_at
FROM admin_tokens a JOIN principals p ON p.id = a.principal_id
WHERE a.expires_at > ?1 AND a.expires_at <= ?2 AND a.ended_at IS NULL AND p.disabled_at IS NULL
UNION ALL
SELECT 'credential', id, provider || '/' || name, '', '', owner, expires_at
FROM credentials WHERE expires_at > ?1 AND expires_at <= ?2 AND disabled_at IS NULL
UNION ALL
SELECT 'secret', k.id, k.name, t.id, t.name, coalesce(nullif(k.owner, ''), t.owner_email), k.due_at
FROM (SELECT *, strftime('%Y-%m-%dT%H:%M:%S.000000000Z', ` + rotationDue + `, 'unixepoch') AS due_at FROM api_keys k) AS k
JOIN projects p ON p.id = k.project_id JOIN teams t ON t.id = p.team_id
WHERE k.due_at > ?1 AND k.due_at <= ?2 AND k.revoked_at IS NULL AND k.disabled_at IS NULL
  AND (k.expires_at IS NULL OR k.expires_at > k.due_at)
  AND NOT EXISTS (SELECT 1 FROM key_sinks s WHERE s.key_id = k.id AND NOT s.removing)
ORDER BY 7 LIMIT 1000`
	unpricedSince = `SELECT report_day, provider, model, count(*) FROM spend_events WHERE pricing = 'unpriced' AND report_day >= ?
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1000`
	failingDeliveries = `SELECT ` + deliveryColumns + ` FROM key_sinks WHERE failures >= ? ORDER BY key_id LIMIT 1000`
)

// UnjudgedEvents implements billing.AlertSources.
func (s *Store) UnjudgedEvents(ctx context.Context, most int) (list []billing.Event, err error) {
	err = s.read.rows(ctx, unjudgedEvents, []any{most}, func(scan scanner) error {
		e, err := scanNotice(scan)
		list = append(list, e)
		return err
	})
	return list, err
}

// UnjudgedChanges implements billing.AlertSources.
func (s *Store) UnjudgedChanges(ctx context.Context, most int) (list []billing.Change, err error) {
	err = s.read.rows(ctx, unjudgedNotes, []any{most}, func(scan scanner) error {
		c, err := scanChange(scan)
		list = append(list, c)
		return err
	})
	return list, err
}

// Standings implements billing.AlertSources.
func (s *Store) Standings(ctx context.Context, q billing.StandingQuery) (list []billing.BudgetStanding, err error) {
	err = s.read.rows(ctx, standings, []any{stamp(q.At), q.BudgetID, q.Most, stamp(q.At.Add(-billing.LateStanding))},
		func(scan scanner) error {
			var b billing.BudgetStanding
			err := scan(append(budgetScan(&b.Budget), instant{&b.Window.Start}, instant{&b.Window.End}, &b.UsedTokens, &b.UsedMoney,
				&b.HeldTokens, &b.HeldMoney, &b.Forgiven.Tokens, &b.Forgiven.Money, &b.UsedRequests, &b.Forgiven.Requests,
				&b.Name, &b.TeamID, &b.Team, &b.Owner)...)
			list = append(list, b)
			return err
		})
	return billing.InWindow(list, q.At), err
}

// Expiries implements billing.AlertSources.
func (s *Store) Expiries(ctx context.Context, from, to time.Time) (list []billing.Expiry, err error) {
	err = s.read.rows(ctx, expiries, []any{stamp(from), stamp(to)}, func(scan scanner) error {
		var e billing.Expiry
		err := scan(&e.What, &e.ID, &e.Name, &e.TeamID, &e.Team, &e.Owner, instant{&e.At})
		list = append(list, e)
		return err
	})
	return list, err
}

// UnpricedSince implements billing.AlertSources.
func (s *Store) UnpricedSince(ctx context.Context, day string) (list []billing.UnpricedModel, err error) {
	err = s.read.rows(ctx, unpricedSince, []any{day}, func(scan scanner) error {
		var u billing.UnpricedModel
		err := scan(&u.Day, &u.Provider, &u.Model, &u.Attempts)
		list = append(list, u)
		return err
	})
	return list, err
}

// FailingDeliveries implements billing.AlertSources.
func (s *Store) FailingDeliveries(ctx context.Context, failures int) (list []billing.Delivery, err error) {
	err = s.read.rows(ctx, failingDeliveries, []any{failures}, func(scan scanner) error {
		var d billing.Delivery
		err := scan(deliveryScan(&d)...)
		list = append(list, d)
		return err
	})
	return list, err
}
