package billingtest

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
)

// shelf is an in-memory sink. It, and the store around a delivery, stop working at a given
// step.
type shelf struct {
	billing.Deliveries
	billing.Secrets
	has   map[string]string
	steps int // until the crash; negative: it never crashes
}

var errCrash = errors.New("billingtest: crashed")

// step is called before and after everything that a delivery does.
func (s *shelf) step() error {
	if s.steps == 0 {
		return errCrash
	}
	s.steps--
	return nil
}

func (s *shelf) Write(_ context.Context, place, secret string, _ map[string]string) error {
	if err := s.step(); err != nil {
		return err
	}
	s.has[place] = secret
	return s.step()
}

func (s *shelf) Delete(_ context.Context, place string) error {
	if err := s.step(); err != nil {
		return err
	}
	delete(s.has, place)
	return s.step()
}

func (s *shelf) RotateSecret(ctx context.Context, r billing.Rotation, notes ...*billing.Change) (done billing.Rotated, err error) {
	if err := s.step(); err != nil {
		return done, err
	}
	if done, err = s.Secrets.RotateSecret(ctx, r, notes...); err != nil {
		return done, err
	}
	return done, s.step()
}

func (s *shelf) FinishDelivery(ctx context.Context, number int, r billing.Rotation, notes ...*billing.Change) error {
	if err := s.step(); err != nil {
		return err
	}
	return errors.Join(s.Deliveries.FinishDelivery(ctx, number, r, notes...), s.step())
}

// PostponeDelivery does nothing once the process has crashed.
func (s *shelf) PostponeDelivery(ctx context.Context, id billing.KeyID, failure string, due time.Time) error {
	if strings.Contains(failure, errCrash.Error()) {
		return nil
	}
	return s.Deliveries.PostponeDelivery(ctx, id, failure, due)
}

// porter delivers to a shelf. It uses the world's clock.
func (w *world) porter(s *shelf) manage.Actions {
	s.Deliveries, s.Secrets = w.Store.Deliveries, w.Store.Secrets
	pepper, err := billing.ParsePepper(strings.Repeat("p", 32))
	w.must(err)
	return manage.Actions{
		Store: w.Store.With(s), Pepper: pepper, SinkNames: []string{"shelf"}, Clock: func() time.Time { return w.now },
	}
}

func (w *world) deliver(a manage.Actions, s *shelf) (found bool, err error) {
	_, found, err = a.DeliverDue(w.Context(), map[string]manage.Sink{"shelf": s})
	return found, err
}

// good reports whether a secret currently opens the key.
func (w *world) good(a manage.Actions, secret string) bool {
	w.Helper()
	s, err := billing.ParseSecret(secret)
	w.must(err)
	k, err := w.KeyByHash(w.Context(), s.Hash(a.Pepper))
	return err == nil && k.InForce(w.now) == nil
}

// delivered returns a key whose secret is on the shelf.
func (w *world) delivered(a manage.Actions, s *shelf) *billing.Key {
	w.Helper()
	k := w.key(tokens(100).budget("bud_1"))
	to := manage.DeliverRequest{Sink: "shelf", Place: "p", Overlap: time.Hour}
	_, err := a.DeliverKey(w.Context(), k.ID, to, manage.By{Actor: "test"})
	w.must(err)
	found, err := w.deliver(a, s)
	if w.must(err); !found || !w.good(a, s.has["p"]) {
		w.Errorf("the first delivery left %q", s.has["p"])
	}
	return k
}

func deliverThroughCrashes(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second)
	s := &shelf{has: map[string]string{}, steps: -1}
	a := w.porter(s)
	k := w.delivered(a, s)
	if found, err := w.deliver(a, s); found || err != nil {
		w.Errorf("a secret that is new is due again: %v", err)
	}
	for steps := range 6 { // before and after staging, writing and finishing
		before := s.has["p"]
		w.now = w.now.Add(91 * 24 * time.Hour)
		s.steps = steps
		if found, err := w.deliver(a, s); !found || !errors.Is(err, errCrash) {
			w.Errorf("crash at %d: %v, %v", steps, found, err)
		}
		if !w.good(a, s.has["p"]) || (steps < 5 && !w.good(a, before)) {
			w.Errorf("after a crash at %d a secret that is in use is not good", steps)
		}
		s.steps = -1
		written := s.has["p"]
		if found, _ := w.deliver(a, s); found {
			w.Errorf("after a crash at %d another router begins before the claim has ended", steps)
		}
		w.now = w.now.Add(2 * time.Minute)
		if _, err := w.deliver(a, s); err != nil {
			w.Errorf("after a crash at %d: %v", steps, err)
		}
		if s.has["p"] == before || (written != before && s.has["p"] != written) || !w.good(a, s.has["p"]) || !w.good(a, before) {
			w.Errorf("after a crash at %d it does not go on with the same secret", steps)
		}
		if w.now = w.now.Add(2 * time.Hour); w.good(a, before) || !w.good(a, s.has["p"]) {
			w.Errorf("after a crash at %d the overlap did not end", steps)
		}
	}
	versions, err := w.ListSecrets(w.Context(), k.ID)
	if w.must(err); len(versions) != 8 {
		w.Errorf("%d versions of 7 rotations", len(versions))
	}
}

