package journal

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// BenchmarkAppend measures what a request pays, alone and next to others.
func BenchmarkAppend(b *testing.B) {
	rec := bytes.Repeat([]byte("x"), 300)
	for _, sync := range []Sync{SyncOff, SyncInterval, SyncAlways} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", sync, writers), func(b *testing.B) {
				l, err := Open(b.TempDir(), Options{Sync: sync, MaxBytes: 64 << 30})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				var kept atomic.Uint64
				b.ReportAllocs()
				b.ResetTimer()
				before := cpu(b)
				share(b, writers, func() {
					s, err := l.Append(rec)
					if err != nil {
						b.Error(err)
					}
					if last := kept.Swap(uint64(s)); last != uint64(s) { // as the writer to the database does
						_ = l.Drop(s)
					}
				})
				b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// cpu is the processor time of this process in nanoseconds, the kernel's for it
// included: on a shared machine it says more than the clock.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// share runs do b.N times, spread over the given number of goroutines.
func share(b *testing.B, writers int, do func()) {
	var wg sync.WaitGroup
	for w := range writers {
		n := b.N / writers
		if w < b.N%writers {
			n++
		}
		wg.Go(func() {
			for range n {
				do()
			}
		})
	}
	wg.Wait()
}
