package finance

import (
	"fmt"
	"strconv"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Report is "tallyroute report".
type Report struct {
	Spend  reportSpend  `cmd:"" default:"withargs" help:"What was spent, by one or two dimensions; report teams is report spend teams."`
	Usage  reportUsage  `cmd:"" help:"Requests, refusals, errors, latency and peaks of each hour."`
	Prices reportPrices `cmd:"" help:"Which prices changed, and what usage costs at the old and new ones."`
}

// reportSpend is "tallyroute report teams": what was spent.
type reportSpend struct {
	cli.Format
	spanFlags
	partFlags
	By  []string `arg:"" help:"One line for each of one or two of: ${dimensions}." placeholder:"BY"`
	Top int      `help:"Only this many of the most expensive lines." placeholder:"N"`
}

// partFlags restrict a report to part of the spend.
type partFlags struct {
	Team        string `help:"Only this team." placeholder:"NAME"`
	Project     string `help:"Only this project." placeholder:"TEAM/NAME"`
	Key         string `help:"Only this key, by its id." placeholder:"ID"`
	CostCenter  string `help:"Only this cost center." placeholder:"NAME"`
	Environment string `help:"Only this environment." placeholder:"NAME"`
	Provider    string `help:"Only this provider." placeholder:"NAME"`
	Model       string `help:"Only this model, under its name in reports." placeholder:"NAME"`
}

// spanFlags are the days of a report, in the reporting time zone.
type spanFlags struct {
	Month string `help:"The month. Default: this month." placeholder:"YYYY-MM"`
	From  string `help:"The first day." placeholder:"YYYY-MM-DD"`
	To    string `help:"The first day that is not included." placeholder:"YYYY-MM-DD"`
}

// query returns a query for these days.
func (s spanFlags) query() (q billing.SpendQuery, err error) {
	if s.Month != "" {
		if _, err := billing.ParseMonth(s.Month); err != nil {
			return q, cli.Usagef("--month: want YYYY-MM")
		}
	}
	return billing.SpendQuery{Month: billing.Month(s.Month), From: s.From, To: s.To}, nil
}

// Run prints the report.
func (c reportSpend) Run(a *cli.Context) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	q.GroupBy, q.Top = manage.ReadDimensions(c.By...), c.Top
	if err := q.Check(); err != nil {
		return err
	}
	ask := adminapi.Query("group_by", strings.Join(c.By, ","), "month", c.Month, "from", c.From, "to", c.To, "top", count(c.Top),
		"team", c.Team, "project", c.Project, "key_id", c.Key, "cost_center", c.CostCenter, "environment", c.Environment,
		"provider", c.Provider, "model", c.Model)
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.SpendReport](a.Ctx, r, adminapi.Get("/spend", ask))
		if err != nil {
			return err
		}
		if n := int64(len(v.Data)); n < v.Lines {
			fmt.Fprintf(a.Stderr, "these are %d of %d lines; the total is of all\n", n, v.Lines)
		}
		return c.table(q.Words(), v).Write(a.Stdout, c.Output)
	})
}

// count formats a number of lines as a query parameter; "" is all.
func count(lines int) string {
	if lines == 0 {
		return ""
	}
	return strconv.Itoa(lines)
}

// table lays out a report. The total isn't a line of a CSV file, where it would be added to
// the others.
func (c reportSpend) table(words []string, v manage.SpendReport) *cli.Table {
	t := &cli.Table{Records: v, Header: make([]string, 0, len(words)+len(spendHeader))}
	for _, w := range words {
		t.Header = append(t.Header, strings.ToUpper(strings.ReplaceAll(w, "_", " ")))
	}
	t.Header = append(t.Header, spendHeader...)
	for _, l := range v.Data {
		var cells []cli.Cell
		for _, w := range words {
			cells = append(cells, cli.Text(l.Group[w]))
		}
		t.Add(append(cells, spendCells(l)...)...)
	}
	if c.Output == "table" && len(words) > 0 {
		cells := []cli.Cell{cli.Text("TOTAL")}
		for range words[1:] {
			cells = append(cells, cli.Text(""))
		}
		t.Add(append(cells, spendCells(v.Total)...)...)
	}
	return t
}

var spendHeader = []string{
	"REQUESTS", "ATTEMPTS", "ERRORS", "PROMPT TOKENS", "COMPLETION TOKENS", "COST USD", "SAVED USD", "CACHE SAVED USD",
	"UNPRICED", "OVERRUN USD",
}

func spendCells(l manage.SpendLine) []cli.Cell {
	n := l.Tokens
	return []cli.Cell{
		cli.Number(l.Requests), cli.Number(l.Attempts), cli.Number(l.Errors), cli.Number(n.Prompt()), cli.Number(n.Output),
		amount(l.CostUSD), amount(l.RoutingSavingsUSD), amount(l.CacheSavingsUSD),
		cli.Number(l.UnpricedAttempts), amount(l.OverrunUSD),
	}
}

// amount returns a cell with an amount that is already text, with all its decimals so that
// amounts align.
func amount(usd string) cli.Cell {
	m, err := billing.ParseMoney(usd)
	if err != nil {
		return cli.Text(usd) // not a number, so plain text
	}
	return cli.Money(m)
}
