package app

import "testing"

func TestHeapGrowth(t *testing.T) {
	for live, want := range map[uint64]int64{0: 100, 1 << 20: 400, 32 << 20: 400, 64 << 20: 200, 128 << 20: 100, 8 << 30: 100} {
		if got := heapGrowth(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
}
