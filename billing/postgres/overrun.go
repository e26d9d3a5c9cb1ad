package postgres

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// lockKeysSQL locks the keys of rows with an overrun. A settlement takes these locks
// before all others, as does code that changes keys, and before the statement that reads
// the keys' state.
const lockKeysSQL = "SELECT FROM api_keys WHERE id = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE"

// queueKeyLocks adds a statement to b that locks the keys of rows with an overrun. There
// are rarely any, and then it adds nothing.
func queueKeyLocks(b *pgx.Batch, rows []billing.Spend) {
	var keys []string
	for i := range rows {
		if rows[i].OverrunTokens > 0 || rows[i].OverrunMoney > 0 {
			keys = append(keys, string(rows[i].Owner.KeyID))
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		b.Queue(lockKeysSQL, slices.Compact(keys))
	}
}

// overrunSQL returns the parts of a statement that add the overruns in posted to their
// keys, and stop a key whose overrun exceeds its limit: an amount in nano-USD, or a
// percentage of the lowest limit among its budgets. Those two are the parameters first
// and first+1. If posted has no overruns, the parts do nothing.
func overrunSQL(first int) string {
	limit := strings.NewReplacer("{nano}", "$"+strconv.Itoa(first)+"::bigint", "{percent}", "$"+strconv.Itoa(first+1)+"::bigint")
	return limit.Replace(`overran AS (
  SELECT o.*, o.running AND o.bound AND o.passed AS stops
    FROM (
      SELECT s.*, {nano} > 0 AND s.nano > {nano}
                  OR coalesce({percent} > 0 AND s.nano * 100 > s.least_nano::numeric * {percent}, false)
                  OR coalesce({percent} > 0 AND s.tokens * 100 > s.least_tokens::numeric * {percent}, false) AS passed
        FROM (
          SELECT k.id, least(k.overrun_tokens + p.tokens, 1000000000000000000) AS tokens,
                 least(k.overrun_nano + p.nano, 1000000000000000000) AS nano,
                 k.stopped_at IS NULL AND k.revoked_at IS NULL AS running,
                 coalesce(floor(extract(epoch FROM k.enabled_at)), 0)::bigint AS since,
                 b.bound, b.least_tokens, b.least_nano
            FROM (SELECT key_id, sum(overrun_tokens) AS tokens, sum(overrun_nano) AS nano FROM posted
                   WHERE overrun_tokens > 0 OR overrun_nano > 0
                   GROUP BY key_id) AS p
            JOIN api_keys k ON k.id = p.key_id
            JOIN projects j ON j.id = k.project_id
           CROSS JOIN LATERAL (
             SELECT count(*) > 0 AS bound, min(b.token_limit) AS least_tokens, min(b.amount_nano) AS least_nano FROM budgets_now b
              WHERE b.archived_at IS NULL AND b.parent_id IS NULL
                AND (b.scope, b.scope_id) IN (('key', k.id), ('project', k.project_id), ('team', j.team_id), ('org', 'org'))
           ) AS b
        ) AS s
    ) AS o
), stopped AS (
  UPDATE api_keys k
     SET overrun_tokens = o.tokens, overrun_nano = o.nano,
         stopped_at = CASE WHEN o.stops THEN now() ELSE k.stopped_at END, version = k.version + o.stops::int
    FROM overran o
   WHERE k.id = o.id
), told AS (
  INSERT INTO events (dedup_id, occurred_at, kind, object, severity, text, data)
  SELECT 'stopped:' || id || ':' || since, now(), 'overrun', id, 'critical',
         'Key ' || id || CASE WHEN bound THEN ' is stopped: its answers took ' ELSE ' has no budget and goes on, but its answers took ' END
         || tokens || ' tokens and $' || trim_scale(nano * 0.000000001) || ' more than was held for them.',
         jsonb_build_object('overrun_tokens', tokens::text, 'overrun_nano', nano::text, 'stopped', bound::text)
    FROM overran
   WHERE running AND passed
  ON CONFLICT DO NOTHING
)`)
}

// overrunArgs returns the parameters of overrunSQL.
func (s *Store) overrunArgs() []any { return []any{int64(s.overrun.Money), s.overrun.Percent} }
