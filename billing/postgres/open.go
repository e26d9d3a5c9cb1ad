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

// Counters are made for all lines of a request that lack one, in one transaction of one
// round trip: the scopes are locked, budgets below others are made for names that are new,
// and the ledger is summed up.

const openLocksSQL = "SELECT pg_advisory_xact_lock(l) FROM unnest($1::bigint[]) AS l"

// makeBelowSQL makes budgets below others, and lists those for which there is no room.
var makeBelowSQL = `
WITH line AS (
  SELECT l.* FROM unnest($1::text[], $2::text[], $3::text[], $4::int[]) AS l (id, parent_id, named, most)
   WHERE NOT EXISTS (SELECT FROM budgets b WHERE b.id = l.id)
), room AS (
  UPDATE budgets p SET names = p.names + l.n
    FROM (SELECT parent_id, count(*)::int AS n, max(most) AS most FROM line GROUP BY parent_id) AS l
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

// openCountersSQL finds a counter in its place where the budget had another
// period before and that window began at the same instant. What its requests
// in flight hold is kept, and given back by them.
const openCountersSQL = `
INSERT INTO budget_counters AS c (budget_id, window_start, window_end, used_tokens, used_nano, used_requests)
SELECT b.id, l.window_start, l.window_end, l.tokens, l.nano, l.requests
  FROM ({lines}) AS l (budget_id, window_start, window_end, tokens, nano, requests)
  JOIN budgets b ON b.id = l.budget_id
ON CONFLICT (budget_id, window_start) DO UPDATE
   SET window_end = excluded.window_end, used_tokens = excluded.used_tokens, used_nano = excluded.used_nano,
       used_requests = excluded.used_requests, forgiven_tokens = 0, forgiven_nano = 0, forgiven_requests = 0
 WHERE c.window_end <> excluded.window_end`

// openCounter makes the counter of b in w, with what its scope used so far. It
// does nothing where the counter or no such budget is there.
func openCounter(ctx context.Context, tx pgx.Tx, b billing.Budget, w billing.Window) error {
	o := opening{lines: []billing.HoldLine{{Budget: b, Window: w}}}
	return o.send(ctx, tx)
}

// openMissing makes the counters of the lines that have none yet. It is a *billing.CrowdedError
// where there is no room for a name.
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

// opening makes counters.
type opening struct {
	lines   []billing.HoldLine
	crowded []string // budgets below others for which there is no room
}

// send does it; sent as one batch, it is one transaction.
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

// locks are those of the scopes of the lines, in the order of everybody else: the widest
// first, those of one kind by number.
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

// below are the parameters of makeBelowSQL; nil where no line is of a part.
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

// counters is the statement that makes all counters, with its parameters.
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

// renumber has the parameters of a statement, nine at most, come after others.
func renumber(sql string, after int) string {
	var pairs []string
	for i := 1; i <= 9; i++ {
		pairs = append(pairs, "$"+strconv.Itoa(i), "$"+strconv.Itoa(i+after))
	}
	return strings.NewReplacer(pairs...).Replace(sql)
}

const (
	// idleBelowSQL are budgets below $1 of which no window goes on and nothing is held.
	idleBelowSQL = `
SELECT b.id FROM budgets b
 WHERE b.parent_id = $1
   AND NOT EXISTS (SELECT FROM leases l WHERE l.budget_id = b.id AND l.tokens + l.nano + l.requests > 0)
   AND NOT EXISTS (
     SELECT FROM budget_counters c
      WHERE c.budget_id = b.id
        AND (c.window_end > now() AND c.window_start < '9999-01-01' OR c.held_tokens + c.held_nano + c.held_requests > 0
          OR c.leased_tokens + c.leased_nano + c.leased_requests > 0))
 LIMIT 1000`
	dropLeasesSQL   = "DELETE FROM leases WHERE budget_id = ANY ($1::text[])"
	dropCountersSQL = "DELETE FROM budget_counters WHERE budget_id = ANY ($1::text[])"
	dropBelowSQL    = `
WITH gone AS (DELETE FROM budgets WHERE id = ANY ($2::text[]) AND parent_id = $1 RETURNING id)
UPDATE budgets SET names = greatest(names - (SELECT count(*) FROM gone), 0) WHERE id = $1`
	parentsSQL = "SELECT id, scope, scope_id FROM budgets WHERE names > 0"
)

// pruneBelow removes the budgets below one, or beside one that is below another, whose
// names were not used lately.
func (s *Store) pruneBelow(ctx context.Context, b billing.Budget) error {
	parent := cmp.Or(b.Parent, b.ID)
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, openLocksSQL, []int64{scopeLock(b.Scope, b.ScopeID)}); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, idleBelowSQL, parent)
		if err != nil {
			return err
		}
		idle, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(idle) == 0 {
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

// pruneNames removes the budgets of names that were not used lately.
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
