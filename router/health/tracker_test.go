package health

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	target   = "acme/large"
	sibling  = "acme/small"
	provider = "acme"
)

func at(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }

func to(target string) Call { return Call{Target: target, Provider: provider} }

// rig drives a tracker with a simulated clock.
type rig struct {
	*testing.T
	*Tracker
	now time.Time
}

func newRig(t *testing.T) *rig {
	return &rig{T: t, Tracker: New(Options{}), now: at(0)}
}

func (r *rig) wait(d time.Duration) { r.now = r.now.Add(d) }

// call makes one call to a target and reports whether it was allowed.
func (r *rig) call(target string, o Outcome) bool {
	r.Helper()
	o.Began = r.now
	if !r.Begin(to(target), r.now) {
		return false
	}
	r.wait(time.Millisecond)
	r.Report(to(target), o, r.now)
	return true
}

func (r *rig) fail(n int) {
	r.Helper()
	for range n {
		if !r.call(target, Outcome{Class: Failed, Cause: "timeout"}) {
			r.Fatal("a failing call was not let through")
		}
	}
}

func (r *rig) want(target string, want Status) State {
	r.Helper()
	s := r.State(to(target), r.now)
	if s.Status != want {
		r.Errorf("%s is %v (%q, retry after %v), want %v", target, s.Status, s.Cause, s.RetryAfter, want)
	}
	if ready := r.Ready(to(target), r.now); ready != (want != Open) {
		r.Errorf("ready: %v", ready)
	}
	return s
}

func TestTargetIsOutAfterFiveFailures(t *testing.T) {
	r := newRig(t)
	r.fail(4)
	r.want(target, Healthy)
	r.fail(1)
	s := r.want(target, Open)
	if s.Cause != "timeout" || s.RetryAfter != 5*time.Second {
		t.Errorf("got %+v", s)
	}
	if r.call(target, Outcome{Class: OK}) {
		t.Error("a call was let through an open circuit")
	}
	r.want(sibling, Healthy)
}

func TestSuccessInBetweenStartsTheCountAnew(t *testing.T) {
	r := newRig(t)
	for range 4 {
		r.fail(4)
		r.call(target, Outcome{Class: OK})
		r.wait(30 * time.Second)
	}
	r.want(target, Healthy)
}

func TestTargetIsOutWhereHalfOfTwentyFailInHalfAMinute(t *testing.T) {
	alternate := func(r *rig, n int, every time.Duration) (failed int) {
		for i := range n {
			class := OK
			if i%2 == 1 {
				class = Failed
				failed++
			}
			if !r.call(target, Outcome{Class: class, Certain: true, Cause: "broken"}) {
				break
			}
			r.wait(every)
		}
		return failed
	}
	r := newRig(t)
	if alternate(r, 20, 100*time.Millisecond); r.State(to(target), r.now).Status != Open {
		t.Error("ten of twenty in two seconds leave it in")
	}
	r = newRig(t)
	alternate(r, 19, 100*time.Millisecond)
	r.want(target, Healthy)
	r = newRig(t)
	alternate(r, 200, 2*time.Second)
	r.want(target, Healthy)
}

func TestOneTrialAtATime(t *testing.T) {
	r := newRig(t)
	r.fail(5)
	r.wait(5 * time.Second)
	r.want(target, Trial)
	var through atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if r.Begin(to(target), r.now) {
				through.Add(1)
			}
		})
	}
	wg.Wait()
	if through.Load() != 1 {
		t.Errorf("%d calls were let through, want 1", through.Load())
	}
	r.want(target, Open)
}

func TestTrialThatNeverReportsFreesItsPlace(t *testing.T) {
	r := newRig(t)
	r.fail(5)
	r.wait(5 * time.Second)
	lost := r.now
	if !r.Begin(to(target), r.now) {
		t.Fatal("no trial")
	}
	r.wait(trialLease - 1)
	r.want(target, Open)
	r.wait(1)
	second := r.now
	if !r.Begin(to(target), second) {
		t.Fatal("the place of the lost trial was not freed")
	}
	r.wait(time.Second)
	r.Report(to(target), Outcome{Class: Neutral, Began: lost}, r.now)
	r.want(target, Open) // the lost trial does not free the place of the second one
	r.Report(to(target), Outcome{Class: OK, Began: second}, r.now)
	r.want(target, Healthy)
}

// A ten-minute outage with constant traffic: the target is left alone except for one trial at a
// time, and is back within ten seconds of recovering.
func TestTargetIsBackWithinTenSecondsOfItsRecovery(t *testing.T) {
	for _, outage := range []time.Duration{2 * time.Second, 17 * time.Second, time.Minute, 10 * time.Minute} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, outage) })
		})
	}
}

