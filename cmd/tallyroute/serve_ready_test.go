package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
)

// absentStore is a database that is away until an instant.
type absentStore struct {
	billing.Store
	back  time.Time
	asked int
}

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

func (s *absentStore) RecordPrices(context.Context, []billing.Price) error { return nil }

// TestBringUp heals within two seconds however long the database was away, does
// not hammer it meanwhile, and tells no secret.
func TestBringUp(t *testing.T) {
	for _, away := range []time.Duration{0, 300 * time.Millisecond, 17 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			store := &absentStore{back: time.Now().Add(away)}
			cfg := defaultConfig()
			s := &service{cfg: &cfg, log: zap.NewNop(), store: store, books: &books{}, ready: newReadiness(store, func() error { return nil }), prices: billing.NewPriceBook(nil)}
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
				if err := s.ready.check(t.Context()); !errors.As(err, &not) || not.Reason() != "database: does not answer" {
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
			if err := s.ready.check(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := s.verifier.Verify(t.Context(), billing.Secret{}, time.Now()); !errors.Is(err, billing.ErrMalformedKey) {
				t.Errorf("after: %v", err)
			}
			s.ready.stop()
			s.ready.set(nil)
			if s.ready.check(t.Context()) == nil {
				t.Error("ready although it is stopping")
			}
		})
	}
}
