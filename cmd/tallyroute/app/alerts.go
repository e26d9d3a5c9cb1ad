package app

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing/alert"
	"tallyroute/billing/manage"
	"tallyroute/router/certificate"
)

// judge looks for what is to be told, until ctx ends. Every router does; the database
// decides which of them tells.
func (s *Service) judge(ctx context.Context) error {
	told := &manage.Told{}
	for pause := lastTry; Wait(ctx, pause); {
		every := time.Duration(s.now().cfg.Alerts.Every)
		if pause = max(every, lastTry); every == 0 || !s.ready.up() {
			continue
		}
		began := time.Now()
		fired, err := s.Actions().JudgeAlerts(ctx, s.watchFor(told))
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for what is to be told", zap.Error(err))
		}
		for _, a := range fired {
			s.Log.Info("alert", zap.String("alert_id", a.ID), zap.String("kind", string(a.Kind)), zap.String("object", a.Object),
				zap.String("title", a.Title))
		}
		pause = max(pause, budgetsShare*time.Since(began))
	}
	return nil
}

// watchFor is what alerts are judged by now.
func (s *Service) watchFor(told *manage.Told) manage.Watch {
	n, now := s.now(), time.Now()
	w := manage.Watch{Router: s.routerName(), Journal: s.ledger.unavailable(), Told: told}
	for _, c := range n.cfg.Alerts.Channels {
		w.Channels = append(w.Channels, c.Route())
	}
	for _, e := range s.health.Snapshot(now) {
		w.Targets = append(w.Targets, alert.Target{Name: e.Name, Status: e.State.Status.String(), Cause: e.State.Cause})
	}
	for _, file := range n.cfg.CertificateFiles() {
		w.Certificates = append(w.Certificates, certificateIn(file))
	}
	return w
}

// routerName tells this router from others.
func (s *Service) routerName() string {
	host, _ := os.Hostname() // a name is worth more than why there is none
	return cmp.Or(host, "router") + " " + s.public.address()
}

// certificateIn is the certificate of a file that expires first.
func certificateIn(file string) alert.CertificateFile {
	c := alert.CertificateFile{File: file}
	text, err := os.ReadFile(file)
	if err != nil {
		c.Fault = "it is not there, or not for us to read"
		return c
	}
	chain, err := certificate.Parse(text)
	switch {
	case errors.Is(err, certificate.ErrNone):
		c.Fault = "it has no certificate in PEM"
	case err != nil:
		c.Fault = "it has a certificate that cannot be parsed"
	}
	for _, one := range chain {
		if c.Until.IsZero() || one.NotAfter.Before(c.Until) {
			c.Subject, c.Until = one.Subject.String(), one.NotAfter
		}
	}
	return c
}

// How often it is looked for notices that are due, and to how many channels they are sent
// at once.
const (
	noticesEvery  = time.Second
	noticesAtOnce = 32
)

// notify sends alerts to their channels, until ctx ends. Of several routers one sends each.
// A channel that does not answer holds up no other.
func (s *Service) notify(ctx context.Context) error {
	busy := sending{done: make(chan struct{}, 1)}
	defer busy.all.Wait()
	for busy.wait(ctx) {
		to := s.now().notifiers
		for len(to) > 0 && s.ready.up() && s.notifyNext(ctx, &busy, to) {
		}
	}
	return nil
}

// sending are the channels to which a notice is being sent.
type sending struct {
	mu   sync.Mutex
	to   []string
	all  sync.WaitGroup
	done chan struct{} // one of them is free again
}

// wait reports whether ctx is still alive when there may be something to send.
func (b *sending) wait(ctx context.Context) bool {
	t := time.NewTimer(noticesEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-b.done:
	}
	return ctx.Err() == nil
}

func (b *sending) channels() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.to)
}

func (b *sending) has(channel string) bool { return slices.Contains(b.channels(), channel) }

// begin marks a channel; end, once it is called, has it looked for its next notice.
func (b *sending) begin(channel string) (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = append(b.to, channel)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.to = slices.DeleteFunc(b.to, func(c string) bool { return c == channel })
		select {
		case b.done <- struct{}{}:
		default:
		}
	}
}

// notifyNext begins to send the next notice, and reports whether there was one.
func (s *Service) notifyNext(ctx context.Context, busy *sending, to map[string]manage.Notifier) bool {
	channels := busy.channels()
	if len(channels) >= noticesAtOnce {
		return false
	}
	n, found, err := s.Actions().NextNotice(ctx, channels)
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("looking for alerts to send", zap.Error(err))
	}
	if err != nil || !found {
		return false
	}
	end := busy.begin(n.Channel)
	busy.all.Go(func() {
		defer end()
		about := []zap.Field{zap.String("alert_id", n.ID), zap.String("channel", n.Channel)}
		if _, err := s.Actions().SendNotice(ctx, n, to); err == nil {
			s.Log.Info("an alert was sent", about...)
		} else if ctx.Err() == nil {
			s.Log.Warn("sending an alert", append(about, zap.Int("tries", n.Tries), zap.Error(err))...)
		}
	})
	return true
}
