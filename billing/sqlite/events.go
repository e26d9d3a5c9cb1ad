package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
)

const (
	insertNotice = `INSERT INTO events (dedup_id, occurred_at, kind, object, severity, text, data, recorded_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	selectNotices = `SELECT kind, object, severity, text, data, dedup_id, occurred_at FROM events
WHERE (?1 = '' OR kind = ?1) AND (?2 = '' OR object = ?2) AND occurred_at >= ?3
  AND (?5 = '' OR id < (SELECT id FROM events WHERE dedup_id = ?5)) ORDER BY id DESC LIMIT ?4`
)

// tell writes events in the same transaction as the change that caused them.
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

// WriteEvents implements billing.EventLog.
func (s *Store) WriteEvents(ctx context.Context, events ...billing.Event) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error { return s.tell(ctx, tx, events...) })
}

// pruneNotices deletes one limited batch and leaves the rest for the next run, so that nobody
// waits long.
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
	err = s.read.rows(ctx, selectNotices, []any{string(f.Kind), f.Object, stamp(f.Since), f.Most(), f.Before}, func(scan scanner) error {
		e, err := scanNotice(scan)
		all = append(all, e)
		return err
	})
	return all, err
}

func scanNotice(scan scanner) (e billing.Event, err error) {
	err = scan(&e.Kind, &e.Object, &e.Severity, &e.Text, jsonText{&e.Data}, &e.DedupID, instant{&e.At})
	return e, err
}

const (
	addOverrun = `UPDATE api_keys SET overrun_tokens = min(overrun_tokens + ?, 1000000000000000000),
	  overrun_nano = min(overrun_nano + ?, 1000000000000000000)
WHERE id = ? RETURNING overrun_tokens, overrun_nano, stopped_at, revoked_at, enabled_at`
	stopKey       = `UPDATE api_keys SET stopped_at = ?, version = version + 1 WHERE id = ?`
	tightestLimit = `SELECT count(*), min(b.token_limit), min(b.amount_nano)
FROM api_keys k JOIN projects p ON p.id = k.project_id
JOIN budgets_now b ON b.archived_at IS NULL AND b.parent_id IS NULL
 AND (b.scope, b.scope_id) IN (VALUES ('key', k.id), ('project', k.project_id), ('team', p.team_id), ('org', 'org'))
WHERE k.id = ?`
)

// overran adds the overrun of a booked row to its key. When the total passes the limit, it
// writes an event and, if any budget limits the key, stops the key.
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

const (
	selectEnds   = `SELECT before_seq, before_hash, last_seq, last_hash FROM audit_ends`
	insertChange = `INSERT INTO audit_log (seq, hash, changed_at, actor, role, source, action, object, outcome, reason, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	updateLast  = `UPDATE audit_ends SET last_seq = ?, last_hash = ?`
	selectAudit = `SELECT id, coalesce(seq, 0), coalesce(hash, ''), changed_at, actor, role, source, action, object, outcome, reason, detail
FROM audit_log
`
	selectChanges = selectAudit + `WHERE (?1 = '' OR object = ?1) AND (?2 = '' OR actor = ?2)
  AND (?3 = '' OR action = ?3 OR substr(?3, -1) = '.' AND substr(action, 1, length(?3)) = ?3)
  AND (?4 = '' OR outcome = ?4) AND changed_at >= ?5 AND (?6 = 0 OR id < ?6)
ORDER BY id DESC LIMIT ?7`
	selectAll   = selectAudit + `ORDER BY seq NULLS FIRST, id`
	deleteAudit = `DELETE FROM audit_log WHERE seq <= ?`
	updateFirst = `UPDATE audit_ends SET before_seq = ?, before_hash = ?`
	// selectLastToPrune stops before the first record that is too young, even if older ones
	// follow it.
	selectLastToPrune = `SELECT seq, hash FROM audit_log
WHERE seq < coalesce((SELECT min(seq) FROM audit_log WHERE seq IS NOT NULL AND changed_at >= ?), 9223372036854775807)
ORDER BY seq DESC LIMIT 1`
)

// note writes who did what, in the same transaction as the change itself.
func note(ctx context.Context, tx *session, notes []*billing.Change) error {
	if len(notes) == 0 {
		return nil
	}
	if err := done(ctx, tx, notes); err != nil {
		return err
	}
	ends, err := auditEnds(ctx, tx)
	if err != nil {
		return err
	}
	last := ends.Last
	for _, n := range notes {
		c := audit.Seal(n.Tidy(), last)
		last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
		n.Seq = c.Seq
		if _, err := tx.exec(ctx, insertChange, c.Seq, c.Hash, stamp(c.At), c.Actor, c.Role, c.Source, c.Action, c.Object,
			string(c.Outcome), c.Reason, asJSON(c.Detail)); err != nil {
			return err
		}
	}
	if _, err = tx.exec(ctx, updateLast, last.Seq, last.Hash); err != nil {
		return err
	}
	return billing.Rehearse(notes)
}

func auditEnds(ctx context.Context, from *session) (e billing.AuditEnds, err error) {
	_, err = from.row(ctx, selectEnds, nil, &e.Before.Seq, &e.Before.Hash, &e.Last.Seq, &e.Last.Hash)
	return e, err
}

func scanChange(scan scanner) (c billing.Change, err error) {
	err = scan(&c.ID, &c.Seq, &c.Hash, instant{&c.At}, &c.Actor, &c.Role, &c.Source, &c.Action, &c.Object, &c.Outcome, &c.Reason,
		jsonText{&c.Detail})
	return c, err
}

// ListChanges implements billing.Changes.
func (s *Store) ListChanges(ctx context.Context, f billing.ChangeFilter) (all []billing.Change, err error) {
	args := []any{f.Object, f.Actor, f.Action, string(f.Outcome), stamp(f.Since), f.Before, f.Most()}
	err = s.read.rows(ctx, selectChanges, args, func(scan scanner) error {
		c, err := scanChange(scan)
		all = append(all, c)
		return err
	})
	return all, err
}

// Record implements billing.Changes.
func (s *Store) Record(ctx context.Context, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error { return note(ctx, tx, notes) })
}

// ReadAudit implements billing.Changes.
func (s *Store) ReadAudit(ctx context.Context, ends func(billing.AuditEnds), each func(billing.Change) error) error {
	return s.inSnapshot(ctx, func(tx *session) error {
		found, err := auditEnds(ctx, tx)
		if err != nil {
			return err
		}
		ends(found)
		return tx.rows(ctx, selectAll, nil, func(scan scanner) error {
			c, err := scanChange(scan)
			if err != nil {
				return err
			}
			return each(c)
		})
	})
}

// PruneAudit implements billing.Changes.
func (s *Store) PruneAudit(ctx context.Context, before time.Time, notes ...*billing.Change) (removed int64, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var end billing.AuditMark
		found, err := tx.row(ctx, selectLastToPrune, []any{stamp(before)}, &end.Seq, &end.Hash)
		if err != nil || !found {
			return err
		}
		if _, err := tx.exec(ctx, updateFirst, end.Seq, end.Hash); err != nil { // the trigger lets records up to this one be deleted
			return err
		}
		if removed, err = tx.exec(ctx, deleteAudit, end.Seq); err != nil {
			return err
		}
		billing.Tally(notes, "records", removed)
		return note(ctx, tx, notes)
	})
	return removed, err
}
