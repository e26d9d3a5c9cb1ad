package manage

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
)

// Adjustment is a requested correction of what a key was charged.
type Adjustment struct {
	KeyID  billing.KeyID
	Kind   billing.Kind // "" is an adjustment
	Amount billing.Money
	Month  string // the month it is for, such as 2026-11; "" is the current one
}

// earliestZone is by how much at most a month begins earlier than in UTC.
const earliestZone = 14 * time.Hour

// Adjust posts a correction to a key and returns its row.
func (a Actions) Adjust(ctx context.Context, adj Adjustment, by By) (billing.Spend, error) {
	if by.Reason == "" {
		return billing.Spend{}, invalid("reason", "must say why")
	}
	c := billing.Correction{
		Kind: cmp.Or(adj.Kind, billing.KindAdjustment), Amount: adj.Amount, Reason: by.Reason, Actor: by.Actor, Occurred: a.now(),
	}
	var err error
	if adj.Month != "" {
		if c.Period, err = billing.ParseMonth(adj.Month); err != nil {
			return billing.Spend{}, invalid("month", "must be a month such as 2026-11")
		}
		if first, _ := c.Period.Span(time.UTC); first.Add(-earliestZone).After(a.now()) {
			return billing.Spend{}, invalid("month", "must not be in the future")
		}
	}
	key, err := a.Key(ctx, adj.KeyID)
	if err != nil {
		return billing.Spend{}, err
	}
	c.Owner, c.Tags = key.Owner(), key.Tags
	row, err := c.Spend()
	if err != nil {
		return billing.Spend{}, err
	}
	note := a.note(by, "spend.adjust", string(key.ID))
	note.Detail = map[string]string{"request_id": row.RequestID, "kind": string(row.Kind), "amount": adj.Amount.String()}
	if adj.Month != "" {
		note.Detail["month"] = adj.Month
	}
	return row, a.Store.Correct(ctx, []billing.Spend{row}, note)
}

// Repricing says which usage is to be costed again.
type Repricing struct {
	Provider, Model string // "" is all
	From, To        time.Time
	DryRun          bool // only report what would be posted
}

// Reprice costs the usage in a span of time at today's prices, and posts an adjustment for
// every row whose cost differs.
func (a Actions) Reprice(ctx context.Context, r Repricing, prices []billing.Price, by By) (billing.Repriced, error) {
	if !r.From.Before(r.To) {
		return billing.Repriced{}, invalid("to", "must be after from")
	}
	if by.Reason == "" {
		return billing.Repriced{}, invalid("reason", "must say why")
	}
	if !r.DryRun {
		if err := a.Store.RecordPrices(ctx, prices); err != nil {
			return billing.Repriced{}, err
		}
	}
	note := a.note(by, "spend.reprice", cmp.Or(r.Provider, "*")+"/"+cmp.Or(r.Model, "*"))
	note.Detail = map[string]string{"from": r.From.UTC().Format(time.RFC3339), "to": r.To.UTC().Format(time.RFC3339)}
	book := billing.NewPriceBook(prices)
	return a.Store.Reprice(ctx, billing.Repricing{
		Provider: r.Provider, Model: r.Model, From: r.From, To: r.To, DryRun: r.DryRun, Reason: by.Reason, Actor: by.Actor, Now: a.now(),
		Notes: []*billing.Change{note},
		Price: func(row billing.Spend) (billing.Price, bool) { // in the same way as the router
			model := row.Model
			if dearer, ok := book.ByID(row.Price.ID); ok && row.AnsweredModel != "" {
				model = dearer.Model
			}
			return book.At(row.Provider, model, row.OccurredAt).Charged(row.ServiceTier, row.Tokens.Prompt())
		},
	})
}

// BookRejects books rows that the ledger refused: those of the given requests or, without
// any, of all that are waiting. A request that is still refused doesn't hold up the others;
// booked counts the rows of each that succeeded.
func (a Actions) BookRejects(ctx context.Context, requests []string, by By) (booked []Booked, err error) {
	if len(requests) == 0 {
		waiting, err := a.Store.ListRejects(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, r := range waiting {
			if !slices.Contains(requests, r.Row.RequestID) {
				requests = append(requests, r.Row.RequestID)
			}
		}
	}
	var faults []error
	for _, request := range requests {
		n, err := a.Store.BookRejects(ctx, request, by.Actor, a.note(by.step(), "reject.book", request))
		if err != nil {
			faults = append(faults, &RequestError{request, err})
			continue
		}
		booked = append(booked, Booked{request, n})
	}
	return booked, errors.Join(faults...)
}

// Booked is the number of rows booked for a request.
type Booked struct {
	RequestID string `json:"request_id"`
	Rows      int    `json:"booked"`
}

// RequestError says why the rows of a request couldn't be booked.
type RequestError struct {
	RequestID string
	Err       error
}

func (e *RequestError) Error() string { return e.RequestID + ": " + e.Err.Error() }
func (e *RequestError) Unwrap() error { return e.Err }
