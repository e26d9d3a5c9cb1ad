package billing

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scope is what a budget applies to.
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

// The periods. All except PeriodConcurrent, PeriodMinute and PeriodOnce follow the
// calendar in the budget's zone.
const (
	PeriodConcurrent Period = "concurrent" // not a span of time: limits what is in flight at once
	PeriodMinute     Period = "minute"     // of the clock, in UTC
	PeriodDay        Period = "day"
	PeriodWeek       Period = "week" // Monday to Sunday, ISO 8601
	PeriodMonth      Period = "month"
	PeriodQuarter    Period = "quarter"
	PeriodYear       Period = "year"
	PeriodOnce       Period = "once" // never resets
)

// Words returns the period in words: "per month", "at once".
func (p Period) Words() string {
	if p == PeriodConcurrent {
		return "at once"
	}
	return "per " + string(p)
}

// Adjective returns the word before "budget": daily, monthly, one-time.
func (p Period) Adjective() string {
	switch p {
	case PeriodDay:
		return "daily"
	case PeriodOnce:
		return "one-time"
	case PeriodMinute:
		return "per-minute"
	case PeriodConcurrent:
		return string(p)
	default:
		return string(p) + "ly"
	}
}

// Passes reports whether the period frees up room within a minute, which is so for a
// minute and for what is in flight at once.
func (p Period) Passes() bool { return p == PeriodMinute || p == PeriodConcurrent }

// Action is what happens near a limit.
type Action string

// The actions. All of them report the thresholds that are passed.
const (
	ActionBlock Action = "block" // requests that do not fit are refused
	// ActionDowngrade answers with the cheapest model from a threshold below 100 % on;
	// requests that do not fit are refused.
	ActionDowngrade Action = "downgrade"
	ActionAlert     Action = "alert" // nothing is refused
)

// Budget limits what a key, project, team or the whole organisation may use in one
// window. At least one of Tokens, Money and Requests is set; nil means no limit of that
// kind, zero means that nothing may be used.
type Budget struct {
	ID      string `json:"id"`
	Scope   Scope  `json:"scope"`
	ScopeID string `json:"scope_id"`
	Period  Period `json:"period"`
	Zone    string `json:"zone"` // IANA name; "" is UTC
	Tokens  *int64 `json:"tokens"`
	Money   *Money `json:"money"`
	// Requests counts requests that were sent, whether they succeeded or failed.
	Requests *int64 `json:"requests"`
	// Starts is the first day of the fiscal year, as MM-DD; "" is 1 January. Months,
	// quarters and years follow it.
	Starts string `json:"starts"`
	Action Action `json:"action"` // "" is ActionBlock
	// Thresholds are percentages of the limits; nil means DefaultThresholds.
	Thresholds []int `json:"thresholds"`
	// Part narrows the budget to a part of what the scope uses; "" means all of it.
	// Named says whose part it is; if it is "", each name has the limit to itself. For
	// models and credentials it may be a pattern with *.
	Part  Part   `json:"part"`
	Named string `json:"named"`
	// Parent is the budget of which this one counts a part; "" if there is none.
	Parent string `json:"parent"`
}

// DefaultThresholds returns the thresholds that are reported unless others are set.
func DefaultThresholds() []int { return []int{50, 80, 100} }

// Told returns the percentages that are reported.
func (b Budget) Told() []int {
	if b.Thresholds == nil {
		return DefaultThresholds()
	}
	return b.Thresholds
}

// DowngradeAt returns the percentage of its limits from which ActionDowngrade uses the
// cheapest model: the highest of its thresholds below 100.
func (b Budget) DowngradeAt() int {
	at := 0
	for _, percent := range b.Told() {
		if percent < 100 {
			at = max(at, percent)
		}
	}
	return at
}

// Downgrades reports whether so much of a limit is used that the cheapest model should
// answer.
func (b Balance) Downgrades() bool {
	at := int64(b.Budget.DowngradeAt())
	return b.Budget.Action == ActionDowngrade &&
		slices.ContainsFunc(b.parts(), func(p part) bool { return p.share(at) })
}

// Holder returns what the budget applies to, by id: `team team_01…`, `the organisation`.
// Key.Holder returns it by name.
func (b Budget) Holder() string {
	if b.Scope == ScopeOrg {
		return "the organisation" + b.PartWords()
	}
	return string(b.Scope) + " " + b.ScopeID + b.PartWords()
}

// NameFor returns the name of the budget by that of what it applies to, such as "daily budget of
// project web/shop". Without a period, it is no budget, and the name is that of the thing itself.
func (b Budget) NameFor(name string) string {
	if b.Period == "" {
		return name
	}
	name = b.Period.Adjective() + " budget of " + name
	if b.Part != "" {
		name += strings.TrimRight(", "+string(b.Part)+" "+b.Named, " ")
	}
	return name
}

