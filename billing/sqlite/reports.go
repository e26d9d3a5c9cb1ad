package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

// sums adds up the rollup. Each report puts its group before it, as JSON.
const sums = `, sum(d.requests), sum(d.attempts), sum(d.errors),
  sum(d.input_tokens), sum(d.cache_read_tokens), sum(d.cache_write_tokens), sum(d.output_tokens),
  sum(d.cost_nano) AS cost, sum(d.baseline_cost_nano - d.cost_nano),
  coalesce(sum(d.attempts) FILTER (WHERE d.pricing = 'unpriced'), 0), sum(d.overrun_tokens), sum(d.overrun_nano),
  coalesce(sum(d.attempts) FILTER (WHERE d.usage_source <> 'reported'), 0)
FROM spend_daily d
LEFT JOIN teams t ON t.id = d.team_id
LEFT JOIN projects p ON p.id = d.project_id
LEFT JOIN api_keys k ON k.id = d.key_id
WHERE d.month BETWEEN ?1 AND ?2 AND (?3 = '' OR d.key_id = ?3)
`

// spendBy has the statement of each group. Owners are grouped by their ids and
// called by their names.
var spendBy = map[string]string{
	"team": `SELECT json_array(coalesce(t.name, d.team_id), d.cost_center)` + sums +
		`GROUP BY d.team_id, d.cost_center ORDER BY cost DESC, 1`,
	"project": `SELECT json_array(coalesce(p.name, d.project_id))` + sums +
		`GROUP BY d.project_id ORDER BY cost DESC, 1`,
	"key": `SELECT json_array(coalesce(t.name, d.team_id), coalesce(p.name, d.project_id), coalesce(k.name, d.key_id))` + sums +
		`GROUP BY d.team_id, d.project_id, d.key_id ORDER BY cost DESC, 1`,
	"provider": `SELECT json_array(d.provider)` + sums +
		`GROUP BY d.provider ORDER BY cost DESC, 1`,
	"model": `SELECT json_array(d.provider, d.model)` + sums +
		`GROUP BY d.provider, d.model ORDER BY cost DESC, 1`,
	"day": `SELECT json_array(d.report_day)` + sums +
		`GROUP BY d.report_day ORDER BY d.report_day`,
}

// Spend implements billing.Reports. Days are in order, everything else begins
// with what cost most. Without a month it adds up all that there is.
func (s *Store) Spend(ctx context.Context, q billing.SpendQuery) ([]billing.SpendRow, error) {
	query, ok := spendBy[q.GroupBy]
	if !ok {
		return nil, fmt.Errorf("billing/sqlite: no report by %q, want team, model, key, project, provider or day", q.GroupBy)
	}
	first, last := "0000-01", "9999-12"
	if q.Month != "" {
		if _, err := time.Parse("2006-01", q.Month); err != nil {
			return nil, fmt.Errorf("billing/sqlite: month %q is not YYYY-MM", q.Month)
		}
		first, last = q.Month, q.Month
	}
	var rows []billing.SpendRow
	err := s.read.rows(ctx, query, []any{first, last, string(q.KeyID)}, func(scan scanner) error {
		var r billing.SpendRow
		err := scan(jsonText{&r.Group}, &r.Requests, &r.Attempts, &r.Errors,
			&r.Tokens.Input, &r.Tokens.CacheRead, &r.Tokens.CacheWrite, &r.Tokens.Output,
			&r.Cost, &r.Savings, &r.Unpriced, &r.Overrun, &r.OverrunMoney, &r.NotExact)
		rows = append(rows, r)
		return err
	})
	return rows, err
}
