package main

import (
	"fmt"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
)

// reportCommand is "tallyroute report".
type reportCommand struct {
	Spend  reportSpend  `cmd:"" default:"withargs" help:"What was spent, by one or two dimensions; report teams is report spend teams."`
	Usage  reportUsage  `cmd:"" help:"Requests, refusals, errors, latency and peaks of each hour."`
	Prices reportPrices `cmd:"" help:"Which prices changed, and what usage costs by the old and the new one."`
}

// reportSpend is "tallyroute report teams": what was spent.
type reportSpend struct {
	format
	spanFlags
	By  []string `arg:"" help:"One line for each of one or two of: ${dimensions}." placeholder:"BY"`
	Top int      `help:"Only the dearest lines, so many." placeholder:"N"`
}

// spanFlags are the days of a report, in the reporting time zone.
type spanFlags struct {
	Month string `help:"The month. Default: this month." placeholder:"YYYY-MM"`
	From  string `help:"The first day." placeholder:"YYYY-MM-DD"`
	To    string `help:"The day after the last." placeholder:"YYYY-MM-DD"`
}

// query is a query of these days.
func (s spanFlags) query() (q billing.SpendQuery, err error) {
	if s.Month != "" {
		if _, err := billing.ParseMonth(s.Month); err != nil {
			return q, usagef("--month: want YYYY-MM")
		}
	}
	return billing.SpendQuery{Month: billing.Month(s.Month), From: s.From, To: s.To}, nil
}

// Run prints the report.
func (c reportSpend) Run(a *cli) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	q.GroupBy, q.Top = manage.ReadDimensions(c.By...), c.Top
	if err := q.Check(); err != nil {
		return err
	}
	ask := adminapi.Query("group_by", strings.Join(c.By, ","), "month", c.Month, "from", c.From, "to", c.To, "top", count(c.Top))
	return a.ask(needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.SpendReport](a.ctx, r, adminapi.Get("/spend", ask))
		if err != nil {
			return err
		}
		if n := int64(len(v.Data)); n < v.Lines {
			fmt.Fprintf(a.stderr, "these are %d of %d lines; the total is of all\n", n, v.Lines)
		}
		return c.table(q.Words(), v).write(a.stdout, c.Output)
	})
}

// count is how many lines, as a parameter; "" is all.
func count(lines int) string {
	if lines == 0 {
		return ""
	}
	return strconv.Itoa(lines)
}

// table lays out a report. Its total is not a line of a CSV file, where it would be
// added up with the others.
func (c reportSpend) table(words []string, v manage.SpendReport) *table {
	t := &table{records: v, header: make([]string, 0, len(words)+len(spendHeader))}
	for _, w := range words {
		t.header = append(t.header, strings.ToUpper(strings.ReplaceAll(w, "_", " ")))
	}
	t.header = append(t.header, spendHeader...)
	for _, l := range v.Data {
		var cells []cell
		for _, w := range words {
			cells = append(cells, text(l.Group[w]))
		}
		t.add(append(cells, spendCells(l)...)...)
	}
	if c.Output == "table" && len(words) > 0 {
		cells := []cell{text("TOTAL")}
		for range words[1:] {
			cells = append(cells, text(""))
		}
		t.add(append(cells, spendCells(v.Total)...)...)
	}
	return t
}

var spendHeader = []string{
	"REQUESTS", "ATTEMPTS", "ERRORS", "PROMPT TOKENS", "COMPLETION TOKENS", "COST USD", "SAVED USD", "UNPRICED", "OVERRUN USD",
}

func spendCells(l manage.SpendLine) []cell {
	n := l.Tokens
	return []cell{
		number(l.Requests), number(l.Attempts), number(l.Errors), number(n.Prompt()), number(n.Output),
		amount(l.CostUSD), amount(l.RoutingSavingsUSD), number(l.UnpricedAttempts), amount(l.OverrunUSD),
	}
}

// amount is money that is text already, with all its decimals, so that they align.
func amount(usd string) cell {
	m, err := billing.ParseMoney(usd)
	if err != nil {
		return text(usd) // what nobody has written
	}
	return money(m)
}
