package limit

import (
	"math/bits"
	"time"
)

// window is the time that a limit refers to, and that an empty bucket takes to fill.
const window = time.Minute

// Result is the result of a Take.
type Result struct {
	OK        bool
	Remaining int64 // what could still be taken at once
	// RetryAfter is when the same Take may succeed. It is 0 after success, and if more was
	// requested than a minute allows: then waiting does not help.
	RetryAfter time.Duration
	ResetAfter time.Duration // time until the whole limit is free again
}

// bucket is the state of the generic cell rate algorithm: the time at which the whole limit
// will be free again if nothing else is taken. That time is full plus frac parts of a
// nanosecond, of which perMinute make one, so that no limit is rounded. The zero bucket is
// full.
type bucket struct {
	full time.Time
	frac int64
}

// take takes n from b, or nothing if b has less than n.
func (b *bucket) take(perMinute, n int64, now time.Time) Result {
	b.catchUp(perMinute, now)
	n = max(n, 0)
	if n > perMinute {
		return b.result(perMinute, now)
	}
	after := *b
	after.move(perMinute, n)
	if late := after.ahead(now) - window; late > 0 {
		r := b.result(perMinute, now)
		r.RetryAfter = late
		return r
	}
	*b = after
	r := b.result(perMinute, now)
	r.OK = true
	return r
}

// give puts n back, but never more than was missing.
func (b *bucket) give(perMinute, n int64, now time.Time) {
	b.catchUp(perMinute, now)
	b.move(perMinute, -min(max(n, 0), perMinute))
	b.catchUp(perMinute, now)
}

// catchUp drops what has filled up by now. It also repairs what a clock that was set back, or a
// changed limit, would otherwise break for a long time.
func (b *bucket) catchUp(perMinute int64, now time.Time) {
	switch ahead := b.full.Sub(now); {
	case ahead < 0:
		*b = bucket{full: now}
	case ahead >= window:
		*b = bucket{full: now.Add(window)}
	case b.frac >= perMinute:
		*b = bucket{full: b.full.Add(1)}
	}
}

// move shifts the time by what n takes to fill up, which is exact, and at most one window
// either way.
func (b *bucket) move(perMinute, n int64) {
	hi, lo := bits.Mul64(uint64(max(n, -n)), uint64(window))
	whole, part := bits.Div64(hi, lo, uint64(perMinute))
	if n < 0 {
		b.full, b.frac = b.full.Add(-time.Duration(whole)), b.frac-int64(part)
		if b.frac < 0 {
			b.full, b.frac = b.full.Add(-1), b.frac+perMinute
		}
		return
	}
	b.full = b.full.Add(time.Duration(whole))
	if room := perMinute - int64(part); b.frac >= room {
		b.full, b.frac = b.full.Add(1), b.frac-room
	} else {
		b.frac += int64(part)
	}
}

// ahead returns how long after now everything will be free, rounded up.
func (b *bucket) ahead(now time.Time) time.Duration {
	d := b.full.Sub(now)
	if b.frac > 0 {
		d++
	}
	return d
}

// result describes a bucket that has caught up. Remaining is rounded down.
func (b *bucket) result(perMinute int64, now time.Time) Result {
	r := Result{ResetAfter: b.ahead(now)}
	if free := window - b.full.Sub(now); free > 0 {
		hi, lo := bits.Mul64(uint64(free), uint64(perMinute))
		lo, borrow := bits.Sub64(lo, uint64(b.frac), 0)
		left, _ := bits.Div64(hi-borrow, lo, uint64(window))
		r.Remaining = int64(left)
	}
	return r
}
