package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

// Key names one bucket: whom it belongs to, and what it limits.
type Key struct {
	Scope string // whom the limit applies to: a key's id
	Kind  string // "requests" or "tokens"
}

const (
	shards   = 64
	perShard = 2048
	sample   = 8 // buckets examined to find one to evict
)

// Store keeps the buckets of one process. It is safe for concurrent use. Its size is bounded:
// beyond about 130,000 keys, one of a small sample is forgotten, the one with most of its limit
// free, which forgives what it used within the last minute.
type Store struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	buckets map[Key]bucket
}

// New returns an empty store: every limit is free.
func New() *Store {
	s := &Store{seed: maphash.MakeSeed()}
	for i := range s.shards {
		s.shards[i].buckets = make(map[Key]bucket)
	}
	return s
}

// Take takes n from the bucket of k, which fills at perMinute per minute and holds no more than
// that; or it takes nothing and says when to try again. Taking 0 shows the state of the bucket.
// A limit of 0 or less admits nothing.
func (s *Store) Take(k Key, perMinute, n int64, now time.Time) Result {
	if perMinute <= 0 {
		return Result{}
	}
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	b := sh.buckets[k]
	r := b.take(perMinute, n, now)
	sh.put(k, b)
	return r
}

// Give puts back what was taken but not used. What has filled up in the meantime is not given
// twice.
func (s *Store) Give(k Key, perMinute, n int64, now time.Time) {
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b, known := sh.buckets[k]; known && perMinute > 0 {
		b.give(perMinute, n, now)
		sh.buckets[k] = b
	}
}

func (s *Store) shard(k Key) *shard {
	return &s.shards[maphash.Comparable(s.seed, k)%shards]
}

// put stores b. If there is no room, it replaces the fullest of a sample of others; a full
// bucket need not be kept.
func (s *shard) put(k Key, b bucket) {
	if _, known := s.buckets[k]; !known && len(s.buckets) >= perShard {
		delete(s.buckets, s.fullest())
	}
	s.buckets[k] = b
}

// fullest returns the key of the fullest bucket in a sample.
func (s *shard) fullest() (fullest Key) {
	var at time.Time
	seen := 0
	for k, b := range s.buckets {
		if seen == 0 || b.full.Before(at) {
			fullest, at = k, b.full
		}
		if seen++; seen == sample {
			break
		}
	}
	return fullest
}
