package brake

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func stopped(t *testing.T, err error) *StoppedError {
	t.Helper()
	var e *StoppedError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want that it is stopped", err)
	}
	return e
}

func TestTheSameRequestAgainAndAgainIsStopped(t *testing.T) {
	b, l, now := New(), Limits{Repeats: 5, Within: time.Minute, Pause: time.Hour}, noon
	r := Request{Key: "key_1", Session: "s", Print: []byte("again")}
	for i := range 5 {
		if err := b.Begin(r, l, now); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		now = now.Add(time.Second)
	}
	e := stopped(t, b.Begin(r, l, now))
	if e.Session != "s" || !e.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", e)
	}
	for name, other := range map[string]Request{
		"another session": {Key: "key_1", Session: "t", Print: r.Print}, "another key": {Key: "key_2", Session: "s", Print: r.Print},
		"no session": {Key: "key_1", Print: r.Print},
	} {
		if err := b.Begin(other, l, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.Print = []byte("something else")
	stopped(t, b.Begin(r, l, now.Add(59*time.Minute)))
	if err := b.Begin(r, l, now.Add(time.Hour)); err != nil {
		t.Errorf("after its time: %v", err)
	}
	if stops := b.Stops(); len(stops) != 1 || stops[0].Key != "key_1" || len(b.Stops()) != 0 {
		t.Errorf("told of %+v", stops)
	}
}

func TestWhatCameToNothingDoesNotCount(t *testing.T) {
	b, l := New(), Limits{Repeats: 3, Requests: 4}
	r := Request{Key: "k", Session: "s", Print: []byte("x")}
	for i := range 20 {
		if err := b.Begin(r, l, noon); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		b.Undo(r, noon)
	}
	for range 3 {
		if err := b.Begin(r, l, noon); err != nil {
			t.Fatal(err)
		}
	}
	stopped(t, b.Begin(r, l, noon))
}

func TestSlowRepetitionIsNone(t *testing.T) {
	b, l := New(), Limits{Repeats: 5, Within: time.Minute}
	for i := range 100 {
		if err := b.Begin(Request{Key: "k", Print: []byte("ping")}, l, noon.Add(time.Duration(i)*13*time.Second)); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}

func TestASessionHasSoManyRequestsAndDollars(t *testing.T) {
	b, l := New(), Limits{Requests: 3, Spend: 1e9}
	r := Request{Key: "k", Session: "s"}
	for range 3 {
		if err := b.Begin(r, l, noon); err != nil {
			t.Fatal(err)
		}
	}
	stopped(t, b.Begin(r, l, noon))
	r.Session = "t"
	if err := b.Begin(r, l, noon); err != nil {
		t.Fatal(err)
	}
	b.Spent("k", "t", 1e9, noon)
	stopped(t, b.Begin(r, l, noon))
	for i := range 10 {
		if err := b.Begin(Request{Key: "k"}, l, noon); err != nil {
			t.Fatalf("request %d of no session: %v", i, err)
		}
	}
}

func TestAnOperatorEndsAStopByAChangeOfTheKey(t *testing.T) {
	b, l := New(), Limits{Requests: 1}
	r := Request{Key: "k", Session: "s", Version: 4}
	if err := b.Begin(r, l, noon); err != nil {
		t.Fatal(err)
	}
	stopped(t, b.Begin(r, l, noon))
	r.Version = 3 // like a request whose key was looked up earlier
	stopped(t, b.Begin(r, l, noon))
	r.Version = 5
	if err := b.Begin(r, l, noon); err != nil {
		t.Errorf("after the change: %v", err)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	b, l := New(), Limits{Repeats: 5, Requests: 5}
	for i := range 3 * mostScopes {
		if err := b.Begin(Request{Key: "k", Session: fmt.Sprint(i), Print: []byte("x")}, l, noon); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.scopes.now) + len(b.scopes.older); n > 2*mostScopes {
		t.Errorf("%d scopes", n)
	}
	if n := len(b.prints.now) + len(b.prints.older); n > 2*mostPrints {
		t.Errorf("%d prints", n)
	}
}

func TestWhatIsOffAllocatesNothing(t *testing.T) {
	b := New()
	r := Request{Key: "k", Session: "s", Print: []byte("x")}
	if n := testing.AllocsPerRun(100, func() { _ = b.Begin(r, Limits{}, noon) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBegin(b *testing.B) {
	brake, l := New(), Limits{Repeats: 100, Requests: 1 << 40, Spend: 1 << 60}
	print := make([]byte, 12)
	for i := range b.N {
		print[0], print[1], print[2] = byte(i), byte(i>>8), byte(i>>16)
		_ = brake.Begin(Request{Key: "key_01J", Session: "session", Print: print}, l, noon.Add(time.Duration(i)*time.Millisecond))
	}
}
