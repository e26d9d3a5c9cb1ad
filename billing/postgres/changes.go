package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	noteSQL        = "INSERT INTO changes (changed_at, actor, action, object, reason, detail) VALUES ($1, $2, $3, $4, $5, $6)"
	listChangesSQL = `
SELECT id, changed_at, actor, action, object, reason, detail FROM changes
 WHERE ($1 = '' OR object = $1) AND ($2 = '' OR actor = $2) AND ($3 = '' OR action = $3) AND changed_at >= $4
   AND ($5::bigint = 0 OR id < $5)
 ORDER BY id DESC LIMIT $6`
)

// note writes who made a change, in the transaction of the change.
func note(ctx context.Context, tx pgx.Tx, notes []*billing.Change) error {
	for _, n := range notes {
		c := n.Tidy()
		if _, err := tx.Exec(ctx, noteSQL, c.At, c.Actor, c.Action, c.Object, c.Reason, c.Detail); err != nil {
			return err
		}
	}
	return nil
}

// ListChanges implements billing.Changes.
func (s *Store) ListChanges(ctx context.Context, f billing.ChangeFilter) ([]billing.Change, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (c billing.Change, err error) {
		var detail []byte
		if err := row.Scan(&c.ID, &c.At, &c.Actor, &c.Action, &c.Object, &c.Reason, &detail); err != nil {
			return c, err
		}
		c.At = c.At.UTC()
		return c, json.Unmarshal(detail, &c.Detail)
	}, listChangesSQL, billing.CleanText(f.Object), billing.CleanText(f.Actor), billing.CleanText(f.Action), f.Since, f.Before, f.Most())
}
