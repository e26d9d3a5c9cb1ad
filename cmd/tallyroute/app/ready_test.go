package app

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
)

// absentStore is a database that is away until an instant.
type absentStore struct {
	billing.Store
	back  time.Time
	asked int
}

func (s *absentStore) ListCredentials(context.Context) ([]billing.Credential, error) { return nil, nil }

func (s *absentStore) ListProviders(context.Context) ([]billing.StoredProvider, error) {
	return nil, nil
}

func (s *absentStore) ProviderRevision(context.Context) (int64, error) { return 0, nil }

func (s *absentStore) Migrate(ctx context.Context) ([]string, error) { return nil, s.Ready(ctx) }

func (s *absentStore) Ready(context.Context) error {
	s.asked++
	if time.Now().Before(s.back) {
		return fmt.Errorf("%w: connect to postgres://user:hunter2@db", billing.ErrUnavailable)
	}
	return nil
}

func (s *absentStore) Setting(_ context.Context, _, initial string) (string, error) {
	return initial, nil
}

func (s *absentStore) ListRules(context.Context, int) ([]billing.RuleSet, error) { return nil, nil }

func (s *absentStore) RecordPrices(context.Context, []billing.Price) error { return nil }

// TestBringUp heals within two seconds however long the database was away, does
// not hammer it meanwhile, and tells no secret.
func TestBringUp(t *testing.T) {
	for _, away := range []time.Duration{0, 300 * time.Millisecond, 17 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := &absentStore{back: time.Now().Add(away)}
			cfg := config.Default()
			s := &Service{
				Options: Options{Log: zap.NewNop()}, store: billing.Store{}.With(store), ledger: &ledger{}, secrets: &secrets{},
				ready: newReadiness(billing.Store{}.With(store), func() error { return nil }, func() time.Time { return time.Time{} }),
			}
			s.current.Store(&snapshot{cfg: &cfg, prices: billing.NewPriceBook(nil)})
			s.verifier = billing.NewVerifier(store, billing.Pepper{}, billing.VerifierOptions{Closed: true})
			if _, err := s.verifier.Verify(t.Context(), billing.Secret{}, time.Now()); !errors.Is(err, billing.ErrUnavailable) {
				t.Errorf("before: %v", err)
			}
			done := make(chan error)
			go func() { done <- s.bringUp(t.Context()) }()
			time.Sleep(away / 2)
			synctest.Wait()
			if away > 0 {
				var not *notReadyError
				if _, err := s.ready.check(t.Context()); !errors.As(err, &not) || not.Reason() != "database: does not answer" {
					t.Errorf("away for %v: %v", away, err)
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if late := time.Since(store.back); late > 1500*time.Millisecond {
				t.Errorf("away for %v: ready %v after it came back", away, late)
			}
			if store.asked > 10+int(away/time.Second)*3/2 {
				t.Errorf("away for %v: asked %d times", away, store.asked)
			}
			if _, err := s.ready.check(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.verifier.Verify(t.Context(), billing.Secret{}, time.Now()); !errors.Is(err, billing.ErrMalformedKey) {
				t.Errorf("after: %v", err)
			}
			s.ready.stop()
			s.ready.set(nil)
			if _, err := s.ready.check(t.Context()); err == nil {
				t.Error("ready although it is stopping")
			}
		})
	}
}

// TestReadyWhileWhatIsLeasedCanBeServed: without the database a router stays ready as long as it can
// answer requests, reports this, and probes the database once a second however often it is probed.
func TestReadyWhileWhatIsLeasedCanBeServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &absentStore{back: time.Now().Add(time.Hour)}
		until := time.Now().Add(time.Minute)
		r := newReadiness(billing.Store{}.With(store), func() error { return nil }, func() time.Time {
			if time.Now().After(until) {
				return time.Time{}
			}
			return until
		})
		r.set(nil)
		for range 50 {
			state, err := r.check(t.Context())
			if err != nil || state["status"] != "degraded" || state["reason"] != "database: does not answer" ||
				state["serving_until"] != until.UTC().Format(time.RFC3339) {
				t.Fatalf("%v, %v", state, err)
			}
		}
		if store.asked != 1 {
			t.Errorf("the database was asked %d times within a second", store.asked)
		}
		time.Sleep(2 * time.Minute)
		var not *notReadyError
		if state, err := r.check(t.Context()); !errors.As(err, &not) {
			t.Errorf("with nothing left to serve: %v, %v", state, err)
		}
		store.back = time.Now()
		time.Sleep(checkEvery)
		if state, err := r.check(t.Context()); err != nil || state["status"] != "ok" {
			t.Errorf("once the database is back: %v, %v", state, err)
		}
		r.stop()
		until = time.Now().Add(time.Minute)
		if state, err := r.check(t.Context()); err == nil {
			t.Errorf("while stopping: %v", state)
		}
	})
}

// TestReadyDoesNotWaitForASilentDatabase: if a router can do without its database, a probe is
// answered before any load balancer gives up.
func TestReadyDoesNotWaitForASilentDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(time.Hour)
		r := newReadiness(billing.Store{}.With(silentStore{}), func() error { return nil }, func() time.Time { return until })
		r.set(nil)
		for range 3 {
			began := time.Now()
			if state, err := r.check(t.Context()); err != nil || state["status"] != "degraded" || time.Since(began) > checkPatience {
				t.Errorf("after %v: %v, %v", time.Since(began), state, err)
			}
			time.Sleep(checkTime / 2)
		}
		time.Sleep(checkTime)
	})
}

// silentStore is a database that takes what it is asked and never answers.
type silentStore struct{ billing.Store }

func (silentStore) Ready(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
