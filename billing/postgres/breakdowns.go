package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/integrity"
)

// grain is what the lines of a breakdown have in common with the rollup, and measures
// are what they add up.
const (
	grain    = "team_id, project_id, key_id, cost_center, environment, provider, model, kind, pricing, usage_source"
	measures = "ledger_rows, requests, attempts, errors, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, " +
		"overrun_tokens, overrun_nano, input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, " +
		"cost_nano, baseline_cost_nano"
)

// each puts every name of a list into a form.
func each(list, form string) string {
	names := strings.Split(list, ", ")
	for i, n := range names {
		names[i] = fmt.Sprintf(form, n)
	}
	return strings.Join(names, ", ")
}

// rowMeasures are the measures of a row e of the ledger.
const rowMeasures = `1::bigint AS ledger_rows, (e.kind = 'usage' AND e.final)::int::bigint AS requests,
         (e.kind = 'usage')::int::bigint AS attempts, (e.kind = 'usage' AND e.status <> 'ok')::int::bigint AS errors,
         e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens, e.overrun_tokens, e.overrun_nano,
         coalesce(e.input_cost_nano, 0) AS input_cost_nano, coalesce(e.cache_read_cost_nano, 0) AS cache_read_cost_nano,
         coalesce(e.cache_write_cost_nano, 0) AS cache_write_cost_nano, coalesce(e.output_cost_nano, 0) AS output_cost_nano,
         coalesce(e.fee_nano, 0) AS fee_nano, coalesce(e.cost_nano, 0) AS cost_nano,
         CASE WHEN e.pricing = 'unpriced' THEN 0 ELSE coalesce(e.baseline_cost_nano, e.cost_nano) END AS baseline_cost_nano`

// rowDimensions are the dimensions that the rollup has not, as columns.
var rowDimensions = []string{"requested_model", "service_tier", "status", "end_user", "session", "credential", "region"}

const (
	// breakdownLockSQL keeps routers from making the same breakdown at once.
	breakdownLockSQL = `SELECT pg_try_advisory_xact_lock(hashtextextended('tallyroute.breakdowns', 0))`
	// missingBreakdownsSQL finds the breakdowns that are not there or too old, but those of
	// archived months.
	missingBreakdownsSQL = `
WITH days AS MATERIALIZED (
  SELECT report_day, sum(ledger_rows)::bigint AS ledger_rows FROM spend_daily
   WHERE month NOT IN (SELECT to_char(period, 'YYYY-MM') FROM billing_periods WHERE archived_at IS NOT NULL)
   GROUP BY report_day
)
SELECT d.report_day::text, x.dimension, count(*) OVER ()
  FROM days d CROSS JOIN unnest($1::text[]) AS x (dimension)
  LEFT JOIN breakdown_days b ON b.dimension = x.dimension AND b.report_day = d.report_day
 WHERE b.ledger_rows IS NULL OR b.ledger_rows <> d.ledger_rows AND (d.ledger_rows >= 2 * b.ledger_rows OR b.made_at < $2)
 ORDER BY d.report_day DESC, x.dimension
 LIMIT 1`
	dropBreakdownSQL = `DELETE FROM spend_breakdowns WHERE report_day = $1::text::date AND dimension = $2`
	dropTagsSQL      = `DELETE FROM spend_breakdowns WHERE report_day = $1::text::date AND dimension LIKE $2 || ':%'`
	// noteBreakdownSQL is the end of the statement that makes a breakdown: the rows are
	// counted in the snapshot in which they are added up.
	noteBreakdownSQL = `
INSERT INTO breakdown_days (dimension, report_day, ledger_rows, kept, made_at)
SELECT $2, $1::text::date, (SELECT count(*) FROM spend_events WHERE report_day = $1::text::date), true, $3
ON CONFLICT (dimension, report_day) DO UPDATE SET ledger_rows = excluded.ledger_rows, kept = true, made_at = excluded.made_at
RETURNING ledger_rows, (SELECT count(*) FROM made)`
	notKeptSQL = `UPDATE breakdown_days SET kept = false WHERE dimension = $2 AND report_day = $1::text::date`
)

// makeBreakdownSQL adds up the rows of a day.
func makeBreakdownSQL(d billing.Dimension) string {
	dimension, tags := "$2", ""
	if d == billing.AllTags {
		dimension, tags = "'"+billing.TagDimension+"' || t.key", " CROSS JOIN jsonb_each_text(e.tags) t"
	}
	return `
WITH made AS (
  INSERT INTO spend_breakdowns (dimension, report_day, value, ` + grain + ", " + measures + `)
  SELECT dimension, report_day, value, ` + grain + ", " + each(measures, "sum(%s)::bigint") + `
    FROM (
      SELECT ` + dimension + ` AS dimension, e.report_day, ` + integrity.RowValues[d] + ` AS value, ` + each(grain, "e.%s") + ", " + rowMeasures + `
        FROM spend_events e` + tags + `
       WHERE e.report_day = $1::text::date
    ) AS e
   GROUP BY dimension, report_day, value, ` + grain + `
  RETURNING 1
)` + noteBreakdownSQL
}

