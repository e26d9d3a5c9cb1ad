package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/postgres"
	"tallyroute/billing/postgres/pgtest"
)

// BenchmarkRequest measures one hold and one settlement, with every write synced to
// disk, for keys that have their own budget and one of their organisation.
func BenchmarkRequest(b *testing.B) {
	cluster := pgtest.Private(b, "fsync=on", "full_page_writes=on", "shared_buffers=128MB")
	for _, run := range []struct{ keys, workers int }{{1, 1}, {1, 16}, {64, 1}, {64, 16}} {
		for _, org := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=%d/workers=%d/org=%t", run.keys, run.workers, org), func(b *testing.B) {
				s := connect(b, cluster.DSN(b), postgres.Options{Acquire: time.Minute})
				if _, err := s.Migrate(b.Context()); err != nil {
					b.Fatal(err)
				}
				clients := make([]*client, run.keys)
				for i := range clients {
					clients[i] = newClient(b, s, fmt.Sprintf("k%d", i), budget("", billing.ScopeKey, "", 1e15))
				}
				if org {
					if err := billingtest.SetBudget(b.Context(), s, budget("bud_org", billing.ScopeOrg, "org", 1e15), noon); err != nil {
						b.Fatal(err)
					}
				}
				for _, c := range clients {
					c.refresh()
					c.use(1, noon)
				}
				benchmark(b, clients, run.workers)
			})
		}
	}
}

func benchmark(b *testing.B, clients []*client, workers int) {
	b.ReportAllocs()
	jobs := make(chan int, workers)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range workers {
		wg.Go(func() {
			for i := range jobs {
				c := clients[i%len(clients)]
				h := c.hold(100, noon)
				if _, err := c.s.Reserve(context.Background(), h, noon); err != nil {
					b.Error(err)
				}
				if _, err := c.s.Settle(context.Background(),
					billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{c.row(h.ID, 70, noon)}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkPost measures how many settled rows per second one writer stores, with every
// posting synced to disk: the median of five runs of ten postings. Postings of a single
// row show how a ledger would perform that posts before and after each call.
func BenchmarkPost(b *testing.B) {
	cluster := pgtest.Private(b, "fsync=on", "full_page_writes=on", "shared_buffers=128MB")
	for _, batch := range []int{1000, 1} {
		b.Run(fmt.Sprintf("rows=%d", batch), func(b *testing.B) { benchmarkPost(b, cluster.DSN(b), batch) })
	}
}

func benchmarkPost(b *testing.B, dsn string, batch int) {
	const postings, runs = 10, 5
	s := connect(b, dsn, postgres.Options{Acquire: time.Minute, Statement: time.Minute, Lock: time.Minute})
	if _, err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	clients := make([]*client, 16)
	for i := range clients {
		clients[i] = newClient(b, s, fmt.Sprintf("k%d", i), budget("", billing.ScopeKey, "", 1e15))
		clients[i].use(1, noon)
	}
	replica := billing.Replica{ID: "rep_1", Epoch: "1", TTL: time.Minute}
	if _, err := s.Renew(b.Context(), replica, billing.Joining); err != nil {
		b.Fatal(err)
	}
	seq := int64(0)
	post := func() {
		seq++
		rows := make([]billing.Spend, batch)
		for i := range rows {
			rows[i] = clients[i%len(clients)].row(fmt.Sprintf("req_%d_%d", seq, i), 70, noon).Tidy()
			rows[i].EventID, rows[i].ReportDay = uuid.Must(uuid.NewV7()).String(), noon.Format(time.DateOnly)
		}
		b.StartTimer()
		posted, err := s.Post(b.Context(), billing.Posting{Replica: replica, Seq: seq, Rows: rows})
		b.StopTimer()
		if err != nil || posted.Inserted != batch || posted.Fenced {
			b.Fatalf("%+v, %v", posted, err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		var perSecond []float64
		for range runs {
			before := b.Elapsed()
			for range postings {
				post()
			}
			perSecond = append(perSecond, float64(batch*postings)/(b.Elapsed()-before).Seconds())
		}
		slices.Sort(perSecond)
		b.ReportMetric(perSecond[runs/2], "rows/s")
		b.StartTimer()
	}
}
