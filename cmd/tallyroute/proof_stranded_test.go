package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
)

const (
	strandedTTL   = 6 * time.Second // after this, a router that is cut off must stop
	strandedLimit = 320
	strandedSlots = 32
	strandedUsed  = strandedLimit / 8 // by the router that is killed
)

// waiting marks the prompt of a request that is not answered until the rig allows it.
const waiting = "wait for it"

// TestLimitsStrandLittleWithAKilledRouter kills one of three routers while it has leased some of
// a limit. At most a sixteenth of what was left is out of reach of the others. Slots come back
// once the router's lease has expired, limits per minute with the next minute, and limits of
// longer periods when the router is back.
func TestLimitsStrandLittleWithAKilledRouter(t *testing.T) {
	if prove.Size(t, "LIMITS_EVERY", 0) == 0 {
		t.Skip("takes minutes: make proof-limits")
	}
	g := newLimitsRig(t, fmt.Sprintf("offline_ttl: %s\n", strandedTTL))
	t.Run("Slots", func(t *testing.T) { g.strandsSlots(t) })
	t.Run("Minute", func(t *testing.T) { g.strandsMinute(t) })
	t.Run("Day", func(t *testing.T) { g.strandsDay(t) })
	for _, p := range g.routers {
		quit(t, p.process)
	}
	clean(t, g.db, g.routers[0].config)
}

// limit creates a key with a limit of requests.
func (g *limitsRig) limit(number int, period string, most int64) *limitCase {
	c := &limitCase{number: number, unit: "requests", period: period, scope: "key", limit: most}
	g.prepare(c)
	return c
}

// killed kills the first router and returns the time at which it did.
func (g *limitsRig) killed(t *testing.T) time.Time {
	t.Helper()
	at := send(t, g.routers[0].process, syscall.SIGKILL)
	_ = g.routers[0].process.Wait() // it was killed
	return at
}

// back starts the first router again, with its journal.
func (g *limitsRig) back() {
	p, c := spawnListening(g.t, g.routers[0].config, 2)
	g.routers[0] = limitsRouter{p, c}
}

// underWay returns how many requests of a case the provider is answering.
func (g *limitsRig) underWay(c *limitCase) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if of := g.seen[fmt.Sprintf("%d/", c.number)]; of != nil {
		return of.now
	}
	return 0
}

// wait sends n requests that are not answered yet through a router, and returns once each of
// them is under way or refused.
func (g *limitsRig) wait(t *testing.T, c *limitCase, router, n int) {
	t.Helper()
	before := g.underWay(c)
	var refused atomic.Int64
	body := fmt.Sprintf(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"%d/ann %s"}]}`, c.number, waiting)
	for range n {
		go func() {
			status, _, answer, err := g.ask(g.routers[router].base()+"/v1/chat/completions", c.callers[0].key, body)
			switch {
			case status == http.StatusTooManyRequests:
				refused.Add(1)
			case err == nil && status != http.StatusOK:
				t.Errorf("%d %s", status, answer)
			}
		}()
	}
	prove.Eventually(t, "requests are under way or refused", func() bool {
		return t.Failed() || g.underWay(c)-before+refused.Load() >= int64(n)
	})
}

func (g *limitsRig) strandsSlots(t *testing.T) {
	c := g.limit(1000, "concurrent", strandedSlots)
	const first = strandedSlots / 4
	g.wait(t, c, 0, first)
	at := g.killed(t)
	prove.Eventually(t, "the provider notices", func() bool { return g.underWay(c) == 0 })
	g.wait(t, c, 1, strandedSlots)
	n, left := g.underWay(c), int64(strandedSlots-first)
	t.Logf("%d of the %d slots that it did not use are free at once", n, left)
	if n > left || n < left-strandedSlots/16 {
		t.Errorf("%d slots are free at once; want %d, or up to %d less", n, left, strandedSlots/16)
	}
	prove.Eventually(t, "its slots are free", func() bool {
		if n = g.underWay(c); n < strandedSlots {
			g.wait(t, c, 2, strandedSlots-int(n))
		}
		return g.underWay(c) == strandedSlots
	})
	took := time.Since(at)
	t.Logf("all are free after %s", took.Round(100*time.Millisecond))
	prove.Within(t, "the return of its slots", took, strandedTTL+3*time.Second)
	close(g.over)
	prove.Eventually(t, "all are answered", func() bool { return g.underWay(c) == 0 })
	g.back()
}

// useUpAt has the routers use up whatever they can get of a limit, and returns how much that
// was.
func (g *limitsRig) useUpAt(c *limitCase, routers ...int) int64 {
	var clients sync.WaitGroup
	var admitted atomic.Int64
	for _, r := range routers {
		for n := range raceClients {
			random := rand.New(rand.NewPCG(uint64(r), uint64(n)))
			clients.Go(func() {
				for refusals := 0; refusals < 2 && !g.t.Failed(); {
					if g.request(c, 0, r, random) {
						admitted.Add(1)
					} else {
						refusals++
					}
				}
			})
		}
	}
	clients.Wait()
	return admitted.Load()
}

// strands uses some of a limit through the first router, kills it, and has the others use the
// rest.
func (g *limitsRig) strands(t *testing.T, c *limitCase) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for range strandedUsed {
		if !g.request(c, 0, 0, random) {
			t.Fatal("refused, of a limit that nobody has used")
		}
	}
	g.killed(t)
	n, left := g.useUpAt(c, 1, 2), int64(strandedLimit-strandedUsed)
	t.Logf("%d of the %d that it did not use are there for the others", n, left)
	if n > left || n < left-strandedLimit/16 {
		t.Errorf("%d are there for the others; want %d, or up to %d less", n, left, strandedLimit/16)
	}
}

func (g *limitsRig) strandsMinute(t *testing.T) {
	c := g.limit(1001, "minute", strandedLimit)
	next := func() {
		<-time.After(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute + 100*time.Millisecond)))
	}
	next()
	g.strands(t, c)
	next()
	if n := g.useUpAt(c, 1, 2); n < strandedLimit {
		t.Errorf("%d of %d are there in the next minute", n, strandedLimit)
	}
	g.back()
}

func (g *limitsRig) strandsDay(t *testing.T) {
	c := g.limit(1002, "day", strandedLimit)
	g.strands(t, c)
	g.back()
	random := rand.New(rand.NewPCG(1, 1))
	prove.Eventually(t, "what it had leased is used", func() bool {
		g.request(c, 0, 1, random)
		return g.left(c) == 0
	})
}
