package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres"
)

// deadlocks closes stores and returns the number of deadlocks that the server has detected in
// this database. Backends report theirs at the latest when they end.
func deadlocks(t *testing.T, c *pgx.Conn, stores ...*postgres.Store) int {
	t.Helper()
	for _, s := range stores {
		s.Close()
	}
	const others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tallyroute'"
	prove.Eventually(t, "the backends of the stores end", func() bool { return get[int](t, c, others) == 0 })
	return get[int](t, c, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

func TestRace_SeveralProcesses(t *testing.T) {
	first, dsn := open(t, patient)
	billingtest.Race(t, first.Contracts(), connect(t, dsn, patient).Contracts(), connect(t, dsn, patient).Contracts())
	wantConserved(t, raw(t, dsn))
}

// Counters that are created while their scopes spend miss nothing and count
// nothing twice, and 200 writers never deadlock.
func TestRace_CountersMadeWhileSettling(t *testing.T) {
	first, dsn := open(t, patient)
	stores := []*postgres.Store{first, connect(t, dsn, patient), connect(t, dsn, patient)}
	var clients []*client
	for i := range 8 {
		clients = append(clients, newClient(t, first, fmt.Sprintf("k%d", i), budget("", billing.ScopeKey, "", 1e12)))
	}
	k := clients[0].key
	scopes := []billing.Budget{
		budget("", billing.ScopeKey, string(k.ID), 1e12), budget("", billing.ScopeProject, k.ProjectID, 1e12),
		budget("", billing.ScopeTeam, k.TeamID, 1e12), budget("", billing.ScopeOrg, "org", 1e12),
	}
	var settled atomic.Int64
	together(200, func(i int) {
		s := stores[i%len(stores)]
		if i == 0 {
			for round := range 20 {
				for j, b := range scopes {
					b.ID = fmt.Sprintf("bud_%d_%d", round, j)
					b.Period = []billing.Period{billing.PeriodDay, billing.PeriodWeek, billing.PeriodOnce}[(round+j)%3]
					if round >= 3 { // make room by removing the previous budget of that period
						if err := s.RemoveBudget(t.Context(), fmt.Sprintf("bud_%d_%d", round-3, j)); err != nil {
							t.Error(err)
						}
					}
					if err := billingtest.SetBudget(t.Context(), s, b, noon); err != nil {
						t.Error(err)
					}
				}
			}
			return
		}
		c := *clients[i%len(clients)]
		c.s = s
		for range 5 {
			fresh, err := s.KeyByHash(t.Context(), hash(c.key.Name))
			if err != nil {
				t.Error(err)
				return
			}
			c.key = fresh
			h := c.hold(int64(i), noon)
			if _, err = s.Reserve(t.Context(), h, noon); errors.Is(err, billing.ErrStaleKey) {
				continue
			}
			if err == nil {
				other := c.row(h.ID, 1, noon)
				other.Attempt, other.Model = 2, []string{"a", "z"}[i%2]
				_, err = s.Settle(t.Context(), billing.Settlement{HoldID: h.ID, Attempts: []billing.Spend{h.IfLost, other}})
				settled.Add(1)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	check := raw(t, dsn)
	wantConserved(t, check)
	if n := get[int](t, check, "SELECT count(*) FROM budget_counters"); n < 80 {
		t.Errorf("%d counters, want those of 80 budgets", n)
	}
	if settled.Load() == 0 {
		t.Error("every request was refused")
	}
	if n := deadlocks(t, check, stores...); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// 200 writers of one key do not deadlock, in whichever order is worst.
func TestWritersOfOneKeyDoNotDeadlock(t *testing.T) {
	s, dsn := open(t, patient)
	c := newClient(t, s, "hot", budget("bud_b", billing.ScopeKey, "", 1e12), budget("bud_a", billing.ScopeKey, "", 1e12))
	for _, b := range []billing.Budget{
		budget("bud_z", billing.ScopeOrg, "org", 1e12),
		budget("bud_0", billing.ScopeTeam, c.key.TeamID, 1e12),
	} {
		if err := billingtest.SetBudget(t.Context(), s, b, noon); err != nil {
			t.Fatal(err)
		}
	}
	c.refresh()
	together(200, func(i int) {
		h := c.hold(10, noon)
		if i%2 == 1 {
			slices.Reverse(h.Lines)
		}
		if _, err := s.Reserve(t.Context(), h, noon); err != nil {
			t.Error(err)
			return
		}
		if i%5 == 4 {
			if err := s.Release(t.Context(), h.ID); err != nil {
				t.Error(err)
			}
			return
		}
		second := c.row(h.ID, 3, noon)
		second.Attempt, second.Model = 2, "another"
		rows := []billing.Spend{h.IfLost, second}
		if i%2 == 1 {
			rows[0].Model, rows[1].Model = rows[1].Model, rows[0].Model
		}
		if _, err := s.Settle(t.Context(), billing.Settlement{HoldID: h.ID, Attempts: rows}); err != nil {
			t.Error(err)
		}
	})
	check := raw(t, dsn)
	wantConserved(t, check)
	if n := deadlocks(t, check, s); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// Changes of keys and owners wait for each other, however short the timeouts of
// requests are, and take none of the requests' connections.
func TestChangesWaitForEachOtherAndKeepNoRequestWaiting(t *testing.T) {
	impatient := patient
	impatient.Lock, impatient.MaxConns = time.Millisecond, 1
	first, dsn := open(t, patient)
	s, c := connect(t, dsn, impatient), raw(t, dsn)
	k := newClient(t, first, "k").key
	exec(t, c, "SELECT pg_advisory_lock($1)", int64(0x7461_6c6c_7972_6f75))
	made := make(chan error)
	for i := range 8 {
		go func() {
			p, err := s.EnsureProject(t.Context(), billing.Project{Team: "new", Name: "shop"})
			if err == nil {
				err = s.CreateKey(t.Context(), billing.Key{ID: billing.KeyID(fmt.Sprintf("key_new%d", i)), ProjectID: p.ID},
					hash(fmt.Sprint("new", i)))
			}
			made <- err
		}()
	}
	awaitLock(t, c)
	if _, err := s.KeyByHash(t.Context(), hash("k")); err != nil {
		t.Errorf("%s is not found while changes wait: %v", k.ID, err)
	}
	exec(t, c, "SELECT pg_advisory_unlock_all()")
	for range 8 {
		if err := prove.Receive(t, "a key is made", made); err != nil {
			t.Error(err)
		}
	}
}
