package health

import (
	"strings"
	"testing"
	"time"
)

// from returns the origin of a request, given a key or team/key.
func from(key string, body uint64) Origin {
	team, _, ok := strings.Cut(key, "/")
	if !ok {
		team = ""
	}
	return Origin{Key: key, Team: team, Body: body}
}

func (r *rig) by(key string, body uint64, o Outcome) bool {
	r.Helper()
	c := Call{Target: target, Provider: provider, Origin: from(key, body)}
	o.Began = r.now
	if !r.Begin(c, r.now) {
		return false
	}
	r.wait(time.Millisecond)
	r.Report(c, o, r.now)
	return true
}

func (r *rig) stands(key string, body uint64, want Status) {
	r.Helper()
	if s := r.State(Call{Target: target, Provider: provider, Origin: from(key, body)}, r.now); s.Status != want {
		r.Errorf("for body %d of %s it is %v (%s), want %v", body, key, s.Status, s.Cause, want)
	}
}

var everyFailure = map[string]Outcome{
	"failed":  {Class: Failed, Cause: "overload"},
	"limited": {Class: Limited, Cause: "rate", RetryAfter: time.Minute},
	"refused": {Class: Refused, Cause: "credential"},
}

func TestFailuresOfOneKeyTakeATargetFromNobodyElse(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for body := range uint64(1000) {
				r.by("hostile", body, o)
				r.stands("other", 1, Healthy)
				r.wait(50 * time.Millisecond)
			}
			r.want(sibling, Healthy)
		})
	}
}

func TestFailuresOfOneKeyBetweenSuccessesOfOthersTakeATargetFromNobodyElse(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for i := range uint64(1000) {
				r.by("hostile", i, o)
				if !r.by("other", i%7, Outcome{Class: OK}) {
					t.Fatalf("refused after %d", i)
				}
				if i%50 == 0 { // and one of its own fails occasionally
					r.by("other", i, Outcome{Class: Failed, Cause: "overload"})
				}
			}
		})
	}
}

func TestOneBodyThatFailsTakesATargetFromNoOther(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for range 5 {
				r.by("k", 1, o)
			}
			r.stands("k", 1, Open)
			r.stands("k", 2, Healthy)
			r.by("k", 2, o)
			r.stands("k", 3, Open)
			r.stands("other", 1, Healthy)
		})
	}
}

func TestFailuresOfTwoKeysTakeATargetFromAll(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for body := range uint64(4) {
				r.by("a", body, o)
			}
			r.by("b", 9, o)
			r.stands("c", 10, Open)
			r.want(sibling, Healthy)
		})
	}
}

func TestKeysOfOneTeamTakeATargetFromThatTeamAlone(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for body := range uint64(1000) {
				r.by([]string{"hostile/a", "hostile/b", "hostile/c"}[body%3], body, o)
				r.stands("other/a", 1, Healthy)
				r.wait(50 * time.Millisecond)
			}
			r.want(sibling, Healthy)
		})
		t.Run(name+" for the team", func(t *testing.T) {
			r := newRig(t)
			for body := range uint64(6) {
				r.by([]string{"hostile/a", "hostile/b"}[body%2], body, o)
			}
			r.stands("hostile/c", 10, Open)
			r.stands("other/a", 1, Healthy)
			r.by("other/a", 11, o)
			if o.Class != Failed {
				r.stands("third/a", 1, Open)
			}
		})
	}
}

func TestKeysOfOneTeamBetweenSuccessesOfOthersTakeATargetFromNobodyElse(t *testing.T) {
	r := newRig(t)
	for i := range uint64(1000) {
		for _, key := range []string{"hostile/a", "hostile/b"} {
			r.by(key, i, Outcome{Class: Failed, Cause: "overload"})
		}
		if !r.by("other/a", i%7, Outcome{Class: OK}) {
			t.Fatalf("refused after %d", i)
		}
		if i%50 == 0 { // and one of its own fails occasionally
			r.by("other/a", i, Outcome{Class: Failed, Cause: "overload"})
		}
	}
}

func TestFailuresOfTwoTeamsTakeATargetFromAll(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for body := range uint64(4) {
				r.by("one/a", body, o)
			}
			r.by("two/a", 9, o)
			r.stands("three/a", 10, Open)
			r.want(sibling, Healthy)
		})
	}
}

func TestOneBodyFromTwoKeysTakesATargetFromNobodyElse(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for range 5 {
				r.by("a", 1, o)
				r.by("b", 1, o)
			}
			r.stands("c", 2, Healthy)
		})
	}
}

func TestWhatARequestCannotHaveCausedCountsForAll(t *testing.T) {
	for name, o := range everyFailure {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			o.Certain = true
			for range 5 {
				r.by("a", 1, o)
			}
			r.stands("b", 2, Open)
		})
	}
}

func TestMostCallsOfSeveralKeysFailing(t *testing.T) {
	r := newRig(t)
	failed := Outcome{Class: Failed, Cause: "broken"}
	for i := range uint64(40) {
		key := []string{"a", "b"}[i/2%2]
		o := failed
		if i%2 == 1 {
			o = Outcome{Class: OK}
		}
		r.by(key, i, o)
	}
	r.stands("c", 1, Open)
}

// A key that keeps a target down by failing each of its trials is passed over: the next trial
// is another key's.
func TestTrialThatFailedLeavesTheNextToOthers(t *testing.T) {
	r := newRig(t)
	failed := Outcome{Class: Failed, Cause: "overload"}
	for body := range uint64(4) {
		r.by("hostile", body, failed)
	}
	r.by("b", 9, failed)
	for body := uint64(10); ; body++ {
		if body == 300 { // half a minute
			t.Fatal("never back")
		}
		s := r.State(Call{Target: target, Provider: provider, Origin: from("c", body)}, r.now)
		if s.Status == Trial && !r.by("hostile", body, failed) && r.by("c", body, Outcome{Class: OK}) {
			break
		}
		r.wait(100 * time.Millisecond)
	}
	r.stands("c", 1, Healthy)
	r.stands("b", 1, Healthy)
}

func TestFailuresOfManyKeysAreKeptInBoundedMemory(t *testing.T) {
	r := newRig(t)
	for i := range 10 * mostSuspects {
		r.by(string(rune('a'+i)), 1, Outcome{Class: Failed})
	}
	if n := len(r.targets[target].suspects); n > mostSuspects {
		t.Errorf("%d are kept", n)
	}
	r.wait(time.Hour)
	r.by("z", 1, Outcome{Class: Failed})
	if n := len(r.targets[target].suspects); n != 1 {
		t.Errorf("%d are kept for an hour", n)
	}
}

// Operators see a target as down if it has answered nobody, and as healthy if it answers
// everybody else.
func TestSnapshotShowsWhatOneKeyMet(t *testing.T) {
	r := newRig(t)
	for range 5 {
		r.by("a", 1, Outcome{Class: Failed, Cause: "overload"})
	}
	shown := func() Status {
		for _, e := range r.Snapshot(r.now) {
			if e.Name == target {
				return e.State.Status
			}
		}
		return -1
	}
	if shown() != Open {
		t.Errorf("shown as %v", shown())
	}
	r.by("b", 2, Outcome{Class: OK})
	if shown() != Healthy {
		t.Errorf("shown as %v", shown())
	}
	r.stands("a", 1, Open)
}
