package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// Counters are created for all lines of a request that lack one, in one transaction and one
// round trip: it locks the scopes, creates child budgets for new names, and sums up the
// ledger.

const openLocksSQL = "SELECT pg_advisory_xact_lock(l) FROM unnest($1::bigint[]) AS l"

// makeBelowSQL creates child budgets, and returns those for which their parent has no room.
var makeBelowSQL = `
WITH line AS (
  SELECT l.* FROM unnest($1::text[], $2::text[], $3::text[], $4::int[]) AS l (id, parent_id, named, most)
   WHERE NOT EXISTS (SELECT FROM budgets b WHERE b.id = l.id)
), locked AS MATERIALIZED (
  SELECT id FROM budgets WHERE id IN (SELECT parent_id FROM line) ORDER BY id FOR NO KEY UPDATE
), room AS (
  UPDATE budgets p SET names = p.names + l.n
    FROM (SELECT parent_id, count(*)::int AS n, max(most) AS most FROM line GROUP BY parent_id) AS l JOIN locked ON locked.id = l.parent_id
   WHERE p.id = l.parent_id AND p.archived_at IS NULL AND p.names + l.n <= l.most
  RETURNING p.*
), made AS (
  INSERT INTO budgets (id, parent_id, named, part, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts,
    near_action, thresholds)
  SELECT l.id, p.id, l.named, p.part, p.scope, p.scope_id, p.period, p.zone, p.token_limit, p.amount_nano, p.request_limit, p.starts,
         p.near_action, p.thresholds
    FROM line l JOIN room p ON p.id = l.parent_id
  ON CONFLICT DO NOTHING
)
SELECT l.id, l.parent_id FROM line l JOIN budgets p ON p.id = l.parent_id AND p.archived_at IS NULL
 WHERE l.parent_id NOT IN (SELECT id FROM room)`

// openCountersSQL can find an existing counter if the budget had a different period
// before and a window of it started at the same time. The amounts held by requests in
// flight are kept until those requests give them back. A counter that exists is locked even
// if nothing about it changes, hence the order.
const openCountersSQL = `
INSERT INTO budget_counters AS c (budget_id, window_start, window_end, used_tokens, used_nano, used_requests)
SELECT b.id, l.window_start, l.window_end, l.tokens, l.nano, l.requests
  FROM ({lines}) AS l (budget_id, window_start, window_end, tokens, nano, requests)
  JOIN budgets b ON b.id = l.budget_id
 ORDER BY b.id, l.window_start
ON CONFLICT (budget_id, window_start) DO UPDATE
   SET window_end = excluded.window_end, used_tokens = excluded.used_tokens, used_nano = excluded.used_nano,
       used_requests = excluded.used_requests, forgiven_tokens = 0, forgiven_nano = 0, forgiven_requests = 0
 WHERE c.window_end <> excluded.window_end`

// openCounter creates the counter of b in w, starting with what its scope has used so far.
// It does nothing if the counter already exists or the budget does not.
func openCounter(ctx context.Context, tx pgx.Tx, b billing.Budget, w billing.Window) error {
	o := opening{lines: []billing.HoldLine{{Budget: b, Window: w}}}
	return o.send(ctx, tx)
}

// openMissing creates counters for the lines that have none yet. It returns a
// *billing.CrowdedError if a budget has no room for another name.
func (s *Store) openMissing(ctx context.Context, lines []billing.HoldLine, have []billing.Balance) error {
	o := opening{lines: slices.DeleteFunc(slices.Clone(lines), func(l billing.HoldLine) bool {
		return slices.ContainsFunc(have, func(b billing.Balance) bool { return b.Budget.ID == l.Budget.ID })
	})}
	open := func(ctx context.Context, c *pgx.Conn) error { return o.send(ctx, c) }
	if err := s.on(ctx, open); err != nil || len(o.crowded) == 0 {
		return err
	}
	for _, line := range o.lines {
		if !slices.Contains(o.crowded, line.Budget.ID) {
			continue
		}
		if err := s.pruneBelow(ctx, line.Budget); err != nil {
			return err
		}
	}
	if err := s.on(ctx, open); err != nil || len(o.crowded) == 0 {
		return err
	}
	return &billing.CrowdedError{BudgetID: o.crowded[0]}
}

// opening creates the counters of lines.
type opening struct {
	lines   []billing.HoldLine
	crowded []string // ids of child budgets for which there is no room
}

// send creates the counters in one batch, which runs as one transaction.
func (o *opening) send(ctx context.Context, c interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
},
) error {
	if len(o.lines) == 0 {
		return nil
	}
	sql, args, err := o.counters()
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(openLocksSQL, o.locks())
	if below := o.below(); below != nil {
		batch.Queue(makeBelowSQL, below...).Query(func(rows pgx.Rows) error {
			o.crowded = nil
			var id, parent string
			_, err := pgx.ForEachRow(rows, []any{&id, &parent}, func() error {
				o.crowded = append(o.crowded, id)
				return nil
			})
			return err
		})
	}
	batch.Queue(sql, args...)
	return c.SendBatch(ctx, batch).Close()
}

