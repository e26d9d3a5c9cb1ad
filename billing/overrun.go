package billing

import (
	"strconv"
	"time"
)

// OverrunLimit is how far the responses of a key may exceed what was held for them,
// since it was created or last enabled, before the key is stopped. The zero value stops
// no key.
type OverrunLimit struct {
	Money   Money // 0 means no limit
	Percent int64 // of the tightest budget that binds the key, in tokens and in money; 0 means no limit
}

// DefaultOverrunLimit returns a limit of one dollar, and of 5 percent of the tightest
// budget.
func DefaultOverrunLimit() OverrunLimit { return OverrunLimit{Money: NanoPerUSD, Percent: 5} }

// Tightest returns the lowest limits among budgets; nil where there is none.
func Tightest(budgets []Budget) (tokens *int64, money *Money) {
	for _, b := range budgets {
		if b.Tokens != nil && (tokens == nil || *b.Tokens < *tokens) {
			tokens = b.Tokens
		}
		if b.Money != nil && (money == nil || *b.Money < *money) {
			money = b.Money
		}
	}
	return tokens, money
}

// Passed reports whether an overrun exceeds what l allows under the given tightest
// limits.
func (l OverrunLimit) Passed(over Amount, tokens *int64, money *Money) bool {
	if l.Money > 0 && over.Money > l.Money {
		return true
	}
	if l.Percent <= 0 {
		return false
	}
	return tokens != nil && SatMul(over.Tokens, 100) > SatMul(*tokens, l.Percent) ||
		money != nil && SatMul(over.Money, 100) > SatMul(*money, Money(l.Percent))
}

// StopEvent returns the event that a key's overrun passed the limit: that the key was
// stopped or, where no budget binds it, that it carries on. since is when the key was
// enabled.
func StopEvent(id KeyID, over Amount, budgets int, since, at time.Time) Event {
	text := "Key " + string(id) + " is stopped: its answers took "
	if budgets == 0 {
		text = "Key " + string(id) + " has no budget and goes on, but its answers took "
	}
	tokens, nano := strconv.FormatInt(over.Tokens, 10), strconv.FormatInt(int64(over.Money), 10)
	return Event{
		Kind: EventOverrun, Object: string(id), Severity: Critical, At: at,
		Text:    text + tokens + " tokens and $" + over.Money.Short() + " more than was held for them.",
		Data:    map[string]string{"overrun_tokens": tokens, "overrun_nano": nano, "stopped": strconv.FormatBool(budgets > 0)},
		DedupID: "stopped:" + string(id) + ":" + unixOrZero(since),
	}
}

func unixOrZero(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.Unix(), 10)
}
