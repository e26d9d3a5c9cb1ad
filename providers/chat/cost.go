package chat

import (
	"bytes"
	"math"
	"strings"

	"tallyroute/providers/jsonraw"
)

// Cost is what a provider says that an answer cost, in billionths of a dollar. The
// zero value says nothing.
type Cost struct {
	Nano   int64
	Stated bool
	Absurd bool // a number is stated that no cost can be; Nano is 0
}

// Plus is the sum of what is stated.
func (c Cost) Plus(d Cost) Cost {
	return Cost{Nano: c.Nano + d.Nano, Stated: c.Stated || d.Stated, Absurd: c.Absurd || d.Absurd}
}

// MaxCost is the largest cost that can be: a million dollars.
const MaxCost = 1_000_000_000_000_000

// The units that amounts are given in, as powers of ten of a dollar.
const (
	dollars = 0
	ticks   = -10
)

// ParseCost reads a cost under the name that a provider gives it in its usage: an
// amount in dollars, an object of amounts with the sum among them, or xAI's ticks, of
// which a dollar has 10^10. What is not an amount states nothing.
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

// amount reads a number, or a text that holds one, digit by digit: a float does not
// have every nano-dollar. What is less than one is rounded, halves to even.
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
	var below int64 // the digits that go, as compared with a half
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

// absurd reports what is written like a number that no amount can be: a negative one,
// or one that is none.
func absurd(raw []byte) bool {
	if digits, _, ok := decimal(bytes.TrimPrefix(raw, []byte("-"))); ok {
		return digits > 0
	}
	word := strings.ToLower(strings.TrimLeft(string(raw), "+-"))
	return word == "nan" || word == "inf" || word == "infinity" || len(word) > 0 && '0' <= word[0] && word[0] <= '9'
}

// decimal is a JSON number that is not negative as digits x 10^exponent. No more than
// 17 digits are kept.
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

// power is the exponent of a number.
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
