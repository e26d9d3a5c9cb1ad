package billing

import (
	"errors"
	"time"
)

// Raise raises the limits of a budget for a time. It ends by itself.
type Raise struct {
	BudgetID    string
	By          Amount
	From, Until time.Time
	Actor       string
	Reason      string
	At          time.Time
}

// Raised is what the raises in force add to the limits of a budget.
type Raised struct {
	By    Amount
	Until time.Time // when the first of them ends
}

// Check reports every fault of a raise of b: raising nothing or something that is not
// limited, invalid amounts, and an end that is missing or in the past.
func (r Raise) Check(b Budget) error {
	var faults []error
	fault := func(field, detail string) {
		faults = append(faults, &FieldError{Field: field, Code: "invalid_value", Detail: detail})
	}
	for _, kind := range []struct {
		field    string
		by, most int64
		limited  bool
	}{
		{"usd", int64(r.By.Money), int64(maxMoneyLimit), b.Money != nil},
		{"tokens", r.By.Tokens, maxLimit, b.Tokens != nil},
		{"requests", r.By.Requests, maxLimit, b.Requests != nil},
	} {
		switch {
		case kind.by < 0 || kind.by > kind.most:
			fault(kind.field, "must be above 0, and no more than a limit may be")
		case kind.by > 0 && !kind.limited:
			fault(kind.field, "is not limited by this budget")
		}
	}
	if r.By == (Amount{}) {
		fault("usd", "must be there, or tokens, or requests: it raises none of them")
	}
	if !r.Until.After(r.From) || !r.Until.After(r.At) {
		fault("until", "must be in the future, and after from")
	}
	return errors.Join(faults...)
}
