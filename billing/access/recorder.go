package access

import (
	"context"
	"sync"
	"time"
)

// Limits on what is waiting to be written.
const (
	// MostWaiting is the maximum number of waiting entries. Any beyond that are dropped.
	MostWaiting = 16_384
	// batch is how many are written at once, so that nobody else waits long for the
	// database.
	batch = 1000
	// every is how often they are written.
	every = time.Second
)

// Recorder collects entries until they are written.
type Recorder struct {
	mu      sync.Mutex
	waiting []Entry
	dropped int64
}

// Record adds an entry. It never waits for the database.
func (r *Recorder) Record(e Entry) {
	e = e.bounded()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) >= MostWaiting {
		r.dropped++
		return
	}
	r.waiting = append(r.waiting, e)
}

// Drop counts entries that weren't kept.
func (r *Recorder) Drop(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += int64(n)
}

// Dropped returns how many entries have been dropped so far.
func (r *Recorder) Dropped() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Waiting returns how many entries are waiting to be written.
func (r *Recorder) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Run writes what was recorded until ctx ends, and once more at the end, for at most grace.
// Entries that can't be written wait for the next time; failed is called with the error.
func (r *Recorder) Run(ctx context.Context, grace time.Duration, write func(context.Context, []Entry) error, failed func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.flush(ctx, write); err != nil && ctx.Err() == nil {
				failed(err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
			defer cancel()
			if err := r.flush(last, write); err != nil {
				failed(err)
			}
			return
		}
	}
}

// flush writes all waiting entries. Those that arrive in the meantime wait for the next
// time, because every write costs the database a statement.
func (r *Recorder) flush(ctx context.Context, write func(context.Context, []Entry) error) error {
	for left := r.Waiting(); left > 0; {
		entries := r.take()
		for i := range entries {
			entries[i] = entries[i].tidy()
		}
		if err := write(ctx, entries); err != nil {
			r.giveBack(entries)
			return err
		}
		left -= len(entries)
	}
	return nil
}

// take removes the oldest entries, as many as are written at once.
func (r *Recorder) take() []Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) <= batch {
		entries := r.waiting
		r.waiting = nil
		return entries
	}
	entries := r.waiting[:batch:batch]
	r.waiting = append(make([]Entry, 0, len(r.waiting)-batch), r.waiting[batch:]...)
	return entries
}

// giveBack puts entries back in front of those that have arrived since, as far as there is
// room.
func (r *Recorder) giveBack(entries []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append(entries, r.waiting...)
	if over := len(all) - MostWaiting; over > 0 {
		r.dropped += int64(over)
		all = all[:MostWaiting]
	}
	r.waiting = all
}
