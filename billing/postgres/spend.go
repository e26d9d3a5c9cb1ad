package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

// spendColumn is what a report is grouped by: an expression over a row s of what is
// added up, what it is shown as of a group g, and the table that this needs.
type spendColumn struct{ group, shown, join string }

const (
	joinTeam    = " LEFT JOIN teams t ON t.id = g.team"
	joinProject = " LEFT JOIN projects p ON p.id = g.project"
	joinKey     = " LEFT JOIN api_keys k ON k.id = g.key"
)

// spendColumns are the columns of the words that name a line. Owners are grouped by
// their ids and called by their names.
var spendColumns = map[string]spendColumn{
	"team":        {"s.team_id", "coalesce(t.name, g.team)", joinTeam},
	"project":     {"s.project_id", "coalesce(p.name, g.project)", joinProject},
	"key":         {"s.key_id", "coalesce(k.name, g.key)", joinKey},
	"key_id":      {"s.key_id", "g.key_id", ""},
	"cost_center": {"s.cost_center", "g.cost_center", ""},
	"environment": {"s.environment", "g.environment", ""},
	"provider":    {"s.provider", "g.provider", ""},
	"model":       {"s.model", "g.model", ""},
	"kind":        {"s.kind", "g.kind", ""},
	"day":         {"s.report_day", "g.day::text", ""},
	"week":        {"date_trunc('week', s.report_day::timestamp)::date", "g.week::text", ""}, // its Monday
	"month":       {"to_char(s.report_day, 'YYYY-MM')", "g.month", ""},
}

// spendSums are what is added up of rows s, as scanSpendRow scans it after the group.
const spendSums = `sum(s.requests)::bigint AS requests, sum(s.attempts)::bigint AS attempts, sum(s.errors)::bigint AS errors,
       sum(s.input_tokens)::bigint AS input_tokens, sum(s.cache_read_tokens)::bigint AS cache_read_tokens,
       sum(s.cache_write_tokens)::bigint AS cache_write_tokens, sum(s.output_tokens)::bigint AS output_tokens,
       sum(s.cost_nano)::bigint AS cost_nano, sum(s.input_cost_nano)::bigint AS input_cost_nano,
       sum(s.cache_read_cost_nano)::bigint AS cache_read_cost_nano, sum(s.cache_write_cost_nano)::bigint AS cache_write_cost_nano,
       sum(s.output_cost_nano)::bigint AS output_cost_nano, sum(s.fee_nano)::bigint AS fee_nano,
       sum(s.baseline_cost_nano - s.cost_nano)::bigint AS savings,
       coalesce(sum(s.attempts) FILTER (WHERE s.pricing = 'unpriced'), 0)::bigint AS unpriced,
       sum(s.overrun_tokens)::bigint AS overrun_tokens, sum(s.overrun_nano)::bigint AS overrun_nano,
       coalesce(sum(s.attempts) FILTER (WHERE s.usage_source <> 'reported'), 0)::bigint AS not_exact`

// spendTotals are spendSums of groups g.
const spendTotals = `coalesce(sum(g.requests), 0)::bigint, coalesce(sum(g.attempts), 0)::bigint, coalesce(sum(g.errors), 0)::bigint,
       coalesce(sum(g.input_tokens), 0)::bigint, coalesce(sum(g.cache_read_tokens), 0)::bigint,
       coalesce(sum(g.cache_write_tokens), 0)::bigint, coalesce(sum(g.output_tokens), 0)::bigint,
       coalesce(sum(g.cost_nano), 0)::bigint, coalesce(sum(g.input_cost_nano), 0)::bigint,
       coalesce(sum(g.cache_read_cost_nano), 0)::bigint, coalesce(sum(g.cache_write_cost_nano), 0)::bigint,
       coalesce(sum(g.output_cost_nano), 0)::bigint, coalesce(sum(g.fee_nano), 0)::bigint,
       coalesce(sum(g.savings), 0)::bigint, coalesce(sum(g.unpriced), 0)::bigint,
       coalesce(sum(g.overrun_tokens), 0)::bigint, coalesce(sum(g.overrun_nano), 0)::bigint, coalesce(sum(g.not_exact), 0)::bigint`

const groupSums = `g.requests, g.attempts, g.errors, g.input_tokens, g.cache_read_tokens, g.cache_write_tokens, g.output_tokens,
       g.cost_nano, g.input_cost_nano, g.cache_read_cost_nano, g.cache_write_cost_nano, g.output_cost_nano, g.fee_nano,
       g.savings, g.unpriced, g.overrun_tokens, g.overrun_nano, g.not_exact`

