// Package prove helps tests wait for events and decide how much of a proof to run.
// Tests in "make test" must pass on a busy machine: they wait for events, with a
// timeout that only a fault can reach, and don't assert durations. Durations that
// we promise are asserted only by "make proof-speed", and long runs have make
// targets of their own.
package prove

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// Patience is how long a test waits for an event. It ends tests that hang, and is
// far longer than a busy machine needs.
const Patience = 2 * time.Minute

// interval is the time between two checks of a condition. No result depends on it.
const interval = 5 * time.Millisecond

// Eventually waits until done returns true, and fails the test if that takes longer
// than Patience. The first check is immediate.
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

// Receive waits until a channel is closed or delivers a value, and fails the test
// if that takes longer than Patience.
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

// Within checks that something took no longer than promised. If durations aren't
// asserted, it only logs the result, which means nothing on a busy machine.
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

// Timed reports whether durations are asserted, because the machine does nothing else.
func Timed() bool { return os.Getenv("SPEED") != "" }

// Size returns how much of a proof to run: the number in an environment variable,
// or short if it is not set.
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
