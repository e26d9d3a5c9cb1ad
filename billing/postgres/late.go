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

// closedPeriod reports whether a row was refused because its month is closed.
func closedPeriod(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23001" && strings.HasPrefix(pg.Message, "billing period ")
}

// lateLockSQL lets one transaction at a time book rows of closed months: on
// another day, the index on attempts does not see that a row is there already.
const lateLockSQL = "SELECT pg_advisory_xact_lock(hashtextextended('tallyroute.late', 0))"

const lateSQL = `
SELECT spend_open_day(r.day)::text,
       r.usage AND EXISTS (SELECT FROM spend_events e WHERE e.kind = 'usage' AND e.request_id = r.request_id AND e.attempt = r.attempt)
  FROM unnest($1::text[], $2::int[], $3::text[]::date[], $4::bool[]) WITH ORDINALITY AS r (request_id, attempt, day, usage, n)
 ORDER BY n`

// bookLate gives rows whose month is closed the first day of the next open
// month as their ReportDay, and their own month as AdjustsPeriod. Rows of open
// months it leaves as they are, and usage that is in the ledger already it
// leaves out, so that booking it again does nothing. It must run in the
// transaction that inserts the rows, before that. It cannot know attempts of
// months that are archived; whoever books the same row again after that is
// told nothing.
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

// addPartitions makes the partitions of the days that rows are reported on, as
// far as they have one.
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

// addPartitions does so in a transaction of its own.
func (s *Store) addPartitions(ctx context.Context, rows []billing.Spend) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error { return addPartitions(ctx, c, rows) })
}