func simulate(t *testing.T, outage time.Duration) {
	const callTakes = 50 * time.Millisecond
	tracker := New(Options{Random: rand.Int64N})
	start := time.Now()
	down, up := start.Add(time.Minute), start.Add(time.Minute+outage)
	var mu sync.Mutex
	var failed, underway, most int
	var back time.Time
	call := func() {
		began := time.Now()
		if !tracker.Begin(to(target), began) {
			return
		}
		mu.Lock()
		if underway++; began.After(down.Add(time.Second)) && began.Before(up) {
			most = max(most, underway)
		}
		mu.Unlock()
		time.Sleep(callTakes)
		o := Outcome{Class: OK, Began: began}
		mu.Lock()
		underway--
		if end := time.Now(); end.After(down) && end.Before(up) {
			o.Class, o.Cause = Failed, "network"
			failed++
		} else if began.After(up) && back.IsZero() {
			back = end
		}
		mu.Unlock()
		tracker.Report(to(target), o, time.Now())
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for time.Now().Before(up.Add(time.Minute)) {
				call()
				time.Sleep(time.Duration(rand.Int64N(int64(100 * time.Millisecond))))
			}
		})
	}
	wg.Wait()
	if back.IsZero() || back.Sub(up) > 10*time.Second {
		t.Errorf("back %v after recovery", back.Sub(up))
	}
	if most > 1 {
		t.Errorf("%d trials at a time", most)
	}
	if allowed := 15 + int(outage/(4*time.Second)); failed > allowed { // the calls in progress, and the trials
		t.Errorf("%d calls failed, want at most %d", failed, allowed)
	}
}

func TestOpenTargetGetsNothing(t *testing.T) {
	r := newRig(t)
	r.fail(5)
	for range 10_000 {
		if r.Begin(to(target), r.now) {
			t.Fatal("a call was let through")
		}
	}
	r.wait(5*time.Second - 1)
	if r.Begin(to(target), r.now) {
		t.Fatal("a call was let through before the time")
	}
}

func TestTimeOutDoublesUpToItsLimit(t *testing.T) {
	r := newRig(t)
	r.Tracker = New(Options{LongestOpen: time.Minute})
	r.fail(5)
	for _, want := range []time.Duration{5, 10, 20, 40, 60, 60, 60} {
		s := r.want(target, Open)
		if s.RetryAfter != want*time.Second {
			t.Fatalf("open for %v, want %v s", s.RetryAfter, want)
		}
		r.wait(s.RetryAfter)
		r.fail(1)
	}
	r.wait(time.Minute)
	r.call(target, Outcome{Class: OK})
	r.want(target, Healthy)
	r.fail(5)
	if s := r.want(target, Open); s.RetryAfter != 5*time.Second {
		t.Errorf("open for %v after it had recovered, want 5 s", s.RetryAfter)
	}
}

func TestJitterShortensByAFifthAtMost(t *testing.T) {
	r := newRig(t)
	r.Tracker = New(Options{Random: func(n int64) int64 { return n - 1 }})
	r.fail(5)
	if s := r.want(target, Open); s.RetryAfter != 4*time.Second {
		t.Errorf("open for %v, want 4 s", s.RetryAfter)
	}
}

func TestDeadlinesNeverShrink(t *testing.T) {
	r := newRig(t)
	early := r.now
	r.wait(time.Second)
	r.call(target, Outcome{Class: Limited, Cause: "rate", RetryAfter: 40 * time.Second})
	until := r.now.Add(40 * time.Second)
	for _, o := range []Outcome{
		{Class: Limited, RetryAfter: time.Second},
		{Class: Failed},
		{Class: OK},
		{Class: Neutral},
		{Class: OK, Began: early},
	} {
		r.wait(time.Second)
		r.Report(to(target), o, r.now)
		if s := r.want(target, Open); !r.now.Add(s.RetryAfter).Equal(until) {
			t.Errorf("after %+v it ends at %v, want %v", o, r.now.Add(s.RetryAfter), until)
		}
	}
}

// Calls that began before an outage may time out long after it is over.
func TestLateFailuresDoNotCount(t *testing.T) {
	r := newRig(t)
	before := r.now
	r.fail(5)
	r.wait(5 * time.Second)
	late := Outcome{Class: Failed, Cause: "timeout", Began: before}
	r.Report(to(target), late, r.now)
	r.want(target, Trial)
	r.call(target, Outcome{Class: OK})
	for range 30 {
		r.Report(to(target), late, r.now)
	}
	r.want(target, Healthy)
}

