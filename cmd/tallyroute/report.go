package main

import (
	"strings"
	"time"

	"tallyroute/billing"
)

// reportCommand is "tallyroute report": what was spent in a month.
type reportCommand struct {
	format
	By    string `arg:"" help:"One line for each of: ${enum}." enum:"teams,models,keys,projects,providers,days"`
	Month string `help:"The month, as YYYY-MM, in the reporting time zone. Default: this month." placeholder:"YYYY-MM"`
}

// reportColumns are the headings of what each kind of line is grouped by.
func reportColumns(by string) []string {
	switch by {
	case "teams":
		return []string{"TEAM", "COST CENTER"}
	case "models":
		return []string{"PROVIDER", "MODEL"}
	case "keys":
		return []string{"TEAM", "PROJECT", "KEY"}
	case "projects":
		return []string{"PROJECT"}
	case "providers":
		return []string{"PROVIDER"}
	}
	return []string{"DAY"}
}

// reportView is a line of a report as JSON shows it. Money is text, so that no
// reader rounds it.
type reportView struct {
	Group            map[string]string `json:"group"`
	Requests         int64             `json:"requests"`
	Attempts         int64             `json:"attempts"`
	Errors           int64             `json:"errors"`
	Tokens           billing.Tokens    `json:"tokens"`
	CostUSD          string            `json:"cost_usd"`
	SavingsUSD       string            `json:"savings_usd"`
	UnpricedAttempts int64             `json:"unpriced_attempts"`
	OverrunTokens    int64             `json:"overrun_tokens"`
	OverrunUSD       string            `json:"overrun_usd"`
	NotExact         int64             `json:"attempts_not_exact"`
}

// Run prints the report.
func (c reportCommand) Run(a *app) error {
	if c.Month != "" {
		if _, err := time.Parse("2006-01", c.Month); err != nil {
			return usagef("--month: want YYYY-MM")
		}
	}
	return a.withStore(func(s billing.Store, cfg *Config) error {
		if c.Month == "" {
			zone, err := time.LoadLocation(cfg.ReportingTimezone)
			if err != nil {
				return err
			}
			c.Month = time.Now().In(zone).Format("2006-01")
		}
		rows, err := s.Spend(a.ctx, billing.SpendQuery{GroupBy: strings.TrimSuffix(c.By, "s"), Month: c.Month})
		if err != nil {
			return err
		}
		return c.report(rows).write(a.stdout, c.Output)
	})
}

// report lays out rows as a table.
func (c reportCommand) report(rows []billing.SpendRow) *table {
	columns := reportColumns(c.By)
	t := &table{header: append(append([]string(nil), columns...),
		"REQUESTS", "ATTEMPTS", "ERRORS", "PROMPT TOKENS", "COMPLETION TOKENS", "COST USD", "SAVED USD", "UNPRICED", "OVERRUN USD")}
	views := []reportView{}
	for _, r := range rows {
		var cells []cell
		group := make(map[string]string)
		for i, name := range columns {
			word := ""
			if i < len(r.Group) {
				word = r.Group[i]
			}
			cells = append(cells, text(word))
			group[strings.ReplaceAll(strings.ToLower(name), " ", "_")] = word
		}
		t.add(append(cells, number(r.Requests), number(r.Attempts), number(r.Errors),
			number(r.Tokens.Prompt()), number(r.Tokens.Output), money(r.Cost), money(r.Savings), number(r.Unpriced),
			money(r.OverrunMoney))...)
		views = append(views, reportView{
			Group: group, Requests: r.Requests, Attempts: r.Attempts, Errors: r.Errors, Tokens: r.Tokens,
			CostUSD: r.Cost.String(), SavingsUSD: r.Savings.String(), UnpricedAttempts: r.Unpriced,
			OverrunTokens: r.Overrun, OverrunUSD: r.OverrunMoney.String(), NotExact: r.NotExact,
		})
	}
	t.records = views
	return t
}
