package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	insertNotice = `INSERT INTO events (dedup_id, occurred_at, kind, object, severity, text, data, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	selectNotices = `SELECT kind, object, severity, text, data, dedup_id, occurred_at FROM events
WHERE (?1 = '' OR kind = ?1) AND (?2 = '' OR object = ?2) AND occurred_at >= ?3 ORDER BY id DESC LIMIT ?4`
)

// tell writes events in the transaction of what caused them.
func (s *Store) tell(ctx context.Context, tx *session, events ...billing.Event) error {
	for _, e := range events {
		e = e.Tidy()
		_, err := tx.exec(ctx, insertNotice, e.DedupID, stamp(e.At), string(e.Kind), e.Object, string(e.Severity), e.Text, asJSON(e.Data),
			stamp(s.clock()))
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneNotices leaves much for the next time, so that nobody waits long.
const pruneNotices = `DELETE FROM events WHERE id IN (SELECT id FROM events WHERE recorded_at < ? ORDER BY recorded_at LIMIT 5000)`

// PruneEvents implements billing.EventLog.
func (s *Store) PruneEvents(ctx context.Context, before time.Time) (n int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		gone, err := tx.exec(ctx, pruneNotices, stamp(before))
		n = int(gone)
		return err
	})
	return n, err
}

// ListEvents implements billing.EventLog.
func (s *Store) ListEvents(ctx context.Context, f billing.EventFilter) (all []billing.Event, err error) {
	err = s.read.rows(ctx, selectNotices, []any{string(f.Kind), f.Object, stamp(f.Since), f.Most()}, func(scan scanner) error {
		var e billing.Event
		err := scan(&e.Kind, &e.Object, &e.Severity, &e.Text, jsonText{&e.Data}, &e.DedupID, instant{&e.At})
		all = append(all, e)
		return err
	})
	return all, err
}

const (
	addOverrun = `UPDATE api_keys SET overrun_tokens = min(overrun_tokens + ?, 1000000000000000000),
	  overrun_nano = min(overrun_nano + ?, 1000000000000000000)
WHERE id = ? RETURNING overrun_tokens, overrun_nano, stopped_at, revoked_at, enabled_at`
	stopKey       = `UPDATE api_keys SET stopped_at = ?, version = version + 1 WHERE id = ?`
	tightestLimit = `SELECT count(*), min(b.token_limit), min(b.amount_nano)
FROM api_keys k JOIN projects p ON p.id = k.project_id
JOIN budgets b ON b.archived_at IS NULL
 AND (b.scope, b.scope_id) IN (VALUES ('key', k.id), ('project', k.project_id), ('team', p.team_id), ('org', 'org'))
WHERE k.id = ?`
)

// overran adds the overrun of a row that was booked to its key, and stops the
// key where it passes the limit.
func (s *Store) overran(ctx context.Context, tx *session, row billing.Spend) error {
	if row.OverrunTokens <= 0 && row.OverrunMoney <= 0 {
		return nil
	}
	id := string(row.Owner.KeyID)
	var over billing.Amount
	var stopped, revoked, enabled time.Time
	found, err := tx.row(ctx, addOverrun, []any{row.OverrunTokens, int64(row.OverrunMoney), id},
		&over.Tokens, &over.Money, instant{&stopped}, instant{&revoked}, instant{&enabled})
	if err != nil || !found || !stopped.IsZero() || !revoked.IsZero() {
		return err
	}
	var budgets int
	var tokens *int64
	var money *billing.Money
	if _, err = tx.row(ctx, tightestLimit, []any{id}, &budgets, &tokens, &money); err != nil || !s.overrun.Passed(over, tokens, money) {
		return err
	}
	now := s.clock()
	if budgets > 0 {
		if _, err = tx.exec(ctx, stopKey, stamp(now), id); err != nil {
			return err
		}
	}
	return s.tell(ctx, tx, billing.StopEvent(row.Owner.KeyID, over, budgets, enabled, now))
}
