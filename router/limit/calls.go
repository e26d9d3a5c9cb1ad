package limit

import (
	"context"
	"sync"
	"sync/atomic"
)

// Calls limits the calls that go on without their clients. The zero value finishes none. It is
// safe for concurrent use.
type Calls struct {
	perKey, all int

	mu       sync.Mutex
	stopping bool
	running  map[*Call]struct{}
	byKey    map[string]int
}

// NewCalls lets this many calls per key, and this many in total, be finished.
func NewCalls(perKey, all int) *Calls {
	return &Calls{perKey: perKey, all: all, running: make(map[*Call]struct{}), byKey: make(map[string]int)}
}

// Call is one call and its client. It costs nothing while the client is there.
type Call struct {
	calls    *Calls
	key      string
	end      func()
	watch    func() bool // stops watching the client
	finishes atomic.Bool
	over     bool // guarded by calls.mu
}

// Follow ties a call to its client: when the client leaves, the call is ended, or finished if
// that is worthwhile and there is room. Done must be called when the call is over.
func (c *Calls) Follow(client context.Context, key string, end func()) *Call {
	call := &Call{calls: c, key: key, end: end}
	call.watch = context.AfterFunc(client, call.left)
	return call
}

// Finish says that the call is worth finishing without its client, until Drop.
func (k *Call) Finish() { k.finishes.Store(true) }

// Drop says that the call is to end when its client leaves.
func (k *Call) Drop() { k.finishes.Store(false) }

// left is called when the client has left.
func (k *Call) left() {
	if !k.finishes.Load() || !k.calls.take(k) {
		k.end()
	}
}

// Done says that the call is over. It may be called more than once.
func (k *Call) Done() {
	if k.watch() {
		return // the client stayed to the end
	}
	c := k.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	k.over = true
	if _, ok := c.running[k]; !ok {
		return
	}
	delete(c.running, k)
	if c.byKey[k.key]--; c.byKey[k.key] == 0 {
		delete(c.byKey, k.key)
	}
}

// take reserves a place for a call, if there is one.
func (c *Calls) take(k *Call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.over || c.stopping || len(c.running) >= c.all || c.byKey[k.key] >= c.perKey {
		return false
	}
	c.running[k] = struct{}{}
	c.byKey[k.key]++
	return true
}

// Running returns how many calls are being finished.
func (c *Calls) Running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// Stop accepts no more calls. Those in progress go on.
func (c *Calls) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
}

// Cut ends the calls in progress, and accepts no more.
func (c *Calls) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for k := range c.running {
		k.end()
	}
}
