package billing

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Money is an amount in nano-dollars: 1 USD = 1e9. The range of int64 is about
// plus or minus 9.2 billion dollars.
type Money int64

// NanoPerUSD is how many units of Money make one dollar.
const NanoPerUSD = 1_000_000_000

// ErrMoney says that a text is not an amount of money that fits Money.
var ErrMoney = errors.New("billing: not an amount in dollars with at most nine decimals")

// ParseMoney reads decimal dollars such as "50", "0.075" or "-1.5".
// More than nine decimals are refused rather than rounded.
func ParseMoney(s string) (Money, error) {
	text, negative := strings.CutPrefix(s, "-")
	whole, frac, dotted := strings.Cut(text, ".")
	if whole == "" || (dotted && frac == "") || len(frac) > 9 {
		return 0, fmt.Errorf("%w: %q", ErrMoney, s)
	}
	var nano uint64
	for _, c := range whole + frac + strings.Repeat("0", 9-len(frac)) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: %q", ErrMoney, s)
		}
		hi, lo := bits.Mul64(nano, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 || sum > math.MaxInt64 {
			return 0, fmt.Errorf("%w: %q is too large", ErrMoney, s)
		}
		nano = sum
	}
	if negative {
		return -Money(nano), nil
	}
	return Money(nano), nil
}

// String is the amount in dollars with exactly nine decimals, so that no digit is lost.
func (m Money) String() string {
	sign, abs := "", uint64(m)
	if m < 0 {
		sign, abs = "-", -abs
	}
	return fmt.Sprintf("%s%d.%09d", sign, abs/NanoPerUSD, abs%NanoPerUSD)
}

// Short is the amount in dollars without trailing zeros, for people: "0.075", "50".
func (m Money) Short() string {
	return strings.TrimRight(strings.TrimRight(m.String(), "0"), ".")
}

// Add is m+n, or the nearest end of the range where the sum does not fit.
func (m Money) Add(n Money) Money {
	return Money(saturatingAdd(int64(m), int64(n)))
}

func saturatingAdd(a, b int64) int64 {
	sum := a + b
	if (a > 0 && b > 0 && sum < 0) || (a > 0 && b > 0 && sum < a) {
		return math.MaxInt64
	}
	if a < 0 && b < 0 && sum >= 0 {
		return math.MinInt64
	}
	return sum
}
