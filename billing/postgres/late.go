package postgres

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/billing"
)

// closedPeriod reports whether err means that a row was rejected because its month is closed.
func closedPeriod(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23001" && strings.HasPrefix(pg.Message, "billing period ")
}

// lateLockSQL lets only one transaction at a time book rows of closed months. Such rows
// are booked on a different day, where the unique index on attempts cannot detect duplicates.
const lateLockSQL = "SELECT pg_advisory_xact_lock(hashtextextended('tallyroute.late', 0))"

const lateSQL = `
SELECT spend_open_day(r.day)::text,
       r.usage AND EXISTS (SELECT FROM spend_events e WHERE e.kind = 'usage' AND e.request_id = r.request_id AND e.attempt = r.attempt)
  FROM unnest($1::text[], $2::int[], $3::text[]::date[], $4::bool[]) WITH ORDINALITY AS r (request_id, attempt, day, usage, n)
 ORDER BY n`

// bookLate gives rows whose month is closed the first day of the next open
// month as their ReportDay, and their own month as AdjustsPeriod. It leaves rows
// of open months unchanged, and omits usage that is already in the ledger, so
// that booking it again does nothing. It must run in the transaction that
// inserts the rows, before they are inserted. It cannot see attempts of archived
// months, so it does not detect a row that is booked again after its month was
// archived.
func (s *Store) bookLate(ctx context.Context, tx pgx.Tx, rows []billing.Spend) ([]billing.Spend, error) {
	if _, err := tx.Exec(ctx, lateLockSQL); err != nil {
		return nil, err
	}
	requests, days := make([]string, len(rows)), make([]string, len(rows))
	attempts, usage := make([]int, len(rows)), make([]bool, len(rows))
	for i, r := range rows {
		requests[i], attempts[i] = billing.CleanText(r.RequestID), r.Attempt
		days[i], usage[i] = cmp.Or(r.ReportDay, s.reportDay(r.OccurredAt)), r.Kind == "" || r.Kind == billing.KindUsage
	}
	found, err := tx.Query(ctx, lateSQL, requests, attempts, days, usage)
	if err != nil {
		return nil, err
	}
	booked := make([]billing.Spend, 0, len(rows))
	var day string
	var there bool
	i := 0
	_, err = pgx.ForEachRow(found, []any{&day, &there}, func() error {
		row := rows[i]
		if day != days[i] {
			row.ReportDay, row.AdjustsPeriod = day, billing.MonthOf(days[i]).First()
		}
		if !there {
			booked = append(booked, row)
		}
		i++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return booked, addPartitions(ctx, tx, booked)
}

const addPartitionsSQL = `
SELECT spend_add_partition(min(d::date)) FROM unnest($1::text[]) AS d WHERE d <> '' GROUP BY left(d, length('2006-01'))`

// addPartitions creates the partitions for the days that rows are reported on, ignoring
// rows without a report day.
func addPartitions(ctx context.Context, c interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, rows []billing.Spend,
) error {
	days := make([]string, len(rows))
	for i := range rows {
		days[i] = rows[i].ReportDay
	}
	_, err := c.Exec(ctx, addPartitionsSQL, days)
	return err
}

// addPartitions creates the partitions for rows in its own transaction.
func (s *Store) addPartitions(ctx context.Context, rows []billing.Spend) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error { return addPartitions(ctx, c, rows) })
}
