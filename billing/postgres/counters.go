package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// A counter caches the ledger's sum for one budget and window. It is created when
// the window is first used, and every settlement updates it. It stays exact
// because creating a counter and settling exclude each other, scope by scope:
//
//   - A counter is created under the exclusive lock of its budget's scope. The
//     lock is taken first, then the ledger is summed up, then the counter is
//     inserted and the transaction ends.
//   - A settlement first takes the shared locks of the four scopes of its rows'
//     owner, and only then the snapshot in which it looks for counters. It keeps
//     the locks until its rows are committed.
//
// So for any settlement and any counter, one comes entirely before the other. If
// the settlement comes first, its rows are in the sum and it did not see the
// counter; if the counter comes first, the rows are not in the sum and the
// settlement updates the counter. Either way, each row is counted once.
//
// Code that takes several locks always takes them in this order, so that it cannot deadlock:
//
//  1. the admin lock, or the advisory lock of a job; then rows that only their holders change,
//     in any order: teams, projects, principals, secrets, sinks, periods
//  2. rows of api_keys by id
//  3. rows of end_users by name
//  4. rows of budgets that are not for a part, by id; the scope locks, widest scope first and
//     by number; rows of budgets that are for a part, by id
//  5. rows of replicas by epoch; the row of the hold
//  6. rows of budget_counters by budget id and window
//  7. rows of leases; rows of budgets below another
//  8. rows of spend_daily by primary key; rows of events by dedup_id
//  9. the row of audit_ends
//
// Leases, and budgets below another, need no order of their own: whoever locks several has
// locked the counters, or the budget above, that they belong to. A statement that locks several
// rows selects them FOR UPDATE in that order, even to update or delete them: by itself UPDATE
// takes rows as its plan finds them, and ON CONFLICT DO UPDATE as they are inserted, with a
// lock on each even if its WHERE changes nothing. Jobs that remove old rows skip those that are
// locked, and so never wait. Reserve takes the row of the hold last, but that row is new and
// nobody else can be waiting for it.

// adminLock is held by everything that changes keys or budgets. It ensures that a key
// and a budget created at the same moment cannot miss each other.
const adminLock int64 = 0x7461_6c6c_7972_6f75 // "tallyrou"

// scopeLock returns the number of a scope's advisory lock. If two scopes shared a
// number, they would merely wait for each other needlessly.
func scopeLock(scope billing.Scope, id string) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s", scope, id)
	return int64(h.Sum64())
}

// scopeLocks returns the locks of every scope that an owner belongs to, widest first.
func scopeLocks(o billing.Owner) []int64 {
	return []int64{
		scopeLock(billing.ScopeOrg, "org"),
		scopeLock(billing.ScopeTeam, o.TeamID),
		scopeLock(billing.ScopeProject, o.ProjectID),
		scopeLock(billing.ScopeKey, string(o.KeyID)),
	}
}

// usedSQL sums up a scope's ledger over a window. Days that lie entirely inside it
// are read from the rollup, and only the hours at both ends row by row, so that
// opening the counter of a year costs no more than that of a day.
// The day that a row is reported on depends on the reporting zone at the time it
// was written, but is never further from its UTC day than the 14 hours that a zone
// can be from UTC; the bounds $2-$7 keep that distance. Only rows that arrived
// after their month was closed are reported on a different day: they are
// subtracted from the days that they were reported on, and counted where they
// occurred. Rejected rows count until they are booked.
var usedSQL = `
SELECT ` + usedTokensSQL("coalesce(sum(tokens), 0)") + `, ` + usedNanoSQL("coalesce(sum(nano), 0)") + `,
       coalesce(sum(requests), 0)::bigint FROM (
  SELECT input_tokens + cache_read_tokens + cache_write_tokens + output_tokens AS tokens, cost_nano AS nano, requests
    FROM spend_daily
   WHERE {scope} AND report_day >= $2 AND report_day < $3
  UNION ALL
  SELECT tokens, nano, requests FROM spend_moments
   WHERE {scope} AND occurred_at >= $4 AND occurred_at < $5 AND report_day < $2 AND NOT moved
  UNION ALL
  SELECT tokens, nano, requests FROM spend_moments
   WHERE {scope} AND occurred_at >= $6 AND occurred_at < $7 AND report_day >= $3 AND NOT moved
  UNION ALL
  SELECT -tokens, -nano, -requests FROM spend_moments
   WHERE {scope} AND moved AND report_day >= $2 AND report_day < $3
  UNION ALL
  SELECT tokens, nano, requests FROM spend_moments
   WHERE {scope} AND moved AND occurred_at >= $8 AND occurred_at < $9
  UNION ALL
  SELECT tokens, nano, requests FROM spend_rejects
   WHERE {scope} AND booked_at IS NULL AND occurred_at >= $8 AND occurred_at < $9
) AS part`

