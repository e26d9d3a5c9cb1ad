package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// reserveSQL takes a hold from every counter or from none, in one statement.
// It reads each counter from its locked row, after all earlier writers have
// committed. If a line has no counter, or a counter has no room, nothing changes
// and the returned rows say why.
var reserveSQL = `
WITH key AS (
  SELECT revoked_at IS NOT NULL AS revoked, coalesce(expires_at <= $5, false) AS expired,
         stopped_at IS NOT NULL AS stopped, version <> $4 AS stale
    FROM api_keys WHERE id = $3
), line AS (
  SELECT * FROM unnest($6::text[], $7::timestamptz[], $8::timestamptz[]) AS l (budget_id, window_start, window_end)
), locked AS MATERIALIZED (
  SELECT c.*
    FROM budget_counters c JOIN line USING (budget_id, window_start, window_end)
   WHERE EXISTS (SELECT FROM key WHERE NOT (revoked OR expired OR stopped OR stale))
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), ` + judgedSQL("$11::bigint + $13::bigint", "$12::bigint + $14::bigint", "1") + `, verdict AS (
  SELECT count(*) = cardinality($6::text[]) AS complete, coalesce(bool_and(fits), true) AS fits FROM judged
), taken AS (
  UPDATE budget_counters c SET held_tokens = c.held_tokens + $9::bigint, held_nano = c.held_nano + $10::bigint,
         held_requests = c.held_requests + 1
    FROM judged j, verdict v
   WHERE c.budget_id = j.id AND c.window_start = j.window_start AND v.complete AND v.fits
), hold AS (
  INSERT INTO holds (id, key_id, budget_ids, window_starts, tokens, nano, requests, created_at, expires_at, if_lost)
  SELECT $1, $3, $6::text[], $7::timestamptz[], $9::bigint, $10::bigint, 1, $5, $15, $2::json
    FROM key, verdict v
   WHERE v.complete AND v.fits AND NOT (revoked OR expired OR stopped OR stale)
)
SELECT key.revoked, key.expired, key.stopped, key.stale, v.complete, coalesce(j.fits, true), ` + judgedColumns + `
  FROM key CROSS JOIN verdict v LEFT JOIN judged j ON true
 ORDER BY j.id`

// judgedSQL returns, for every locked counter, its balance and whether it has room for that
// many more tokens, nano-USD and requests. A standing reads judgedColumns.
func judgedSQL(tokens, nano, requests string) string {
	return strings.NewReplacer("{tokens}", tokens, "{nano}", nano, "{requests}", requests).Replace(`judged AS (
  SELECT ` + budgetColumns("b") + `,
         c.window_start, c.window_end, c.used_tokens, c.held_tokens + c.leased_tokens AS held_tokens,
         c.used_nano, c.held_nano + c.leased_nano AS held_nano,
         c.used_requests, c.held_requests + c.leased_requests AS held_requests,
         b.near_action = 'alert' OR coalesce(c.used_tokens::numeric + c.held_tokens + c.leased_tokens + {tokens} <= b.token_limit, true)
         AND coalesce(c.used_nano::numeric + c.held_nano + c.leased_nano + {nano} <= b.amount_nano, true)
         AND coalesce(c.used_requests + c.held_requests + c.leased_requests + {requests} <= b.request_limit OR {requests} = 0, true) AS fits
    FROM locked c JOIN budgets_now b ON b.id = c.budget_id AND b.archived_at IS NULL
)`)
}

var judgedColumns = budgetColumns("j") + `,
       j.window_start, j.window_end, j.used_tokens, j.held_tokens, j.used_nano, j.held_nano, j.used_requests, j.held_requests`

// Reserve implements billing.Ledger. It carries on even if the caller goes away:
// otherwise the hold could be left behind, and billed once it expired.
func (s *Store) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault(ctx, err)
	}
	detached := context.WithoutCancel(ctx)
	balances, err := s.reserve(detached, h, now)
	switch {
	case inDoubt(err):
		s.doubts.add(h.ID)
	case err == nil && ctx.Err() != nil:
		return nil, errors.Join(fault(ctx, ctx.Err()), s.Release(detached, h.ID))
	}
	var refused *billing.QuotaError
	if errors.As(err, &refused) {
		if e, first := s.denials.Event(h, refused, now); first {
			_ = s.WriteEvents(detached, e) // the refusal holds even if the event cannot be written
		}
	}
	return balances, err
}

