package tokens

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

func text(b Basis, tokens int64) Sample {
	return Sample{Provider: "p", Model: "m", Basis: b, Tokens: tokens}
}

func TestNothingIsKnownAtFirst(t *testing.T) {
	f := NewCalibration()
	for _, n := range []int64{-1, 0, 1, 77, math.MaxInt64} {
		if got := f.Hold(text(Bounded, n)); got != n {
			t.Errorf("holds %d for %d", got, n)
		}
	}
}

// One report above the estimate is enough to hold more, but a single one below it is not enough
// to hold less.
func TestUpAtOnceDownWithTime(t *testing.T) {
	f := NewCalibration()
	f.Observe(text(Counted, 1000), 400)
	if got := f.Hold(text(Counted, 1000)); got != 1000 {
		t.Errorf("after one low report %d are held", got)
	}
	f.Observe(text(Counted, 1000), 1300)
	if got := f.Hold(text(Counted, 1000)); got < 1300 || got > 1320 {
		t.Errorf("after a high report %d are held", got)
	}
	if got := f.Hold(text(Bounded, 1000)); got != 1000 {
		t.Errorf("bounds have nothing to do with counts, yet %d are held", got)
	}
	if got := f.Hold(Sample{Provider: "p", Model: "m", Basis: Counted, Media: true, Tokens: 1000}); got != 1000 {
		t.Errorf("pictures have nothing to do with text, yet %d are held", got)
	}
	for range 2 * windowSize {
		f.Observe(text(Counted, 1000), 700)
	}
	if got := f.Hold(text(Counted, 1000)); got < 700 || got > 710 {
		t.Errorf("after many reports of 700, %d are held", got)
	}
}

func TestAnExactCountIsHeldAsItIs(t *testing.T) {
	f := NewCalibration()
	for i := range int64(3 * windowSize) {
		f.Observe(text(Exact, 100), 100-i%2)
	}
	if got := f.Hold(text(Exact, 100)); got != 100 {
		t.Errorf("%d are held", got)
	}
}

// Whatever a provider reports, holds stay within bounds, and one stray report among thousands
// does not persist.
func TestCalibrationBearsReportsThatLie(t *testing.T) {
	f := NewCalibration()
	for _, n := range []int64{math.MinInt64, -1, 0} {
		f.Observe(text(Bounded, 1000), n)
		f.Observe(text(Bounded, n), 1000)
	}
	if got := f.Hold(text(Bounded, 1000)); got != 1000 {
		t.Errorf("%d are held after reports of nothing", got)
	}
	f.Observe(text(Bounded, 1000), math.MaxInt64)
	if got := f.Hold(text(Bounded, 1000)); got != 5000 {
		t.Errorf("%d are held", got)
	}
	f.Observe(text(Bounded, math.MaxInt64), math.MaxInt64)
	if got := f.Hold(text(Bounded, math.MaxInt64)); got != math.MaxInt64 {
		t.Errorf("%d are held", got)
	}
	for range 2 * windowSize {
		f.Observe(text(Bounded, 1000), 1)
	}
	if got := f.Hold(text(Bounded, 1000)); got != 500 {
		t.Errorf("%d are held although almost nothing is reported", got)
	}
	f.Observe(text(Bounded, 1000), 4000)
	if got := f.Hold(text(Bounded, 1000)); got != 500 {
		t.Errorf("%d are held after a single stray report", got)
	}
	f.Observe(text(Bounded, 1000), 4000)
	if got := f.Hold(text(Bounded, 1000)); got < 4000 {
		t.Errorf("%d are held after a second one", got)
	}
}

