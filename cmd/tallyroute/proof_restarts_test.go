package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/app"
)

// balancer forwards connections to routers that report ready. Like any layer 4 balancer, it does not
// look inside.
type balancer struct {
	net.Listener

	mu      sync.Mutex
	routers []string // addresses; "" while one is being restarted
	ready   []bool
	turn    int
	refused atomic.Pointer[error] // why the last client was refused
}

func newBalancer(t *testing.T, n int) *balancer {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{Listener: l, routers: make([]string, n), ready: make([]bool, n)}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		stop()
		_ = l.Close()
	})
	for i := range n {
		go b.probe(ctx, i)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	return b
}

// set sets the address of a router.
func (b *balancer) set(i int, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routers[i], b.ready[i] = address, false
}

func (b *balancer) address(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.routers[i]
}

// probe repeatedly asks a router whether it is ready.
func (b *balancer) probe(ctx context.Context, i int) {
	for app.Wait(ctx, 100*time.Millisecond) {
		at := b.address(i)
		if at == "" {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/readyz", nil)
		if err != nil {
			return
		}
		ready := false
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			ready = resp.StatusCode == http.StatusOK
		}
		b.mu.Lock()
		b.ready[i] = ready && b.routers[i] == at
		b.mu.Unlock()
	}
}

// next returns a router that is ready.
func (b *balancer) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.routers {
		b.turn = (b.turn + 1) % len(b.routers)
		if b.ready[b.turn] {
			return b.routers[b.turn]
		}
	}
	return ""
}

func (b *balancer) pass(client net.Conn) {
	defer client.Close()
	var d net.Dialer
	router, err := d.DialContext(context.Background(), "tcp", b.next())
	if err != nil {
		b.refused.Store(&err)
		return
	}
	defer router.Close()
	go func() {
		_, _ = io.Copy(router, client)
		_ = router.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, router)
	_ = client.(*net.TCPConn).CloseWrite()
}

// TestRollingRestartsFailNoRequest restarts the routers behind a balancer in turn, $RESTARTS times,
// while clients keep their connections. No request fails.
func TestRollingRestartsFailNoRequest(t *testing.T) {
	t.Parallel()
	const routers = 3
	dsn := pgtest.DSN(t)
	biller := newBiller(t, "up0")
	biller.pace = 2 * time.Millisecond
	crowd := newCrowd(t)
	b := newBalancer(t, routers)
	var configs []string
	commands := make([]*exec.Cmd, routers)
	for range routers {
		configs = append(configs, billedConfig(t, dsn, "timeouts: {shutdown_wait: 2s, shutdown: 60s, "+databasePatience+"}\n", biller))
	}
	var p *program
	for i := range routers {
		p, commands[i] = spawnListening(t, configs[i], 2)
		b.set(i, p.where["public"])
	}
	key := p.key("--budget-tokens", "1000000000", "--budget-usd", "100000")
	prove.Eventually(t, "the balancer knows a router", func() bool { return b.next() != "" })

	var asked, failed atomic.Int64
	over := make(chan struct{})
	var clients sync.WaitGroup
	for n := range 24 {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				asked.Add(1)
				a, err := crowd.ask(t.Context(), question{base: "http://" + b.Addr().String(), key: key, most: 5, stream: n%2 == 0})
				if err != nil || a.status != http.StatusOK {
					failed.Add(1)
					t.Errorf("a request in a rolling restart: %v, %d %s; turned away by the balancer: %v", err, a.status, a.body,
						b.refused.Load())
					if r := b.refused.Load(); r != nil {
						t.Log(*r)
					}
				}
			}
		})
	}
	for n := range prove.Size(t, "RESTARTS", 3) {
		i := n % routers
		quit(t, commands[i])
		b.set(i, "")
		var p *program
		p, commands[i] = spawnListening(t, configs[i], 2)
		b.set(i, p.where["public"])
		prove.Eventually(t, "the balancer knows it", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.ready[i]
		})
	}
	close(over)
	clients.Wait()
	t.Logf("%d requests, %d failed", asked.Load(), failed.Load())
	for _, c := range commands {
		quit(t, c)
	}
	db := pgtest.Connect(t, dsn)
	compared(t, db, crowd, biller)
	clean(t, db, configs[0])
}

// TestNearALimitNobodyWaitsLong has 64 clients use up the budget of one key. The last answers and
// the refusals take no longer than others.
func TestNearALimitNobodyWaitsLong(t *testing.T) {
	t.Parallel()
	const limit = 60_000
	routers := prove.Size(t, "ROUTERS", 1)
	dsn := pgtest.DSN(t)
	biller := newBiller(t, "up0")
	crowd := newCrowd(t)
	programs, processes := make([]*program, routers), make([]*exec.Cmd, routers)
	for i := range routers {
		programs[i], processes[i] = spawnListening(t, billedConfig(t, dsn, "", biller), 2)
	}
	key := programs[0].key("--budget-tokens", "60000", "--budget-usd", "100")
	var mu sync.Mutex
	var took []time.Duration
	var clients sync.WaitGroup
	for n := range 64 * routers {
		base := programs[n%routers].base()
		clients.Go(func() {
			for refused := 0; refused < 5; {
				a, err := crowd.ask(t.Context(), question{base: base, key: key, most: 20})
				switch {
				case err != nil || a.status != http.StatusOK && a.status != http.StatusTooManyRequests:
					t.Errorf("%v, %d %s", err, a.status, a.body)
					return
				case a.status == http.StatusTooManyRequests:
					refused++
				}
				if biller.sum() > limit*9/10 {
					mu.Lock()
					took = append(took, a.took)
					mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
	slices.Sort(took)
	used := biller.sum()
	t.Logf("%d of %d tokens used; of %d near the limit p50 %s, p99 %s, max %s", used, limit, len(took), percentile(took, 50),
		percentile(took, 99), percentile(took, 100))
	if used > limit || used < limit*95/100 {
		t.Errorf("%d tokens used of %d", used, limit)
	}
	prove.Within(t, "an answer or a refusal near a limit", percentile(took, 99), 500*time.Millisecond)
	for _, c := range processes {
		quit(t, c)
	}
}