// Binds reports whether requests that do not fit are refused.
func (b *Budget) Binds() bool { return b.Action != ActionAlert }

// Same reports whether two budgets limit the same thing. What a key, project, team or
// the organisation may use is limited once per kind of period, and so is each part of
// it. The zone and the limits are attributes that can be changed.
func (b Budget) Same(o Budget) bool {
	return b.Scope == o.Scope && b.ScopeID == o.ScopeID && b.Period == o.Period && b.Part == o.Part && b.Named == o.Named
}

// Twice returns the error for a second budget like b beside the one named o.
func (b Budget) Twice(o string) error {
	return &ConflictError{Detail: fmt.Sprintf("budget %s limits the same %s%s %s already", o, b.Scope, b.PartWords(), b.Period.Words())}
}

// Window is a half-open span of time: Start is inside, End is not. A window that never
// ends has a zero End; one without a beginning has a zero Start.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Balance is the state of one budget in one window.
type Balance struct {
	Budget Budget
	Window Window
	// Used is settled, Held is reserved by requests in flight.
	UsedTokens, HeldTokens int64
	UsedMoney, HeldMoney   Money
	UsedRequests           int64
	HeldRequests           int64
	// Raised is how far raises lift the limits above what was set, and until when; nil if
	// there are none or they were not looked up.
	Raised *Raised
}

// Used returns what is settled.
func (b *Balance) Used() Amount { return Amount{b.UsedTokens, b.UsedMoney, b.UsedRequests} }

// Held returns what requests in flight reserve.
func (b *Balance) Held() Amount { return Amount{b.HeldTokens, b.HeldMoney, b.HeldRequests} }

// Stands returns b with the given used and held amounts.
func (b Balance) Stands(used, held Amount) Balance {
	b.Set(used, held)
	return b
}

// Set sets the used and held amounts.
func (b *Balance) Set(used, held Amount) {
	b.UsedTokens, b.UsedMoney, b.UsedRequests = used.Tokens, used.Money, used.Requests
	b.HeldTokens, b.HeldMoney, b.HeldRequests = held.Tokens, held.Money, held.Requests
}

// FreeTokens returns what may still be reserved; ok is false where tokens are not
// limited.
func (b *Balance) FreeTokens() (free int64, ok bool) {
	if b.Budget.Tokens == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Tokens-b.UsedTokens-b.HeldTokens), true
}

// FreeMoney returns what may still be reserved; ok is false where money is not limited.
func (b *Balance) FreeMoney() (free Money, ok bool) {
	if b.Budget.Money == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Money-b.UsedMoney-b.HeldMoney), true
}

// FreeRequests returns how many more requests may begin; ok is false where they are not
// limited.
func (b *Balance) FreeRequests() (free int64, ok bool) {
	if b.Budget.Requests == nil || !b.Budget.Binds() {
		return 0, false
	}
	return max(0, *b.Budget.Requests-b.UsedRequests-b.HeldRequests), true
}

// Fits reports whether there is room for this much more.
func (b Balance) Fits(a Amount) bool {
	tokens, limited := b.FreeTokens()
	fits := !limited || a.Tokens <= tokens
	money, limited := b.FreeMoney()
	fits = fits && (!limited || a.Money <= money)
	requests, limited := b.FreeRequests()
	return fits && (!limited || a.Requests <= requests)
}

// Check refuses a top-up unless the budget limits money and never resets.
func (t TopUp) Check(b Budget) error {
	if b.Period != PeriodOnce || b.Money == nil {
		return &ConflictError{Detail: fmt.Sprintf("budget %s is not one in dollars that is spent once", b.ID)}
	}
	if t.Amount <= 0 || *b.Money+t.Amount > maxMoneyLimit {
		return &FieldError{Field: "usd", Code: "invalid_value", Detail: "must be above 0, and the limit at most " + maxMoneyLimit.Short()}
	}
	return nil
}

// Same refuses a top-up whose reference was already used for a different amount.
func (t TopUp) Same(before Money) error {
	if t.Amount == before {
		return nil
	}
	return &ConflictError{Detail: fmt.Sprintf("reference %q was used before, for $%s and not $%s", t.Reference, before.Short(),
		t.Amount.Short())}
}

// BudgetFilter narrows ListBudgets. Empty fields match everything.
type BudgetFilter struct {
	ID string
	// Above leaves out the budgets of keys, which are the most numerous, except those of
	// Key.
	Above bool
	Key   KeyID
	// Below lists the budgets of single names of a part instead: those below the budget
	// with this id.
	Below string
	After string // for paging: budgets whose id is greater
	Limit int    // 0 is all
}
