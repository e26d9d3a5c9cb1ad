package billing

import (
	"context"
	"strings"
	"time"
)

// UsageBy is what the hours of a usage report are grouped by.
type UsageBy string

// usageWords maps what can be asked for to the column names of a line.
var usageWords = map[UsageBy][]string{
	"key": {"key", "key_id"}, "project": {"team", "project"}, "model": {"provider", "model"}, "provider": {"provider"},
}

// Words returns the column names of a line; none where there is no such report.
func (b UsageBy) Words() []string { return usageWords[b] }

// MostUsageSpan is the longest span that one usage report may cover.
const MostUsageSpan = 93 * 24 * time.Hour

// UsageQuery asks for the usage in each hour of a span of time.
type UsageQuery struct {
	By       UsageBy
	From, To time.Time // To is exclusive; both on the hour
	Within   *Within   // owners at the time of the request; nil means everywhere
	Lines    int       // at most; 0 means DefaultLines
}

// Check refuses invalid queries.
func (q UsageQuery) Check() error {
	switch {
	case q.By.Words() == nil:
		return &FieldError{Field: "by", Code: "invalid_value", Detail: "must be key, project, model or provider"}
	case !q.From.Before(q.To) || q.To.Sub(q.From) > MostUsageSpan:
		return &FieldError{Field: "to", Code: "invalid_value", Detail: "must be after from, by 93 days at most"}
	case q.Lines < 0 || q.Lines > MostLines:
		return &FieldError{Field: "top", Code: "invalid_value", Detail: "must be between 1 and 100000"}
	}
	return nil
}

// UsageRow is one hour of a key, project, model or provider.
type UsageRow struct {
	Hour     time.Time
	Group    []string // in the order of UsageBy.Words
	Requests int64
	Attempts int64
	Errors   int64            // attempts that did not succeed
	Refused  map[string]int64 // requests that were refused, by code
	Took     Quantiles        // of successful attempts
	First    Quantiles        // time to their first content
	BytesIn  int64            // of requests
	BytesOut int64            // of responses

	// The peak in one minute, and the limit per minute; zero means no limit, and only
	// keys have one.
	PeakRequests, PeakTokens   int64
	LimitRequests, LimitTokens int64
}

// Quantiles are in milliseconds; nil where nothing was measured.
type Quantiles struct{ P50, P95 *int64 }

// UsageReports reports how the router was used.
type UsageReports interface {
	// Usage lists the hours with any requests, in order of time. Refused requests went
	// to no provider: in reports by model and by provider they have lines of their own,
	// with NoneGroup as the provider. Archived rows are missing.
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
}

// ReadUsageBy parses a grouping in the singular or plural: "key" or "keys".
func ReadUsageBy(s string) UsageBy { return UsageBy(strings.TrimSuffix(strings.ToLower(s), "s")) }

// PricedUsage is the usage of a model at a provider under one price, including its
// corrections.
type PricedUsage struct {
	Provider, Model string
	PriceID         string // "" if there was none
	ServiceTier     string // of the price, or of the attempts if there was no price
	MinInput        int64
	Attempts        int64
	Tokens          Tokens
	Cost            Money // of tokens
}

// PriceHistory reports past and present prices, and the usage under each.
type PriceHistory interface {
	// ListPrices lists all prices that were ever in force, of one provider or model if
	// given, oldest first.
	ListPrices(ctx context.Context, provider, model string) ([]Price, error)
	// PricedUsage adds up the rows of the days of q by price. Archived rows are missing.
	PricedUsage(ctx context.Context, q SpendQuery, provider, model string) ([]PricedUsage, error)
}
