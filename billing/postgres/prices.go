package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// lockPricesSQL lets only one process at a time record prices. If two inserted the same
// price at once, the second would fail on the unique index over the price's attributes
// before it detected the conflict on the id.
const lockPricesSQL = "SELECT pg_advisory_xact_lock(hashtextextended('tallyroute.prices', 0))"

const recordPriceSQL = `
INSERT INTO prices (id, provider, model, valid_from, input_nano, cache_read_nano, cache_write_nano, output_nano, request_fee_nano, source,
  cache_write_1h_nano, reasoning_nano, audio_input_nano, audio_output_nano, service_tier, min_input_tokens)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (id) DO NOTHING`

// RecordPrices implements billing.Database. A different price for the same model from
// the same time on is a *billing.ConflictError, because it would change the past.
func (s *Store) RecordPrices(ctx context.Context, prices []billing.Price) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(lockPricesSQL)
		for _, p := range prices {
			p = p.Resolved()
			b.Queue(recordPriceSQL, p.ID, p.Provider, p.Model, p.Since, p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.Source,
				p.CacheWrite1h, p.Reasoning, p.AudioInput, p.AudioOutput, p.ServiceTier, p.MinInput)
		}
		results := tx.SendBatch(ctx, b)
		if _, err := results.Exec(); err != nil {
			return errors.Join(err, results.Close())
		}
		for _, p := range prices {
			_, err := results.Exec()
			if code(err) == uniqueViolation {
				err = &billing.ConflictError{Detail: fmt.Sprintf("%s %s already has another price since %s: give the new one a later date",
					p.Provider, p.Model, p.Since.UTC().Format("2006-01-02 15:04:05"))}
			}
			if err != nil {
				return errors.Join(err, results.Close())
			}
		}
		return results.Close()
	})
}
