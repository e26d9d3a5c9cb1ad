package limit

import (
	"context"
	"sync"
	"sync/atomic"
)

// Calls are those that are under way without their clients. The zero value finishes
// none. It is safe for use by many goroutines.
type Calls struct {
	perKey, all int

	mu       sync.Mutex
	stopping bool
	running  map[*Call]struct{}
	byKey    map[string]int
}

// NewCalls lets so many calls of each key, and so many in all, be finished.
func NewCalls(perKey, all int) *Calls {
	return &Calls{perKey: perKey, all: all, running: make(map[*Call]struct{}), byKey: make(map[string]int)}
}

// Call is one call and its client. While the client is there it costs nothing.
type Call struct {
	calls    *Calls
	key      string
	end      func()
	watch    func() bool // stops watching the client
	finishes atomic.Bool
	over     bool // guarded by calls.mu
}

// Follow ties a call to its client: when that leaves, the call is ended, or finished
// where it is worth it and there is room. Done must be called when the call is over.
func (c *Calls) Follow(client context.Context, key string, end func()) *Call {
	call := &Call{calls: c, key: key, end: end}
	call.watch = context.AfterFunc(client, call.left)
	return call
}

// Finish says that the call is worth finishing without its client, until Drop.
func (k *Call) Finish() { k.finishes.Store(true) }

// Drop says that the call ends when its client leaves.
func (k *Call) Drop() { k.finishes.Store(false) }

// left is told when the client has left.
func (k *Call) left() {
	if !k.finishes.Load() || !k.calls.take(k) {
		k.end()
	}
}

// Done says that the call is over. Twice is once.
func (k *Call) Done() {
	if k.watch() {
		return // the client was there to the end
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

// take takes the place of a call, if there is one.
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

// Running is how many calls are being finished.
func (c *Calls) Running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// Stop takes on no more calls. Those that there are go on.
func (c *Calls) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
}

// Cut ends the calls that there are, and takes on no more.
func (c *Calls) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for k := range c.running {
		k.end()
	}
}
