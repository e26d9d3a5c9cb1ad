package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// grantSQL leases from every counter or from none, in one statement. It locks the counters'
// rows in the same order as all other code. Beyond what the request needs, the replica gets
// the larger of two amounts: what its other requests are waiting for, as far as there is
// room; or part of its wish, so that at most a sixteenth of the remainder sits idle with it.
// The last of a budget is thus shared request by request, and a replica that dies takes
// little with it. Whatever is not limited is granted in full, since nobody can run short of
// it. If the request does not fit while other replicas hold more than they use, the window
// is marked for five seconds and those replicas are told to give back what is idle; within
// half a second of that, they are not told again.
var grantSQL = `
WITH replica AS (
  SELECT FROM replicas WHERE id = $1 AND epoch = $2 FOR KEY SHARE
), line AS (
  SELECT * FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
    $17::bigint[], $18::bigint[], $19::bigint[])
       AS l (budget_id, window_start, window_end, need_tokens, need_nano, need_requests, head_tokens, head_nano,
         wish_tokens, wish_nano, wish_requests, idle_tokens, idle_nano, idle_requests, wait_tokens, wait_nano, wait_requests)
), locked AS MATERIALIZED (
  SELECT c.*
    FROM budget_counters c JOIN line USING (budget_id, window_start, window_end)
   WHERE EXISTS (SELECT FROM replica)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), room AS (
  SELECT ` + budgetColumns("b") + `,
         l.need_tokens, l.need_nano, l.need_requests,
         c.window_start, c.window_end, c.used_tokens, c.held_tokens + c.leased_tokens AS held_tokens,
         c.used_nano, c.held_nano + c.leased_nano AS held_nano,
         c.used_requests, c.held_requests + c.leased_requests AS held_requests, c.exact_until > now() AS exact,
         c.exact_until > now() + interval '4500 milliseconds' AS told,
         greatest(l.wish_tokens - l.idle_tokens, l.need_tokens) AS wish_tokens,
         greatest(l.wish_nano - l.idle_nano, l.need_nano) AS wish_nano,
         greatest(l.wish_requests - l.idle_requests, l.need_requests) AS wish_requests,
         CASE WHEN binds THEN b.token_limit::numeric - c.used_tokens - c.held_tokens - c.leased_tokens - l.need_tokens END AS left_tokens,
         CASE WHEN binds THEN b.amount_nano::numeric - c.used_nano - c.held_nano - c.leased_nano - l.need_nano END AS left_nano,
         CASE WHEN binds
              THEN b.request_limit - c.used_requests - c.held_requests - c.leased_requests - l.need_requests END AS left_requests,
         l.head_tokens, l.head_nano, l.idle_tokens, l.idle_nano, l.idle_requests, l.wait_tokens, l.wait_nano, l.wait_requests
    FROM locked c
    JOIN line l USING (budget_id, window_start)
    JOIN budgets_now b ON b.id = c.budget_id AND b.archived_at IS NULL
   CROSS JOIN LATERAL (SELECT b.near_action <> 'alert' AS binds) AS action
), busy AS (
  SELECT r.*,
         need_tokens + least(wait_tokens, CASE WHEN left_tokens < head_tokens THEN 0 ELSE left_tokens - head_tokens END) AS busy_tokens,
         need_nano + least(wait_nano, CASE WHEN left_nano < head_nano THEN 0 ELSE left_nano - head_nano END) AS busy_nano,
         need_requests + least(wait_requests, CASE WHEN left_requests < 0 THEN 0 ELSE left_requests END) AS busy_requests
    FROM room r
), judged AS (
  SELECT r.*, coalesce(left_tokens >= head_tokens, true) AND coalesce(left_nano >= head_nano, true)
           AND coalesce(left_requests >= 0, true) AS fits,
         greatest(busy_tokens, CASE WHEN left_tokens IS NULL THEN wish_tokens WHEN NOT exact
              THEN need_tokens + least(wish_tokens - need_tokens, greatest(trunc(left_tokens / 16) - idle_tokens, 0))
         END)::bigint AS grant_tokens,
         greatest(busy_nano, CASE WHEN left_nano IS NULL THEN wish_nano WHEN NOT exact
              THEN need_nano + least(wish_nano - need_nano, greatest(trunc(left_nano / 16) - idle_nano, 0))
         END)::bigint AS grant_nano,
         greatest(busy_requests, CASE WHEN left_requests IS NULL THEN wish_requests WHEN NOT exact
              THEN need_requests + least(wish_requests - need_requests, greatest(left_requests / 16 - idle_requests, 0))
         END) AS grant_requests,
         (NOT coalesce(left_tokens >= head_tokens, true) OR NOT coalesce(left_nano >= head_nano, true)
           OR coalesce(left_requests < 0, false)) AND EXISTS (
           SELECT FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch AND p.expires_at > now()
            WHERE l.budget_id = r.id AND l.window_start = r.window_start AND (l.replica_id, l.epoch) <> ($1, $2)
              AND (l.tokens > l.busy_tokens AND left_tokens < head_tokens OR l.nano > l.busy_nano AND left_nano < head_nano
                OR l.requests > l.busy_requests AND left_requests < 0)
         ) AS idle
    FROM busy r
), verdict AS (
  SELECT count(*) = cardinality($3::text[]) AS complete, coalesce(bool_and(fits), true) AS fits FROM judged
), moved AS (
  UPDATE budget_counters c
     SET leased_tokens = c.leased_tokens + CASE WHEN v.fits THEN j.grant_tokens ELSE 0 END,
         leased_nano = c.leased_nano + CASE WHEN v.fits THEN j.grant_nano ELSE 0 END,
         leased_requests = c.leased_requests + CASE WHEN v.fits THEN j.grant_requests ELSE 0 END,
         exact_until = CASE WHEN j.idle AND NOT v.fits THEN now() + interval '5 seconds' ELSE c.exact_until END
    FROM judged j, verdict v
   WHERE c.budget_id = j.id AND c.window_start = j.window_start AND v.complete AND (v.fits OR j.idle AND NOT j.told)
), leased AS (
  INSERT INTO leases AS l (budget_id, window_start, replica_id, epoch, tokens, nano, requests, busy_tokens, busy_nano,
    busy_requests)
  SELECT j.id, j.window_start, $1, $2, j.grant_tokens, j.grant_nano, j.grant_requests,
         j.busy_tokens::bigint, j.busy_nano::bigint, j.busy_requests
    FROM judged j, verdict v WHERE v.complete AND v.fits
  ON CONFLICT (budget_id, window_start, replica_id, epoch) DO UPDATE
     SET tokens = l.tokens + excluded.tokens, nano = l.nano + excluded.nano, requests = l.requests + excluded.requests,
         busy_tokens = least(l.busy_tokens + excluded.busy_tokens, l.tokens + excluded.tokens),
         busy_nano = least(l.busy_nano + excluded.busy_nano, l.nano + excluded.nano),
         busy_requests = least(l.busy_requests + excluded.busy_requests, l.requests + excluded.requests)
)
SELECT EXISTS (SELECT FROM replica), v.complete, v.fits, coalesce(j.fits, true), coalesce(j.idle, false), coalesce(j.exact, false),
       coalesce(j.grant_tokens, 0), coalesce(j.grant_nano, 0), coalesce(j.grant_requests, 0),
       coalesce(mine.tokens, 0), coalesce(mine.nano, 0), coalesce(mine.requests, 0),
       ` + judgedColumns + `,
       CASE WHEN j.idle AND NOT v.fits AND NOT j.told THEN pg_notify('` + wantedChannel + `', j.id)::text END
  FROM verdict v LEFT JOIN judged j ON true
  LEFT JOIN leases mine ON mine.budget_id = j.id AND mine.window_start = j.window_start AND mine.replica_id = $1 AND mine.epoch = $2
 ORDER BY j.id, j.window_start`

