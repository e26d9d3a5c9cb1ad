//go:build !race

package fingerprint

import "testing"

// With the race detector, a sync.Pool drops items at random.
func TestFingerprintTakesTwoAllocations(t *testing.T) {
	p, r := New([32]byte{1}), four(t)
	if n := testing.AllocsPerRun(100, func() { p.Of("proj_1", march, r) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
