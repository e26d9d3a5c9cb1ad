package main

import (
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
)

const (
	raceRouters = 3
	raceClients = 64
	raceMost    = 40 // the largest max_tokens
	raceAverage = 28 // approximate tokens of a request
	// raceHold exceeds the smallest hold of the race: the prompt with everything that its tokenizer
	// may add, and one token of output.
	raceHold = 64
)

// TestRaceAdmitsNoMoreThanTheLimit has many clients use up the budget of one key at three routers.
func TestRaceAdmitsNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	race(t, func(p *program, limits []string) []string { return []string{p.key(flagged("--budget-", limits)...)} }, 10)
}

// TestRaceWithARouterKilledAdmitsNoMoreThanTheLimit has them use up the shared budget of a team whose
// keys have limits of their own. One of the routers is killed and restarted in the meantime.
func TestRaceWithARouterKilledAdmitsNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	race(t, func(p *program, limits []string) []string {
		wide := []string{"--period", "year", "--budget-tokens", "1000000000"} // a larger one per month would be refused
		keys := []string{p.key(wide...), p.key(append(wide, "--budget-usd", "1000000")...)}
		command(t, append([]string{"--config", p.config, "budgets", "set", "team", "web"}, flagged("--", limits)...)...)
		command(t, "--config", p.config, "budgets", "set", "org", "--usd", "1000000")
		<-time.After(time.Second) // by then every router knows them
		return keys
	}, 3)
}

// race uses up a limit with room for $RACES requests, on each database and with each kind of limit.
// Neither the provider nor the database ever sees more than the limit admitted, and none of it
// remains unused: in the end not even a small request fits. A router is killed once killAfter
// tenths of the limit are used; 10 means never.
func race(t *testing.T, keys func(p *program, limits []string) []string, killAfter int64) {
	onEachStore(t, func(t *testing.T, database string, look func() rowsOf, limited func(tokens int64) []string) {
		limit := int64(prove.Size(t, "RACES", 100)) * raceAverage
		r := newRacing(t, database, limit)
		r.keys = keys(r.routers[0], limited(limit))
		r.run(look, killAfter)
	})
}

// newRacing starts the routers of a race.
func newRacing(t *testing.T, database string, limit int64) *racing {
	t.Helper()
	b := newBiller(t, "up0")
	b.pace = time.Millisecond
	r := &racing{t: t, crowd: newCrowd(t), biller: b, limit: limit}
	for range raceRouters {
		config := billedConfig(t, database, "", b)
		evenPrices(t, config)
		p, c := spawnListening(t, config, 2)
		r.routers = append(r.routers, p)
		r.processes = append(r.processes, c)
		r.where = append(r.where, new(atomic.Pointer[string]))
		base := p.base()
		r.where[len(r.where)-1].Store(&base)
	}
	return r
}

func (r *racing) run(look func() rowsOf, killAfter int64) {
	t, b, limit, db := r.t, r.biller, r.limit, look()
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(look(), over)
	}()
	var clients sync.WaitGroup
	for n := range raceClients {
		clients.Go(func() { r.client(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(n)))) })
	}
	if killAfter < 10 {
		prove.Eventually(t, "a share of the limit is used", func() bool { return b.sum()*10 > limit*killAfter || t.Failed() })
		r.kill(1)
	}
	clients.Wait()
	r.last(db)
	close(over)
	<-watched
	for _, c := range r.processes {
		quit(t, c)
	}

	rows := compared(t, db, r.crowd, b)
	clean(t, db, r.routers[0].config)
	var used, overrun int64
	for _, row := range rows {
		used += row.tokens
		overrun += row.overrun
	}
	t.Logf("limit %d, used %d in %d rows, %d refused, at once at most %d", limit, used, len(rows), r.refused.Load(), b.most)
	if used > limit || overrun != 0 || b.most > limit {
		t.Errorf("more than the limit was admitted: %d used, %d overrun, %d at once of %d", used, overrun, b.most, limit)
	}
}