// scopeSQL holds, for each scope, the condition that a ledger row belongs to id $1.
var scopeSQL = map[billing.Scope]string{
	billing.ScopeKey:     "key_id = $1",
	billing.ScopeProject: "project_id = $1",
	billing.ScopeTeam:    "team_id = $1",
	billing.ScopeOrg:     "$1::text = 'org'",
}

// querier runs queries: it is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// usedRowsSQL does the work of usedSQL for a short or concurrent window, or for a part
// budget, which the rollup does not cover. It skips rows reported before day $4.
var usedRowsSQL = `
SELECT ` + usedTokensSQL("coalesce(sum(tokens), 0)") + `, ` + usedNanoSQL("coalesce(sum(nano), 0)") + `,
       coalesce(sum(requests), 0)::bigint FROM (
  SELECT tokens, nano, requests FROM spend_moments
   WHERE {scope} AND occurred_at >= $2 AND occurred_at < $3 AND report_day >= $4
  UNION ALL
  SELECT tokens, nano, requests FROM spend_rejects
   WHERE {scope} AND booked_at IS NULL AND occurred_at >= $2 AND occurred_at < $3
) AS part`

const partSQL = "limits @> ARRAY[$1::text]"

// usedQuery returns the query for what the scope of b used in w, according to the ledger.
func usedQuery(b billing.Budget, w billing.Window) (sql string, args []any, err error) {
	scope, ok := scopeSQL[b.Scope]
	if !ok {
		return "", nil, fmt.Errorf("billing/postgres: budget %s has unknown scope %q", b.ID, b.Scope)
	}
	start, end := bounds(w)
	p := split(w)
	day := pgtype.Date{InfinityModifier: p.firstDay.InfinityModifier, Time: p.firstDay.Time.AddDate(0, 0, -3), Valid: true}
	switch {
	case b.Part != "":
		return strings.ReplaceAll(usedRowsSQL, "{scope}", partSQL), []any{b.ID, start, end, day}, nil
	case !w.Start.IsZero() && !w.End.IsZero() && w.End.Sub(w.Start) < time.Hour || w.Concurrent():
		return strings.ReplaceAll(usedRowsSQL, "{scope}", scope), []any{b.ScopeID, start, end, day}, nil
	}
	return strings.ReplaceAll(usedSQL, "{scope}", scope),
		[]any{b.ScopeID, p.firstDay, p.endDay, p.head[0], p.head[1], p.tail[0], p.tail[1], start, end}, nil
}

// used returns what the scope of b used in w, according to the ledger.
func used(ctx context.Context, q querier, b billing.Budget, w billing.Window) (sum billing.Amount, err error) {
	sql, args, err := usedQuery(b, w)
	if err != nil {
		return sum, err
	}
	err = q.QueryRow(ctx, sql, args...).Scan(&sum.Tokens, &sum.Money, &sum.Requests)
	return sum, err
}

// parts is a window split up for usedSQL: the days [firstDay, endDay) that are
// reported entirely inside the window, and the spans of time at both ends.
type parts struct {
	firstDay, endDay pgtype.Date
	head, tail       [2]pgtype.Timestamptz
}

