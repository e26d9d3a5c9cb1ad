package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
)

const (
	selectKeyState = `SELECT version, expires_at, revoked_at, stopped_at FROM api_keys WHERE id = ?`
	insertHold     = `INSERT INTO holds (id, key_id, budget_ids, window_starts, tokens, nano, requests, created_at, expires_at,
  if_lost) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Reserve implements billing.Ledger. The amount that a refusal reports as asked for includes the
// headroom; the refusal names the first budget, by id, that does not have that much left.
func (s *Store) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	if min(h.Tokens, h.HeadroomTokens) < 0 || min(h.Money, h.HeadroomMoney) < 0 || h.ID == "" || h.ID != billing.CleanText(h.ID) {
		return nil, fmt.Errorf("billing/sqlite: hold %q of %d tokens and $%s cannot be taken", h.ID, h.Tokens, h.Money.Short())
	}
	ifLost, err := lastWill(h)
	if err != nil {
		return nil, err
	}
	var balances []billing.Balance
	var refused *billing.QuotaError
	err = s.write.do(ctx, func(ctx context.Context, tx *session) (err error) {
		if err := wantFresh(ctx, tx, h, now); err != nil {
			return err
		}
		w := windowsOf(h.Lines)
		if balances, err = beginCounters(ctx, tx, h.Lines); err != nil {
			return err
		}
		// A refusal is not an error of the transaction: the counters that it began are kept, so
		// that the next request need not add up the ledger again.
		if refused = refusal(h, balances); refused != nil {
			if e, first := s.denials.Event(h, refused, now); first {
				return s.tell(ctx, tx, e)
			}
			return nil
		}
		taken := held{w, h.Amount(), ifLost}
		for i, b := range balances {
			balances[i] = b.Stands(b.Used(), b.Held().Plus(taken.Amount))
		}
		return take(ctx, tx, h, taken, now)
	})
	if err == nil && refused != nil {
		return nil, refused
	}
	return balances, err
}

// lastWill returns, as JSON, the row to book if the process of a hold never reports back.
func lastWill(h billing.Hold) (string, error) {
	row := h.IfLost.Tidy()
	if err := row.Check(); err != nil {
		return "", fmt.Errorf("hold %s could not be swept: %w", h.ID, err)
	}
	return asWill([]billing.Spend{row})
}

func asWill(rows []billing.Spend) (string, error) {
	b, err := json.Marshal(rows)
	if err != nil {
		return "", fmt.Errorf("billing/sqlite: %w", err)
	}
	return string(b), nil
}

const (
	selectHold = `SELECT budget_ids, window_starts FROM holds WHERE id = ?`
	updateHold = `UPDATE holds SET tokens = tokens + ?, nano = nano + ?, if_lost = ? WHERE id = ?`
)

// Retry implements billing.Ledger.
func (s *Store) Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	if more.Tokens < 0 || more.Money < 0 {
		return fmt.Errorf("billing/sqlite: hold %q cannot shrink", holdID)
	}
	rows, err := attempts(billing.Settlement{HoldID: holdID, Attempts: ifLost})
	if err != nil {
		return err
	}
	will, err := asWill(rows)
	if err != nil {
		return err
	}
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var w windows
		found, err := tx.row(ctx, selectHold, []any{holdID}, &w.budgets, &w.starts)
		if err == nil && !found {
			err = fmt.Errorf("billing/sqlite: %w: %s", billing.ErrNoHold, holdID)
		}
		if err != nil {
			return err
		}
		more = more.AtMost(billing.MostHeld())
		if err := grow(ctx, tx, w, more); err != nil {
			return err
		}
		_, err = tx.exec(ctx, updateHold, more.Tokens, int64(more.Money), will, holdID)
		return err
	})
}

// grow adds to what a hold holds in each of its windows, or returns the refusal.
func grow(ctx context.Context, tx *session, w windows, more billing.Amount) error {
	if more == (billing.Amount{}) {
		return nil
	}
	balances, err := balancesOf(ctx, tx, w)
	if err != nil {
		return err
	}
	if refused := refusal(billing.Hold{Tokens: more.Tokens, Money: more.Money, UnderWay: true}, balances); refused != nil {
		return refused
	}
	return hold(ctx, tx, w, more)
}

// wantFresh refuses a hold if its key has changed since it was read or can no longer be used.
func wantFresh(ctx context.Context, tx *session, h billing.Hold, now time.Time) error {
	var version int64
	var expires, revoked, stopped time.Time
	found, err := tx.row(ctx, selectKeyState, []any{string(h.KeyID)}, &version, instant{&expires}, instant{&revoked}, instant{&stopped})
	switch {
	case err != nil:
		return err
	case !found:
		return &billing.NotFoundError{What: "key", ID: string(h.KeyID)}
	case !revoked.IsZero():
		return billing.ErrRevoked
	case !expires.IsZero() && !expires.After(now):
		return billing.ErrExpired
	case !stopped.IsZero():
		return billing.ErrStopped
	case version != h.KeyVersion:
		return billing.ErrStaleKey
	}
	return nil
}

// held is the content of a hold's row.
type held struct {
	windows
	billing.Amount
	ifLost string
}

// take adds the amount of a hold to every counter and stores the row of the hold.
func take(ctx context.Context, tx *session, h billing.Hold, t held, now time.Time) error {
	if err := hold(ctx, tx, t.windows, t.Amount); err != nil {
		return err
	}
	_, err := tx.exec(ctx, insertHold, h.ID, string(h.KeyID), t.budgets, t.starts, t.Tokens, int64(t.Money), t.Requests, stamp(now),
		stamp(h.ExpiresAt), t.ifLost)
	return err
}

const deleteHold = `DELETE FROM holds WHERE id = ? RETURNING budget_ids, window_starts, tokens, nano, requests, if_lost`

// giveBack ends a hold. It reports false if the hold no longer exists.
func giveBack(ctx context.Context, tx *session, id string) (h held, found bool, err error) {
	found, err = tx.row(ctx, deleteHold, []any{id}, &h.budgets, &h.starts, &h.Tokens, &h.Money, &h.Requests, &h.ifLost)
	if found && err == nil {
		err = hold(ctx, tx, h.windows, billing.Amount{}.Minus(h.Amount))
	}
	return h, found, err
}

// Settle implements billing.Ledger. It returns the balances of the hold's budgets afterwards, or
// nothing if the hold was settled or swept before.
func (s *Store) Settle(ctx context.Context, settlement billing.Settlement) ([]billing.Balance, error) {
	rows, err := attempts(settlement)
	if err != nil {
		return nil, err
	}
	var balances []billing.Balance
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		h, found, err := giveBack(ctx, tx, settlement.HoldID)
		if !found || err != nil {
			return err
		}
		if err := s.book(ctx, tx, rows); err != nil {
			return err
		}
		balances, err = balancesOf(ctx, tx, h.windows)
		return err
	})
	return balances, err
}

// attempts returns the rows of a settlement, ready to be booked.
func attempts(settlement billing.Settlement) ([]billing.Spend, error) {
	if len(settlement.Attempts) == 0 {
		return nil, fmt.Errorf("billing/sqlite: settlement of %s has no attempts", settlement.HoldID)
	}
	rows := make([]billing.Spend, len(settlement.Attempts))
	for i, a := range settlement.Attempts {
		rows[i] = a.Tidy()
		if err := rows[i].Check(); err != nil {
			return nil, fmt.Errorf("settlement of %s: %w", settlement.HoldID, err)
		}
		if rows[i].RequestID != rows[0].RequestID || !rows[i].OccurredAt.Equal(rows[0].OccurredAt) {
			return nil, fmt.Errorf("billing/sqlite: settlement of %s: its attempts are not of one request", settlement.HoldID)
		}
	}
	return rows, nil
}

// book inserts rows and charges them. A trigger keeps the rollup up to date.
func (s *Store) book(ctx context.Context, tx *session, rows []billing.Spend) error {
	due := make(charges)
	for _, row := range rows {
		if err := s.insertEvent(ctx, tx, row); err != nil {
			return err
		}
		if err := s.follow(ctx, tx, row); err != nil {
			return err
		}
		due.add(row)
	}
	return due.post(ctx, tx)
}

// Release implements billing.Ledger.
func (s *Store) Release(ctx context.Context, holdID string) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		_, _, err := giveBack(ctx, tx, holdID)
		return err
	})
}

const selectExpired = `SELECT id FROM holds WHERE expires_at < ? ORDER BY expires_at`

// Sweep implements billing.Ledger. A hold whose rows cannot be written stays as it is and is
// reported in the error; the other holds are swept nevertheless.
func (s *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	var expired []string
	err := s.read.rows(ctx, selectExpired, []any{stamp(now)}, func(scan scanner) error {
		var id string
		err := scan(&id)
		expired = append(expired, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	swept := 0
	var failed []error
	for _, id := range expired {
		found, err := s.sweep(ctx, id)
		if errors.Is(err, billing.ErrUnavailable) {
			return swept, err
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", id, err))
		} else if found {
			swept++
		}
	}
	return swept, errors.Join(failed...)
}

// sweep settles a hold with the rows stored in it.
func (s *Store) sweep(ctx context.Context, id string) (found bool, err error) {
	var rows []billing.Spend
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var h held
		var err error
		if h, found, err = giveBack(ctx, tx, id); !found || err != nil {
			return err
		}
		rows = nil
		if err := json.Unmarshal([]byte(h.ifLost), &rows); err != nil {
			return fmt.Errorf("billing/sqlite: %w", err)
		}
		return s.book(ctx, tx, rows)
	})
	if found && err == nil && s.swept != nil {
		s.swept(rows)
	}
	return found, err
}

const (
	selectHeld = `SELECT budget_ids, window_starts, tokens, nano, requests FROM holds WHERE id = ?`
	widenHold  = `UPDATE holds SET
  budget_ids = (SELECT json_group_array(value) FROM (SELECT value FROM json_each(budget_ids) UNION ALL SELECT value FROM json_each(?2))),
  window_starts = (SELECT json_group_array(value)
    FROM (SELECT value FROM json_each(window_starts) UNION ALL SELECT value FROM json_each(?3)))
WHERE id = ?1`
)

// Widen implements billing.Ledger.
func (s *Store) Widen(ctx context.Context, holdID string, lines []billing.HoldLine) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var h held
		found, err := tx.row(ctx, selectHeld, []any{holdID}, &h.budgets, &h.starts, &h.Tokens, &h.Money, &h.Requests)
		if err == nil && !found {
			err = fmt.Errorf("billing/sqlite: %w: %s", billing.ErrNoHold, holdID)
		}
		if err != nil {
			return err
		}
		balances, err := beginCounters(ctx, tx, lines)
		if err != nil {
			return err
		}
		asked := billing.Hold{Tokens: h.Tokens, Money: h.Money, UnderWay: h.Requests == 0}
		if refused := refusal(asked, balances); refused != nil {
			return refused
		}
		w := windowsOf(lines)
		if err := hold(ctx, tx, w, h.Amount); err != nil {
			return err
		}
		_, err = tx.exec(ctx, widenHold, holdID, w.budgets, w.starts)
		return err
	})
}
