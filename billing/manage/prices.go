package manage

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tallyroute/billing"
)

// PriceReport lists price changes, and what the usage of some days costs at the price
// before and after each change. It doesn't include anything charged besides tokens.
type PriceReport struct {
	From     *string       `json:"from"`
	To       *string       `json:"to"`
	Currency string        `json:"currency"`
	Data     []PriceChange `json:"data"`
}

// PriceChange is a price that replaced another one.
type PriceChange struct {
	Since         string    `json:"since"`
	Provider      string    `json:"provider"`
	Model         string    `json:"model"`
	ServiceTier   string    `json:"service_tier"`
	MinInput      int64     `json:"min_input_tokens"`
	Old           *RateView `json:"old"` // null: there was none
	New           *RateView `json:"new"`
	Attempts      int64     `json:"attempts"` // of these days, at whatever price
	BookedUSD     string    `json:"booked_usd"`
	OldUSD        *string   `json:"at_old_usd"`
	NewUSD        string    `json:"at_new_usd"`
	DifferenceUSD *string   `json:"difference_usd"` // new minus old
}

// RateView holds the rates of a price, in dollars per million tokens.
type RateView struct {
	ID           string `json:"price_id"`
	Input        string `json:"input"`
	CacheRead    string `json:"cache_read"`
	CacheWrite   string `json:"cache_write"`
	CacheWrite1h string `json:"cache_write_1h"`
	Output       string `json:"output"`
	Reasoning    string `json:"reasoning"`
	AudioInput   string `json:"audio_input"`
	AudioOutput  string `json:"audio_output"`
	Source       string `json:"source"`
}

// PriceQuery asks for price changes: those within the days, and those that are in force or
// were the last for what was used in them.
type PriceQuery struct {
	Month    billing.Month
	From, To string
	Provider string // empty is all
	Model    string
}

// listing identifies something that has one price at a time.
type listing struct {
	provider, model, tier string
	min                   int64
}

// PriceChanges returns a price report; without a month or bounds, it covers the current
// month.
func PriceChanges(ctx context.Context, from billing.PriceHistory, ask PriceQuery, now time.Time, zone *time.Location) (PriceReport, error) {
	q := billing.SpendQuery{Month: ask.Month, From: ask.From, To: ask.To}
	if q.Month == "" && q.From == "" && q.To == "" {
		q.Month = billing.MonthOf(now.In(zone).Format(time.DateOnly))
	}
	first, end, err := q.Days()
	if err != nil {
		return PriceReport{}, err
	}
	prices, err := from.ListPrices(ctx, ask.Provider, ask.Model)
	if err != nil {
		return PriceReport{}, err
	}
	usage, err := from.PricedUsage(ctx, q, ask.Provider, ask.Model)
	if err != nil {
		return PriceReport{}, err
	}
	used := make(map[listing]billing.PricedUsage)
	for _, u := range usage {
		l := listing{u.Provider, u.Model, u.ServiceTier, u.MinInput}
		used[l] = sumUsage(used[l], u)
	}
	report := PriceReport{From: &first, To: &end, Currency: "USD", Data: []PriceChange{}}
	last := make(map[listing]billing.Price)
	for _, p := range prices {
		l := listing{p.Provider, p.Model, p.ServiceTier, p.MinInput}
		old, known := last[l]
		last[l] = p
		u, day := used[l], p.Since.In(zone).Format(time.DateOnly)
		if day >= end || day < first && u.Attempts == 0 || !known && (day < first || u.Attempts == 0) {
			continue // outside these days, or the first price of something unused
		}
		report.Data = append(report.Data, viewPriceChange(old, p, u))
	}
	slices.SortStableFunc(report.Data, func(a, b PriceChange) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return report, nil
}

func sumUsage(a, b billing.PricedUsage) billing.PricedUsage {
	t, u := &a.Tokens, b.Tokens
	t.Input, t.CacheRead, t.CacheWrite, t.Output = t.Input+u.Input, t.CacheRead+u.CacheRead, t.CacheWrite+u.CacheWrite, t.Output+u.Output
	t.Reasoning, t.CacheWrite1h = t.Reasoning+u.Reasoning, t.CacheWrite1h+u.CacheWrite1h
	t.AudioInput, t.AudioOutput = t.AudioInput+u.AudioInput, t.AudioOutput+u.AudioOutput
	a.Attempts, a.Cost = a.Attempts+b.Attempts, a.Cost.Add(b.Cost)
	return a
}

// viewPriceChange costs usage at both prices. The usage is costed as a whole, so the result
// may differ from the sum of single rows by less than a billionth of a dollar per row.
func viewPriceChange(old, p billing.Price, u billing.PricedUsage) PriceChange {
	v := PriceChange{
		Since: p.Since.UTC().Format(time.RFC3339), Provider: p.Provider, Model: p.Model, ServiceTier: p.ServiceTier, MinInput: p.MinInput,
		New: viewRates(p), Attempts: u.Attempts, BookedUSD: u.Cost.Short(),
	}
	p.Request = 0
	after := p.Cost(u.Tokens).Total
	v.NewUSD = after.Short()
	if old.ID != "" {
		old.Request = 0
		before := old.Cost(u.Tokens).Total
		at, more := before.Short(), (after - before).Short()
		v.Old, v.OldUSD, v.DifferenceUSD = viewRates(old), &at, &more
	}
	return v
}

func viewRates(p billing.Price) *RateView {
	p = p.Resolved()
	return &RateView{
		ID: p.ID, Input: p.Input.Short(), CacheRead: p.CacheRead.Short(), CacheWrite: p.CacheWrite.Short(),
		CacheWrite1h: p.CacheWrite1h.Short(), Output: p.Output.Short(), Reasoning: p.Reasoning.Short(),
		AudioInput: p.AudioInput.Short(), AudioOutput: p.AudioOutput.Short(), Source: p.Source,
	}
}
