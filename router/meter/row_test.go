package meter

import (
	"math"
	"testing"

	"tallyroute/billing"
)

// A hold is for the request: what attempts before the last have used counts.
func TestOverrunOverSeveralAttempts(t *testing.T) {
	row := func(tokens int64, cost billing.Money) billing.Spend {
		return billing.Spend{Tokens: billing.Tokens{Input: tokens / 2, Output: tokens - tokens/2}, Cost: billing.Cost{Total: cost}}
	}
	for _, c := range []struct {
		name   string
		rows   []billing.Spend
		tokens []int64
		money  []billing.Money
	}{
		{"within", []billing.Spend{row(40, 4), row(60, 6)}, []int64{0, 0}, []billing.Money{0, 0}},
		{"each within, not both", []billing.Spend{row(80, 8), row(80, 8)}, []int64{0, 60}, []billing.Money{0, 6}},
		{"the first beyond", []billing.Spend{row(130, 5), row(20, 6)}, []int64{30, 20}, []billing.Money{0, 1}},
		{"failed ones for nothing", []billing.Spend{row(0, 0), row(0, 0), row(101, 10)}, []int64{0, 0, 1}, []billing.Money{0, 0, 0}},
		{"more than there are numbers for", []billing.Spend{row(math.MaxInt64, math.MaxInt64), row(math.MaxInt64, 1)}, []int64{math.MaxInt64 - 100, 0}, []billing.Money{math.MaxInt64 - 10, 0}},
	} {
		Overrun(c.rows, billing.Hold{Tokens: 100, Money: 10})
		for i, r := range c.rows {
			if r.OverrunTokens != c.tokens[i] || r.OverrunMoney != c.money[i] {
				t.Errorf("%s: attempt %d: %d tokens and $%s", c.name, i+1, r.OverrunTokens, r.OverrunMoney)
			}
		}
	}
}
