package sqlite

import (
	"context"
	"errors"

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

// repriceBatch is how many rows are looked at in one transaction.
const repriceBatch = 500

const (
	selectToReprice = selectEvents + `WHERE kind = 'usage' AND occurred_at >= ?1 AND occurred_at < ?2 AND (occurred_at, event_id) > (?3, ?4)
  AND (?5 = '' OR provider = ?5) AND (?6 = '' OR model = ?6)
ORDER BY occurred_at, event_id LIMIT ?7`
	selectAdjustments = `SELECT coalesce(sum(input_cost_nano), 0), coalesce(sum(cache_read_cost_nano), 0),
	  coalesce(sum(cache_write_cost_nano), 0),
  coalesce(sum(output_cost_nano), 0), coalesce(sum(fee_nano), 0), coalesce(sum(cost_nano), 0), coalesce(sum(baseline_cost_nano), 0),
    count(*)
FROM spend_events WHERE adjusts_event = ? AND kind = 'adjustment' AND pricing = 'priced'`
)

// cursor is the row that a batch ends with.
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

// charged is a row with its adjustments.
func charged(ctx context.Context, tx *session, row billing.Spend) (billing.Charged, error) {
	c := billing.NewCharged(row)
	var add billing.Cost
	var baseline billing.Money
	var n int
	_, err := tx.row(ctx, selectAdjustments, []any{row.EventID}, &add.Input, &add.CacheRead, &add.CacheWrite, &add.Output, &add.Fee,
		&add.Total, &baseline, &n)
	if n > 0 {
		c.Add(add, baseline)
	}
	return c, err
}
