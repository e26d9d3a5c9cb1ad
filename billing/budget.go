package billing

import (
	"fmt"
	"slices"
	"time"
)

// Scope is what a budget is set on.
type Scope string

// The scopes, from the narrowest to the widest.
const (
	ScopeKey     Scope = "key"
	ScopeProject Scope = "project"
	ScopeTeam    Scope = "team"
	ScopeOrg     Scope = "org" // ScopeID is then "org"
)

// Period is how often a budget resets.
type Period string

// The periods. All but Once follow the calendar in the budget's zone.
const (
	PeriodConcurrent Period = "concurrent" // no time at all: what is under way at once
	PeriodMinute     Period = "minute"     // of the clock, in UTC
	PeriodDay        Period = "day"
	PeriodWeek       Period = "week" // Monday to Sunday, ISO 8601
	PeriodMonth      Period = "month"
	PeriodQuarter    Period = "quarter"
	PeriodYear       Period = "year"
	PeriodOnce       Period = "once" // never resets
)

// Words say per which period: "per month", "at once".
func (p Period) Words() string {
	if p == PeriodConcurrent {
		return "at once"
	}
	return "per " + string(p)
}

// Passes reports a period whose room comes back within a minute: a minute, or what is under
// way at once.
func (p Period) Passes() bool { return p == PeriodMinute || p == PeriodConcurrent }

// Action is what happens near a limit.
type Action string

// The actions. All of them tell of the thresholds that are passed.
const (
	ActionBlock Action = "block" // what has no room is refused
	// ActionDowngrade has the cheapest model answer from a threshold below 100 % on; what
	// has no room is refused.
	ActionDowngrade Action = "downgrade"
	ActionAlert     Action = "alert" // nothing is refused
)

// Budget limits what a key, project, team or the whole organisation may use in
// one window. One of Tokens, Money and Requests is set at least; nil means no limit of
// that kind, zero means that nothing may be used.
type Budget struct {
	ID      string `json:"id"`
	Scope   Scope  `json:"scope"`
	ScopeID string `json:"scope_id"`
	Period  Period `json:"period"`
	Zone    string `json:"zone"` // IANA name; "" is UTC
	Tokens  *int64 `json:"tokens"`
	Money   *Money `json:"money"`
	// Requests count once they were sent, whether they were answered or failed.
	Requests *int64 `json:"requests"`
	// Starts is the first day of the fiscal year, as MM-DD; "" is 1 January. Months,
	// quarters and years follow it.
	Starts string `json:"starts"`
	Action Action `json:"action"` // "" is ActionBlock
	// Thresholds are percents of the limits; nil is DefaultThresholds.
	Thresholds []int `json:"thresholds"`
	// Part is what is limited of all that the scope uses; "" is all of it. Named is whose
	// part; "" is that each has the limit for itself. Of models and credentials it may be a
	// pattern with *.
	Part  Part   `json:"part"`
	Named string `json:"named"`
	// Parent is the budget that this one counts a part of, if it is such a one.
	Parent string `json:"parent"`
}

// DefaultThresholds are told unless others are set.
func DefaultThresholds() []int { return []int{50, 80, 100} }

// Told are the percents that are told.
func (b Budget) Told() []int {
	if b.Thresholds == nil {
		return DefaultThresholds()
	}
	return b.Thresholds
}

// DowngradeAt is the percent of its limits from which ActionDowngrade has the cheapest
// model answer: the highest of its thresholds below 100.
func (b Budget) DowngradeAt() int {
	at := 0
	for _, percent := range b.Told() {
		if percent < 100 {
			at = max(at, percent)
		}
	}
	return at
}

// Downgrades reports that so much of a limit is used that the cheapest model is to answer.
func (b Balance) Downgrades() bool {
	at := int64(b.Budget.DowngradeAt())
	return b.Budget.Action == ActionDowngrade &&
		slices.ContainsFunc(b.parts(), func(p part) bool { return p.share(at) })
}

// Binds reports that what has no room is refused.
func (b Budget) Binds() bool { return b.Action != ActionAlert }

