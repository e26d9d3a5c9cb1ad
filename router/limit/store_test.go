package limit

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestStoreKeepsKeysApart(t *testing.T) {
	s := New()
	keys := []Key{{"key_1", "requests"}, {"key_1", "tokens"}, {"key_2", "requests"}}
	for _, k := range keys {
		if r := s.Take(k, 5, 5, at(0)); !r.OK {
			t.Errorf("%v: refused at first", k)
		}
		if r := s.Take(k, 5, 1, at(0)); r.OK {
			t.Errorf("%v: admitted beyond its limit", k)
		}
	}
	s.Give(keys[0], 5, 2, at(0))
	for i, want := range []int64{2, 0, 0} {
		if got := s.Take(keys[i], 5, 0, at(0)).Remaining; got != want {
			t.Errorf("%v: %d remain, want %d", keys[i], got, want)
		}
	}
}

func TestStoreWithoutALimitAdmitsNothing(t *testing.T) {
	s := New()
	for _, perMinute := range []int64{0, -1} {
		s.Give(Key{Scope: "key_1"}, perMinute, 1, at(0))
		if r := s.Take(Key{Scope: "key_1"}, perMinute, 0, at(0)); r.OK {
			t.Errorf("a limit of %d admits", perMinute)
		}
	}
}

func TestStoreAdmitsExactlyTheLimitAtOnce(t *testing.T) {
	s := New()
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			for range 10 {
				if s.Take(Key{"key_1", "requests"}, 777, 1, at(0)).OK {
					admitted.Add(1)
				}
				s.Take(Key{"key_2", "requests"}, 777, 1, at(0))
				s.Give(Key{"key_2", "requests"}, 777, 1, at(0))
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 777 {
		t.Errorf("%d admitted, want 777", admitted.Load())
	}
}

func TestStoreIsBounded(t *testing.T) {
	s := New()
	busy := Key{"busy", "requests"}
	for i := range shards * perShard * 2 {
		now := at(time.Duration(i) * time.Millisecond)
		s.Take(busy, 10, 1, now)
		s.Take(Key{strconv.Itoa(i), "requests"}, 10, 1, now)
	}
	total := 0
	for i := range s.shards {
		total += len(s.shards[i].buckets)
	}
	if total > shards*perShard {
		t.Errorf("%d buckets are kept, at most %d may be", total, shards*perShard)
	}
	end := at(shards * perShard * 2 * time.Millisecond)
	if r := s.Take(busy, 10, 10, end); r.OK {
		t.Error("the busiest bucket was evicted before idle ones")
	}
}

func TestStoreDoesNotAllocate(t *testing.T) {
	s := New()
	k := Key{"key_01JB3V7Y8N4M6Q2R5T9W0X1Z2C", "tokens"}
	s.Take(k, 1000, 1, at(0))
	if n := testing.AllocsPerRun(1000, func() {
		s.Take(k, 1000, 2, at(0))
		s.Give(k, 1000, 2, at(0))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	s := New()
	k := Key{"key_01JB3V7Y8N4M6Q2R5T9W0X1Z2C", "tokens"}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Take(k, 1_000_000, 1, now)
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	s := New()
	b.ReportAllocs()
	var id atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		k := Key{"key_" + strconv.FormatInt(id.Add(1), 10), "tokens"}
		now := time.Now()
		for pb.Next() {
			s.Take(k, 1_000_000, 1, now)
		}
	})
}
