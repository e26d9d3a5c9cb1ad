package limit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Turns bounds how much heavy work is done at once, as Slots does, and shares it out among
// keys: waiting keys take turns, however much each has waiting, and after its work a key rests
// for as long as that took. So however much one key asks for, it gets no more than half of the
// time, and nobody waits behind more than one piece of its work.
type Turns struct {
	mu    sync.Mutex
	free  int
	keys  map[string]*queue // keys that wait or rest
	order []string          // the keys that wait
	timer *time.Timer       // fires when the first of those ends its rest
}

// queue is what one key has waiting.
type queue struct {
	waiting []chan struct{}
	rests   time.Time // until then
}

// longestRest bounds the rest of a key whose work was held up.
const longestRest = 100 * time.Millisecond

// NewTurns lets n pieces of work be done at once; 0 means one less than the number of CPUs, at
// least 1.
func NewTurns(n int) *Turns {
	return &Turns{free: cap(NewSlots(n)), keys: make(map[string]*queue)}
}

// Turn is the share of Turns that a key has. The zero value has no bound.
type Turn struct {
	of  *Turns
	key string
}

// Of returns the share of a key. nil Turns have no bound.
func (t *Turns) Of(key string) Turn { return Turn{t, key} }

// Take waits for the key's turn until ctx ends. free ends the turn, and must be called once.
func (t Turn) Take(ctx context.Context) (free func(), err error) {
	if t.of == nil {
		return func() {}, nil
	}
	granted := t.of.ask(t.key)
	select {
	case <-granted:
	case <-ctx.Done():
		if t.of.withdraw(t.key, granted) {
			return nil, ctx.Err()
		}
		t.of.end(t.key, 0)
		return nil, ctx.Err()
	}
	began := time.Now()
	return func() { t.of.end(t.key, time.Since(began)) }, nil
}

// ask queues for a turn. The channel that it returns is closed when the turn comes.
func (t *Turns) ask(key string) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.keys[key]
	if q == nil {
		q = new(queue)
		t.keys[key] = q
	}
	if len(q.waiting) == 0 {
		t.order = append(t.order, key)
	}
	granted := make(chan struct{})
	q.waiting = append(q.waiting, granted)
	t.grant()
	return granted
}

// withdraw removes a waiting request from its queue. It returns false if its turn has come.
func (t *Turns) withdraw(key string, waiting chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.keys[key]
	if q == nil {
		return false
	}
	at := slices.Index(q.waiting, waiting)
	if at < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, at, at+1)
	t.tidy(key, q)
	return true
}

// end ends a turn that took this long.
func (t *Turns) end(key string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.free++
	q := t.keys[key]
	if q == nil {
		q = new(queue)
		t.keys[key] = q
	}
	q.rests = time.Now().Add(min(took, longestRest))
	t.grant()
}

// grant gives free turns to the keys that have waited longest and are not resting.
func (t *Turns) grant() {
	now := time.Now()
	var first time.Time // when the first waiting key ends its rest
	for i := 0; i < len(t.order) && t.free > 0; {
		key := t.order[i]
		q := t.keys[key]
		if q.rests.After(now) {
			if i++; first.IsZero() || q.rests.Before(first) {
				first = q.rests
			}
			continue
		}
		t.free--
		close(q.waiting[0])
		q.waiting = slices.Delete(q.waiting, 0, 1)
		t.order = slices.Delete(t.order, i, i+1)
		if len(q.waiting) > 0 {
			t.order = append(t.order, key) // behind all others
		}
	}
	for key, q := range t.keys {
		if len(q.waiting) == 0 && !q.rests.After(now) {
			delete(t.keys, key)
		}
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	if !first.IsZero() && t.free > 0 {
		t.timer = time.AfterFunc(first.Sub(now), t.again)
	}
}

// again grants free turns when a rest has ended.
func (t *Turns) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grant()
}

// tidy forgets a key that neither waits nor rests.
func (t *Turns) tidy(key string, q *queue) {
	if len(q.waiting) > 0 {
		return
	}
	t.order = slices.DeleteFunc(t.order, func(k string) bool { return k == key })
	if !q.rests.After(time.Now()) {
		delete(t.keys, key)
	}
}