// grantedAfterSQL runs once the counters are locked, and so sees every posting that updated
// them; grantSQL itself sees replicas as they were when it started.
const grantedAfterSQL = `SELECT posted_seq FROM replicas WHERE id = $1 AND epoch = $2`

// wantedChannel carries the ids of budgets of which a replica could not lease enough.
const wantedChannel = "tallyroute_wanted"

// Grant implements billing.Allowances.
func (s *Store) Grant(ctx context.Context, r billing.Replica, wants []billing.Want) ([]billing.Granted, bool, error) {
	args := grantArgs(r, wants)
	for range tries {
		var a granting
		err := s.on(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
			a, err = askGrant(ctx, c, args)
			return err
		})
		switch {
		case code(err) == foreignKeyViolation: // the replica was forgotten in the meantime
			return nil, false, fmt.Errorf("%w: %s", billing.ErrFenced, r.ID)
		case err != nil:
			return nil, false, err
		case !a.known:
			return nil, false, fmt.Errorf("%w: %s", billing.ErrFenced, r.ID)
		case a.complete:
			return a.granted, a.fits, nil
		}
		have := make([]billing.Balance, len(a.granted))
		for i, g := range a.granted {
			have[i] = g.Balance
		}
		lines := make([]billing.HoldLine, len(wants))
		for i, w := range wants {
			lines[i] = w.HoldLine
		}
		if err := s.openMissing(ctx, lines, have); err != nil {
			return nil, false, err
		}
	}
	return nil, false, billing.ErrStaleKey // a line's budget is no longer in force
}

