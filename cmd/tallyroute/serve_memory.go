package main

import (
	"context"
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
	leastGrowth   = 100
	tuneEvery     = time.Second
	liveHeapBytes = "/gc/heap/live:bytes"
)

// heapGrowth is the per cent by which a heap may grow of which live bytes are in use.
func heapGrowth(live uint64) int {
	if live == 0 {
		return leastGrowth
	}
	return int(min(max(heapRoom*100/live, leastGrowth), mostGrowth))
}

// tuneMemory keeps the room for garbage in step with the heap, until ctx ends.
// Who has set GOGC has decided otherwise.
func tuneMemory(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	sample := []stats.Sample{{Name: liveHeapBytes}}
	now := leastGrowth
	for {
		stats.Read(sample)
		// Setting it stops the world for a moment, so small differences are let be.
		if want := heapGrowth(sample[0].Value.Uint64()); want < now*9/10 || want > now*11/10 {
			debug.SetGCPercent(want)
			now = want
		}
		if !wait(ctx, tuneEvery) {
			debug.SetGCPercent(leastGrowth)
			return nil
		}
	}
}