func (s *Store) reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	args, err := reserveArgs(h, now)
	if err != nil {
		return nil, err
	}
	for range tries {
		var v verdict
		err := s.on(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
			v, err = judge(ctx, c, args)
			return err
		})
		switch {
		case code(err) == uniqueViolation:
			return nil, fmt.Errorf("%w: hold %s", billing.ErrDuplicate, h.ID)
		case err != nil:
			return nil, err
		case v.missing:
			return nil, &billing.NotFoundError{What: "key", ID: string(h.KeyID)}
		case v.complete:
			return v.outcome(h)
		}
		if err := s.openMissing(ctx, h.Lines, v.balances); err != nil {
			return nil, err
		}
	}
	return nil, billing.ErrStaleKey // a line's budget is no longer in force
}

func reserveArgs(h billing.Hold, now time.Time) ([]any, error) {
	if h.Tokens < 0 || h.Money < 0 || h.HeadroomTokens < 0 || h.HeadroomMoney < 0 {
		return nil, fmt.Errorf("billing/postgres: hold %s is negative", h.ID)
	}
	lost := h.IfLost.Tidy()
	lost.OccurredAt = lost.OccurredAt.Truncate(time.Microsecond) // the database's precision
	if err := lost.Check(); err != nil {
		return nil, fmt.Errorf("billing/postgres: hold %s could not be swept: %w", h.ID, err)
	}
	ifLost, err := json.Marshal([]billing.Spend{lost})
	if err != nil {
		return nil, fmt.Errorf("billing/postgres: hold %s: %w", h.ID, err)
	}
	budgets := make([]string, len(h.Lines))
	starts, ends := make([]pgtype.Timestamptz, len(h.Lines)), make([]pgtype.Timestamptz, len(h.Lines))
	for i, l := range h.Lines {
		budgets[i] = l.Budget.ID
		starts[i], ends[i] = bounds(l.Window)
	}
	held := h.Amount()
	return []any{
		h.ID, ifLost, h.KeyID, h.KeyVersion, now, budgets, starts, ends,
		held.Tokens, held.Money, h.Tokens, h.Money, h.HeadroomTokens, h.HeadroomMoney, h.ExpiresAt,
	}, nil
}

// verdict is the result of reserveSQL, retrySQL or widenSQL. Its balances do not include
// what was asked for.
type verdict struct {
	missing  bool // there is no such key or, in the other two, no such hold
	complete bool // every line has a counter
	balances []billing.Balance
	refused  int // index of the first balance without room, or -1
}

func judge(ctx context.Context, c *pgx.Conn, args []any) (verdict, error) {
	rows, err := c.Query(ctx, reserveSQL, args...)
	if err != nil {
		return verdict{}, err
	}
	defer rows.Close()
	var revoked, expired, stopped, stale, fits bool
	v := verdict{missing: true, refused: -1}
	for rows.Next() {
		var st standing
		if err := rows.Scan(append([]any{&revoked, &expired, &stopped, &stale, &v.complete, &fits}, st.columns()...)...); err != nil {
			return verdict{}, err
		}
		v.missing = false
		if !fits && v.refused < 0 {
			v.refused = len(v.balances)
		}
		v.add(st)
	}
	switch {
	case rows.Err() != nil:
		return verdict{}, rows.Err()
	case revoked:
		return verdict{}, billing.ErrRevoked
	case expired:
		return verdict{}, billing.ErrExpired
	case stopped:
		return verdict{}, billing.ErrStopped
	case stale:
		return verdict{}, billing.ErrStaleKey
	}
	return v, nil
}

// add appends the balance in a row, if it has one.
func (v *verdict) add(st standing) {
	if b, ok := st.balance(); ok {
		v.balances = append(v.balances, b)
	}
}

// outcome returns the balances including the hold, or the refusal as an error.
func (v verdict) outcome(h billing.Hold) ([]billing.Balance, error) {
	if v.refused >= 0 {
		return nil, billing.Refuse(v.balances[v.refused], v.balances, h.Asked())
	}
	for i, b := range v.balances {
		v.balances[i] = b.Stands(b.Used(), b.Held().Plus(h.Amount()))
	}
	return v.balances, nil
}

// retrySQL locks in the same order as a settlement: first the hold, then its counters.
// It updates the counters of archived budgets too, because a settlement does.
var retrySQL = `
WITH hold AS MATERIALIZED (
  SELECT budget_ids, window_starts FROM holds WHERE id = $1 FOR UPDATE
), locked AS MATERIALIZED (
  SELECT c.*
    FROM budget_counters c
   WHERE (c.budget_id, c.window_start) IN (
           SELECT l.budget_id, l.window_start FROM hold, unnest(budget_ids, window_starts) AS l (budget_id, window_start))
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), ` + judgedSQL("$3::bigint", "$4::bigint", "0") + `, verdict AS (
  SELECT coalesce(bool_and(fits), true) AS fits FROM judged
), taken AS (
  UPDATE budget_counters c SET held_tokens = c.held_tokens + $3::bigint, held_nano = c.held_nano + $4::bigint
    FROM locked l, verdict v
   WHERE c.budget_id = l.budget_id AND c.window_start = l.window_start AND v.fits
), grown AS (
  UPDATE holds h SET tokens = h.tokens + $3::bigint, nano = h.nano + $4::bigint, if_lost = $2::json
    FROM verdict v
   WHERE h.id = $1 AND v.fits
)
SELECT coalesce(j.fits, true), ` + judgedColumns + `
  FROM hold LEFT JOIN judged j ON true
 ORDER BY j.id`

