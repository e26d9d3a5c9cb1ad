package app

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	stats "runtime/metrics"
	"time"
)

// The vocabularies are many small objects that live for ever, so that each
// collection of garbage costs much more than a small heap warrants. The heap may
// therefore grow by heapRoom before the next one. Large heaps are treated as Go
// does by itself: they may double.
const (
	heapRoom      = 128 << 20
	mostGrowth    = 400 // per cent of what lives
	goGrowth      = 100 // as Go does by itself; also the least
	tuneEvery     = 250 * time.Millisecond
	liveHeapBytes = "/gc/heap/live:bytes"
)

// heapGrowth is the per cent by which a heap may grow of which live bytes are in use.
func heapGrowth(live uint64) int64 {
	if live == 0 {
		return goGrowth
	}
	return int64(min(max(heapRoom*100/live, goGrowth), mostGrowth))
}

// restBytes is what the heap may take besides what requests under way hold:
// vocabularies, prices, caches, connections and garbage.
const restBytes = 192 << 20

// MemoryLimit is what the heap may take at most while requests hold so much: that
// twice, for a body is written again for its provider.
func MemoryLimit(held int64) int64 { return restBytes + 2*held }

// tuneMemory keeps the room for garbage in step with the heap and with what requests
// hold, until ctx ends; what one key may hold may come at once. Who has set GOGC or GOMEMLIMIT has decided otherwise.
func tuneMemory(ctx context.Context, oneKey int64, held func() int64) error {
	growth := tuned{now: goGrowth, apply: func(percent int64) { debug.SetGCPercent(int(percent)) }, off: os.Getenv("GOGC") != ""}
	most := tuned{now: math.MaxInt64, apply: func(bytes int64) { debug.SetMemoryLimit(bytes) }, off: os.Getenv("GOMEMLIMIT") != ""}
	defer growth.to(growth.now)
	defer most.to(most.now)
	sample := []stats.Sample{{Name: liveHeapBytes}}
	for ok := true; ok; ok = Wait(ctx, tuneEvery) {
		stats.Read(sample)
		growth.to(heapGrowth(sample[0].Value.Uint64()))
		most.to(MemoryLimit(max(held(), oneKey)))
	}
	return nil
}

// tuned is a setting of the collector. Changing it stops the world for a moment, so
// small differences are left alone.
type tuned struct {
	now   int64
	apply func(int64)
	off   bool
}

func (t *tuned) to(want int64) {
	if !t.off && (want < t.now/10*9 || want > t.now/10*11) {
		t.apply(want)
		t.now = want
	}
}