// locks returns the locks of the lines' scopes in the order that all code takes them: the
// widest scope first, and by number within a kind of scope.
func (o *opening) locks() []int64 {
	type lock struct {
		rank   int
		number int64
	}
	var all []lock
	for _, l := range o.lines {
		b := l.Budget
		rank := slices.Index([]billing.Scope{billing.ScopeOrg, billing.ScopeTeam, billing.ScopeProject, billing.ScopeKey}, b.Scope)
		all = append(all, lock{rank, scopeLock(b.Scope, b.ScopeID)})
	}
	slices.SortFunc(all, func(a, b lock) int { return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.number, b.number)) })
	all = slices.Compact(all)
	numbers := make([]int64, len(all))
	for i, l := range all {
		numbers[i] = l.number
	}
	return numbers
}

// below returns the parameters of makeBelowSQL, or nil if no line has a child budget.
func (o *opening) below() []any {
	var ids, parents, names []string
	var most []int32
	for _, l := range o.lines {
		b := l.Budget
		if b.Parent == "" {
			continue
		}
		ids, parents, names = append(ids, b.ID), append(parents, b.Parent), append(names, b.StoredName())
		most = append(most, int32(b.MostBelow()))
	}
	if ids == nil {
		return nil
	}
	return []any{ids, parents, names, most}
}

// counters returns the statement that creates all counters, and its parameters.
func (o *opening) counters() (string, []any, error) {
	var args []any
	parts := make([]string, len(o.lines))
	for i, l := range o.lines {
		sql, more, err := usedQuery(l.Budget, l.Window)
		if err != nil {
			return "", nil, err
		}
		n := len(args)
		parts[i] = fmt.Sprintf("SELECT $%d::text, $%d::timestamptz, $%d::timestamptz, u.* FROM (%s) AS u (tokens, nano, requests)",
			n+1, n+2, n+3, renumber(sql, n+3))
		start, end := bounds(l.Window)
		args = append(append(args, l.Budget.ID, start, end), more...)
	}
	return strings.ReplaceAll(openCountersSQL, "{lines}", strings.Join(parts, "\n  UNION ALL ")), args, nil
}

// renumber shifts the parameter numbers of a statement, which has at most nine, by after.
func renumber(sql string, after int) string {
	var pairs []string
	for i := 1; i <= 9; i++ {
		pairs = append(pairs, "$"+strconv.Itoa(i), "$"+strconv.Itoa(i+after))
	}
	return strings.NewReplacer(pairs...).Replace(sql)
}

const (
	// idleBelowSQL returns children of budget $1 with no current window and nothing held, or
	// only those of the children $2.
	idleBelowSQL = `
SELECT b.id FROM budgets b
 WHERE b.parent_id = $1 AND ($2::text[] IS NULL OR b.id = ANY ($2))
   AND NOT EXISTS (SELECT FROM leases l WHERE l.budget_id = b.id AND l.tokens + l.nano + l.requests > 0)
   AND NOT EXISTS (
     SELECT FROM budget_counters c
      WHERE c.budget_id = b.id
        AND (c.window_end > now() AND c.window_start < '9999-01-01' OR c.held_tokens + c.held_nano + c.held_requests > 0
          OR c.leased_tokens + c.leased_nano + c.leased_requests > 0))
 LIMIT 1000`
	lockCountersSQL = "SELECT FROM budget_counters WHERE budget_id = ANY ($1::text[]) ORDER BY budget_id, window_start FOR UPDATE"
	dropLeasesSQL   = "DELETE FROM leases WHERE budget_id = ANY ($1::text[])"
	dropCountersSQL = "DELETE FROM budget_counters WHERE budget_id = ANY ($1::text[])"
	dropBelowSQL    = `
WITH gone AS (DELETE FROM budgets WHERE id = ANY ($2::text[]) AND parent_id = $1 RETURNING id)
UPDATE budgets SET names = greatest(names - (SELECT count(*) FROM gone), 0) WHERE id = $1`
	parentsSQL = "SELECT id, scope, scope_id FROM budgets WHERE names > 0"
)

// pruneBelow removes child budgets whose names have not been used recently: the children
// of b or, if b is a child itself, of its parent. Requests may hold or lease from a child
// until its counters are locked, so it looks again after that.
func (s *Store) pruneBelow(ctx context.Context, b billing.Budget) error {
	parent := cmp.Or(b.Parent, b.ID)
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, openLocksSQL, []int64{scopeLock(b.Scope, b.ScopeID)}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockBudgetSQL, parent); err != nil {
			return err
		}
		idle, err := idleBelow(ctx, tx, parent, nil)
		if err != nil || len(idle) == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, lockCountersSQL, idle); err != nil {
			return err
		}
		if idle, err = idleBelow(ctx, tx, parent, idle); err != nil || len(idle) == 0 {
			return err
		}
		for _, sql := range []string{dropLeasesSQL, dropCountersSQL} {
			if _, err := tx.Exec(ctx, sql, idle); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, dropBelowSQL, parent, idle)
		return err
	})
}

func idleBelow(ctx context.Context, tx pgx.Tx, parent string, among []string) ([]string, error) {
	rows, err := tx.Query(ctx, idleBelowSQL, parent, among)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// pruneNames removes all child budgets whose names have not been used recently.
func (s *Store) pruneNames(ctx context.Context) error {
	parents, err := all(ctx, s, func(row pgx.CollectableRow) (b billing.Budget, err error) {
		return b, row.Scan(&b.ID, &b.Scope, &b.ScopeID)
	}, parentsSQL)
	for _, b := range parents {
		if err == nil {
			err = s.pruneBelow(ctx, b)
		}
	}
	return err
}
