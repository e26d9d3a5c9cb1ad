package billing

import (
	"math"
	"math/bits"
)

// SatAdd returns a+b, or the nearest end of the range where the sum does not fit.
func SatAdd[T ~int64](a, b T) T {
	sum := a + b
	if a > 0 && b > 0 && sum < 0 {
		return math.MaxInt64
	}
	if a < 0 && b < 0 && sum >= 0 {
		return math.MinInt64
	}
	return sum
}

// SatMul returns a*b, or the largest number where the product does not fit. Negative
// factors count as zero.
func SatMul[T ~int64](a, b T) T {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return T(lo)
}
