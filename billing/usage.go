package billing

import (
	"context"
	"strings"
	"time"
)

// UsageBy is what the hours of a usage report are told apart by.
type UsageBy string

// usageWords are what can be asked for, with the words that name a line.
var usageWords = map[UsageBy][]string{
	"key": {"key", "key_id"}, "project": {"team", "project"}, "model": {"provider", "model"}, "provider": {"provider"},
}

// Words are the words that name a line; none where there is no such report.
func (b UsageBy) Words() []string { return usageWords[b] }

// MostUsageSpan is the longest time that one usage report is of.
const MostUsageSpan = 93 * 24 * time.Hour

// UsageQuery asks what was requested in each hour of a span of time.
type UsageQuery struct {
	By       UsageBy
	From, To time.Time // To is not included; both to the hour
	Within   *Within   // owners at the time; nil is everywhere
	Lines    int       // at most; 0 is DefaultLines
}

// Check refuses what cannot be asked.
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

// UsageRow is an hour of a key, project, model or provider.
type UsageRow struct {
	Hour     time.Time
	Group    []string // as UsageBy.Words calls them
	Requests int64
	Attempts int64
	Errors   int64            // attempts that did not end well
	Refused  map[string]int64 // requests that were refused, by code
	Took     Quantiles        // of attempts that ended well
	First    Quantiles        // until their first content
	BytesIn  int64            // of requests
	BytesOut int64            // of answers

	// The most in one minute, and what the key may use in one; zero means no limit, and
	// of all but keys there is none.
	PeakRequests, PeakTokens   int64
	LimitRequests, LimitTokens int64
}

// Quantiles are milliseconds; nil where nothing was measured.
type Quantiles struct{ P50, P95 *int64 }

// UsageReports tells how the router was used.
type UsageReports interface {
	// Usage lists the hours in which something was requested, in their order. What was
	// refused went to no provider: by model and provider it has lines of its own, whose
	// provider is NoneGroup. Rows that were archived are missing.
	Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error)
}

// ReadUsageBy reads "key" or "keys".
func ReadUsageBy(s string) UsageBy { return UsageBy(strings.TrimSuffix(strings.ToLower(s), "s")) }

// PricedUsage is what was used of a model at a provider under one price, with the
// corrections of it.
type PricedUsage struct {
	Provider, Model string
	PriceID         string // "" if there was none
	ServiceTier     string // of the price, or of the attempts if there was none
	MinInput        int64
	Attempts        int64
	Tokens          Tokens
	Cost            Money // of tokens
}

// PriceHistory tells which prices there were, and what was used under them.
type PriceHistory interface {
	// ListPrices lists all prices that ever were in force, of one provider or model
	// where they are named, the oldest first.
	ListPrices(ctx context.Context, provider, model string) ([]Price, error)
	// PricedUsage adds up the rows of the days of q by price. Rows that were archived
	// are missing.
	PricedUsage(ctx context.Context, q SpendQuery, provider, model string) ([]PricedUsage, error)
}