// Retry implements billing.Ledger.
func (s *Store) Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	if more.Tokens < 0 || more.Money < 0 {
		return fmt.Errorf("billing/postgres: hold %s cannot shrink", holdID)
	}
	rows, err := s.events(ifLost)
	if err != nil {
		return err
	}
	will, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("billing/postgres: hold %s: %w", holdID, err)
	}
	more = more.AtMost(billing.MostHeld())
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		v, err := grow(ctx, c, holdID, will, more)
		switch {
		case err != nil:
			return err
		case v.missing:
			return fmt.Errorf("%w: %s", billing.ErrNoHold, holdID)
		}
		_, err = v.outcome(billing.Hold{Tokens: more.Tokens, Money: more.Money, UnderWay: true})
		return err
	})
}

// grow increases a hold, or returns a verdict that says why it cannot.
func grow(ctx context.Context, c *pgx.Conn, holdID string, will []byte, more billing.Amount) (verdict, error) {
	rows, err := c.Query(ctx, retrySQL, holdID, will, more.Tokens, more.Money)
	if err != nil {
		return verdict{}, err
	}
	defer rows.Close()
	v := verdict{missing: true, refused: -1}
	for rows.Next() {
		var fits bool
		var st standing
		if err := rows.Scan(append([]any{&fits}, st.columns()...)...); err != nil {
			return verdict{}, err
		}
		v.missing = false
		if !fits && v.refused < 0 {
			v.refused = len(v.balances)
		}
		v.add(st)
	}
	return v, rows.Err()
}

// settleSQL does everything in a settlement except taking its locks. Deleting the
// hold decides: if the hold is gone, nothing changes. Counters are found by the end
// of their window, because the index on it leads straight to the current one; the
// condition on the start is written so that the planner cannot use an index that
// would begin with the oldest window. Counters of archived budgets are updated as
// well, so that they are correct if a budget is restored.
var settleSQL = `
WITH gone AS (
  DELETE FROM holds WHERE id = $1 RETURNING budget_ids, window_starts, tokens, nano, requests
), posted AS (
  ` + insertEventsSQL(8) + `
   WHERE EXISTS (SELECT FROM gone)
  RETURNING key_id, overrun_tokens, overrun_nano, input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens,
    cost_nano AS nano, (kind = 'usage' AND final)::int AS requests, limits
), ` + overrunSQL(6) + `, spent AS (
  SELECT coalesce(sum(tokens), 0)::bigint AS tokens, coalesce(sum(nano), 0)::bigint AS nano,
         coalesce(sum(requests), 0)::bigint AS requests
    FROM posted
), change AS (
  SELECT budget_id, window_start,
         sum(used_tokens) AS used_tokens, sum(used_nano) AS used_nano, sum(used_requests)::bigint AS used_requests,
         sum(free_tokens)::bigint AS free_tokens, sum(free_nano)::bigint AS free_nano, sum(free_requests)::bigint AS free_requests
    FROM (
      SELECT l.budget_id, l.window_start, 0::bigint AS used_tokens, 0::bigint AS used_nano, 0::bigint AS used_requests,
             g.tokens AS free_tokens, g.nano AS free_nano, g.requests AS free_requests
        FROM gone g, unnest(g.budget_ids, g.window_starts) AS l (budget_id, window_start)
      UNION ALL
      SELECT c.budget_id, c.window_start, s.tokens, s.nano, s.requests, 0, 0, 0
        FROM gone, spent s, budgets b
        JOIN budget_counters c ON c.budget_id = b.id AND c.window_end > $5 AND c.window_start + interval '0' <= $5
       WHERE (b.scope, b.scope_id) IN (('key', $2), ('project', $3), ('team', $4), ('org', 'org')) AND b.parent_id IS NULL
      UNION ALL
      SELECT c.budget_id, c.window_start, p.tokens, coalesce(p.nano, 0), p.requests, 0, 0, 0
        FROM posted p
       CROSS JOIN LATERAL unnest(p.limits) AS l (budget_id)
        JOIN budget_counters c ON c.budget_id = l.budget_id AND c.window_end > $5 AND c.window_start + interval '0' <= $5
    ) AS part
   GROUP BY budget_id, window_start
), ` + movedSQL("held") + `
SELECT ` + movedColumns + `
  FROM gone LEFT JOIN (moved m JOIN budgets_now b ON b.id = m.budget_id AND b.archived_at IS NULL) ON true
 ORDER BY b.id, m.window_start`

