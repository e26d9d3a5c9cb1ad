package meter

import (
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
)

// For a request that took several calls, what was answered is booked as reported, and what else
// may be billed is booked as counted.
func TestCallsThatWereAnsweredAreBookedThoughOthersFailed(t *testing.T) {
	price := billing.Price{ID: "price_1", Input: billing.NanoPerUSD}
	c := plan.Candidate{Target: &providers.Target{Provider: "p", Model: "m"}, Price: price, Priced: true}
	for unsure, source := range map[int64]billing.Provenance{0: billing.Reported, 30: billing.Bounded} {
		row := (&Meter{}).Parted(Parted{
			Candidate: &c, Attempt: 1, Status: billing.StatusError, ErrorKind: "rate", Used: chat.Usage{Input: 12}, Unsure: unsure,
		})
		if row.Tokens != (billing.Tokens{Input: 12 + unsure}) || row.UsageSource != source || row.Disputed ||
			row.Cost.Total != billing.Money(1000*(12+unsure)) || row.Status != billing.StatusError || row.ErrorKind != "rate" {
			t.Errorf("%d unsure: %+v", unsure, row)
		}
	}
}