// TestHoldsAreEnough simulates providers whose tokenizers differ from ours, some of which add
// to every prompt, and counts how often they report more than was held.
func TestHoldsAreEnough(t *testing.T) {
	const warm, requests = 4000, 100_000
	for _, p := range []struct {
		name         string
		ratio, noise float64
		hidden       int64 // tokens that the provider adds
		basis        Basis
		more         float64 // held beyond the true count for reasons other than noise, as a fraction of it
	}{
		{"a shorter tokenizer", 0.8, 0.05, 0, Counted, 0.05},
		{"the same tokenizer", 1.0, 0, 0, Exact, 0.001},
		{"a longer one", 1.2, 0.1, 0, Counted, 0.05},
		{"a much longer one", 1.6, 0.2, 0, Counted, 0.05},
		{"a hidden prompt", 1.0, 0.02, 300, Counted, 0.3}, // weighs more in the shorter prompts of a size
		{"a bound in bytes", 0.6, 0.05, 0, Bounded, 0.05},
		{"a bound in bytes of long words", 0.25, 0.05, 0, Bounded, 1.1}, // half of the bound is always held
	} {
		t.Run(p.name, func(t *testing.T) {
			f, random := NewCalibration(), rand.New(rand.NewPCG(1, 2))
			var short int
			var held, used float64
			for i := range warm + requests {
				est := int64(math.Exp(random.Float64()*7) * 8) // 8 to 9000 tokens, log-uniform
				r := p.ratio * (1 + p.noise*random.NormFloat64())
				truth := max(1, int64(float64(est)*r)+p.hidden)
				hold := f.Hold(text(p.basis, est))
				f.Observe(text(p.basis, est), truth)
				if i < warm {
					continue
				}
				if hold < truth {
					short++
				}
				held, used = held+float64(hold), used+float64(truth)
			}
			over := held/used - 1
			t.Logf("%.4f %% of holds fell short; %.1f %% more was held than used", 100*float64(short)/requests, 100*over)
			if short > requests/1000 {
				t.Errorf("%d of %d holds fell short", short, requests)
			}
			// A hold that covers 999 of 1000 is at least 3.1 deviations above the mean.
			if most := 3.6*p.noise + p.more; over > most {
				t.Errorf("%.0f %% more was held than used, want at most %.0f %%", 100*over, 100*most)
			}
		})
	}
}

// A provider that changes its tokenizer is followed within a few requests.
func TestHoldsFollowProvidersThatChange(t *testing.T) {
	f, random, short := NewCalibration(), rand.New(rand.NewPCG(3, 4)), 0
	for i := range 50_000 {
		ratio := 0.9
		if i >= 25_000 {
			ratio = 1.5
		}
		truth := int64(1000 * ratio * (1 + 0.1*random.Float64()))
		if f.Hold(text(Counted, 1000)) < truth {
			short++
		}
		f.Observe(text(Counted, 1000), truth)
	}
	if short > 50 {
		t.Errorf("%d of 50,000 holds fell short", short)
	}
}

func TestCalibrationByManyAtOnce(t *testing.T) {
	f := NewCalibration()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range int64(1000) {
				p := Sample{Provider: "p", Model: string(rune('a' + i%3)), Basis: Counted, Tokens: 100 + n}
				if f.Hold(p) < p.Tokens {
					t.Error("less than the estimate is held")
				}
				f.Observe(p, p.Tokens*2)
			}
		})
	}
	wg.Wait()
	if got := f.Hold(Sample{Provider: "p", Model: "a", Basis: Counted, Tokens: 300}); got < 600 {
		t.Errorf("%d are held for 600", got)
	}
}

// TestCalibrationCostsNoMemory guards the path of every request.
func TestCalibrationCostsNoMemory(t *testing.T) {
	f := NewCalibration()
	f.Observe(text(Bounded, 1000), 2000)
	if n := testing.AllocsPerRun(100, func() {
		f.Observe(text(Bounded, 1000), f.Hold(text(Bounded, 1000)))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCalibration(f *testing.F) {
	f.Add(int64(1), int64(1))
	f.Add(int64(math.MaxInt64), int64(1))
	f.Add(int64(3), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, estimate, reported int64) {
		known := NewCalibration()
		known.Observe(text(Bounded, estimate), reported)
		got := known.Hold(text(Bounded, estimate))
		if got < estimate || estimate > 0 && got > most(estimate) {
			t.Errorf("%d are held for %d, of which %d were reported", got, estimate, reported)
		}
		if estimate > 0 && reported > 0 && got < min(reported, most(estimate)) {
			t.Errorf("%d are held although %d were reported for %d", got, reported, estimate)
		}
	})
}

func BenchmarkCalibration(b *testing.B) {
	f := NewCalibration()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Observe(text(Bounded, 1000), f.Hold(text(Bounded, 1000)))
		}
	})
}
