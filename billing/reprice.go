package billing

import (
	"errors"
	"fmt"
	"time"
)

// Repricing asks for usage rows to be priced again.
type Repricing struct {
	Provider, Model string    // empty means all
	From, To        time.Time // of OccurredAt; To is exclusive
	Reason, Actor   string
	Now             time.Time
	// Price returns the price that a row should have been charged at.
	Price func(row Spend) (Price, bool)
	// DryRun posts nothing.
	DryRun bool
	Notes  []*Change // for the audit log: written with the first rows
}

// Check refuses a repricing that names nobody as responsible, and an empty span.
func (r Repricing) Check() error {
	switch {
	case r.Reason == "" || r.Actor == "":
		return errors.New("billing: repricing needs a reason and an actor")
	case r.Price == nil || !r.From.Before(r.To):
		return errors.New("billing: repricing needs prices and a span of time")
	}
	return nil
}

// Reachable refuses, with a *ConflictError, a span that touches an archived month.
func (r Repricing) Reachable(months []PeriodStanding, zone *time.Location) error {
	for _, p := range months {
		start, end := p.Month.Span(zone)
		if p.Status == PeriodArchived && r.From.Before(end) && start.Before(r.To) {
			return &ConflictError{Detail: fmt.Sprintf("month %s is archived: its rows cannot be looked at any more", p.Month)}
		}
	}
	return nil
}

// Repriced is what a repricing did, or would do.
type Repriced struct {
	Rows       int64 // rows examined
	Adjusted   int64 // rows that got an adjustment
	Priced     int64 // those of them that had no price before
	Unpriced   int64 // rows that still have no price
	Difference Money // sum of the adjustments
}

// Charged is a usage row and its cost after its adjustments.
type Charged struct {
	Row      Spend
	Priced   bool // by itself or by an adjustment
	Cost     Cost
	Baseline Money
	Saved    Money // by caching
}

// NewCharged returns a row without adjustments.
func NewCharged(row Spend) Charged {
	return Charged{Row: row, Priced: row.Pricing != Unpriced, Cost: row.Cost, Baseline: row.Baseline, Saved: row.CacheSaved()}
}

// Add adds an adjustment of the row.
func (c *Charged) Add(cost Cost, baseline, saved Money) {
	c.Priced = true
	c.Cost = c.Cost.Plus(cost)
	c.Baseline = c.Baseline.Add(baseline)
	c.Saved = c.Saved.Add(saved)
}

// Plus returns the sum of both costs.
func (c Cost) Plus(d Cost) Cost {
	return Cost{
		Input: c.Input.Add(d.Input), CacheRead: c.CacheRead.Add(d.CacheRead), CacheWrite: c.CacheWrite.Add(d.CacheWrite),
		Output: c.Output.Add(d.Output), Fee: c.Fee.Add(d.Fee), Total: c.Total.Add(d.Total),
	}
}

func (c Cost) minus(d Cost) Cost {
	return c.Plus(Cost{
		Input: -d.Input, CacheRead: -d.CacheRead, CacheWrite: -d.CacheWrite, Output: -d.Output, Fee: -d.Fee,
		Total: -d.Total,
	})
}

// Adjust returns the row that makes c cost what p says, with the differences as its
// meters. It reports false where c already does, or where p has no price for a meter of
// c.
func (c Charged) Adjust(p Price, r Repricing) (Spend, bool) {
	want, _, known := p.Charge(c.Row.Tokens, c.Row.Fees, c.Row.ProviderCost)
	want = want.bounded()
	if c.Row.Status == StatusError && c.Row.Tokens.Total() == 0 && len(c.Row.Fees) == 0 {
		want = Cost{} // a call that the provider refused is not charged
	}
	if !known || c.Priced && want == c.Cost {
		return Spend{}, false
	}
	row := c.Row
	row.EventID, row.Kind, row.Final = "", KindAdjustment, false
	row.AdjustsEvent, row.AdjustsPeriod = c.Row.EventID, ""
	row.Reason, row.Actor = r.Reason, r.Actor
	row.Tokens, row.OverrunTokens, row.OverrunMoney = Tokens{}, 0, 0 // these have not changed
	row.Fees, row.ProviderCost = nil, nil
	row.Pricing, row.Price = Priced, p
	row.Cost = want.minus(c.Cost)
	row.Baseline = c.baseline(want.Total) - c.Baseline
	row.CacheSavings = p.cacheSavings(c.Row.Tokens, want) - c.Saved
	return row, true
}

// baseline returns what the dearest candidate would have cost if this one cost total:
// if there was only one candidate, that remains so, and no baseline is lower than the
// actual cost.
func (c Charged) baseline(total Money) Money {
	if !c.Priced || c.Baseline == c.Cost.Total {
		return total
	}
	return max(c.Baseline, total)
}

// Reprice examines one row and counts it; it returns the adjustment to post, if there
// is one.
func (r Repricing) Reprice(c Charged, sum *Repriced) (Spend, bool) {
	sum.Rows++
	p, known := r.Price(c.Row)
	if !known {
		if !c.Priced {
			sum.Unpriced++
		}
		return Spend{}, false
	}
	row, changed := c.Adjust(p, r)
	if !changed {
		if !c.Priced {
			sum.Unpriced++
		}
		return Spend{}, false
	}
	sum.Adjusted++
	if !c.Priced {
		sum.Priced++
	}
	sum.Difference = sum.Difference.Add(row.Cost.Total)
	return row, true
}

// Correction is a row that a person posts by hand.
type Correction struct {
	Kind     Kind  // any kind except usage
	Amount   Money // for a credit or refund, the amount given back; for a fee or adjustment, the amount charged
	Owner    Owner
	Tags     map[string]string // of the key
	Period   Month             // the month that it corrects; "" if none was named
	Reason   string
	Actor    string
	Occurred time.Time
}

// Spend returns the row to book.
func (c Correction) Spend() (Spend, error) {
	amount := c.Amount
	switch c.Kind {
	case KindCredit, KindRefund:
		if amount <= 0 {
			return Spend{}, &FieldError{Field: "amount", Code: "invalid_value", Detail: "must be more than zero: it is given back"}
		}
		amount = -amount
	case KindFee:
		if amount <= 0 {
			return Spend{}, &FieldError{Field: "amount", Code: "invalid_value", Detail: "must be more than zero: it is charged"}
		}
	case KindAdjustment:
		if amount == 0 {
			return Spend{}, &FieldError{Field: "amount", Code: "invalid_value", Detail: "must not be zero"}
		}
	case KindUsage:
		fallthrough
	default:
		return Spend{}, &FieldError{Field: "kind", Code: "invalid_value", Detail: "must be adjustment, credit, refund or fee"}
	}
	row := Spend{
		OccurredAt: c.Occurred, Kind: c.Kind, RequestID: NewID("adj_"), Attempt: 1, Owner: c.Owner, Tags: c.Tags,
		RequestedModel: string(c.Kind), Provider: "manual", Model: string(c.Kind),
		Status: StatusOK, UsageSource: Reported, Pricing: Priced, RouteReason: RouteOnly,
		Cost: Cost{Fee: amount, Total: amount}, Baseline: amount, Reason: c.Reason, Actor: c.Actor,
	}
	if c.Period != "" {
		row.AdjustsPeriod = c.Period.First()
	}
	return row, row.Tidy().Check()
}
