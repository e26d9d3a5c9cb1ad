package app

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tallyroute/billing"
	"tallyroute/billing/access"
	"tallyroute/billing/manage"
	"tallyroute/router/certificate"
)

// watchCertificates reloads certificates whose files have changed, until ctx ends.
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

// tellExposed deals with keys that were sent in plain text, until ctx ends.
func (s *Service) tellExposed(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.exposed.waiting:
			known, err := s.takeExposed(ctx, e)
			if err != nil && ctx.Err() == nil {
				s.Log.Error("a key arrived in plain text, and this could not be reported", zap.Error(err))
			}
			if known {
				s.Log.Warn("a key came in clear from another host", zap.Stringer("from", e.from))
			}
		}
	}
}

// takeExposed deals with a key that was sent in plain text. A temporary key expires by
// itself, so it is only reported.
func (s *Service) takeExposed(ctx context.Context, e exposure) (known bool, err error) {
	at := "http from " + access.NetworkOf(e.from.String()).String() // events are kept for longer than addresses
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

// Run serves until ctx ends or something fails that can't recover. It then reports that it
// isn't ready, lets the load balancer notice, stops accepting, lets requests in flight
// finish, and frees everything.
func (s *Service) Run(ctx context.Context) error {
	// The jobs outlive ctx: requests still in flight need them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	jobs, life := errgroup.WithContext(life)
	s.start(life, jobs)
	s.tellProviders()
	select {
	case <-ctx.Done():
		s.Log.Info("stopping")
	case <-life.Done():
		s.Log.Error("stopping after a failure")
	}
	s.ready.stop()
	ctx = context.WithoutCancel(ctx)
	s.drain(ctx)
	end()
	for _, l := range s.listeners() {
		_ = l.http.Close()
	}
	return s.inTime(func() error { return errors.Join(jobs.Wait(), s.close()) })
}

// inTime does the last piece of work at shutdown within the time allowed. A database that
// doesn't answer must not keep the process alive: whatever it hasn't taken is in the
// journal, for the next start.
func (s *Service) inTime(last func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- last() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(endGrace):
		s.Log.Warn("the database does not answer; the next start takes up what is left")
		return nil
	}
}

// start starts everything that runs alongside the requests.
func (s *Service) start(life context.Context, jobs *errgroup.Group) {
	jobs.Go(func() error { return s.bringUp(life) })
	jobs.Go(func() error { return s.ledger.run(life) })
	jobs.Go(func() error { return s.sweep(life) })
	jobs.Go(func() error { return s.forgetLost(life) })
	jobs.Go(func() error { return s.flushTouched(life) })
	jobs.Go(func() error { return s.flushRefused(life) })
	jobs.Go(func() error { return s.writeAccess(life) })
	jobs.Go(func() error { return s.writeUses(life) })
	jobs.Go(func() error { return s.followUpstreams(life) })
	jobs.Go(func() error { return s.endVersions(life) })
	jobs.Go(func() error { return s.deliver(life) })
	jobs.Go(func() error { return s.reviewAccess(life) })
	jobs.Go(func() error { return s.judge(life) })
	jobs.Go(func() error { return s.watchKeys(life) })
	jobs.Go(func() error { return s.tellStops(life) })
	jobs.Go(func() error { return s.notify(life) })
	jobs.Go(func() error { return s.listenForKeys(life) })
	jobs.Go(func() error { return s.pollKeys(life) })
	jobs.Go(func() error { return s.upkeep(life) })
	jobs.Go(func() error { return s.reviewLeavers(life) })
	jobs.Go(func() error { return s.forwardAudit(life) })
	jobs.Go(func() error { return s.makeBreakdowns(life) })
	jobs.Go(func() error { return s.checkIntegrity(life) })
	jobs.Go(func() error { return s.watchBudgets(life) })
	jobs.Go(func() error { return s.warm(life) })
	jobs.Go(func() error { return s.watch(life) })
	jobs.Go(func() error { return s.watchCertificates(life) })
	jobs.Go(func() error { return s.tellExposed(life) })
	jobs.Go(func() error { s.secrets.Run(life); return nil })
	jobs.Go(func() error { return s.secrets.note(life, s.ready.up, s.store) })
	jobs.Go(func() error { return tuneMemory(life, s.oneKey, s.bytes.Used) })
	for _, l := range s.listeners() {
		jobs.Go(l.serve)
		s.Log.Info("listening", zap.String("for", l.name), zap.String("address", l.address()))
	}
}

// drain shuts down the public listener: it waits, stops accepting, and gives requests in
// flight time to finish, with or without their clients. Whatever is left then is cut off,
// and still settled.
func (s *Service) drain(ctx context.Context) {
	s.answers.Stop()
	pause := time.Duration(s.now().cfg.Timeouts.ShutdownWait)
	Wait(ctx, pause)
	s.left.Stop()
	patient, cancel := context.WithTimeout(ctx, time.Duration(s.now().cfg.Timeouts.Shutdown))
	defer cancel()
	s.public.close()
	s.answers.Drain(patient, min(pause, nextRequest))
	err := s.public.http.Shutdown(patient)
	settled, cancel := context.WithTimeout(ctx, settleGrace)
	defer cancel()
	if err != nil {
		s.Log.Warn("requests are cut off", zap.Error(err))
		s.cutRequests()
		_ = s.public.http.Shutdown(settled)
		_ = s.public.http.Close()
	}
	if err := s.now().router.Close(settled); err != nil {
		s.Log.Warn("settlements are left to the sweep", zap.Error(err))
	}
}

// close frees what is left once nothing is running any more.
func (s *Service) close() error {
	s.cutRequests()
	s.now().client.Close()
	s.closeLedger()
	return s.store.Close()
}

// During runs the service and calls do once it can answer. It ends when do returns.
func (s *Service) During(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.Run(ctx) }()
	err := s.await(ctx, served)
	if err == nil {
		err = do(ctx)
	}
	stop()
	return errors.Join(err, <-served)
}

// await returns when the service can answer, or has ended instead.
func (s *Service) await(ctx context.Context, served chan error) error {
	for {
		_, err := s.ready.check(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		select {
		case ended := <-served:
			served <- nil
			return errors.Join(err, ended)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