func deliverToNobody(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second)
	s := &shelf{has: map[string]string{}, steps: -1}
	a := w.porter(s)
	k := w.delivered(a, s)
	before := s.has["p"]
	w.now = w.now.Add(91 * 24 * time.Hour)
	for range 3 {
		_, found, err := a.DeliverDue(w.Context(), nil)
		if !found || err == nil || !w.good(a, before) {
			w.Errorf("a sink that is gone: %v, %v", found, err)
		}
		w.now = w.now.Add(time.Hour)
	}
	if list, err := a.Deliveries(w.Context(), k.ID); err != nil || len(list) != 1 || list[0].Failures != 3 || list[0].Failure == "" {
		w.Errorf("listed: %+v, %v", list, err)
	}
	if _, err := w.deliver(a, s); err != nil || s.has["p"] == before || !w.good(a, s.has["p"]) {
		w.Errorf("once it is back: %v", err)
	}
}

func deliverNewest(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second)
	s := &shelf{has: map[string]string{}, steps: -1}
	a := w.porter(s)
	k := w.delivered(a, s)
	w.now = w.now.Add(91 * 24 * time.Hour)
	s.steps = 3 // after it is written
	_, _ = w.deliver(a, s)
	s.steps = -1
	_, err := a.RotateKey(w.Context(), k.ID, manage.RotateRequest{Overlap: time.Hour}, manage.By{Actor: "test"})
	w.must(err)
	w.now = w.now.Add(2 * time.Minute)
	for found := true; found; {
		found, err = w.deliver(a, s)
		w.must(err)
	}
	if w.now = w.now.Add(2 * time.Hour); !w.good(a, s.has["p"]) {
		w.Errorf("what was delivered has ended with a rotation that came between")
	}
}

func deleteCopies(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second)
	s := &shelf{has: map[string]string{}, steps: -1}
	a := w.porter(s)
	k := w.delivered(a, s)
	_, err := a.ArchiveKey(w.Context(), k.ID, manage.Ending{}, manage.By{Actor: "test"})
	w.must(err)
	if _, found, err := a.DeliverDue(w.Context(), nil); !found || err == nil {
		w.Errorf("a copy that nobody can delete: %v, %v", found, err)
	}
	if list, err := a.Deliveries(w.Context(), k.ID); err != nil || len(list) != 1 || !list[0].Removing || list[0].Failure == "" {
		w.Errorf("listed: %+v, %v", list, err)
	}
	w.now = w.now.Add(time.Hour)
	if _, err := w.deliver(a, s); err != nil || len(s.has) != 0 {
		w.Errorf("the copy is left: %v, %v", s.has, err)
	}
	if list, err := a.Deliveries(w.Context(), k.ID); err != nil || len(list) != 0 {
		w.Errorf("still listed: %+v, %v", list, err)
	}
}

func leakedSecret(w *world) {
	w.now = time.Now().UTC().Truncate(time.Second)
	a := w.porter(&shelf{steps: -1})
	k, first, err := a.CreateKey(w.Context(), manage.KeyRequest{Name: "leaky"}, manage.By{Actor: "test"})
	w.must(err)
	fresh, err := a.RotateKey(w.Context(), k.ID, manage.RotateRequest{}, manage.By{Actor: "test"})
	w.must(err)
	take := func(secret string, do manage.LeakAction) bool {
		w.Helper()
		known, err := a.TakeLeak(w.Context(), manage.Leak{Secret: secret, URL: "https://example.com/a"}, do, manage.By{Actor: "scanner"})
		w.must(err)
		return known
	}
	stranger, err := billing.NewSecret("dev", rand.Reader)
	w.must(err)
	if take("some_token", manage.LeakRevoke) || take(stranger.Reveal(), manage.LeakRevoke) {
		w.Error("what is no key's is known")
	}
	if !take(first.Reveal(), manage.LeakRevoke) || !take(fresh.Secret.Reveal(), manage.LeakTell) || !w.good(a, fresh.Secret.Reveal()) {
		w.Error("a secret that has ended, or one that is only told of, ends its key")
	}
	w.now = w.now.Add(time.Second)
	if !take(fresh.Secret.Reveal(), manage.LeakDisable) || w.good(a, fresh.Secret.Reveal()) {
		w.Error("the key is not disabled")
	}
	_, err = a.EnableKey(w.Context(), k.ID, manage.Ending{}, manage.By{Actor: "test"})
	w.must(err)
	for range 2 { // the sender may not have read the first answer
		if !take(fresh.Secret.Reveal(), manage.LeakRevoke) || w.good(a, fresh.Secret.Reveal()) {
			w.Error("the key is not revoked")
		}
	}
	events, err := w.ListEvents(w.Context(), billing.EventFilter{Kind: billing.EventLeak, Object: string(k.ID)})
	if w.must(err); len(events) != 2 || strings.Contains(text(events), fresh.Secret.Reveal()) || events[0].Data["url"] == "" {
		w.Errorf("events: %s", text(events))
	}
}
