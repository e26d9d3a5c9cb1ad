package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
)

// spendColumn is what a report is grouped by: an expression over a row s of what is
// added up, what it is shown as of a group g, and the table that this needs.
type spendColumn struct{ group, shown, join string }

// spendColumns are the columns of the words that name a line. Owners are grouped by
// their ids and called by their names.
var spendColumns = map[string]spendColumn{
	"team":            {"s.team_id", "coalesce(t.name, g.team)", " LEFT JOIN teams t ON t.id = g.team"},
	"project":         {"s.project_id", "coalesce(p.name, g.project)", " LEFT JOIN projects p ON p.id = g.project"},
	"key":             {"s.key_id", "coalesce(k.name, g.key)", " LEFT JOIN api_keys k ON k.id = g.key"},
	"key_id":          {"s.key_id", "g.key_id", ""},
	"cost_center":     {"s.cost_center", "g.cost_center", ""},
	"environment":     {"s.environment", "g.environment", ""},
	"provider":        {"s.provider", "g.provider", ""},
	"model":           {"s.model", "g.model", ""},
	"kind":            {"s.kind", "g.kind", ""},
	"day":             {"s.report_day", "g.day", ""},
	"week":            {"date(s.report_day, 'weekday 0', '-6 days')", "g.week", ""}, // its Monday
	"month":           {"substr(s.report_day, 1, 7)", "g.month", ""},
	"requested_model": {"s.requested_model", "g.requested_model", ""},
	"service_tier":    {"s.service_tier", "g.service_tier", ""},
	"status":          {"s.status", "g.status", ""},
	"end_user":        {"s.end_user", "g.end_user", ""},
	"session":         {"s.session", "g.session", ""},
	"credential":      {"s.credential", "g.credential", ""},
	"region":          {"s.region", "g.region", ""},
}

const spendSums = `sum(s.requests) AS requests, sum(s.attempts) AS attempts, sum(s.errors) AS errors,
  sum(s.input_tokens) AS input_tokens, sum(s.cache_read_tokens) AS cache_read_tokens,
  sum(s.cache_write_tokens) AS cache_write_tokens, sum(s.output_tokens) AS output_tokens,
  sum(s.cost_nano) AS cost_nano, sum(s.input_cost_nano) AS input_cost_nano, sum(s.cache_read_cost_nano) AS cache_read_cost_nano,
  sum(s.cache_write_cost_nano) AS cache_write_cost_nano, sum(s.output_cost_nano) AS output_cost_nano, sum(s.fee_nano) AS fee_nano,
  sum(s.baseline_cost_nano - s.cost_nano) AS savings,
  coalesce(sum(s.attempts) FILTER (WHERE s.pricing = 'unpriced'), 0) AS unpriced,
  sum(s.overrun_tokens) AS overrun_tokens, sum(s.overrun_nano) AS overrun_nano,
  coalesce(sum(s.attempts) FILTER (WHERE s.usage_source <> 'reported'), 0) AS not_exact`

const spendTotals = `coalesce(sum(g.requests), 0), coalesce(sum(g.attempts), 0), coalesce(sum(g.errors), 0),
  coalesce(sum(g.input_tokens), 0), coalesce(sum(g.cache_read_tokens), 0), coalesce(sum(g.cache_write_tokens), 0),
  coalesce(sum(g.output_tokens), 0), coalesce(sum(g.cost_nano), 0), coalesce(sum(g.input_cost_nano), 0),
  coalesce(sum(g.cache_read_cost_nano), 0), coalesce(sum(g.cache_write_cost_nano), 0), coalesce(sum(g.output_cost_nano), 0),
  coalesce(sum(g.fee_nano), 0), coalesce(sum(g.savings), 0), coalesce(sum(g.unpriced), 0), coalesce(sum(g.overrun_tokens), 0),
  coalesce(sum(g.overrun_nano), 0), coalesce(sum(g.not_exact), 0)`

const groupSums = `g.requests, g.attempts, g.errors, g.input_tokens, g.cache_read_tokens, g.cache_write_tokens, g.output_tokens,
  g.cost_nano, g.input_cost_nano, g.cache_read_cost_nano, g.cache_write_cost_nano, g.output_cost_nano, g.fee_nano,
  g.savings, g.unpriced, g.overrun_tokens, g.overrun_nano, g.not_exact`

