package manage

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

// UsageReport is how the router was used in each hour, in JSON.
type UsageReport struct {
	By   string      `json:"by"`
	From string      `json:"from"`
	To   string      `json:"to"` // not included
	Data []UsageLine `json:"data"`
}

// UsageLine is an hour of a key, project, model or provider.
type UsageLine struct {
	Hour      string            `json:"hour"`
	Group     map[string]string `json:"group"`
	Requests  int64             `json:"requests"`
	Attempts  int64             `json:"attempts"`
	Errors    int64             `json:"errors"`     // attempts that did not end well
	ErrorRate string            `json:"error_rate"` // of the attempts
	Refused   int64             `json:"refused"`    // requests that were answered with an error of our own
	Refusals  map[string]int64  `json:"refusals"`   // by code

	TookMS     QuantilesView `json:"took_ms"` // of attempts that ended well
	FirstToken QuantilesView `json:"first_token_ms"`
	BytesIn    int64         `json:"bytes_in"`
	BytesOut   int64         `json:"bytes_out"`

	// The most in one minute, and what the key may use in one.
	PeakRequests  int64  `json:"peak_requests_per_minute"`
	PeakTokens    int64  `json:"peak_tokens_per_minute"`
	LimitRequests *int64 `json:"requests_per_minute"` // null: no limit
	LimitTokens   *int64 `json:"tokens_per_minute"`
}

// QuantilesView are milliseconds, null where nothing was measured.
type QuantilesView struct {
	P50 *int64 `json:"p50"`
	P95 *int64 `json:"p95"`
}

// Usage answers a usage report. Without bounds it is of the last day.
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
