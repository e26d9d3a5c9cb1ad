package app

import (
	"context"
	"crypto/subtle"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/certificate"
)

// watchCertificates takes up certificates whose files have changed, until ctx ends.
func (s *Service) watchCertificates(ctx context.Context) error {
	for Wait(ctx, watchEvery) {
		s.certs.each(func(listener string, k *certificate.Keeper) {
			read, err := k.Look()
			about := []zap.Field{zap.String("listener", listener), zap.Time("until", k.Current().Until)}
			switch {
			case err != nil:
				s.Log.Error("a certificate was not taken; the one before stays in use", append(about, zap.Error(err))...)
			case read:
				s.Log.Info("a certificate was taken", append(about, zap.Strings("names", k.Current().Names))...)
			}
		})
	}
	return nil
}

// tellExposed does what is to be done about keys that came in clear, until ctx ends.
func (s *Service) tellExposed(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.exposed.waiting:
			known, err := s.takeExposed(ctx, e)
			if err != nil && ctx.Err() == nil {
				s.Log.Error("a key came in clear, and nobody could be told", zap.Error(err))
			}
			if known {
				s.Log.Warn("a key came in clear from another host", zap.Stringer("from", e.from))
			}
		}
	}
}

// takeExposed does what is to be done about a key that came in clear. A temporary key ends
// by itself, so it is only told of.
func (s *Service) takeExposed(ctx context.Context, e exposure) (known bool, err error) {
	at := "http from " + e.from.String()
	if temporary, err := s.temporary.Ring.Open(e.text, time.Now()); err == nil {
		id := string(temporary.KeyID)
		return true, s.store.WriteEvents(ctx, billing.Event{
			Kind: billing.EventLeak, Object: id, Severity: billing.Warning, At: time.Now(),
			Text:    "A temporary key of this key came over plain HTTP, where others may have read it. It ends by itself.",
			Data:    map[string]string{"url": at, "found": manage.InClear},
			DedupID: string(billing.EventLeak) + ":" + id + ":temporary:" + at,
		})
	}
	if own := s.now().token; own != "" && subtle.ConstantTimeCompare([]byte(own), []byte(e.text)) == 1 {
		return true, s.store.WriteEvents(ctx, billing.Event{
			Kind: billing.EventLeak, Object: "admin", Severity: billing.Critical, At: time.Now(),
			Text:    "The admin_token of the configuration came over plain HTTP, where others may have read it. It goes on.",
			Data:    map[string]string{"url": at, "found": manage.InClear, "token": "admin_token"},
			DedupID: string(billing.EventLeak) + ":admin_token:" + at,
		})
	}
	by := manage.By{Actor: "require-tls", Source: e.from.String()}
	do := manage.LeakAction(s.now().cfg.ExposedKeys)
	return s.Actions().TakeLeak(ctx, manage.Leak{Secret: e.text, URL: at, Found: manage.InClear}, do, by)
}
