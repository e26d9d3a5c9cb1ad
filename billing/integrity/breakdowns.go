package integrity

import (
	"strings"

	"tallyroute/billing"
)

// rowValues are what rows e have of the dimensions that there are breakdowns by.
var rowValues = map[billing.Dimension]string{
	"requested_model": "e.requested_model",
	"service_tier":    "e.service_tier",
	"status":          "e.status",
	"end_user":        "coalesce(e.end_user, '(none)')",
	"session":         "coalesce(e.session, '(none)')",
	"credential":      "coalesce(e.upstream_credential, '(none)')",
	"region":          "coalesce(e.region, '(none)')",
	billing.AllTags:   "CAST(t.value AS text)",
}

// wholeSQL are the breakdowns that reports read: those of days that have no other rows.
const wholeSQL = `
WITH whole AS (
  SELECT b.dimension, b.report_day
    FROM breakdown_days b
    JOIN (SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily GROUP BY report_day) AS d
      ON d.report_day = b.report_day AND d.ledger_rows = b.ledger_rows
   WHERE b.kept
)`

// breakdownSumsSQL compares the lines of breakdowns, without their values, with the rollup.
// Tags are not in it: a row has any number of them.
func breakdownSumsSQL() string {
	by := strings.Join(grain[1:len(grain)-1], ", ") // no day, which is named, nor price
	var added []string
	for _, c := range rollupSums() {
		added = append(added, "sum("+c+") AS "+c)
	}
	differ, expected, found := differences("d", "l")
	sums := strings.Join(added, ", ")
	return wholeSQL + `
SELECT 'spend_breakdowns: by ' || dimension || ' of ' || CAST(report_day AS text) || ', key ' || key_id,
       ` + expected + `,
       ` + found + `
  FROM (
    SELECT w.dimension, w.report_day, ` + by + `, ` + sums + `
      FROM whole w JOIN spend_daily d ON d.report_day = w.report_day
     WHERE w.dimension <> '` + string(billing.AllTags) + `'
     GROUP BY w.dimension, w.report_day, ` + by + `
  ) AS d
  FULL JOIN (
    SELECT w.dimension, w.report_day, ` + by + `, ` + sums + `
      FROM whole w JOIN spend_breakdowns l ON l.dimension = w.dimension AND l.report_day = w.report_day
     GROUP BY w.dimension, w.report_day, ` + by + `
  ) AS l USING (dimension, report_day, ` + by + `)
 WHERE ` + differ
}

// breakdownValuesSQL compares breakdowns with the rows, value by value.
func breakdownValuesSQL(d Dialect) string {
	const counts = "count(*) AS n, sum(" + allTokens + ") AS tokens, sum(coalesce(cost_nano, 0)) AS nano"
	var rows []string
	for _, by := range billing.BreakdownDimensions() {
		name, tags := "'"+string(by)+"'", ""
		if by == billing.AllTags {
			name, tags = "'"+billing.TagDimension+"' || t.key", d.Tags
		}
		rows = append(rows, `
    SELECT `+name+` AS dimension, e.report_day, `+rowValues[by]+` AS value, `+counts+`
      FROM whole w CROSS JOIN spend_events e`+tags+`
     WHERE w.dimension = '`+string(by)+`' AND e.report_day = w.report_day
     GROUP BY 1, 2, 3`)
	}
	return wholeSQL + `
SELECT 'spend_breakdowns: ' || dimension || ' ' || value || ' of ' || CAST(report_day AS text),
       coalesce(r.n, 0) || ' rows, ' || coalesce(r.tokens, 0) || ' tokens and ' || coalesce(r.nano, 0) || ' nano-dollars',
       coalesce(l.n, 0) || ' rows, ' || coalesce(l.tokens, 0) || ' tokens and ' || coalesce(l.nano, 0) || ' nano-dollars'
  FROM (` + strings.Join(rows, "\n    UNION ALL") + `
  ) AS r
  FULL JOIN (
    SELECT l.dimension, l.report_day, l.value, sum(l.ledger_rows) AS n, sum(` + allTokens + `) AS tokens, sum(cost_nano) AS nano
      FROM whole w
      JOIN spend_breakdowns l ON l.report_day = w.report_day
       AND (l.dimension = w.dimension
            OR w.dimension = '` + string(billing.AllTags) + `' AND l.dimension LIKE '` + billing.TagDimension + `%')
     WHERE substr(CAST(l.report_day AS text), 1, 7) NOT IN ` + archived + `
     GROUP BY l.dimension, l.report_day, l.value
  ) AS l USING (dimension, report_day, value)
 WHERE coalesce(r.n, 0) <> coalesce(l.n, 0) OR coalesce(r.tokens, 0) <> coalesce(l.tokens, 0) OR coalesce(r.nano, 0) <> coalesce(l.nano, 0)`
}
