package limit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func at(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }

func TestTake(t *testing.T) {
	type step struct {
		after time.Duration
		n     int64
		want  Result
	}
	tests := map[string]struct {
		perMinute int64
		steps     []step
	}{
		"a fresh bucket holds all of the limit": {60, []step{
			{0, 60, Result{OK: true, Remaining: 0, ResetAfter: time.Minute}},
			{0, 1, Result{RetryAfter: time.Second, ResetAfter: time.Minute}},
			{999 * time.Millisecond, 1, Result{RetryAfter: time.Millisecond, ResetAfter: 59001 * time.Millisecond}},
			{time.Second, 1, Result{OK: true, ResetAfter: time.Minute}},
		}},
		"it fills up again": {60, []step{
			{0, 60, Result{OK: true, ResetAfter: time.Minute}},
			{30 * time.Second, 0, Result{OK: true, Remaining: 30, ResetAfter: 30 * time.Second}},
			{time.Hour, 60, Result{OK: true, ResetAfter: time.Minute}},
		}},
		"a limit that does not divide a minute": {7, []step{
			{0, 1, Result{OK: true, Remaining: 6, ResetAfter: 8571428572}},
			{0, 6, Result{OK: true, Remaining: 0, ResetAfter: time.Minute}},
			{0, 1, Result{RetryAfter: 8571428572, ResetAfter: time.Minute}},
			{8571428571, 1, Result{RetryAfter: 1, ResetAfter: time.Minute - 8571428571}},
			{8571428572, 1, Result{OK: true, ResetAfter: time.Minute}},
		}},
		"more than a minute allows is never there": {10, []step{
			{0, 11, Result{Remaining: 10}},
			{0, math.MaxInt64, Result{Remaining: 10}},
			{0, 10, Result{OK: true, ResetAfter: time.Minute}},
		}},
		"nothing and less than nothing change nothing": {10, []step{
			{0, 0, Result{OK: true, Remaining: 10}},
			{0, -5, Result{OK: true, Remaining: 10}},
			{0, math.MinInt64, Result{OK: true, Remaining: 10}},
		}},
		"the greatest limit": {math.MaxInt64, []step{
			{0, math.MaxInt64 - 1, Result{OK: true, Remaining: 1, ResetAfter: time.Minute}},
			{0, 1, Result{OK: true, ResetAfter: time.Minute}},
			{0, math.MaxInt64, Result{RetryAfter: time.Minute, ResetAfter: time.Minute}},
			{1, 0, Result{OK: true, Remaining: 153722867, ResetAfter: time.Minute - 1}},
		}},
		"a clock that is set back costs a minute at most": {10, []step{
			{time.Hour, 10, Result{OK: true, ResetAfter: time.Minute}},
			{0, 1, Result{RetryAfter: 6 * time.Second, ResetAfter: time.Minute}},
			{6 * time.Second, 1, Result{OK: true, ResetAfter: time.Minute}},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bucket
			for i, s := range tt.steps {
				if got := b.take(tt.perMinute, s.n, at(s.after)); got != s.want {
					t.Errorf("step %d: got %+v, want %+v", i, got, s.want)
				}
			}
		})
	}
}

func TestGive(t *testing.T) {
	tests := map[string]struct {
		perMinute, take, give int64
		after                 time.Duration
		want                  int64
	}{
		"all of it":                    {60, 60, 60, 0, 60},
		"a part":                       {60, 60, 20, 0, 20},
		"with fractions":               {7, 5, 3, 0, 5},
		"more than was taken":          {60, 10, 50, 0, 60},
		"far more":                     {60, 10, math.MaxInt64, 0, 60},
		"nothing":                      {60, 10, 0, 0, 50},
		"less than nothing":            {60, 10, -10, 0, 50},
		"besides what has filled up":   {60, 60, 10, 30 * time.Second, 40},
		"what has filled up by itself": {60, 60, 60, 30 * time.Second, 60},
		"of the greatest limit":        {math.MaxInt64, math.MaxInt64, math.MaxInt64 - 5, 0, math.MaxInt64 - 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bucket
			b.take(tt.perMinute, tt.take, at(0))
			b.give(tt.perMinute, tt.give, at(tt.after))
			if got := b.take(tt.perMinute, 0, at(tt.after)).Remaining; got != tt.want {
				t.Errorf("%d remain, want %d", got, tt.want)
			}
		})
	}
}

func TestChangedLimitKeepsTheShareThatIsUsed(t *testing.T) {
	var b bucket
	b.take(1000, 501, at(0))
	if got := b.take(7, 0, at(0)).Remaining; got != 3 {
		t.Errorf("%d of 7 remain, want 3", got)
	}
	if got := b.take(1_000_000, 0, at(0)).Remaining; got < 498_999 || got > 499_000 {
		t.Errorf("%d of a million remain, want 499000", got)
	}
}

// In no period is more admitted than the limit plus what fills up in the meantime; what is
// given back does not count as admitted.
func TestNeverMoreThanTheLimitInAnyWindow(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		perMinute := 1 + rnd.Int64N([]int64{3, 100, 100_000, math.MaxInt64 / 2}[rnd.IntN(4)])
		type taken struct {
			at time.Duration
			n  int64
		}
		var log []taken
		var b bucket
		var clock time.Duration
		for range 200 {
			clock += time.Duration(rnd.Int64N(int64([]time.Duration{2, time.Millisecond, time.Second, time.Minute}[rnd.IntN(4)])))
			n := 1 + rnd.Int64N(perMinute)
			r := b.take(perMinute, n, at(clock))
			if !r.OK {
				if again := b.take(perMinute, n, at(clock+r.RetryAfter-1)); again.OK {
					t.Fatalf("seed %d: admitted before RetryAfter", seed)
				}
				clock += r.RetryAfter
				if r = b.take(perMinute, n, at(clock)); !r.OK {
					t.Fatalf("seed %d: refused after RetryAfter", seed)
				}
			}
			if back := rnd.Int64N(n + 1); rnd.IntN(3) == 0 {
				b.give(perMinute, back, at(clock))
				n -= back
			}
			log = append(log, taken{clock, n})
		}
		for i := range log {
			sum := 0.0
			for _, x := range log[i:] {
				sum += float64(x.n)
				most := float64(perMinute) * (1 + float64(x.at-log[i].at)/float64(window))
				if sum > most*(1+1e-9) {
					t.Fatalf("seed %d: %.0f admitted in %v, at most %.3f may be", seed, sum, x.at-log[i].at, most)
				}
			}
		}
	}
}
