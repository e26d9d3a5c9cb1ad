package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// Spend implements billing.Reports.
func (s *Store) Spend(ctx context.Context, q billing.SpendQuery) (report billing.SpendReport, err error) {
	if err := q.Check(); err != nil {
		return report, err
	}
	err = s.wide(ctx, func(ctx context.Context, c querier) error {
		report, err = breakdown.Spend(ctx, snapshot{c}, days, q)
		return err
	})
	return report, err
}

// wide runs a report in one snapshot, on a connection suited to reading every row.
func (s *Store) wide(ctx context.Context, work func(context.Context, querier) error) error {
	return s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL work_mem = '64MB'"); err != nil {
				return err
			}
			return work(ctx, tx)
		})
	})
}
