package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const listPricesSQL = `
SELECT id, provider, model, service_tier, min_input_tokens, valid_from, input_nano, cache_read_nano, cache_write_nano, cache_write_1h_nano,
       output_nano, reasoning_nano, audio_input_nano, audio_output_nano, request_fee_nano, source
  FROM prices
 WHERE ($1 = '' OR provider = $1) AND ($2 = '' OR model = $2)
 ORDER BY valid_from, provider, model, service_tier, min_input_tokens`

// ListPrices implements billing.PriceHistory.
func (s *Store) ListPrices(ctx context.Context, provider, model string) ([]billing.Price, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (p billing.Price, err error) {
		err = row.Scan(&p.ID, &p.Provider, &p.Model, &p.ServiceTier, &p.MinInput, &p.Since, &p.Input, &p.CacheRead, &p.CacheWrite,
			&p.CacheWrite1h, &p.Output, &p.Reasoning, &p.AudioInput, &p.AudioOutput, &p.Request, &p.Source)
		p.Since = p.Since.UTC()
		return p, err
	}, listPricesSQL, billing.CleanText(provider), billing.CleanText(model))
}

const pricedUsageSQL = `
SELECT e.provider, e.model, coalesce(e.price_id, ''), coalesce(r.service_tier, e.service_tier), coalesce(r.min_input_tokens, 0),
       count(*) FILTER (WHERE e.kind = 'usage'), sum(e.input_tokens)::bigint, sum(e.cache_read_tokens)::bigint,
       sum(e.cache_write_tokens)::bigint, sum(e.output_tokens)::bigint, sum(e.reasoning_tokens)::bigint,
       sum(e.cache_write_1h_tokens)::bigint, sum(e.audio_input_tokens)::bigint, sum(e.audio_output_tokens)::bigint,
       coalesce(sum(e.cost_nano - coalesce(e.fee_nano, 0)), 0)::bigint
  FROM spend_events e
  LEFT JOIN prices r ON r.id = e.price_id
 WHERE e.report_day >= $1::date AND e.report_day < $2::date AND (e.kind = 'usage' OR e.kind = 'adjustment' AND e.adjusts_event IS NOT NULL)
   AND ($3 = '' OR e.provider = $3) AND ($4 = '' OR e.model = $4)
 GROUP BY 1, 2, 3, 4, 5
 ORDER BY 1, 2, 4, 5, 3`

// PricedUsage implements billing.PriceHistory.
func (s *Store) PricedUsage(ctx context.Context, q billing.SpendQuery, provider, model string) (list []billing.PricedUsage, err error) {
	from, to, err := q.Days()
	if err != nil {
		return nil, err
	}
	err = s.wide(ctx, func(ctx context.Context, c querier) error {
		rows, err := c.Query(ctx, pricedUsageSQL, from, to, billing.CleanText(provider), billing.CleanText(model))
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (u billing.PricedUsage, err error) {
			t := &u.Tokens
			err = row.Scan(&u.Provider, &u.Model, &u.PriceID, &u.ServiceTier, &u.MinInput, &u.Attempts, &t.Input, &t.CacheRead,
				&t.CacheWrite, &t.Output, &t.Reasoning, &t.CacheWrite1h, &t.AudioInput, &t.AudioOutput, &u.Cost)
			return u, err
		})
		return err
	})
	return list, err
}
