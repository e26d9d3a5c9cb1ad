package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tallyroute/billing"
)

// Correct implements billing.Corrections.
func (s *Store) Correct(ctx context.Context, rows []billing.Spend, notes ...*billing.Change) error {
	tidy := make([]billing.Spend, len(rows))
	for i, r := range rows {
		tidy[i] = r.Tidy()
		if tidy[i].Kind == billing.KindUsage {
			return errors.New("billing/sqlite: usage is settled, not corrected")
		}
		if err := tidy[i].Check(); err != nil {
			return err
		}
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := s.book(ctx, tx, tidy); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// repriceBatch is the number of rows examined in one transaction.
const repriceBatch = 500

const (
	selectToReprice = selectEvents + `WHERE kind = 'usage' AND occurred_at >= ?1 AND occurred_at < ?2 AND (occurred_at, event_id) > (?3, ?4)
  AND (?5 = '' OR provider = ?5) AND (?6 = '' OR model = ?6)
ORDER BY occurred_at, event_id LIMIT ?7`
	selectAdjustments = `SELECT coalesce(sum(input_cost_nano), 0), coalesce(sum(cache_read_cost_nano), 0),
	  coalesce(sum(cache_write_cost_nano), 0),
  coalesce(sum(output_cost_nano), 0), coalesce(sum(fee_nano), 0), coalesce(sum(cost_nano), 0), coalesce(sum(baseline_cost_nano), 0),
  coalesce(sum(cache_savings_nano), 0), count(*)
FROM spend_events WHERE adjusts_event = ? AND kind = 'adjustment' AND pricing = 'priced'`
)

// cursor identifies the last row of a batch.
type cursor struct{ at, id string }

// Reprice implements billing.Corrections.
func (s *Store) Reprice(ctx context.Context, r billing.Repricing) (sum billing.Repriced, err error) {
	if err := r.Check(); err != nil {
		return sum, err
	}
	months, err := s.ListPeriods(ctx)
	if err == nil {
		err = r.Reachable(months, s.reporting)
	}
	var last cursor
	for more := true; more && err == nil; {
		batch := sum
		err = s.write.do(ctx, func(ctx context.Context, tx *session) (err error) {
			if last, more, err = s.repriceSome(ctx, tx, r, &batch, last); err != nil || r.DryRun {
				return err
			}
			return note(ctx, tx, r.Notes)
		})
		if err == nil {
			sum, r.Notes = batch, nil
		}
	}
	return sum, err
}

func (s *Store) repriceSome(ctx context.Context, tx *session, r billing.Repricing, sum *billing.Repriced, last cursor) (cursor,
	bool, error,
) {
	var rows []billing.Spend
	err := tx.rows(ctx, selectToReprice, []any{stamp(r.From), stamp(r.To), last.at, last.id, r.Provider, r.Model, repriceBatch},
		func(scan scanner) error {
			var row billing.Spend
			err := scanEvent(scan, &row)
			rows = append(rows, row)
			return err
		})
	if err != nil || len(rows) == 0 {
		return last, false, err
	}
	var adjustments []billing.Spend
	for _, row := range rows {
		c, err := charged(ctx, tx, row)
		if err != nil {
			return last, false, err
		}
		if row, changed := r.Reprice(c, sum); changed {
			adjustments = append(adjustments, row.Tidy())
		}
	}
	if !r.DryRun {
		err = s.book(ctx, tx, adjustments)
	}
	end := rows[len(rows)-1]
	return cursor{stamp(end.OccurredAt), end.EventID}, len(rows) == repriceBatch, err
}

// charged returns a row together with the sum of its adjustments.
func charged(ctx context.Context, tx *session, row billing.Spend) (billing.Charged, error) {
	c := billing.NewCharged(row)
	var add billing.Cost
	var baseline, saved billing.Money
	var n int
	_, err := tx.row(ctx, selectAdjustments, []any{row.EventID}, &add.Input, &add.CacheRead, &add.CacheWrite, &add.Output, &add.Fee,
		&add.Total, &baseline, &saved, &n)
	if n > 0 {
		c.Add(add, baseline, saved)
	}
	return c, err
}

const (
	insertReject = `INSERT INTO spend_rejects (rejected_at, request_id, attempt, reason, spend, occurred_at, key_id, project_id,
	  team_id, tokens, nano, requests, limits)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	anyReject  = `SELECT 1 FROM spend_rejects WHERE booked_at IS NULL LIMIT 1`
	bookReject = `UPDATE spend_rejects SET booked_at = ?, booked_by = ? WHERE request_id = ? AND attempt = ? AND booked_at IS NULL
RETURNING key_id, project_id, team_id, occurred_at, tokens, nano, requests, limits`
	selectRejects = `SELECT rejected_at, reason, spend FROM spend_rejects WHERE booked_at IS NULL AND (?1 = '' OR request_id = ?1) ` +
		`ORDER BY id`
)

// reject sets rows aside and charges their usage to every counter they belong to.
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
			used.Tokens, int64(used.Money), used.Requests, jsonOrNull(r.Row.Limits))
		if err == nil && n > 0 {
			err = charge(ctx, tx, belongs{o, asJSON(r.Row.Limits), stamp(r.Row.OccurredAt)}, used)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unreject records that a rejected row has now been booked, and takes its usage off the counters
// that reject charged.
func (s *Store) unreject(ctx context.Context, tx *session, row billing.Spend, by string) error {
	var o billing.Owner
	var at string
	var limits string
	var counted billing.Amount
	found, err := tx.row(ctx, bookReject, []any{stamp(s.clock()), billing.CleanText(by), row.RequestID, row.Attempt},
		&o.KeyID, &o.ProjectID, &o.TeamID, &at, &counted.Tokens, &counted.Money, &counted.Requests, orEmpty{&limits})
	if !found || err != nil {
		return err
	}
	return charge(ctx, tx, belongs{o, cmp.Or(limits, "[]"), at}, billing.Amount{}.Minus(counted))
}

// ListRejects implements billing.Rejects.
func (s *Store) ListRejects(ctx context.Context, requestID string) ([]billing.RejectedRow, error) {
	return rejects(ctx, s.read, billing.CleanText(requestID))
}

// rejects returns the rejected rows that are not booked yet, of one request or, if request is
// empty, of all.
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
func (s *Store) BookRejects(ctx context.Context, requestID, actor string, notes ...*billing.Change) (booked int, err error) {
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
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return booked, err
}
