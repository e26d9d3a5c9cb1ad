package chat

import (
	"bytes"
	"math"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Cost is the cost of a response as its provider states it, in billionths of a dollar. The
// zero value means that none is stated.
type Cost struct {
	Nano   int64
	Stated bool
	Absurd bool // the stated number cannot be a cost; Nano is 0
}

// Plus returns the sum of two costs.
func (c Cost) Plus(d Cost) Cost {
	return Cost{Nano: c.Nano + d.Nano, Stated: c.Stated || d.Stated, Absurd: c.Absurd || d.Absurd}
}

// MaxCost is the highest cost that is believed: a million dollars.
const MaxCost = 1_000_000_000_000_000

// The units in which amounts are given, as powers of ten of a dollar.
const (
	dollars = 0
	ticks   = -10
)

// ParseCost reads a cost by the name that it has in the provider's usage: an amount in
// dollars, an object of amounts that includes the sum, or xAI's ticks, of which a dollar has
// 10^10. Anything that is not an amount states no cost.
func ParseCost(name string, raw []byte) Cost {
	if name == "cost_in_usd_ticks" {
		return amount(raw, ticks)
	}
	if jsonraw.IsObject(raw) {
		for _, sum := range [...]string{"total_cost", "total", "usd"} {
			if c := amount(jsonraw.Lookup(raw, sum), dollars); c.Stated {
				return c
			}
		}
		return Cost{}
	}
	return amount(raw, dollars)
}

// amount reads a number, or a string that contains one, digit by digit, because a float
// cannot represent every number of nano-dollars. Fractions of one are rounded, half to even.
func amount(raw []byte, unit int) Cost {
	if len(raw) >= 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	digits, exponent, ok := decimal(raw)
	if !ok {
		return Cost{Absurd: absurd(raw)}
	}
	if digits == 0 {
		return Cost{Stated: true}
	}
	shift := exponent + unit + 9
	for ; shift > 0; shift-- {
		if digits > MaxCost/10 {
			return Cost{Absurd: true}
		}
		digits *= 10
	}
	var below int64 // compares the dropped digits with a half
	for ; shift < 0; shift++ {
		last := digits % 10
		digits /= 10
		switch {
		case last == 5 && below == 0:
			below = 2
		case last >= 5:
			below = 3
		case last > 0 || below > 0:
			below = 1
		}
	}
	if below == 3 || below == 2 && digits%2 == 1 {
		digits++
	}
	if digits > MaxCost {
		return Cost{Absurd: true}
	}
	return Cost{Nano: digits, Stated: true}
}

// absurd reports whether a value is written like a number but cannot be an amount, because it
// is negative or not a valid number.
func absurd(raw []byte) bool {
	if digits, _, ok := decimal(bytes.TrimPrefix(raw, []byte("-"))); ok {
		return digits > 0
	}
	word := strings.ToLower(strings.TrimLeft(string(raw), "+-"))
	return word == "nan" || word == "inf" || word == "infinity" || len(word) > 0 && '0' <= word[0] && word[0] <= '9'
}

// decimal parses a non-negative JSON number as digits x 10^exponent. It keeps no more than 17
// digits.
func decimal(raw []byte) (digits int64, exponent int, ok bool) {
	i, point, some := 0, false, false
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case '0' <= c && c <= '9':
			if some = true; digits < math.MaxInt64/100 {
				digits = digits*10 + int64(c-'0')
			} else {
				exponent++
			}
			if point {
				exponent--
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		case c == 'e' || c == 'E':
			e, good := power(raw[i+1:])
			return digits, exponent + e, some && good
		}
		return 0, 0, false
	}
	return digits, exponent, some
}

// power parses the exponent of a number.
func power(raw []byte) (n int, ok bool) {
	sign := 1
	if len(raw) > 0 && (raw[0] == '-' || raw[0] == '+') {
		if raw[0] == '-' {
			sign = -1
		}
		raw = raw[1:]
	}
	for _, c := range raw {
		if c < '0' || c > '9' || n > 999 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return sign * n, len(raw) > 0
}
