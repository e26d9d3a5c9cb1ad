package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// postSQL inserts a batch of rows and updates the counters and leases to match.
// A row that already exists changes nothing. The leases change only if this
// posting is the next one in the replica's sequence, and if all of them can.
// Rows that were rejected earlier become booked, and still count only once.
//
// Which windows a row falls into depends on its owner and its time. Windows
// start on a full minute in every time zone, so rows are summed up by owner and
// minute before the counters are looked up. Counters are found by the end of
// their window, because the index on it leads straight to the current one.
var postSQL = `
WITH move AS (
  SELECT * FROM unnest($5::text[], $6::timestamptz[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $24::bigint[],
    $25::bigint[])
       AS m (budget_id, window_start, down_tokens, down_nano, busy_tokens, busy_nano, down_requests, busy_requests)
), gate AS (
  UPDATE replicas SET posted_seq = $3, seen_at = now(), expires_at = now() + $4::bigint * interval '1 millisecond'
   WHERE id = $1 AND epoch = $2 AND posted_seq = $3 - 1
     AND NOT EXISTS (
       SELECT FROM move m
         LEFT JOIN leases l ON l.budget_id = m.budget_id AND l.window_start = m.window_start AND l.replica_id = $1 AND l.epoch = $2
         LEFT JOIN budget_counters c ON c.budget_id = m.budget_id AND c.window_start = m.window_start
        WHERE m.down_tokens > least(coalesce(l.tokens, 0), coalesce(c.leased_tokens, 0))
           OR m.down_nano > least(coalesce(l.nano, 0), coalesce(c.leased_nano, 0))
           OR m.down_requests > least(coalesce(l.requests, 0), coalesce(c.leased_requests, 0)))
  RETURNING true
), posted AS (
  ` + insertEventsSQL(30) + `
  ON CONFLICT DO NOTHING
  RETURNING key_id, project_id, team_id, occurred_at, overrun_tokens, overrun_nano,
            input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano,
            (kind = 'usage' AND final)::int::bigint AS requests, limits
), ` + overrunSQL(28) + `, booked AS (
  UPDATE spend_rejects r SET booked_at = now(), booked_by = $11
    FROM unnest($12::text[], $13::int[]) AS b (request_id, attempt)
   WHERE r.request_id = b.request_id AND r.attempt = b.attempt AND r.booked_at IS NULL
  RETURNING r.key_id, r.project_id, r.team_id, r.occurred_at, -r.tokens AS tokens, -r.nano AS nano, -r.requests AS requests,
    r.limits
), rejected AS (
  INSERT INTO spend_rejects (request_id, attempt, reason, spend, occurred_at, key_id, project_id, team_id, tokens, nano, requests,
    limits)
  SELECT request_id, attempt, reason, spend, occurred_at, key_id, project_id, team_id, tokens, nano, requests, limits::text[]
    FROM unnest($14::text[], $15::int[], $16::text[], $17::bytea[], $18::timestamptz[], $19::text[], $20::text[],
      $21::text[], $22::bigint[], $23::bigint[], $26::bigint[], $27::text[])
      AS r (request_id, attempt, reason, spend, occurred_at, key_id, project_id, team_id, tokens, nano, requests, limits)
  ON CONFLICT DO NOTHING
  RETURNING key_id, project_id, team_id, occurred_at, tokens, nano, requests, limits
), spent AS (
  SELECT key_id, project_id, team_id, limits, to_timestamp(floor(extract(epoch FROM occurred_at) / 60) * 60) AS minute,
         sum(tokens)::bigint AS tokens, coalesce(sum(nano), 0)::bigint AS nano, sum(requests)::bigint AS requests
    FROM (SELECT key_id, project_id, team_id, occurred_at, tokens, nano, requests, limits FROM posted
          UNION ALL SELECT * FROM booked UNION ALL SELECT * FROM rejected) AS part
   GROUP BY 1, 2, 3, 4, 5
), change AS (
  SELECT budget_id, window_start,
         sum(used_tokens) AS used_tokens, sum(used_nano) AS used_nano, sum(used_requests)::bigint AS used_requests,
         sum(free_tokens)::bigint AS free_tokens, sum(free_nano)::bigint AS free_nano, sum(free_requests)::bigint AS free_requests
    FROM (
      SELECT c.budget_id, c.window_start, s.tokens AS used_tokens, s.nano AS used_nano, s.requests AS used_requests,
             0::bigint AS free_tokens, 0::bigint AS free_nano, 0::bigint AS free_requests
        FROM spent s
       CROSS JOIN LATERAL (VALUES ('key', s.key_id), ('project', s.project_id), ('team', s.team_id), ('org', 'org')) AS o (scope, scope_id)
        JOIN budgets b ON b.scope = o.scope AND b.scope_id = o.scope_id AND b.parent_id IS NULL
        JOIN budget_counters c ON c.budget_id = b.id AND c.window_end > s.minute AND c.window_start + interval '0' <= s.minute
      UNION ALL
      SELECT c.budget_id, c.window_start, s.tokens, s.nano, s.requests, 0, 0, 0
        FROM spent s
       CROSS JOIN LATERAL unnest(s.limits) AS l (budget_id)
        JOIN budget_counters c ON c.budget_id = l.budget_id AND c.window_end > s.minute AND c.window_start + interval '0' <= s.minute
      UNION ALL
      SELECT budget_id, window_start, 0, 0, 0, down_tokens, down_nano, down_requests FROM gate, move
    ) AS part
   GROUP BY budget_id, window_start
), ` + movedSQL("leased") + `, lowered AS (
  UPDATE leases l
     SET tokens = l.tokens - d.down_tokens, nano = l.nano - d.down_nano, requests = l.requests - d.down_requests,
         busy_tokens = least(d.busy_tokens, l.tokens - d.down_tokens), busy_nano = least(d.busy_nano, l.nano - d.down_nano),
         busy_requests = least(d.busy_requests, l.requests - d.down_requests)
    FROM gate, move d JOIN locked USING (budget_id, window_start) -- the counter first, as in grantSQL
   WHERE l.replica_id = $1 AND l.epoch = $2 AND l.budget_id = d.budget_id AND l.window_start = d.window_start
)
SELECT (SELECT count(*) FROM posted),
  coalesce((SELECT true FROM gate), (SELECT posted_seq >= $3 FROM replicas WHERE id = $1 AND epoch = $2), false),
       ` + movedColumns + `
  FROM (VALUES (1)) AS one LEFT JOIN (moved m JOIN budgets_now b ON b.id = m.budget_id AND b.archived_at IS NULL) ON true
 ORDER BY b.id, m.window_start`

