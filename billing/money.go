package billing

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Money is an amount in nano-dollars: 1 USD = 1e9. The range of int64 is about
// plus or minus 9.2 billion dollars.
type Money int64

// NanoPerUSD is how many units of Money make one dollar.
const NanoPerUSD = 1_000_000_000

// ErrMoney means that a text is not an amount of money, or does not fit Money.
var ErrMoney = errors.New("billing: not an amount in dollars with at most nine decimals")

// ParseMoney reads decimal dollars such as "50", "0.075" or "-1.5". More than nine
// decimals are refused rather than rounded.
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

// moneyText has room for the longest amount.
type moneyText [len("-9223372036.854775808")]byte

// String returns the amount in dollars with exactly nine decimals, so that no digit is
// lost.
func (m Money) String() string {
	var text moneyText
	return string(m.append(text[:0]))
}

// Short returns the amount in dollars without trailing zeros, for people to read:
// "0.075", "50".
func (m Money) Short() string {
	var text moneyText
	return string(m.AppendShort(text[:0]))
}

// AppendShort appends the output of Short.
func (m Money) AppendShort(dst []byte) []byte {
	dst = m.append(dst)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1] // stops at the decimal point
	}
	return bytes.TrimSuffix(dst, []byte("."))
}

func (m Money) append(dst []byte) []byte {
	abs := uint64(m)
	if m < 0 {
		dst, abs = append(dst, '-'), -abs
	}
	dst = append(strconv.AppendUint(dst, abs/NanoPerUSD, 10), '.')
	rest := abs % NanoPerUSD
	for unit := uint64(NanoPerUSD / 10); unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(rest/unit%10))
	}
	return dst
}

// Add returns m+n, or the nearest end of the range where the sum does not fit.
func (m Money) Add(n Money) Money {
	return SatAdd(m, n)
}