// racing is a race in progress.
type racing struct {
	t         *testing.T
	crowd     *crowd
	biller    *biller
	limit     int64
	keys      []string
	routers   []*program
	processes []*exec.Cmd
	where     []*atomic.Pointer[string]
	refused   atomic.Int64
}

// client sends random requests, hangs up now and then, and stops once it has been refused three
// times in a row.
func (r *racing) client(random *rand.Rand) {
	for refusals := 0; refusals < 3 && !r.t.Failed(); {
		q := question{
			base: *r.where[random.IntN(raceRouters)].Load(), key: r.keys[random.IntN(len(r.keys))],
			most: 1 + random.Int64N(raceMost), stream: random.IntN(2) == 0,
		}
		if random.IntN(10) == 0 {
			q.leave = time.Duration(1 + random.Int64N(int64(30*time.Millisecond)))
		}
		if r.refuses(q) {
			refusals++
		} else {
			refusals = 0
		}
	}
}

// refuses sends a request and reports whether it was refused because the budget is used up.
func (r *racing) refuses(q question) bool {
	answer, err := r.crowd.ask(r.t.Context(), q)
	switch {
	case answer.status == http.StatusTooManyRequests && strings.Contains(string(answer.body), "insufficient_quota"):
		r.refused.Add(1)
		return true
	case err != nil || answer.status == http.StatusServiceUnavailable: // a router was killed, or the client left
		<-time.After(5 * time.Millisecond)
	case answer.status != http.StatusOK:
		r.t.Errorf("%d %s", answer.status, answer.body)
	}
	return false
}

// last sends the smallest possible requests until no router has anything left and the limit is
// fully booked. Holds for clients that have left, and leases of the killed router, are returned in
// time and used, too.
func (r *racing) last(db rowsOf) {
	prove.Eventually(r.t, "all of the limit is used", func() bool {
		for n := range r.routers {
			for !r.t.Failed() && !r.refuses(question{base: *r.where[n].Load(), key: r.keys[0], most: 1}) {
			}
		}
		return r.t.Failed() || booked(db) >= r.limit-raceHold
	})
}

// booked returns the sum of the ledger's rows.
func booked(db rowsOf) (tokens int64) {
	for _, row := range bookedRows(db) {
		tokens += row.tokens
	}
	return tokens
}

// kill kills a router and starts it again with its journal.
func (r *racing) kill(n int) {
	r.t.Helper()
	send(r.t, r.processes[n], syscall.SIGKILL)
	_ = r.processes[n].Wait() // it was killed
	r.routers[n], r.processes[n] = spawnListening(r.t, r.routers[n].config, 2)
	base := r.routers[n].base()
	r.where[n].Store(&base)
}

// watch checks the counters until over is closed. A restarted router posts what is in its journal
// before it returns the leases of its predecessor, so that nobody else gets them too early. Until
// then both count, so the leases of a replaced epoch are left out.
func (r *racing) watch(db rowsOf, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(10 * time.Millisecond):
		}
		for _, row := range db.Rows(`
			SELECT c.budget_id, used_tokens, held_tokens, leased_tokens, used_nano, held_nano, leased_nano, old.tokens, old.nano
			  FROM budget_counters c JOIN budgets b ON b.id = c.budget_id
			  LEFT JOIN (
			    SELECT l.budget_id, l.window_start, sum(l.tokens) AS tokens, sum(l.nano) AS nano
			      FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch
			     WHERE EXISTS (SELECT 1 FROM replicas n WHERE n.id = p.id AND n.started_at > p.started_at)
			     GROUP BY l.budget_id, l.window_start
			  ) old ON old.budget_id = c.budget_id AND old.window_start = c.window_start
			 WHERE used_tokens + held_tokens + leased_tokens - coalesce(old.tokens, 0) > token_limit
			    OR used_nano + held_nano + leased_nano - coalesce(old.nano, 0) > amount_nano`) {
			r.t.Errorf("the database has committed more than the limit: %v", row)
			return
		}
	}
}
