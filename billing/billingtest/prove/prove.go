// Package prove is how the tests of every layer wait for what must happen and
// decide how far a proof goes. A test in "make test" passes on a machine that
// something else loads: it waits for events, with a bound that is only ever
// reached by a fault, and asserts no time. What is promised in milliseconds is
// asserted by "make proof-speed" alone, and long runs have targets of their own.
package prove

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen. It bounds a test that
// hangs, and is far from what a crowded machine needs.
const Patience = 2 * time.Minute

// interval is the time between two looks at a condition. Nothing is decided by it.
const interval = 5 * time.Millisecond

// Eventually waits until done reports true, and fails the test if it never does.
// It looks at once.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	if done() {
		return
	}
	bound := time.After(Patience)
	look := time.NewTicker(interval)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if done() {
				return
			}
		case <-bound:
			t.Fatalf("still waiting until %s", what)
		}
	}
}

// Receive waits for a channel to be closed or to deliver, and fails the test if
// it never does.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		t.Fatalf("still waiting until %s", what)
		panic("unreachable")
	}
}

// Within holds a time against what is promised of it, where times are asserted.
// Elsewhere it is only noted: on a crowded machine it says nothing.
func Within(t testing.TB, what string, took, promised time.Duration) {
	t.Helper()
	if took <= promised {
		return
	}
	if Timed() {
		t.Errorf("%s takes %s, promised are %s", what, took, promised)
		return
	}
	t.Logf("%s takes %s, promised are %s: not asserted without $SPEED", what, took, promised)
}

// Timed reports whether times are asserted: the machine does nothing else.
func Timed() bool { return os.Getenv("SPEED") != "" }

// Size is how much of a proof is run: as much as the environment says, or else
// its short form.
func Size(t testing.TB, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a number above 0", variable, text)
	}
	return n
}