// spendRows are single rows as if they were daily sums, and of months that were
// archived the daily sums themselves: no money drops out of a report.
const spendRows = `(
  SELECT e.report_day, e.team_id, e.project_id, e.key_id, e.cost_center, e.environment, e.provider, e.model, e.kind, e.pricing,
    e.usage_source, e.requested_model, e.service_tier, e.status, coalesce(e.end_user, '(none)') AS end_user,
    coalesce(e.session, '(none)') AS session, coalesce(e.upstream_credential, '(none)') AS credential,
    coalesce(e.region, '(none)') AS region, {tags}
    e.kind = 'usage' AND e.final AS requests, e.kind = 'usage' AS attempts, e.kind = 'usage' AND e.status <> 'ok' AS errors,
    e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens, coalesce(e.cost_nano, 0) AS cost_nano,
    coalesce(e.input_cost_nano, 0) AS input_cost_nano, coalesce(e.cache_read_cost_nano, 0) AS cache_read_cost_nano,
    coalesce(e.cache_write_cost_nano, 0) AS cache_write_cost_nano, coalesce(e.output_cost_nano, 0) AS output_cost_nano,
    coalesce(e.fee_nano, 0) AS fee_nano,
    CASE WHEN e.pricing = 'unpriced' THEN 0 ELSE coalesce(e.baseline_cost_nano, e.cost_nano) END AS baseline_cost_nano,
    e.overrun_tokens, e.overrun_nano
  FROM spend_events e
  UNION ALL
  SELECT d.report_day, d.team_id, d.project_id, d.key_id, d.cost_center, d.environment, d.provider, d.model, d.kind, d.pricing,
    d.usage_source, '(archived)', '(archived)', '(archived)', '(archived)', '(archived)', '(archived)', '(archived)', {archived}
    d.requests, d.attempts, d.errors, d.input_tokens, d.cache_read_tokens, d.cache_write_tokens, d.output_tokens, d.cost_nano,
    d.input_cost_nano, d.cache_read_cost_nano, d.cache_write_cost_nano, d.output_cost_nano, d.fee_nano, d.baseline_cost_nano,
    d.overrun_tokens, d.overrun_nano
  FROM spend_daily d
  JOIN billing_periods b ON b.period = d.month || '-01' AND b.archived_at IS NOT NULL
)`

// The value of a tag; ?5 and ?6 are their names.
const (
	tagColumn      = `coalesce((SELECT value FROM json_each(e.tags) WHERE key = ?%d), '(none)') AS tag%d, `
	archivedColumn = `'(archived)', `
)

// spendSQL adds up twice: the rows to groups, and the groups to the total, which
// comes first and has no group.
const spendSQL = `WITH g AS MATERIALIZED (
  SELECT {groups}` + spendSums + `
  FROM {source} s
  WHERE s.report_day >= ?1 AND s.report_day < ?2 AND (?3 = '' OR s.key_id = ?3) AND ?4 >= 0 AND ?5 IS NOT NULL AND ?6 IS NOT NULL
  {by}
)
SELECT 0 AS place, '[]', count(*), ` + spendTotals + ` FROM g{lines}
ORDER BY 1`

const spendLines = `
UNION ALL
SELECT * FROM (
  SELECT row_number() OVER (ORDER BY {order}) AS place, json_array({shown}), 1, ` + groupSums + `
  FROM g{joins}
  ORDER BY 1
  LIMIT ?4
)`

// Spend implements billing.Reports.
func (s *Store) Spend(ctx context.Context, q billing.SpendQuery) (report billing.SpendReport, err error) {
	if err := q.Check(); err != nil {
		return report, err
	}
	from, to, err := q.Days()
	if err != nil {
		return report, err
	}
	statement, tags := spendStatement(q)
	err = s.read.rows(ctx, statement, []any{from, to, string(q.KeyID), q.Lines(), tags[0], tags[1]}, func(scan scanner) error {
		var r billing.SpendRow
		var place, lines int64
		m := &r.Meters
		err := scan(&place, jsonText{&r.Group}, &lines, &r.Requests, &r.Attempts, &r.Errors,
			&r.Tokens.Input, &r.Tokens.CacheRead, &r.Tokens.CacheWrite, &r.Tokens.Output,
			&r.Cost, &m.Input, &m.CacheRead, &m.CacheWrite, &m.Output, &m.Fee,
			&r.Savings, &r.Unpriced, &r.Overrun, &r.OverrunMoney, &r.NotExact)
		m.Total = r.Cost
		if place == 0 {
			report.Total, report.Lines = r, lines
			return err
		}
		report.Rows = append(report.Rows, r)
		return err
	})
	return report, err
}

// spendStatement is the statement of a query, and the tags that it groups by.
func spendStatement(q billing.SpendQuery) (sql string, tags [billing.MostDimensions]string) {
	var groups, shown, order []string
	joins, values, archived, named := "", "", "", 0
	for _, d := range q.GroupBy {
		if name, ok := d.Tag(); ok {
			tags[named] = name
			named++
			column := fmt.Sprintf("tag%d", named)
			groups, shown = append(groups, "s."+column+" AS "+column), append(shown, "g."+column)
			values += fmt.Sprintf(tagColumn, 4+named, named)
			archived += archivedColumn
			continue
		}
		if d.InTime() && q.Top == 0 {
			order = append(order, "g."+string(d))
		}
		for _, w := range d.Words() {
			if c := spendColumns[w]; !slices.Contains(shown, c.shown) {
				groups, shown = append(groups, c.group+" AS "+w), append(shown, c.shown)
				joins += c.join
			}
		}
	}
	order = append(append(order, "g.cost_nano DESC"), shown...)
	source, columns, by, lines := "spend_daily", "", "", ""
	if !q.Daily() {
		source = strings.NewReplacer("{tags}", values, "{archived}", archived).Replace(spendRows)
	}
	for i, g := range groups {
		columns += g + ", "
		by += fmt.Sprintf(", %d", i+1)
	}
	if by != "" {
		by = "GROUP BY " + by[2:]
		lines = strings.NewReplacer("{order}", strings.Join(order, ", "), "{shown}", strings.Join(shown, ", "), "{joins}", joins).
			Replace(spendLines)
	}
	return strings.NewReplacer("{source}", source, "{groups}", columns, "{by}", by, "{lines}", lines).Replace(spendSQL), tags
}