func TestRefusedCredentialTakesTheWholeProviderOut(t *testing.T) {
	r := newRig(t)
	r.call(target, Outcome{Class: Refused, Certain: true, Cause: "credential"})
	for _, name := range []string{target, sibling} {
		if s := r.want(name, Open); s.Cause != "credential" || s.RetryAfter != time.Minute {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := r.State(Call{Target: "other/large", Provider: "other"}, r.now); s.Status != Healthy {
		t.Errorf("another provider: %+v", s)
	}
	r.wait(time.Minute)
	if !r.Begin(to(target), r.now) || r.Begin(to(sibling), r.now) {
		t.Error("the provider is not given exactly one trial")
	}
	r.Report(to(target), Outcome{Class: Refused, Certain: true, Cause: "credential"}, r.now)
	r.want(sibling, Open)
	r.wait(time.Minute)
	r.call(sibling, Outcome{Class: Failed, Cause: "network"}) // says nothing about the credential
	r.want(target, Trial)
	r.call(target, Outcome{Class: OK})
	r.want(target, Healthy)
	r.want(sibling, Healthy)
}

// A provider that accepts the same credential for other models has refused the model, not the
// credential: each refused target is left alone separately.
func TestARefusalBesideSuccessesTakesOneTargetOut(t *testing.T) {
	r := newRig(t)
	r.call(sibling, Outcome{Class: OK})
	r.call(target, Outcome{Class: Refused, Certain: true, Cause: "credential"})
	if s := r.want(target, Open); s.Cause != "credential" || s.RetryAfter != time.Minute {
		t.Errorf("%+v", s)
	}
	r.want(sibling, Healthy)
	r.wait(time.Minute)
	r.call(sibling, Outcome{Class: Refused, Certain: true, Cause: "credential"}) // nothing has worked for a minute
	r.want(sibling, Open)
	r.want("acme/other", Open)
}

func TestLimited(t *testing.T) {
	tests := map[string]struct {
		asked []time.Duration
		want  time.Duration
	}{
		"as asked":             {[]time.Duration{7 * time.Second}, 7 * time.Second},
		"too long":             {[]time.Duration{24 * time.Hour}, time.Minute},
		"not asked":            {[]time.Duration{0}, time.Second},
		"in the past":          {[]time.Duration{-time.Hour}, time.Second},
		"not asked, again":     {[]time.Duration{0, 0}, 2 * time.Second},
		"not asked, and again": {[]time.Duration{0, 0, 0, 0, 0, 0}, 5 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, d := range tt.asked {
				r.wait(r.State(to(target), r.now).RetryAfter)
				r.call(target, Outcome{Class: Limited, Cause: "rate", RetryAfter: d})
			}
			if s := r.want(target, Open); s.RetryAfter != tt.want || s.Cause != "rate" {
				t.Errorf("got %+v, want %v", s, tt.want)
			}
			r.want(sibling, Healthy)
		})
	}
}

func TestNeutralNeverCounts(t *testing.T) {
	r := newRig(t)
	for range 100 {
		r.call(target, Outcome{Class: Neutral})
	}
	r.want(target, Healthy)
	r.fail(5)
	r.wait(5 * time.Second)
	r.call(target, Outcome{Class: Neutral})
	r.want(target, Trial) // the trial said nothing: the next call is a trial again
	r.fail(1)
	r.want(target, Open)
}

func TestSnapshot(t *testing.T) {
	r := newRig(t)
	r.call("other/large", Outcome{Class: OK})
	r.fail(5)
	r.now = at(time.Second)
	var got []string
	for _, e := range r.Snapshot(r.now) {
		got = append(got, fmt.Sprintf("%s %v %s %v", e.Name, e.State.Status, e.State.Cause, max(0, e.Until.Sub(r.now))))
	}
	want := []string{"acme healthy  0s", "acme/large open timeout 4.006s", "other/large healthy  0s"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTrackerDoesNotAllocate(t *testing.T) {
	r := newRig(t)
	r.call(target, Outcome{Class: OK})
	if n := testing.AllocsPerRun(1000, func() {
		r.State(to(target), r.now)
		r.call(target, Outcome{Class: OK})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	t := New(Options{})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		t.State(to(target), now)
		t.Begin(to(target), now)
		t.Report(to(target), Outcome{Class: OK, Began: now}, now)
	}
}

func BenchmarkCallParallel(b *testing.B) {
	t := New(Options{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := time.Now()
		for pb.Next() {
			t.State(to(target), now)
			t.Begin(to(target), now)
			t.Report(to(target), Outcome{Class: OK, Began: now}, now)
		}
	})
}