// Post implements billing.Allowances. If a replica's posting is out of sequence, or
// its leases cannot change as it asks, the replica is fenced and must join again.
func (s *Store) Post(ctx context.Context, p billing.Posting) (billing.Posted, error) {
	posted, err := s.post(ctx, p, "")
	if err == nil && posted.Fenced {
		err = s.end(ctx, p.Replica)
	}
	return posted, err
}

// post writes a posting, and records who booked the rows that had been rejected before.
func (s *Store) post(ctx context.Context, p billing.Posting, by string, notes ...*billing.Change) (billing.Posted, error) {
	rows := make([]billing.Spend, len(p.Rows))
	for i, r := range p.Rows {
		row, err := s.event(r)
		if err != nil {
			return billing.Posted{}, &billing.RowError{Index: i, Err: err}
		}
		rows[i] = row
	}
	args, err := postArgs(p, by)
	if err != nil {
		return billing.Posted{}, err
	}
	b := &postingBatch{
		args: append(args, s.overrunArgs()...), locks: append(slices.Clone(p.Rows), rejectedRows(p)...),
		events: p.AllEvents(),
	}
	noted := func(ctx context.Context, c *pgx.Conn, send func(tx pgx.Tx) error) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if err := send(tx); err != nil {
				return err
			}
			return note(ctx, tx, notes)
		})
	}
	send := func(ctx context.Context, c *pgx.Conn) error {
		if len(notes) == 0 {
			return b.send(ctx, c, rows)
		}
		return noted(ctx, c, func(tx pgx.Tx) error { return b.send(ctx, tx, rows) })
	}
	err = s.within(ctx, s.postings, send)
	if lacksPartition(err) {
		if err = s.addPartitions(ctx, rows); err == nil {
			err = s.within(ctx, s.postings, send)
		}
	}
	if closedPeriod(err) {
		err = s.within(ctx, s.postings, func(ctx context.Context, c *pgx.Conn) error {
			return noted(ctx, c, func(tx pgx.Tx) error { return s.postLate(ctx, tx, p.Rows, b) })
		})
	}
	return b.posted, rowFault(err)
}

// postingBatch is everything in a posting except its rows.
type postingBatch struct {
	args   []any
	locks  []billing.Spend // rows whose owners' scopes are locked
	events []billing.Event // in addition to those derived from its rows
	posted billing.Posted
}

