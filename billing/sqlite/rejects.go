package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"tallyroute/billing"
)

const (
	insertReject = `INSERT INTO spend_rejects (rejected_at, request_id, attempt, reason, spend, occurred_at, key_id, project_id,
	  team_id, tokens, nano)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	anyReject  = `SELECT 1 FROM spend_rejects WHERE booked_at IS NULL LIMIT 1`
	bookReject = `UPDATE spend_rejects SET booked_at = ?, booked_by = ? WHERE request_id = ? AND attempt = ? AND booked_at IS NULL
RETURNING key_id, project_id, team_id, occurred_at, tokens, nano`
	selectRejects = `SELECT rejected_at, reason, spend FROM spend_rejects WHERE booked_at IS NULL AND (?1 = '' OR request_id = ?1) ` +
		`ORDER BY id`
)

// reject keeps rows aside, and charges what they used to every counter that
// they belong to.
func (s *Store) reject(ctx context.Context, tx *session, rejects []billing.Reject) error {
	for _, r := range rejects {
		raw, err := asWill([]billing.Spend{r.Row})
		if err != nil {
			return err
		}
		used, o := r.Used(), r.Row.Owner
		n, err := tx.exec(ctx, insertReject, stamp(s.clock()), billing.CleanText(r.Row.RequestID), r.Row.Attempt,
			billing.CleanText(r.Reason), []byte(raw),
			stamp(r.Row.OccurredAt), billing.CleanText(string(o.KeyID)), billing.CleanText(o.ProjectID), billing.CleanText(o.TeamID),
			used.Tokens, int64(used.Money))
		if err == nil && n > 0 {
			err = charge(ctx, tx, o, stamp(r.Row.OccurredAt), used)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unreject notes that a row which was refused is booked now.
func (s *Store) unreject(ctx context.Context, tx *session, row billing.Spend, by string) error {
	var o billing.Owner
	var at string
	var counted billing.Amount
	found, err := tx.row(ctx, bookReject, []any{stamp(s.clock()), billing.CleanText(by), row.RequestID, row.Attempt},
		&o.KeyID, &o.ProjectID, &o.TeamID, &at, &counted.Tokens, &counted.Money)
	if !found || err != nil {
		return err
	}
	return charge(ctx, tx, o, at, billing.Amount{}.Minus(counted))
}

// ListRejects implements billing.Rejects.
func (s *Store) ListRejects(ctx context.Context, requestID string) ([]billing.RejectedRow, error) {
	return rejects(ctx, s.read, billing.CleanText(requestID))
}

// rejects are those that wait, of one request or of all.
func rejects(ctx context.Context, from *session, request string) (all []billing.RejectedRow, err error) {
	err = from.rows(ctx, selectRejects, []any{request}, func(scan scanner) error {
		var r billing.RejectedRow
		var raw []byte
		if err := scan(instant{&r.At}, &r.Reason, &raw); err != nil {
			return err
		}
		var rows []billing.Spend
		if err := json.Unmarshal(raw, &rows); err != nil || len(rows) != 1 {
			return fmt.Errorf("billing/sqlite: a rejected row cannot be read: %w", err)
		}
		r.Row = rows[0]
		all = append(all, r)
		return nil
	})
	return all, err
}

// BookRejects implements billing.Rejects.
func (s *Store) BookRejects(ctx context.Context, requestID, actor string) (booked int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		waiting, err := rejects(ctx, tx, billing.CleanText(requestID))
		if err != nil {
			return err
		}
		if requestID == "" || len(waiting) == 0 {
			return &billing.NotFoundError{What: "reject", ID: requestID}
		}
		all := make([]billing.Spend, len(waiting))
		for i, r := range waiting {
			all[i] = r.Row
		}
		rows, err := tidied(all)
		if err == nil {
			booked = len(rows)
			_, err = s.postRows(ctx, tx, rows, actor)
		}
		return err
	})
	return booked, err
}
