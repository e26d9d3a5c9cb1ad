package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// balancesSQL returns a row for every budget that is still in force. The counter's columns
// are null if its window has not been used yet. Leased amounts count as held only as far
// as replicas are using them.
var balancesSQL = `
SELECT ` + budgetColumns("b") + `,
       c.window_start, c.window_end, c.used_tokens, c.held_tokens + busy.tokens, c.used_nano, c.held_nano + busy.nano,
       c.used_requests, c.held_requests + busy.requests,
       raised.tokens, raised.nano, raised.requests, raised.until
  FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS l (id, window_start, window_end)
  JOIN budgets_now b ON b.id = l.id AND b.archived_at IS NULL
  LEFT JOIN budget_counters c ON c.budget_id = l.id AND c.window_start = l.window_start AND c.window_end = l.window_end
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(busy_tokens), 0)::bigint AS tokens, coalesce(sum(busy_nano), 0)::bigint AS nano,
          coalesce(sum(busy_requests), 0)::bigint AS requests
     FROM leases WHERE budget_id = c.budget_id AND window_start = c.window_start
 ) AS busy
 CROSS JOIN LATERAL (
   SELECT sum(tokens)::bigint AS tokens, sum(nano)::bigint AS nano, sum(requests)::bigint AS requests, min(ends_at) AS until
     FROM budget_raises WHERE budget_id = coalesce(b.parent_id, b.id) AND begins_at <= now() AND ends_at > now()
 ) AS raised
 ORDER BY b.id`

// raisedStanding is a standing together with the raises that are in force.
type raisedStanding struct {
	standing
	tokens, nano, requests pgtype.Int8
	until                  pgtype.Timestamptz
}

func scanRaised(row pgx.CollectableRow) (s raisedStanding, err error) {
	return s, row.Scan(append(s.columns(), &s.tokens, &s.nano, &s.requests, &s.until)...)
}

func (s *raisedStanding) raised() *billing.Raised {
	if !s.until.Valid {
		return nil
	}
	by := billing.Amount{Tokens: s.tokens.Int64, Money: billing.Money(s.nano.Int64), Requests: s.requests.Int64}
	return &billing.Raised{By: by, Until: s.until.Time.UTC()}
}

// Balances implements billing.Ledger.
func (s *Store) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	ids := make([]string, len(k.Budgets))
	starts, ends := make([]pgtype.Timestamptz, len(k.Budgets)), make([]pgtype.Timestamptz, len(k.Budgets))
	windows := make(map[string]billing.Window, len(k.Budgets))
	for i, b := range k.Budgets {
		w, err := b.Window(now)
		if err != nil {
			return nil, err
		}
		ids[i], windows[b.ID] = b.ID, w
		starts[i], ends[i] = bounds(w)
	}
	var all []billing.Balance
	err := s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, balancesSQL, ids, starts, ends)
		if err != nil {
			return err
		}
		standings, err := pgx.CollectRows(rows, scanRaised)
		if err != nil {
			return err
		}
		all = make([]billing.Balance, 0, len(standings))
		for _, st := range standings {
			b, _ := st.balance()
			if !st.start.Valid {
				b.Window = windows[b.Budget.ID]
				sum, err := used(ctx, c, b.Budget, b.Window)
				if err != nil {
					return err
				}
				b = b.Stands(sum, billing.Amount{})
			}
			b.Raised = st.raised()
			all = append(all, b)
		}
		return nil
	})
	return all, err
}
