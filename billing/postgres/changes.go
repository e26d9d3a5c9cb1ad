package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/audit"
)

const (
	// lockEndsSQL makes writers of audit records wait for each other's commit.
	lockEndsSQL = "SELECT last_seq, last_hash FROM audit_ends FOR UPDATE"
	noteSQL     = `
INSERT INTO audit_log (seq, hash, changed_at, actor, role, source, action, object, outcome, reason, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	moveEndSQL     = "UPDATE audit_ends SET last_seq = $1, last_hash = $2"
	auditSQL       = "SELECT id, seq, hash, changed_at, actor, role, source, action, object, outcome, reason, detail FROM audit_log"
	listChangesSQL = auditSQL + `
 WHERE ($1 = '' OR object = $1) AND ($2 = '' OR actor = $2) AND ($3 = '' OR action = $3 OR right($3, 1) = '.' AND starts_with(action, $3))
   AND ($4 = '' OR outcome = $4) AND changed_at >= $5 AND ($6::bigint = 0 OR id < $6)
 ORDER BY id DESC LIMIT $7`
	readAuditSQL = auditSQL + " ORDER BY seq NULLS FIRST, id"
	auditEndsSQL = "SELECT before_seq, before_hash, last_seq, last_hash FROM audit_ends"

	retainSQL     = "SELECT set_config('tallyroute.audit_retention', 'on', true)"
	pruneAuditSQL = "DELETE FROM audit_log WHERE seq <= $1"
	moveBeginSQL  = "UPDATE audit_ends SET before_seq = $1, before_hash = $2"
	// lastToPruneSQL stops before the first record that is too young, even if later records
	// have earlier times.
	lastToPruneSQL = `
SELECT seq, hash FROM audit_log
 WHERE seq < coalesce((SELECT min(seq) FROM audit_log WHERE seq IS NOT NULL AND changed_at >= $1), 9223372036854775807)
 ORDER BY seq DESC LIMIT 1`
)

// note writes audit records in the same transaction as the changes that they describe.
func note(ctx context.Context, tx pgx.Tx, notes []*billing.Change) error {
	if len(notes) == 0 {
		return nil
	}
	if err := done(ctx, tx, notes); err != nil {
		return err
	}
	last, err := one(ctx, tx, pgx.RowToStructByPos[billing.AuditMark], lockEndsSQL)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	for _, n := range notes {
		c := audit.Seal(n.Tidy(), last)
		last = billing.AuditMark{Seq: c.Seq, Hash: c.Hash}
		n.Seq = c.Seq
		batch.Queue(noteSQL, c.Seq, c.Hash, c.At, c.Actor, c.Role, c.Source, c.Action, c.Object, c.Outcome, c.Reason, c.Detail)
	}
	batch.Queue(moveEndSQL, last.Seq, last.Hash)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return billing.Rehearse(notes)
}

func scanChange(row pgx.CollectableRow) (c billing.Change, err error) {
	var seq *int64
	var hash *string
	var detail []byte
	err = row.Scan(&c.ID, &seq, &hash, &c.At, &c.Actor, &c.Role, &c.Source, &c.Action, &c.Object, &c.Outcome, &c.Reason, &detail)
	if err != nil {
		return c, err
	}
	if seq != nil && hash != nil {
		c.Seq, c.Hash = *seq, *hash
	}
	c.At = c.At.UTC()
	return c, json.Unmarshal(detail, &c.Detail)
}

// ListChanges implements billing.Changes.
func (s *Store) ListChanges(ctx context.Context, f billing.ChangeFilter) ([]billing.Change, error) {
	return all(ctx, s, scanChange, listChangesSQL, billing.CleanText(f.Object), billing.CleanText(f.Actor), billing.CleanText(f.Action),
		f.Outcome, f.Since, f.Before, f.Most())
}

// Record implements billing.Changes.
func (s *Store) Record(ctx context.Context, notes ...*billing.Change) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error { return note(ctx, tx, notes) })
}

// ReadAudit implements billing.Changes.
func (s *Store) ReadAudit(ctx context.Context, ends func(billing.AuditEnds), each func(billing.Change) error) error {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, c, snapshot, func(tx pgx.Tx) error {
			var found billing.AuditEnds
			b, l := &found.Before, &found.Last
			if err := tx.QueryRow(ctx, auditEndsSQL).Scan(&b.Seq, &b.Hash, &l.Seq, &l.Hash); err != nil {
				return err
			}
			ends(found)
			rows, err := tx.Query(ctx, readAuditSQL)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				c, err := scanChange(rows)
				if err != nil {
					return err
				}
				if err := each(c); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	})
}

// PruneAudit implements billing.Changes.
func (s *Store) PruneAudit(ctx context.Context, before time.Time, notes ...*billing.Change) (removed int64, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockEndsSQL); err != nil {
			return err
		}
		end, err := one(ctx, tx, pgx.RowToStructByPos[billing.AuditMark], lastToPruneSQL, before)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, moveBeginSQL, end.Seq, end.Hash); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, retainSQL); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, pruneAuditSQL, end.Seq)
		if removed = tag.RowsAffected(); err != nil {
			return err
		}
		billing.Tally(notes, "records", removed)
		return note(ctx, tx, notes)
	})
	return removed, err
}