// offset exceeds the distance of any time zone from UTC.
const offset = 15 * time.Hour

func split(w billing.Window) parts {
	start, end := bounds(w)
	p := parts{
		firstDay: pgtype.Date{InfinityModifier: start.InfinityModifier, Valid: true},
		endDay:   pgtype.Date{InfinityModifier: end.InfinityModifier, Valid: true},
		head:     [2]pgtype.Timestamptz{start, start},
		tail:     [2]pgtype.Timestamptz{end, end},
	}
	const day = 24 * time.Hour
	if !w.Start.IsZero() {
		p.firstDay.Time = w.Start.UTC().Add(offset + day - 1).Truncate(day)
		p.head[1] = instant(p.firstDay.Time.Add(offset))
	}
	if !w.End.IsZero() {
		p.endDay.Time = w.End.UTC().Add(-offset).Truncate(day)
		p.tail[0] = instant(p.endDay.Time.Add(-offset))
	}
	if !w.Start.IsZero() && !w.End.IsZero() && !p.firstDay.Time.Before(p.endDay.Time) {
		// No day is certain to lie inside, so the whole window is read row by row:
		// what was reported before firstDay as the head, the rest as the tail.
		p.endDay = p.firstDay
		p.head = [2]pgtype.Timestamptz{start, end}
		p.tail = [2]pgtype.Timestamptz{start, end}
	}
	return p
}

// bounds returns the bounds of w as they are stored: an open end is infinite.
func bounds(w billing.Window) (start, end pgtype.Timestamptz) {
	start, end = instant(w.Start), instant(w.End)
	if w.Start.IsZero() {
		start = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	}
	if w.End.IsZero() {
		end = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	}
	return start, end
}

func instant(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: true} }

// window is the inverse of bounds.
func window(start, end pgtype.Timestamptz) billing.Window {
	var w billing.Window
	if start.InfinityModifier == pgtype.Finite {
		w.Start = start.Time.UTC()
	}
	if end.InfinityModifier == pgtype.Finite {
		w.End = end.Time.UTC()
	}
	return w
}

// movedSQL applies change to the counters: it adds to what is used and subtracts from
// what is held or leased, as freed selects. Usage is clamped to a range beyond which
// any budget has long been used up. A standing then reads movedColumns.
func movedSQL(freed string) string {
	return strings.NewReplacer("{freed}", freed).Replace(`locked AS MATERIALIZED (
  SELECT c.budget_id, c.window_start
    FROM budget_counters c JOIN change USING (budget_id, window_start)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), moved AS (
  UPDATE budget_counters c
     SET used_tokens = ` + usedTokensSQL("c.used_tokens + d.used_tokens") + `,
         used_nano = ` + usedNanoSQL("c.used_nano + d.used_nano") + `,
         {freed}_tokens = c.{freed}_tokens - d.free_tokens, {freed}_nano = c.{freed}_nano - d.free_nano,
         used_requests = c.used_requests + d.used_requests, {freed}_requests = c.{freed}_requests - d.free_requests
    FROM change d JOIN locked USING (budget_id, window_start)
   WHERE c.budget_id = d.budget_id AND c.window_start = d.window_start
  RETURNING c.*
)`)
}

var movedColumns = budgetColumns("b") + `,
       m.window_start, m.window_end, m.used_tokens, m.held_tokens + m.leased_tokens, m.used_nano, m.held_nano + m.leased_nano,
       m.used_requests, m.held_requests + m.leased_requests`

// usedTokensSQL and usedNanoSQL clamp a sum to the range that a counter stores.
func usedTokensSQL(sum string) string { return usedWithin(sum, billing.MostUsed().Tokens) }

func usedNanoSQL(sum string) string { return usedWithin(sum, int64(billing.MostUsed().Money)) }

func usedWithin(sum string, most int64) string {
	return fmt.Sprintf("least(greatest(%s, -%d), %d)::bigint", sum, most, most)
}
