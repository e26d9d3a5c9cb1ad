package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
)

// TestNoticesSayWhatBecameOfAKey checks that notices carry a key's new state, so that
// nobody has to query it.
func TestNoticesSayWhatBecameOfAKey(t *testing.T) {
	s, _ := open(t, patient)
	p, err := s.EnsureProject(t.Context(), billing.Project{Name: "p", Team: "t"})
	if err != nil {
		t.Fatal(err)
	}
	id := billing.KeyID(billing.NewID("key_"))
	if err := s.CreateKey(t.Context(), billing.Key{ID: id, ProjectID: p.ID, Name: "k", CreatedBy: "test"}, hash("k")); err != nil {
		t.Fatal(err)
	}
	live, notices := make(chan struct{}, 1), make(chan billing.KeyNotice, 8)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.FollowKeys(ctx, func() { live <- struct{}{} }, func(n billing.KeyNotice) { notices <- n })
	}()
	prove.Receive(t, "it listens", live)
	for _, step := range []struct {
		change func(*billing.Key)
		want   error
	}{
		{func(k *billing.Key) { k.DisabledAt, k.DisabledBy = noon, "test" }, billing.ErrDisabled},
		{func(k *billing.Key) { k.DisabledAt, k.DisabledBy = time.Time{}, "" }, nil},
		{func(k *billing.Key) { k.StoppedAt = noon }, billing.ErrStopped},
		{func(k *billing.Key) { k.RevokedAt, k.RevokedReason = noon, "leaked" }, billing.ErrRevoked},
	} {
		k, err := s.UpdateKey(t.Context(), id, func(k *billing.Key) error { step.change(k); return nil })
		if err != nil {
			t.Fatal(err)
		}
		n := prove.Receive(t, "a notice", notices)
		if n.KeyID != id || n.Version != k.Version || !errors.Is(n.Ended, step.want) {
			t.Errorf("got %+v of version %d, want %v", n, k.Version, step.want)
		}
	}
	stop()
	if err := prove.Receive(t, "the end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
