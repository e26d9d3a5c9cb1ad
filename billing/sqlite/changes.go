package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
)

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
	// selectLastToPrune stops at the first record that is younger, whatever comes after it.
	selectLastToPrune = `SELECT seq, hash FROM audit_log
WHERE seq < coalesce((SELECT min(seq) FROM audit_log WHERE seq IS NOT NULL AND changed_at >= ?), 9223372036854775807)
ORDER BY seq DESC LIMIT 1`
)

// note writes who did what, in the transaction of what was done.
func note(ctx context.Context, tx *session, notes []*billing.Change) error {
	if len(notes) == 0 {
		return nil
	}
	ends, err := auditEnds(ctx, tx)
	if err != nil {
		return err
	}
	last := ends.Last
	for _, n := range notes {
		c := audit.Seal(n.Tidy(), last)
		last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
		if _, err := tx.exec(ctx, insertChange, c.Seq, c.Hash, stamp(c.At), c.Actor, c.Role, c.Source, c.Action, c.Object,
			string(c.Outcome), c.Reason, asJSON(c.Detail)); err != nil {
			return err
		}
	}
	_, err = tx.exec(ctx, updateLast, last.Seq, last.Hash)
	return err
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
		if _, err := tx.exec(ctx, updateFirst, end.Seq, end.Hash); err != nil { // the trigger lets go of those before
			return err
		}
		if removed, err = tx.exec(ctx, deleteAudit, end.Seq); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return removed, err
}