// granting is the result of grantSQL.
type granting struct {
	known, complete, fits bool
	granted               []billing.Granted
}

func askGrant(ctx context.Context, c *pgx.Conn, args []any) (granting, error) {
	var a granting
	batch := &pgx.Batch{} // a batch runs as one transaction
	batch.Queue(grantSQL, args...).Query(func(rows pgx.Rows) (err error) {
		a, err = readGranted(rows)
		return err
	})
	batch.Queue(grantedAfterSQL, args[:2]...).Query(func(rows pgx.Rows) error {
		var seq int64
		_, err := pgx.ForEachRow(rows, []any{&seq}, func() error {
			for i := range a.granted {
				a.granted[i].Seq = seq
			}
			return nil
		})
		return err
	})
	err := c.SendBatch(ctx, batch).Close()
	return a, err
}

func readGranted(rows pgx.Rows) (granting, error) {
	defer rows.Close()
	var a granting
	for rows.Next() {
		var st standing
		var g billing.Granted
		var told pgtype.Text
		columns := append([]any{
			&a.known, &a.complete, &a.fits, &g.Fits, &g.Idle, &g.Exact, &g.Amount.Tokens, &g.Amount.Money, &g.Amount.Requests,
			&g.Leased.Tokens, &g.Leased.Money, &g.Leased.Requests,
		}, st.columns()...)
		if err := rows.Scan(append(columns, &told)...); err != nil {
			return granting{}, err
		}
		b, ok := st.balance()
		if !ok {
			continue
		}
		if g.Balance = b; a.fits {
			g.Balance = b.Stands(b.Used(), b.Held().Plus(g.Amount))
			g.Leased = g.Leased.Plus(g.Amount)
		} else {
			g.Amount = billing.Amount{}
		}
		a.granted = append(a.granted, g)
	}
	return a, rows.Err()
}

func grantArgs(r billing.Replica, wants []billing.Want) []any {
	n := len(wants)
	budgets := make([]string, n)
	starts, ends := make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
	var amounts [14][]int64
	for i := range amounts {
		amounts[i] = make([]int64, n)
	}
	for i, w := range wants {
		budgets[i] = w.Budget.ID
		starts[i], ends[i] = bounds(w.Window)
		bounded := func(a billing.Amount) billing.Amount { return a.AtLeast(billing.Amount{}).AtMost(billing.MostHeld()) }
		need, head, wish, idle := bounded(w.Need), bounded(w.Headroom), bounded(w.Wish), bounded(w.Idle)
		waiting := bounded(w.Waiting).AtMost(billing.MostHeld().Minus(need))
		for j, n := range []int64{
			need.Tokens, int64(need.Money), need.Requests, head.Tokens, int64(head.Money),
			wish.Tokens, int64(wish.Money), wish.Requests, idle.Tokens, int64(idle.Money), idle.Requests,
			waiting.Tokens, int64(waiting.Money), waiting.Requests,
		} {
			amounts[j][i] = n
		}
	}
	args := []any{r.ID, r.Epoch, budgets, starts, ends}
	for _, a := range amounts {
		args = append(args, a)
	}
	return args
}