// Same reports whether two budgets are one: what a key, project, team or the
// organisation may use in one kind of period is limited once, and so is each part of it. The zone, and
// what is limited, are what one changes of it.
func (b Budget) Same(o Budget) bool {
	return b.Scope == o.Scope && b.ScopeID == o.ScopeID && b.Period == o.Period && b.Part == o.Part && b.Named == o.Named
}

// Twice is the refusal of a budget beside o, which is the same.
func (b Budget) Twice(o string) error {
	return &ConflictError{Detail: fmt.Sprintf("budget %s limits the same %s%s %s already", o, b.Scope, b.PartWords(), b.Period.Words())}
}

// Window is a half-open span of time: Start is inside, End is not. A window
// that never ends has a zero End; one that always was has a zero Start.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Balance is how one budget stands in one window.
type Balance struct {
	Budget Budget
	Window Window
	// Used is settled, Held is reserved by requests in flight.
	UsedTokens, HeldTokens int64
	UsedMoney, HeldMoney   Money
	UsedRequests           int64
	HeldRequests           int64
}

// Used is what is settled.
func (b Balance) Used() Amount { return Amount{b.UsedTokens, b.UsedMoney, b.UsedRequests} }

// Held is what requests in flight reserve.
func (b Balance) Held() Amount { return Amount{b.HeldTokens, b.HeldMoney, b.HeldRequests} }

// Stands is b with what is used and held.
func (b Balance) Stands(used, held Amount) Balance {
	b.UsedTokens, b.UsedMoney, b.UsedRequests = used.Tokens, used.Money, used.Requests
	b.HeldTokens, b.HeldMoney, b.HeldRequests = held.Tokens, held.Money, held.Requests
	return b
}

// FreeTokens is what may still be reserved; ok is false where tokens are not limited.
func (b Balance) FreeTokens() (free int64, ok bool) {
	if b.Budget.Tokens == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Tokens-b.UsedTokens-b.HeldTokens), true
}

// FreeMoney is what may still be reserved; ok is false where money is not limited.
func (b Balance) FreeMoney() (free Money, ok bool) {
	if b.Budget.Money == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Money-b.UsedMoney-b.HeldMoney), true
}

// FreeRequests is how many more may begin; ok is false where they are not limited.
func (b Balance) FreeRequests() (free int64, ok bool) {
	if b.Budget.Requests == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Requests-b.UsedRequests-b.HeldRequests), true
}

// Fits reports that there is room for so much more.
func (b Balance) Fits(a Amount) bool {
	tokens, limited := b.FreeTokens()
	fits := !limited || a.Tokens <= tokens
	money, limited := b.FreeMoney()
	fits = fits && (!limited || a.Money <= money)
	requests, limited := b.FreeRequests()
	return fits && (!limited || a.Requests <= requests)
}

// Check refuses a top-up of a budget that is not one of money that is spent once.
func (t TopUp) Check(b Budget) error {
	if b.Period != PeriodOnce || b.Money == nil {
		return &ConflictError{Detail: fmt.Sprintf("budget %s is not one in dollars that is spent once", b.ID)}
	}
	if t.Amount <= 0 || *b.Money+t.Amount > maxMoneyLimit {
		return &FieldError{Field: "usd", Code: "invalid_value", Detail: "must be above 0, and the limit at most " + maxMoneyLimit.Short()}
	}
	return nil
}

// Same refuses a top-up whose reference was used for another amount.
func (t TopUp) Same(before Money) error {
	if t.Amount == before {
		return nil
	}
	return &ConflictError{Detail: fmt.Sprintf("reference %q was used before, for $%s and not $%s", t.Reference, before.Short(),
		t.Amount.Short())}
}

// BudgetFilter narrows ListBudgets. Empty members do not narrow.
type BudgetFilter struct {
	ID string
	// Above leaves out the budgets of keys, who are the many; but not those of Key.
	Above bool
	Key   KeyID
	After string // for paging: budgets whose id is greater
	Limit int    // 0 is all
}
