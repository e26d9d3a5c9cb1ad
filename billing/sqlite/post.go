package sqlite

import (
	"context"
	"errors"

	"tallyroute/billing"
)

const (
	passGate = `UPDATE replicas SET posted_seq = ?, seen_at = ?, expires_at = ? WHERE id = ? AND epoch = ? AND posted_seq = ?`
	// canMove finds a lease, and its counter, that have what is to be taken from them.
	canMove = `SELECT 1 FROM leases l JOIN budget_counters c USING (budget_id, window_start)
WHERE l.budget_id = ?1 AND l.window_start = ?2 AND l.replica_id = ?3 AND l.epoch = ?4
  AND min(l.tokens, c.leased_tokens) >= ?5 AND min(l.nano, c.leased_nano) >= ?6`
	lowLease = `UPDATE leases SET tokens = tokens - ?1, nano = nano - ?2, busy_tokens = min(?3, tokens - ?1), busy_nano = min(?4, nano - ?2)
WHERE budget_id = ?5 AND window_start = ?6 AND replica_id = ?7 AND epoch = ?8`
	lowLeased = `UPDATE budget_counters SET leased_tokens = leased_tokens - ?, leased_nano = leased_nano - ? WHERE budget_id = ? AND ` +
		`window_start = ?`
	hasRow = `SELECT 1 FROM spend_events WHERE kind = 'usage' AND request_id = ? AND attempt = ?`
)

// Post implements billing.Allowances. Its balances are those of the leases that
// moved.
func (s *Store) Post(ctx context.Context, p billing.Posting) (posted billing.Posted, err error) {
	rows, err := tidied(p.Rows)
	if err != nil {
		return posted, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		posted = billing.Posted{}
		if posted.Inserted, err = s.postRows(ctx, tx, rows, ""); err != nil {
			return err
		}
		if err := s.reject(ctx, tx, p.Rejects); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, p.AllEvents()...); err != nil {
			return err
		}
		return s.pass(ctx, tx, p, &posted)
	})
	return posted, err
}

// tidied are rows as they are written.
func tidied(all []billing.Spend) ([]billing.Spend, error) {
	rows := make([]billing.Spend, len(all))
	for i, r := range all {
		rows[i] = r.Tidy()
		if err := rows[i].Check(); err != nil {
			return nil, &billing.RowError{Index: i, Err: err}
		}
	}
	return rows, nil
}

// postRows books rows that are not there yet, and says how many those were. What
// waited to be booked counts once.
func (s *Store) postRows(ctx context.Context, tx *session, rows []billing.Spend, by string) (inserted int, err error) {
	var one int
	waiting, err := tx.row(ctx, anyReject, nil, &one)
	for i := range rows {
		if err != nil {
			return inserted, err
		}
		var there bool
		if there, err = tx.row(ctx, hasRow, []any{rows[i].RequestID, rows[i].Attempt}, &one); err == nil && !there {
			inserted++
			err = s.bookOne(ctx, tx, rows[i], i)
		}
		if err == nil && waiting {
			err = s.unreject(ctx, tx, rows[i], by)
		}
	}
	return inserted, err
}

// bookOne books a row, and tells its own faults from those of the database.
func (s *Store) bookOne(ctx context.Context, tx *session, row billing.Spend, index int) error {
	err := s.insertEvent(ctx, tx, row)
	if err != nil && !errors.Is(err, billing.ErrUnavailable) {
		return &billing.RowError{Index: index, Err: err}
	}
	if err == nil {
		err = s.follow(ctx, tx, row)
	}
	return err
}

// follow does what follows from a row that was inserted, beside the rollup.
func (s *Store) follow(ctx context.Context, tx *session, row billing.Spend) error {
	if err := post(ctx, tx, row); err != nil {
		return err
	}
	if err := s.overran(ctx, tx, row); err != nil {
		return err
	}
	return s.tell(ctx, tx, billing.RowEvents([]billing.Spend{row})...)
}

// pass moves the leases, if it is their turn and all of them can.
func (s *Store) pass(ctx context.Context, tx *session, p billing.Posting, posted *billing.Posted) error {
	now, r := s.clock(), p.Replica
	can, err := s.movable(ctx, tx, p)
	if err != nil {
		return err
	}
	var n int64
	if can {
		if n, err = tx.exec(ctx, passGate, p.Seq, stamp(now), stamp(now.Add(r.TTL)), r.ID, r.Epoch, p.Seq-1); err != nil {
			return err
		}
	}
	if n == 0 {
		var seq int64
		known, err := tx.row(ctx, selectReplica, []any{r.ID, r.Epoch}, &seq)
		if posted.Fenced = !known || seq < p.Seq; err == nil && known && posted.Fenced {
			_, err = giveBackEpoch(ctx, tx, r.ID, r.Epoch)
		}
		return err
	}
	budgets, starts := make([]string, len(p.Leases)), make([]string, len(p.Leases))
	for i, l := range p.Leases {
		budgets[i], starts[i] = l.BudgetID, stamp(l.WindowStart)
		down, busy := l.Down, l.Busy
		_, err := tx.exec(ctx, lowLease, down.Tokens, int64(down.Money), busy.Tokens, int64(busy.Money), l.BudgetID, starts[i],
			r.ID, r.Epoch)
		if err == nil {
			_, err = tx.exec(ctx, lowLeased, down.Tokens, int64(down.Money), l.BudgetID, starts[i])
		}
		if err != nil {
			return err
		}
	}
	posted.Balances, err = balancesOf(ctx, tx, windows{asJSON(budgets), asJSON(starts)})
	return err
}

// movable reports that every lease of a posting has what it is to give.
func (s *Store) movable(ctx context.Context, tx *session, p billing.Posting) (bool, error) {
	for _, l := range p.Leases {
		if l.Down == (billing.Amount{}) {
			continue
		}
		var one int
		can, err := tx.row(ctx, canMove, []any{
			l.BudgetID, stamp(l.WindowStart), p.Replica.ID, p.Replica.Epoch, l.Down.Tokens, int64(l.Down.Money),
		}, &one)
		if !can || err != nil {
			return false, err
		}
	}
	return true, nil
}
