package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

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
const rowMeasures = `1 AS ledger_rows, e.kind = 'usage' AND e.final AS requests, e.kind = 'usage' AS attempts,
    e.kind = 'usage' AND e.status <> 'ok' AS errors,
    e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens, e.overrun_tokens, e.overrun_nano,
    coalesce(e.input_cost_nano, 0) AS input_cost_nano, coalesce(e.cache_read_cost_nano, 0) AS cache_read_cost_nano,
    coalesce(e.cache_write_cost_nano, 0) AS cache_write_cost_nano, coalesce(e.output_cost_nano, 0) AS output_cost_nano,
    coalesce(e.fee_nano, 0) AS fee_nano, coalesce(e.cost_nano, 0) AS cost_nano,
    CASE WHEN e.pricing = 'unpriced' THEN 0 ELSE coalesce(e.baseline_cost_nano, e.cost_nano) END AS baseline_cost_nano`

// missingBreakdowns are the breakdowns that are not there or too old, but those of
// archived months.
const missingBreakdowns = `WITH days AS MATERIALIZED (
  SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily
  WHERE month NOT IN (SELECT substr(period, 1, 7) FROM billing_periods WHERE archived_at IS NOT NULL)
  GROUP BY report_day
), missing AS MATERIALIZED (
  SELECT d.report_day, x.value AS dimension
  FROM days d CROSS JOIN json_each(?1) x
  LEFT JOIN breakdown_days b ON b.dimension = x.value AND b.report_day = d.report_day
  WHERE b.ledger_rows IS NULL OR b.ledger_rows <> d.ledger_rows AND (d.ledger_rows >= 2 * b.ledger_rows OR b.made_at < ?2)
)
SELECT report_day, dimension, (SELECT count(*) FROM missing) FROM missing ORDER BY report_day DESC, dimension LIMIT 1`

const (
	newBreakdown  = `CREATE TEMP TABLE made AS SELECT * FROM main.spend_breakdowns WHERE false`
	rowsOfDay     = `SELECT count(*) FROM spend_events WHERE report_day = ?`
	linesMade     = `SELECT count(*) FROM temp.made`
	dropBreakdown = `DELETE FROM spend_breakdowns WHERE report_day = ?1 AND `
	keepBreakdown = `INSERT INTO spend_breakdowns SELECT * FROM temp.made`
	noteBreakdown = `INSERT OR REPLACE INTO breakdown_days (dimension, report_day, ledger_rows, kept, made_at) VALUES (?, ?, ?, ?, ?)`
)

// breakdownSQL adds up the rows of a day.
func breakdownSQL(d billing.Dimension) string {
	dimension, tags := "?2", ""
	if d == billing.AllTags {
		dimension, tags = "'"+billing.TagDimension+"' || t.key", ", json_each(e.tags) t"
	}
	return "INSERT INTO temp.made SELECT dimension, report_day, value, " + grain + ", " + each(measures, "sum(%s)") + `
FROM (
  SELECT ` + dimension + ` AS dimension, e.report_day, ` + integrity.RowValues[d] + ` AS value, ` + each(grain, "e.%s") + ", " + rowMeasures + `
  FROM spend_events e` + tags + `
  WHERE e.report_day = ?1 AND ?2 IS NOT NULL
)
GROUP BY dimension, report_day, value, ` + grain
}