const lockScopesSQL = "SELECT pg_advisory_xact_lock_shared(l) FROM unnest($1::bigint[]) AS l"

// Settle implements billing.Ledger.
func (s *Store) Settle(ctx context.Context, st billing.Settlement) ([]billing.Balance, error) {
	_, balances, err := s.settle(ctx, st)
	return balances, err
}

// settle does the work of Settle, and also returns whether the hold still existed.
func (s *Store) settle(ctx context.Context, st billing.Settlement) (was bool, balances []billing.Balance, err error) {
	rows, err := s.events(st.Attempts)
	if err != nil {
		return false, nil, err
	}
	first := rows[0]
	post := func(ctx context.Context, c *pgx.Conn) error {
		b := s.settleBatch(st.HoldID, rows, func(standings []standing) { was, balances = settled(standings) })
		return c.SendBatch(ctx, b).Close() // a batch runs as one transaction
	}
	err = s.on(ctx, post)
	if lacksPartition(err) {
		if err = s.addPartitions(ctx, rows); err == nil {
			err = s.on(ctx, post)
		}
	}
	if closedPeriod(err) {
		was, balances, err = s.settleLate(ctx, st)
	}
	switch {
	case code(err) == uniqueViolation:
		return false, nil, fmt.Errorf("%w: an attempt of request %s", billing.ErrDuplicate, first.RequestID)
	case err != nil:
		return false, nil, err
	}
	return was, balances, nil
}

// settleBatch returns all statements of a settlement as one batch.
func (s *Store) settleBatch(hold string, rows []billing.Spend, done func([]standing)) *pgx.Batch {
	o := rows[0].Owner
	b := &pgx.Batch{}
	queueKeyLocks(b, rows)
	queueScopes(b, rows, scopeLocks(o))
	args := append([]any{hold, o.KeyID, o.ProjectID, o.TeamID, rows[0].OccurredAt}, s.overrunArgs()...)
	b.Queue(settleSQL, append(args, arrays(rows)...)...).
		Query(func(rows pgx.Rows) error {
			standings, err := pgx.CollectRows(rows, scanStanding)
			done(standings)
			return err
		})
	queueEvents(b, billing.RowEvents(rows))
	return b
}

// settled returns whether the hold existed, and the balances of its budgets.
func settled(standings []standing) (was bool, balances []billing.Balance) {
	for _, st := range standings {
		if b, ok := st.balance(); ok {
			balances = append(balances, b)
		}
	}
	return len(standings) > 0, balances
}

// settleLate settles attempts from a month that has been closed in the meantime.
func (s *Store) settleLate(ctx context.Context, st billing.Settlement) (was bool, balances []billing.Balance, err error) {
	first := st.Attempts[0]
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		late, err := s.bookLate(ctx, tx, st.Attempts)
		if err != nil {
			return err
		}
		if len(late) < len(st.Attempts) {
			return fmt.Errorf("%w: an attempt of request %s", billing.ErrDuplicate, first.RequestID)
		}
		rows, err := s.events(late)
		if err != nil {
			return err
		}
		b := s.settleBatch(st.HoldID, rows, func(standings []standing) { was, balances = settled(standings) })
		return tx.SendBatch(ctx, b).Close()
	})
	return was, balances, err
}

// releaseSQL deletes a hold and gives back what it reserved.
const releaseSQL = `
WITH gone AS (
  DELETE FROM holds WHERE id = $1 RETURNING budget_ids, window_starts, tokens, nano, requests
), line AS (
  SELECT l.budget_id, l.window_start, g.tokens, g.nano, g.requests
    FROM gone g, unnest(g.budget_ids, g.window_starts) AS l (budget_id, window_start)
), locked AS MATERIALIZED (
  SELECT c.budget_id, c.window_start
    FROM budget_counters c JOIN line USING (budget_id, window_start)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
)
UPDATE budget_counters c SET held_tokens = c.held_tokens - line.tokens, held_nano = c.held_nano - line.nano,
       held_requests = c.held_requests - line.requests
  FROM line JOIN locked USING (budget_id, window_start)
 WHERE c.budget_id = line.budget_id AND c.window_start = line.window_start`

// Release implements billing.Ledger.
func (s *Store) Release(ctx context.Context, holdID string) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, releaseSQL, holdID)
		return err
	})
}