// send posts rows in one batch, which runs as one transaction.
func (b *postingBatch) send(ctx context.Context, c interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}, rows []billing.Spend,
) error {
	batch := &pgx.Batch{}
	queueKeyLocks(batch, rows)
	queueScopes(batch, rows, batchLocks(b.locks))
	batch.Queue(postSQL, append(slices.Clone(b.args), arrays(rows)...)...).Query(func(rows pgx.Rows) (err error) {
		b.posted, err = readPosted(rows)
		return err
	})
	queueEvents(batch, append(billing.RowEvents(rows), b.events...))
	return c.SendBatch(ctx, batch).Close()
}

// postLate posts rows some of which are from months that have been closed in the meantime.
func (s *Store) postLate(ctx context.Context, tx pgx.Tx, all []billing.Spend, b *postingBatch) error {
	rows, err := s.bookLate(ctx, tx, all)
	if err != nil {
		return err
	}
	for i := range rows {
		if rows[i], err = s.event(rows[i]); err != nil {
			return err
		}
	}
	return b.send(ctx, tx, rows)
}

func readPosted(rows pgx.Rows) (billing.Posted, error) {
	defer rows.Close()
	var p billing.Posted
	for rows.Next() {
		var st standing
		var known bool
		if err := rows.Scan(append([]any{&p.Inserted, &known}, st.columns()...)...); err != nil {
			return p, err
		}
		p.Fenced = !known
		if b, ok := st.balance(); ok {
			p.Balances = append(p.Balances, b)
		}
	}
	return p, rows.Err()
}

// rowFault distinguishes errors caused by a row from those of the database: a row is at
// fault only if its values are invalid or violate a constraint of the ledger's own table.
func rowFault(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || errors.Is(err, billing.ErrUnavailable) || lacksPartition(err) {
		return err
	}
	own := strings.HasPrefix(pg.TableName, "spend_events") // or a partition of it
	// Errors about invalid values do not name a table. If one was raised in a
	// trigger, such as the rollup's, the value might not be from the row.
	value := pg.Code[:2] == "22" && !strings.Contains(pg.Where, "PL/pgSQL function")
	if pg.Code[:2] == "23" && own || value {
		return &billing.RowError{Index: -1, Err: err}
	}
	return fmt.Errorf("%w: %w", billing.ErrUnavailable, err)
}

// postArgs returns the arguments of postSQL except for those of the rows.
func postArgs(p billing.Posting, by string) ([]any, error) {
	n := len(p.Leases)
	budgets, starts := make([]string, n), make([]pgtype.Timestamptz, n)
	var amounts [6][]int64
	for i := range amounts {
		amounts[i] = make([]int64, n)
	}
	for i, l := range p.Leases {
		budgets[i] = l.BudgetID
		starts[i], _ = bounds(billing.Window{Start: l.WindowStart})
		amounts[0][i], amounts[1][i] = l.Down.Tokens, int64(l.Down.Money)
		amounts[2][i], amounts[3][i] = l.Busy.Tokens, int64(l.Busy.Money)
		amounts[4][i], amounts[5][i] = l.Down.Requests, l.Busy.Requests
	}
	requests, attempts := make([]string, len(p.Rows)), make([]int, len(p.Rows))
	for i, r := range p.Rows {
		requests[i], attempts[i] = billing.CleanText(r.RequestID), r.Attempt
	}
	args := []any{
		p.Replica.ID, p.Replica.Epoch, p.Seq, p.Replica.TTL.Milliseconds(), budgets, starts, amounts[0], amounts[1], amounts[2], amounts[3],
		billing.CleanText(by), requests, attempts,
	}
	rejects, counted, err := rejectArgs(p.Rejects)
	return append(append(args, rejects...), amounts[4], amounts[5], counted, textsOrNull(func(r *billing.Spend) string {
		return listText(r.Limits)
	})(rejectedRows(p))), err
}

// batchLocks returns the locks of every scope that the owners of rows belong to, in the
// order that all code takes them: the widest scope first, and by number within a scope.
func batchLocks(rows []billing.Spend) []int64 {
	var scopes [4]map[int64]struct{}
	for i := range scopes {
		scopes[i] = make(map[int64]struct{})
	}
	seen := make(map[billing.Owner]struct{})
	for i := range rows {
		o := rows[i].Owner
		if _, ok := seen[o]; ok {
			continue
		}
		seen[o] = struct{}{}
		for j, l := range scopeLocks(o) {
			scopes[j][l] = struct{}{}
		}
	}
	var all []int64
	for _, scope := range scopes {
		list := make([]int64, 0, len(scope))
		for l := range scope {
			list = append(list, l)
		}
		slices.Sort(list)
		all = append(all, list...)
	}
	return all
}
