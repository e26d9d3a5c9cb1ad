package manage

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
)

// SpendReport is what was spent, in JSON, as the command line and REST print it.
type SpendReport struct {
	GroupBy  []string    `json:"group_by"`
	From     *string     `json:"from"` // null: from the beginning
	To       *string     `json:"to"`   // the day after the last; null: to the end
	Currency string      `json:"currency"`
	Data     []SpendLine `json:"data"`
	Total    SpendLine   `json:"total"` // of all lines
	Lines    int64       `json:"lines"` // the total number; data contains the first of them
}

// SpendLine is a line of a report. Money is text, so that no parser rounds it.
type SpendLine struct {
	Group               map[string]string `json:"group,omitempty"`
	Requests            int64             `json:"requests"`
	Attempts            int64             `json:"attempts"`
	Errors              int64             `json:"errors"`
	Tokens              SpendTokens       `json:"tokens"`
	CostUSD             string            `json:"cost_usd"`
	MetersUSD           SpendMeters       `json:"meters_usd"`
	RoutingSavingsUSD   string            `json:"routing_savings_usd"`
	CacheSavingsUSD     string            `json:"cache_savings_usd"` // below zero where writing cost more than reading saved
	UnpricedAttempts    int64             `json:"unpriced_attempts"` // not included in the cost
	NotReportedAttempts int64             `json:"not_reported_attempts"`
	OverrunTokens       int64             `json:"overrun_tokens"`
	OverrunUSD          string            `json:"overrun_usd"`
}

// SpendTokens are tokens by the four kinds that make up the total.
type SpendTokens struct {
	Input      int64 `json:"input"`
	CacheRead  int64 `json:"cache_read"`
	CacheWrite int64 `json:"cache_write"`
	Output     int64 `json:"output"`
}

// Prompt returns all tokens that were sent.
func (t SpendTokens) Prompt() int64 { return t.Input + t.CacheRead + t.CacheWrite }

// SpendMeters are the components of a cost.
type SpendMeters struct {
	Input      string `json:"input"`
	CacheRead  string `json:"cache_read"`
	CacheWrite string `json:"cache_write"`
	Output     string `json:"output"`
	Fee        string `json:"fee"`
}

// Spend returns a spend report. Without a month or bounds, it covers the current month in
// zone.
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

// ReadDimensions parses names such as "team", "teams", "cost-center" and "tag:feature"; a
// string may contain several, separated by commas.
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
		CostUSD: r.Cost.Short(), RoutingSavingsUSD: r.Savings.Short(), CacheSavingsUSD: r.CacheSavings.Short(),
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

// UsageReport is how the router was used in each hour, in JSON.
type UsageReport struct {
	By   string      `json:"by"`
	From string      `json:"from"`
	To   string      `json:"to"` // exclusive
	Data []UsageLine `json:"data"`
}

// UsageLine is one hour of a key, project, model or provider.
type UsageLine struct {
	Hour      string            `json:"hour"`
	Group     map[string]string `json:"group"`
	Requests  int64             `json:"requests"`
	Attempts  int64             `json:"attempts"`
	Errors    int64             `json:"errors"`     // unsuccessful attempts
	ErrorRate string            `json:"error_rate"` // as a share of the attempts
	Refused   int64             `json:"refused"`    // requests that we answered with an error of our own
	Refusals  map[string]int64  `json:"refusals"`   // by code

	TookMS     QuantilesView `json:"took_ms"` // of successful attempts
	FirstToken QuantilesView `json:"first_token_ms"`
	BytesIn    int64         `json:"bytes_in"`
	BytesOut   int64         `json:"bytes_out"`

	// The maximum in one minute, and the key's limit per minute.
	PeakRequests  int64  `json:"peak_requests_per_minute"`
	PeakTokens    int64  `json:"peak_tokens_per_minute"`
	LimitRequests *int64 `json:"requests_per_minute"` // null: no limit
	LimitTokens   *int64 `json:"tokens_per_minute"`
}

// QuantilesView are milliseconds; null if nothing was measured.
type QuantilesView struct {
	P50 *int64 `json:"p50"`
	P95 *int64 `json:"p95"`
}

// Usage returns a usage report. Without bounds, it covers the last day.
func Usage(ctx context.Context, from billing.UsageReports, q billing.UsageQuery, now time.Time) (UsageReport, error) {
	if q.To.IsZero() {
		q.To = now.Truncate(time.Hour).Add(time.Hour)
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-24 * time.Hour)
	}
	q.From = q.From.UTC().Truncate(time.Hour)
	q.To = q.To.UTC().Add(time.Hour - 1).Truncate(time.Hour)
	rows, err := from.Usage(ctx, q)
	if err != nil {
		return UsageReport{}, err
	}
	v := UsageReport{By: string(q.By), From: q.From.Format(time.RFC3339), To: q.To.Format(time.RFC3339), Data: make([]UsageLine, len(rows))}
	for i, r := range rows {
		v.Data[i] = viewUsage(q.By.Words(), r)
	}
	return v, nil
}

func viewUsage(words []string, r billing.UsageRow) UsageLine {
	v := UsageLine{
		Hour: r.Hour.UTC().Format(time.RFC3339), Group: make(map[string]string, len(words)),
		Requests: r.Requests, Attempts: r.Attempts, Errors: r.Errors, ErrorRate: "0.0000", Refusals: r.Refused,
		TookMS: QuantilesView(r.Took), FirstToken: QuantilesView(r.First), BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		PeakRequests: r.PeakRequests, PeakTokens: r.PeakTokens,
		LimitRequests: positive(r.LimitRequests), LimitTokens: positive(r.LimitTokens),
	}
	if r.Attempts > 0 {
		share := (r.Errors*10_000 + r.Attempts/2) / r.Attempts
		v.ErrorRate = fmt.Sprintf("%d.%04d", share/10_000, share%10_000)
	}
	if v.Refusals == nil {
		v.Refusals = map[string]int64{}
	}
	for _, n := range r.Refused {
		v.Refused += n
	}
	for i, w := range words {
		if i < len(r.Group) {
			v.Group[w] = r.Group[i]
		}
	}
	return v
}
