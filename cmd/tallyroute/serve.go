package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tallyroute/router/tokens"
)

// serveCommand is "tallyroute serve".
type serveCommand struct{}

// Run serves until it is told to stop.
func (serveCommand) Run(a *app) error {
	cfg, _, err := a.settings()
	if err != nil {
		return err
	}
	log := newBusyLogger(a.stderr, cfg.Log)
	defer func() { _ = log.Sync() }()
	s, err := newService(a.ctx, cfg, log, tokens.New(tokens.Options{}))
	if err != nil {
		return err
	}
	return s.run(a.ctx)
}

// run serves until ctx ends or something fails that cannot heal. Then it says
// that it is not ready, lets the load balancer notice, stops accepting, lets
// what is under way end, and frees everything.
func (s *service) run(ctx context.Context) error {
	// The jobs outlive ctx: requests that are still under way need them.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	jobs, life := errgroup.WithContext(life)
	s.start(life, jobs)
	s.tellProviders()
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case <-life.Done():
		s.log.Error("stopping after a failure")
	}
	s.ready.stop()
	s.drain(context.WithoutCancel(ctx))
	end()
	for _, l := range s.listeners() {
		_ = l.http.Close()
	}
	return errors.Join(jobs.Wait(), s.close())
}

// start begins everything that runs beside the requests.
func (s *service) start(life context.Context, jobs *errgroup.Group) {
	jobs.Go(func() error { return s.bringUp(life) })
	jobs.Go(func() error { return s.books.run(life) })
	jobs.Go(func() error { return s.sweep(life) })
	jobs.Go(func() error { return s.forgetLost(life) })
	jobs.Go(func() error { return s.flushTouched(life) })
	jobs.Go(func() error { return s.upkeep(life) })
	jobs.Go(func() error { return s.audit(life) })
	jobs.Go(func() error { return s.warm(life) })
	jobs.Go(func() error { return tuneMemory(life) })
	for _, l := range s.listeners() {
		jobs.Go(l.serve)
		s.log.Info("listening", zap.String("for", l.name), zap.String("address", l.address()))
	}
}

// drain ends the public listener: it waits, stops accepting, and gives what is
// under way its time, with or without its client. What is left then is cut off, and still settled.
func (s *service) drain(ctx context.Context) {
	wait(ctx, time.Duration(s.cfg.Timeouts.ShutdownWait))
	s.left.Stop()
	patient, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.Timeouts.Shutdown))
	defer cancel()
	if err := s.public.http.Shutdown(patient); err != nil {
		s.log.Warn("requests are cut off", zap.Error(err))
		s.cutRequests()
		last, cancel := context.WithTimeout(ctx, settleGrace)
		defer cancel()
		_ = s.public.http.Shutdown(last)
		_ = s.public.http.Close()
	}
	settled, cancel := context.WithTimeout(ctx, settleGrace)
	defer cancel()
	if err := s.router.Close(settled); err != nil {
		s.log.Warn("settlements are left to the sweep", zap.Error(err))
	}
}

// settleGrace is how long the ledger may take for what is left at the end.
const settleGrace = 5 * time.Second

// close frees what is left once nothing runs any more.
func (s *service) close() error {
	s.cutRequests()
	s.client.Close()
	s.closeBooks()
	return s.store.Close()
}
