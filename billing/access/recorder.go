package access

import (
	"context"
	"sync"
	"time"
)

// Bounds of what waits to be written.
const (
	// MostWaiting is how many entries wait at the most. Those beyond are dropped.
	MostWaiting = 16_384
	// batch is how many are written at once, so that nobody else waits long for the database.
	batch = 1000
	// every is how often they are.
	every = time.Second
)

// Recorder gathers entries until they are written.
type Recorder struct {
	mu      sync.Mutex
	waiting []Entry
	dropped int64
}

// Record takes an entry. It never waits for the database.
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

// Drop counts entries that are not kept.
func (r *Recorder) Drop(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += int64(n)
}

// Dropped is how many entries were dropped so far.
func (r *Recorder) Dropped() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Waiting is how many entries wait to be written.
func (r *Recorder) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// Run writes what was recorded, until ctx ends, and once more then, for as long as grace.
// What cannot be written waits for the next time; failed is told of it.
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

// flush writes all that waits. What comes meanwhile waits for the next time: every write
// costs the database a statement.
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

// take is the oldest entries, as many as are written at once.
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

// giveBack puts entries back in front of those that came since, as far as there is room.
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
