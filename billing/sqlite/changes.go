package sqlite

import (
	"context"

	"tallyroute/billing"
)

const (
	insertChange  = `INSERT INTO changes (changed_at, actor, action, object, reason, detail) VALUES (?, ?, ?, ?, ?, ?)`
	selectChanges = `SELECT id, changed_at, actor, action, object, reason, detail FROM changes
WHERE (?1 = '' OR object = ?1) AND (?2 = '' OR actor = ?2) AND (?3 = '' OR action = ?3) AND changed_at >= ?4 AND (?5 = 0 OR id < ?5)
ORDER BY id DESC LIMIT ?6`
)

// note writes who made a change, in the transaction of the change.
func note(ctx context.Context, tx *session, notes []*billing.Change) error {
	for _, n := range notes {
		c := n.Tidy()
		if _, err := tx.exec(ctx, insertChange, stamp(c.At), c.Actor, c.Action, c.Object, c.Reason, asJSON(c.Detail)); err != nil {
			return err
		}
	}
	return nil
}

// ListChanges implements billing.Changes.
func (s *Store) ListChanges(ctx context.Context, f billing.ChangeFilter) (all []billing.Change, err error) {
	args := []any{f.Object, f.Actor, f.Action, stamp(f.Since), f.Before, f.Most()}
	err = s.read.rows(ctx, selectChanges, args, func(scan scanner) error {
		var c billing.Change
		err := scan(&c.ID, instant{&c.At}, &c.Actor, &c.Action, &c.Object, &c.Reason, jsonText{&c.Detail})
		all = append(all, c)
		return err
	})
	return all, err
}