// spendSQL adds up twice: the daily sums to groups, and the groups to the total, which
// comes first and has no group.
const spendSQL = `
WITH g AS MATERIALIZED (
  SELECT {groups}` + spendSums + `
    FROM spend_daily s
   WHERE s.report_day >= $1::date AND s.report_day < $2::date AND ($3 = '' OR s.key_id = $3) AND $4::bigint >= 0
     AND ($5::boolean OR s.team_id = ANY ($6) OR s.project_id = ANY ($7)){only}
   {by}
)
SELECT 0 AS place, ARRAY[]::text[], count(*), ` + spendTotals + ` FROM g{lines}
 ORDER BY 1`

const spendLinesSQL = `
UNION ALL
SELECT * FROM (
  SELECT row_number() OVER (ORDER BY {order}) AS place, ARRAY[{shown}]::text[], 1::bigint, ` + groupSums + `
    FROM g{joins}
   ORDER BY 1
   LIMIT $4
) AS lines`

// Spend implements billing.Reports.
func (s *Store) Spend(ctx context.Context, q billing.SpendQuery) (report billing.SpendReport, err error) {
	if err := q.Check(); err != nil {
		return report, err
	}
	from, to, err := q.Days()
	if err != nil {
		return report, err
	}
	if !q.Daily() {
		err = s.wide(ctx, func(ctx context.Context, c querier) error {
			report, err = breakdown.Spend(ctx, snapshot{c}, days, q)
			return err
		})
		return report, err
	}
	statement, only := spendStatement(q)
	everywhere, teams, projects := within(q.Within)
	args := append([]any{from, to, billing.CleanText(string(q.KeyID)), q.Lines(), everywhere, teams, projects}, only...)
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, statement, args...)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, scanSpendLine)
		if err != nil {
			return err
		}
		report = billing.SpendReport{Total: found[0].SpendRow, Lines: found[0].lines}
		for _, l := range found[1:] {
			report.Rows = append(report.Rows, l.SpendRow)
		}
		return nil
	})
	return report, err
}

// wide runs a report that may read all rows that there are, in one snapshot.
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

// spendLine is a row of a report and how many rows it stands for.
type spendLine struct {
	billing.SpendRow
	lines int64
}

func scanSpendLine(row pgx.CollectableRow) (l spendLine, err error) {
	var place int64
	m := &l.Meters
	err = row.Scan(&place, &l.Group, &l.lines, &l.Requests, &l.Attempts, &l.Errors,
		&l.Tokens.Input, &l.Tokens.CacheRead, &l.Tokens.CacheWrite, &l.Tokens.Output,
		&l.Cost, &m.Input, &m.CacheRead, &m.CacheWrite, &m.Output, &m.Fee,
		&l.Savings, &l.Unpriced, &l.Overrun, &l.OverrunMoney, &l.NotExact)
	m.Total = l.Cost
	return l, err
}

// spendStatement is the statement of a query of the daily sums, and what it asks for only.
func spendStatement(q billing.SpendQuery) (sql string, only []any) {
	var groups, shown, order, by []string
	joins, where, lines := "", "", ""
	for _, d := range q.GroupBy {
		if d.InTime() && q.Top == 0 {
			order = append(order, "g."+string(d))
		}
		for _, w := range d.Words() {
			if c := spendColumns[w]; !slices.Contains(shown, c.shown) {
				groups, shown = append(groups, c.group+" AS "+w+", "), append(shown, c.shown)
				by = append(by, strconv.Itoa(len(groups)))
				joins += c.join
			}
		}
	}
	for _, c := range q.Only.Columns() {
		only = append(only, billing.CleanText(c.Value))
		where += fmt.Sprintf(" AND s.%s = $%d", c.Name, 7+len(only))
	}
	order = append(append(order, "g.cost_nano DESC"), shown...)
	grouped := ""
	if len(by) > 0 {
		grouped = "GROUP BY " + strings.Join(by, ", ")
		lines = strings.NewReplacer("{order}", strings.Join(order, ", "), "{shown}", strings.Join(shown, ", "), "{joins}", joins).
			Replace(spendLinesSQL)
	}
	return strings.NewReplacer("{groups}", strings.Join(groups, ""), "{only}", where, "{by}", grouped, "{lines}", lines).
		Replace(spendSQL), only
}
