package anomaly

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// Span is the length of time over which a figure is summed.
type Span string

// The spans.
const (
	ByHour Span = "hour" // a clock hour
	ByDay  Span = "day"  // the last 24 hours
)

// Basis is what a baseline was learned from.
type Basis string

// The bases, best first.
const (
	SameHours Basis = "hour of the week" // the same hour of the same weekday in earlier weeks, and the hours next to it
	SameTime  Basis = "hour of the day"  // the same hour of earlier days of the same kind: working days or weekends
	AnyHours  Basis = "all hours"        // of the last two weeks
)

// Baseline is the usual value of a figure, and the limit beyond which it is unusual.
type Baseline struct {
	Figure  Figure
	Span    Span
	Median  int64
	Spread  int64 // the median absolute deviation, scaled to a standard deviation
	Limit   int64
	Samples int
	Basis   Basis
}

// How far from usual something must be, in hundredths. Daily sums vary less than hourly
// ones.
type margins struct {
	times  int64 // of the median
	spread int64 // above it
	tail   int64 // of the 95th percentile of such times with any use
}

func marginsOf(s Span) margins {
	if s == ByDay {
		return margins{times: 200, spread: 600, tail: 170}
	}
	return margins{times: 300, spread: 600, tail: 250}
}

// floor returns the value of a figure up to which it is never worth reporting.
func floor(f Figure, s Span) int64 {
	n := map[Figure]int64{Requests: 200, Spend: 1_000_000_000, Errors: 30, Denials: 30, Answers: 4 << 20}[f]
	if s == ByDay {
		return 4 * n
	}
	return n
}

// Worth reports whether sums are large enough for it to matter what is usual.
func Worth(hour, day Sums) bool {
	for _, f := range Figures() {
		if hour.Of(f) > floor(f, ByHour) || day.Of(f) > floor(f, ByDay) {
			return true
		}
	}
	return false
}

// Baselines returns the baselines of all figures and spans at an hour. There are none for a
// key that is less than two days old, and no daily ones for a key less than four days old.
func (h History) Baselines(at time.Time) (all []Baseline) {
	for _, f := range Figures() {
		for _, s := range []Span{ByHour, ByDay} {
			if b, known := h.Baseline(f, s, at); known {
				all = append(all, b)
			}
		}
	}
	return all
}

// Baseline returns what is usual for a figure in the hour that contains at, or in the day
// that ends with that hour, judging by what came before.
func (h History) Baseline(f Figure, s Span, at time.Time) (b Baseline, known bool) {
	like, basis := h.like(f, s, at)
	if len(like) == 0 {
		return b, false
	}
	around := active(h.around(f, s, at))
	b = Baseline{Figure: f, Span: s, Samples: len(like), Basis: basis}
	slices.Sort(like)
	b.Median = quantile(like, 50)
	b.Spread = spread(like, b.Median)
	// Counts of independent events vary by the square root of their number, and the amounts
	// that add up from single events vary by more.
	least := root(b.Median)
	if f == Spend || f == Answers {
		least = b.Median / 5
	}
	b.Spread = max(b.Spread, least)
	m := marginsOf(s)
	b.Limit = max(floor(f, s), scaled(b.Median, m.times), b.Median+scaled(b.Spread, m.spread), scaled(quantile(around, 95), m.tail))
	return b, true
}

// like returns the sums of comparable times: in earlier weeks if there are three of them,
// otherwise in earlier days.
func (h History) like(f Figure, s Span, at time.Time) (list []int64, basis Basis) {
	n := number(at)
	for w := int64(1); w <= 8; w++ {
		list = h.add(list, f, s, n-w*7*24)
	}
	if len(list) >= 3*perWeek(s) {
		return list, SameHours
	}
	list = list[:0]
	kind := weekend(n)
	for d := int64(1); d <= 28; d++ {
		if s == ByDay || weekend(n-d*24) == kind {
			list = h.add(list, f, s, n-d*24)
		}
	}
	if len(list) >= 3*perWeek(s) {
		return list, SameTime
	}
	if s == ByDay {
		return nil, ""
	}
	list = list[:0]
	for i := int64(1); i <= 14*24; i++ {
		if sums, ok := h.at(n - i); ok {
			list = append(list, sums.Of(f))
		}
	}
	if len(list) < leastHours {
		return nil, ""
	}
	return list, AnyHours
}

// leastHours is how many hours of a key must be known before anything counts as unusual.
const leastHours = 48

// perWeek returns how many sums add appends.
func perWeek(s Span) int {
	if s == ByDay {
		return 1
	}
	return 3
}

// add appends the sums of hour n and the hours next to it, or of the day that ends with it.
func (h History) add(list []int64, f Figure, s Span, n int64) []int64 {
	if s == ByDay {
		if sum, whole := h.until(n, 24); whole {
			list = append(list, sum.Of(f))
		}
		return list
	}
	for i := n - 1; i <= n+1; i++ {
		if sums, ok := h.at(i); ok {
			list = append(list, sums.Of(f))
		}
	}
	return list
}

// around returns the sums at about this time on all days of the last four weeks: values
// that do occur at times, though not every day or week.
func (h History) around(f Figure, s Span, at time.Time) (list []int64) {
	n := number(at)
	for d := int64(1); d <= 28; d++ {
		if s == ByDay {
			list = h.add(list, f, s, n-d*24)
			continue
		}
		list = h.add(list, f, s, n-d*24-2)
		list = h.add(list, f, s, n-d*24+2)
	}
	return list
}

// leastActive is the minimum number of times with any use from which the tail is computed:
// fewer might be earlier anomalies.
const leastActive = 5

// active returns a list, sorted and without the times of no use, if enough values are left.
func active(list []int64) []int64 {
	slices.Sort(list)
	if used, _ := slices.BinarySearch(list, 1); len(list)-used >= leastActive {
		return list[used:]
	}
	return list
}

// weekend reports whether an hour is on a Saturday or Sunday in UTC.
func weekend(n int64) bool {
	at := time.Unix(n*3600, 0).UTC().Weekday()
	return at == time.Saturday || at == time.Sunday
}

// quantile returns the given percentile of a sorted list; 0 for an empty one.
func quantile(sorted []int64, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

// spread returns the median absolute deviation of a list from its median, scaled to a
// standard deviation.
func spread(list []int64, median int64) int64 {
	far := make([]int64, len(list))
	for i, v := range list {
		far[i] = max(v-median, median-v)
	}
	slices.Sort(far)
	return scaled(quantile(far, 50), 148)
}

// most is far above any sum.
const most = math.MaxInt64 / 4

// scaled returns the given number of hundredths of n, rounded up.
func scaled(n, hundredths int64) int64 {
	if n > most/hundredths {
		return most
	}
	return (n*hundredths + 99) / 100
}

// root returns the integer part of the square root.
func root(n int64) int64 {
	r := int64(1) << ((bits.Len64(uint64(max(n, 0))) + 1) / 2) // an upper bound
	for r > 0 && r > n/r {
		r = (r + n/r) / 2
	}
	return r
}
