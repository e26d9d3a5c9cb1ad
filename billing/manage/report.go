package manage

import (
	"context"
	"strings"
	"time"

	"tallyroute/billing"
)

// SpendReport is what was spent, in JSON: the command line and REST print it.
type SpendReport struct {
	GroupBy  []string    `json:"group_by"`
	From     *string     `json:"from"` // null: from the beginning
	To       *string     `json:"to"`   // the day after the last; null: to the end
	Currency string      `json:"currency"`
	Data     []SpendLine `json:"data"`
	Total    SpendLine   `json:"total"` // of all lines
	Lines    int64       `json:"lines"` // that there are; data has the first of them
}

// SpendLine is a line of it. Money is text, so that no reader rounds it.
type SpendLine struct {
	Group               map[string]string `json:"group,omitempty"`
	Requests            int64             `json:"requests"`
	Attempts            int64             `json:"attempts"`
	Errors              int64             `json:"errors"`
	Tokens              SpendTokens       `json:"tokens"`
	CostUSD             string            `json:"cost_usd"`
	MetersUSD           SpendMeters       `json:"meters_usd"`
	RoutingSavingsUSD   string            `json:"routing_savings_usd"`
	UnpricedAttempts    int64             `json:"unpriced_attempts"` // which the cost does not include
	NotReportedAttempts int64             `json:"not_reported_attempts"`
	OverrunTokens       int64             `json:"overrun_tokens"`
	OverrunUSD          string            `json:"overrun_usd"`
}

// SpendTokens are tokens in the four kinds that make the total.
type SpendTokens struct {
	Input      int64 `json:"input"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Output     int64 `json:"output"`
}

// Prompt is everything that was sent.
func (t SpendTokens) Prompt() int64 { return t.Input + t.CacheRead + t.CacheWrite }

// SpendMeters are what a cost consists of.
type SpendMeters struct {
	Input      string `json:"input"`
	CacheRead  string `json:"cache_read"`
	CacheWrite string `json:"cache_write"`
	Output     string `json:"output"`
	Fee        string `json:"fee"`
}

// Spend answers a report. Without a month or bounds it is of the month that now is
// in zone.
func Spend(ctx context.Context, from billing.Reports, q billing.SpendQuery, now time.Time, zone *time.Location) (SpendReport, error) {
	if q.Month == "" && q.From == "" && q.To == "" {
		q.Month = billing.MonthOf(now.In(zone).Format(time.DateOnly))
	}
	if err := q.Check(); err != nil {
		return SpendReport{}, err
	}
	found, err := from.Spend(ctx, q)
	if err != nil {
		return SpendReport{}, err
	}
	return viewSpend(q, found), nil
}

// ReadDimensions reads names such as "team", "teams", "cost-center" and "tag:feature",
// with commas between them where there are several in one.
func ReadDimensions(names ...string) (list []billing.Dimension) {
	for name := range strings.SplitSeq(strings.Join(names, ","), ",") {
		d := billing.Dimension(strings.TrimSpace(name))
		if _, tag := d.Tag(); !tag {
			d = billing.Dimension(strings.ReplaceAll(strings.ToLower(string(d)), "-", "_"))
			if one := billing.Dimension(strings.TrimSuffix(string(d), "s")); d.Words() == nil && one.Words() != nil {
				d = one
			}
		}
		if d != "" {
			list = append(list, d)
		}
	}
	return list
}

func viewSpend(q billing.SpendQuery, found billing.SpendReport) SpendReport {
	v := SpendReport{
		GroupBy: []string{}, Currency: "USD", Data: make([]SpendLine, len(found.Rows)), Total: viewSpendLine(nil, found.Total),
		Lines: found.Lines, From: TextOrNull(q.From), To: TextOrNull(q.To),
	}
	if len(q.GroupBy) == 0 {
		v.Lines = 0
	}
	if from, to, err := q.Days(); err == nil && q.Month != "" {
		v.From, v.To = &from, &to
	}
	for _, d := range q.GroupBy {
		v.GroupBy = append(v.GroupBy, string(d))
	}
	words := q.Words()
	for i, r := range found.Rows {
		v.Data[i] = viewSpendLine(words, r)
	}
	return v
}

func viewSpendLine(words []string, r billing.SpendRow) SpendLine {
	t, m := r.Tokens, r.Meters
	v := SpendLine{
		Requests: r.Requests, Attempts: r.Attempts, Errors: r.Errors,
		Tokens:  SpendTokens{t.Input, t.CacheRead, t.CacheWrite, t.Output},
		CostUSD: r.Cost.Short(), RoutingSavingsUSD: r.Savings.Short(),
		MetersUSD:        SpendMeters{m.Input.Short(), m.CacheRead.Short(), m.CacheWrite.Short(), m.Output.Short(), m.Fee.Short()},
		UnpricedAttempts: r.Unpriced, NotReportedAttempts: r.NotExact,
		OverrunTokens: r.Overrun, OverrunUSD: r.OverrunMoney.Short(),
	}
	if len(words) > 0 {
		v.Group = make(map[string]string, len(words))
	}
	for i, w := range words {
		if i < len(r.Group) {
			v.Group[w] = r.Group[i]
		}
	}
	return v
}
