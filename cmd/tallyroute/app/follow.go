package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/upstream"
	"tallyroute/providers/secret/envelope"
)

// followEvery is how often it is looked whether providers or credentials were changed by
// another router, or on the host.
const followEvery = 400 * time.Millisecond

// followUpstreams takes up what administrators store, until ctx ends.
func (s *Service) followUpstreams(ctx context.Context) error {
	told := ""
	for Wait(ctx, followEvery) {
		if !s.ready.up() {
			continue
		}
		err := s.takeUp(ctx)
		if text := errorText(err); text != told && ctx.Err() == nil {
			if told = text; err != nil {
				s.Log.Error("what administrators have stored is not taken up; what was taken up before stays in force", zap.Error(err))
			}
		}
	}
	return nil
}

// takeUp puts what is stored in force, if it is not.
func (s *Service) takeUp(ctx context.Context) error {
	before := s.stored.Load()
	revision, err := s.store.ProviderRevision(ctx)
	if err != nil {
		if errors.Is(err, billing.ErrUnavailable) {
			return nil // which others tell
		}
		return err
	}
	now := time.Now()
	if before != nil && before.Revision == revision && (before.Next.IsZero() || now.Before(before.Next)) {
		return nil
	}
	return s.loadStored(ctx)
}

// loadStored reads what is stored and puts it in force. A key that cannot be read now opens
// nothing new.
func (s *Service) loadStored(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	old, before := s.now(), s.stored.Load()
	keys, err := ring(ctx, s.secrets.Keeper, old.cfg)
	if err != nil {
		s.Log.Error("stored credentials cannot be opened", zap.Error(err))
		keys = envelope.NewRing()
	}
	l, err := upstream.Load(ctx, s.store, keys, before, time.Now())
	if err != nil {
		return err
	}
	s.stored.Store(l)
	if before == nil && l.Empty() {
		return nil
	}
	next, err := s.build(ctx, old.cfg)
	if err == nil {
		err = s.recordPrices(ctx, old, next)
	}
	if err != nil {
		s.stored.Store(before)
		return err
	}
	s.force(old, next)
	s.secrets.opened(l)
	for _, name := range slices.Sorted(maps.Keys(next.broken)) {
		s.Log.Error("a stored provider is left out", zap.String("provider", name), zap.Error(next.broken[name]))
	}
	s.Log.Info("stored providers and credentials were taken up", zap.Int64("revision", l.Revision),
		zap.Int("models", len(next.catalogue.Models())))
	return nil
}

// flushEvery is how often what has gathered is written down.
const flushEvery = 10 * time.Second

// flushing writes down what has gathered, time and again until ctx ends, and once more
// then.
func flushing(ctx context.Context, write func(context.Context)) error {
	for Wait(ctx, flushEvery) {
		write(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	write(last)
	return nil
}

// writeUses writes down when credentials were used, until ctx ends, and once more then.
func (s *Service) writeUses(ctx context.Context) error {
	return flushing(ctx, func(ctx context.Context) {
		list := s.uses.Take()
		if len(list) == 0 {
			return
		}
		if err := s.store.UseCredentials(ctx, list); err != nil {
			s.uses.Return(list)
			s.Log.Warn("writing down when credentials were used", zap.Error(err))
		}
	})
}

// endVersionsEvery is how often it is looked for secrets whose overlap is over.
const endVersionsEvery = time.Minute

// endVersions destroys secrets of credentials whose overlap is over, until ctx ends.
func (s *Service) endVersions(ctx context.Context) error {
	for Wait(ctx, endVersionsEvery) {
		if l := s.stored.Load(); !s.ready.up() || l == nil || l.Empty() {
			continue
		}
		if n, err := s.Actions().EndVersions(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("ending secrets of credentials that were replaced", zap.Error(err), zap.Int("ended", n))
		}
	}
	return nil
}