// MakeBreakdown implements billing.Breakdowns. The sums are made on a connection of their
// own, beside the writer, which waits only while they are put in.
func (s *Store) MakeBreakdown(ctx context.Context, now time.Time) (left int, err error) {
	var names []string
	for _, d := range billing.BreakdownDimensions() {
		names = append(names, string(d))
	}
	var day, dimension string
	found, err := s.read.row(ctx, missingBreakdowns, []any{asJSON(names), stamp(now.Add(-billing.BreakdownAge))}, &day, &dimension, &left)
	if err != nil || !found {
		return 0, err
	}
	db, err := sql.Open("sqlite3", s.file+writePragmas)
	if err != nil {
		return 0, fault(err)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err == nil {
		err = errors.Join(breakDown(ctx, conn, day, billing.Dimension(dimension), now), conn.Close())
	}
	return left - 1, fault(errors.Join(err, db.Close()))
}

// breakDown makes one breakdown: the sums in one reading transaction, their place in the
// file in one that writes.
func breakDown(ctx context.Context, c *sql.Conn, day string, d billing.Dimension, now time.Time) error {
	var rows, lines int64
	b := breaking{ctx: ctx, c: c}
	b.exec(newBreakdown)
	b.exec("BEGIN")
	b.number(&rows, rowsOfDay, day)
	b.exec(breakdownSQL(d), day, string(d))
	b.exec(commit)
	b.number(&lines, linesMade)
	kept := lines <= max(billing.SmallBreakdown, rows/2)
	b.exec(begin)
	if d == billing.AllTags {
		b.exec(dropBreakdown+"dimension >= ?2 AND dimension < ?3", day, billing.TagDimension, "tag;") // ';' comes after ':'
	} else {
		b.exec(dropBreakdown+"dimension = ?2", day, string(d))
	}
	if kept {
		b.exec(keepBreakdown)
	}
	b.exec(noteBreakdown, string(d), day, rows, kept, stamp(now))
	b.exec(commit)
	return b.err
}

// breaking runs statements one after another, until one fails.
type breaking struct {
	ctx context.Context //nolint:containedctx // for as long as the statements run
	c   *sql.Conn
	err error
}

func (b *breaking) exec(query string, args ...any) {
	if b.err == nil {
		_, b.err = b.c.ExecContext(b.ctx, query, args...)
	}
}

func (b *breaking) number(n *int64, query string, args ...any) {
	if b.err == nil {
		b.err = b.c.QueryRowContext(b.ctx, query, args...).Scan(n)
	}
}

// wholeDays are the days that a report is about with how many rows they have, and those
// whose breakdown, ?8, has all of them.
const wholeDays = `days AS MATERIALIZED (
  SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily
  WHERE report_day >= ?1 AND report_day < ?2
  GROUP BY report_day
), whole AS MATERIALIZED (
  SELECT b.report_day FROM breakdown_days b JOIN days d USING (report_day, ledger_rows) WHERE b.dimension = ?8 AND b.kept
), `

// rowDimensions are the dimensions that the rollup has not, as columns.
var rowDimensions = []string{"requested_model", "service_tier", "status", "end_user", "session", "credential", "region"}

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
			s.values = append(s.values, fmt.Sprintf("coalesce((SELECT value FROM json_each(e.tags) WHERE key = ?%d), '(none)')", 4+n))
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
  FROM days CROSS JOIN spend_events e ON e.report_day = days.report_day
  WHERE days.report_day NOT IN (SELECT report_day FROM whole)`
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

// spendRows are the sums of whole days, the rows of the others, and of months that were
// archived the rollup itself: no money drops out of a report. The rows without a tag are
// all of them less those that have it.
func spendRows(q billing.SpendQuery) string {
	const (
		archived = `spend_daily d JOIN billing_periods b ON b.period = d.month || '-01' AND b.archived_at IS NOT NULL
  WHERE d.report_day NOT IN (SELECT report_day FROM whole)`
		daily = `spend_daily d WHERE d.report_day IN (SELECT report_day FROM whole)`
		lines = `whole CROSS JOIN spend_breakdowns d ON d.report_day = whole.report_day AND d.dimension = `
		ofTag = lines + `'` + billing.TagDimension + `' || ?5`
		none  = "'" + billing.NoneGroup + "'"
	)
	s := newSpendSource(q)
	parts := []string{s.rows(), s.sums("", "'"+billing.ArchivedGroup+"'", "", archived)}
	d, ok := q.Breakdown()
	if _, tag := d.Tag(); tag {
		const column = "tag1"
		parts = append(parts, s.sums(column, "d.value", "", ofTag), s.sums(column, none, "", daily), s.sums(column, none, "-", ofTag))
	} else if ok {
		parts = append(parts, s.sums(string(d), "d.value", "", lines+"?8"))
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