// MakeBreakdown implements billing.Breakdowns. Nobody waits for it: it reads in a snapshot,
// and writes what nobody else does.
func (s *Store) MakeBreakdown(ctx context.Context, now time.Time) (left int, err error) {
	var names []string
	for _, d := range billing.BreakdownDimensions() {
		names = append(names, string(d))
	}
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			var mine bool
			if err := tx.QueryRow(ctx, breakdownLockSQL).Scan(&mine); err != nil || !mine {
				return err
			}
			var day, dimension string
			err := tx.QueryRow(ctx, missingBreakdownsSQL, names, now.Add(-billing.BreakdownAge)).Scan(&day, &dimension, &left)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err == nil {
				left--
				err = breakDown(ctx, tx, day, billing.Dimension(dimension), now)
			}
			return err
		})
	})
	return left, err
}

func breakDown(ctx context.Context, tx pgx.Tx, day string, d billing.Dimension, now time.Time) error {
	drop := dropBreakdownSQL
	if d == billing.AllTags {
		drop = dropTagsSQL
	}
	if _, err := tx.Exec(ctx, drop, day, string(d)); err != nil {
		return err
	}
	var rows, lines int64
	if err := tx.QueryRow(ctx, makeBreakdownSQL(d), day, string(d), now).Scan(&rows, &lines); err != nil {
		return err
	}
	if lines <= max(billing.SmallBreakdown, rows/2) {
		return nil
	}
	_, err := tx.Exec(ctx, drop, day, string(d))
	if err == nil {
		_, err = tx.Exec(ctx, notKeptSQL, day, string(d))
	}
	return err
}

// wholeDaysSQL has the days of a report whose breakdown has all of their rows, and the
// others. They are parameters of the report itself, which so knows how many there are.
const wholeDaysSQL = `
SELECT coalesce(array_agg(d.report_day::text) FILTER (WHERE b.report_day IS NOT NULL), '{}'),
       coalesce(array_agg(d.report_day::text) FILTER (WHERE b.report_day IS NULL), '{}')
  FROM (
    SELECT report_day, sum(ledger_rows)::bigint AS ledger_rows FROM spend_daily
     WHERE report_day >= $1::text::date AND report_day < $2::text::date
     GROUP BY report_day
  ) AS d
  LEFT JOIN breakdown_days b ON b.report_day = d.report_day AND b.ledger_rows = d.ledger_rows AND b.dimension = $3 AND b.kept`

// spendSource has what a report adds up that the rollup does not answer.
type spendSource struct {
	columns []string // of dimensions that the rollup has not
	values  []string // of them in rows e
}

func newSpendSource(q billing.SpendQuery) spendSource {
	var s spendSource
	for _, c := range rowDimensions {
		s.columns, s.values = append(s.columns, c), append(s.values, integrity.RowValues[billing.Dimension(c)])
	}
	for _, d := range q.GroupBy {
		if _, ok := d.Tag(); ok {
			n := len(s.columns) - len(rowDimensions) + 1
			s.columns = append(s.columns, fmt.Sprintf("tag%d", n))
			s.values = append(s.values, fmt.Sprintf("coalesce(e.tags ->> ($5::text[])[%d], '(none)')", n))
		}
	}
	return s
}

// rows are the single rows of days that are not whole, as if they were daily sums.
func (s spendSource) rows() string {
	columns := make([]string, len(s.columns))
	for i, c := range s.columns {
		columns[i] = s.values[i] + " AS " + c
	}
	return "SELECT e.report_day, " + each(grain, "e.%s") + ", " + strings.Join(columns, ", ") + ", " + rowMeasures + `
    FROM spend_events e
   WHERE e.report_day = ANY ($11::text[]::date[])`
}

// sums are sums d as if they were rows, all with one value in one column, or in each.
func (s spendSource) sums(column, value, sign, from string) string {
	columns := make([]string, len(s.columns))
	for i, c := range s.columns {
		columns[i] = "''"
		if column == "" || column == c {
			columns[i] = value
		}
	}
	return "SELECT d.report_day, " + each(grain, "d.%s") + ", " + strings.Join(columns, ", ") + ", " + each(measures, sign+"d.%s") + `
    FROM ` + from
}

// spendRowsSQL are the sums of whole days, the rows of the others, and of months that were
// archived the rollup itself: no money drops out of a report. The rows without a tag are
// all of them less those that have it.
func spendRowsSQL(q billing.SpendQuery) string {
	const (
		archived = `spend_daily d
    JOIN billing_periods b ON b.period = date_trunc('month', d.report_day::timestamp)::date AND b.archived_at IS NOT NULL
   WHERE d.report_day = ANY ($11::text[]::date[])`
		daily = `spend_daily d WHERE d.report_day = ANY ($10::text[]::date[])`
		lines = `spend_breakdowns d WHERE d.report_day = ANY ($10::text[]::date[]) AND d.dimension = `
		ofTag = lines + `'` + billing.TagDimension + `' || ($5::text[])[1]`
		none  = "'" + billing.NoneGroup + "'"
	)
	s := newSpendSource(q)
	parts := []string{s.rows(), s.sums("", "'"+billing.ArchivedGroup+"'", "", archived)}
	d, ok := q.Breakdown()
	if _, tag := d.Tag(); tag {
		const column = "tag1"
		parts = append(parts, s.sums(column, "d.value", "", ofTag), s.sums(column, none, "", daily), s.sums(column, none, "-", ofTag))
	} else if ok {
		parts = append(parts, s.sums(string(d), "d.value", "", lines+"$9"))
	}
	return "(\n  " + strings.Join(parts, "\n  UNION ALL\n  ") + "\n)"
}

// breakdownOf is the dimension of the breakdown that answers a query.
func breakdownOf(q billing.SpendQuery) string {
	d, _ := q.Breakdown()
	if _, tag := d.Tag(); tag {
		d = billing.AllTags
	}
	return string(d)
}
