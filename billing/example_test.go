package billing_test

import (
	"fmt"
	"time"

	"tallyroute/billing"
)

// What an attempt costs is known to the nano-dollar: the price that was in force for its
// provider, model and instant, times what was used.
func ExamplePrice_Cost() {
	jan, july := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	prices := billing.NewPriceBook([]billing.Price{
		{ID: "old", Provider: "acme", Model: "m", Since: jan, Input: 3_000_000_000, Output: 15_000_000_000},
		{ID: "new", Provider: "acme", Model: "m", Since: july, Input: 1_000_000_000, Output: 5_000_000_000},
	})
	price, known := prices.At("acme", "m", july.Add(time.Hour)).Charged(billing.TierStandard, 1000)
	cost := price.Cost(billing.Tokens{Input: 1000, Output: 200})
	fmt.Println(known, price.ID, cost.Input.Short(), cost.Output.Short(), cost.Total.Short())
	_, known = prices.At("acme", "other", july).Charged(billing.TierStandard, 1000)
	fmt.Println(known)
	// Output:
	// true new 0.001 0.001 0.002
	// false
}

// A budget resets by the calendar of its zone: in Berlin, December has begun at 23:00 UTC.
func ExampleBudget_Window() {
	monthly := billing.Budget{Period: billing.PeriodMonth, Zone: "Europe/Berlin"}
	w, err := monthly.Window(time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC))
	fmt.Println(w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339), err)
	// Output:
	// 2026-11-30T23:00:00Z 2026-12-31T23:00:00Z <nil>
}
