package app

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/alert"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/countries"
	"tallyroute/router/certificate"
)

// judge looks for conditions to alert on, until ctx ends. Every router does; the database
// decides which of them sends the alert.
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

// watchFor returns what alerts are currently judged by.
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

// routerName distinguishes this router from others.
func (s *Service) routerName() string {
	host, _ := os.Hostname() // a missing host name is harmless
	return cmp.Or(host, "router") + " " + s.public.address()
}

// certificateIn returns the certificate in a file that expires first.
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

// How often we look for notices that are due, and to how many channels they are sent at
// once.
const (
	noticesEvery  = time.Second
	noticesAtOnce = 32
)

// notify sends alerts to their channels, until ctx ends. If there are several routers, each
// notice is sent by one. A channel that doesn't answer doesn't hold up the others.
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

// sending tracks the channels to which a notice is currently being sent.
type sending struct {
	mu   sync.Mutex
	to   []string
	all  sync.WaitGroup
	done chan struct{} // signals that one of them has become free
}

// wait waits until there may be something to send, and reports whether ctx is still alive.
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

// begin marks a channel as busy; calling end frees it for its next notice.
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

// notifyNext starts sending the next notice, and reports whether there was one.
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

// watchKeys looks for unusual use of keys, until ctx ends. Every router does; the database
// says whose turn it is. If there is so much to look at that it is slow, it takes up at
// most a hundredth of the time.
func (s *Service) watchKeys(ctx context.Context) error {
	usual, file, fault := &manage.Usual{}, &countries.File{}, ""
	for pause := lastTry; Wait(ctx, pause); {
		cfg := s.now().cfg.Anomalies
		pause = max(time.Duration(cfg.Every), lastTry)
		if cfg.Every == 0 || !s.ready.up() {
			continue
		}
		if err := file.Use(cfg.Countries); err == nil {
			fault = ""
		} else if err.Error() != fault {
			fault = err.Error()
			s.Log.Warn("the file of countries cannot be read", zap.Error(err))
		}
		began := time.Now()
		found, more, err := s.Actions().WatchKeys(ctx, manage.KeyWatch{
			Every: time.Duration(cfg.Every), Disable: cfg.Disable, Countries: file, Usual: usual,
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, billing.ErrTurnLost) {
			s.Log.Warn("watching the keys", zap.Error(err))
		}
		for _, f := range found {
			s.Log.Info("anomaly", zap.String("key_id", f.KeyID), zap.String("what", f.What()), zap.String("text", f.Text))
		}
		if pause = max(pause, budgetsShare*time.Since(began)); more {
			pause = lastTry
		}
	}
	return nil
}

// tellStops writes down runaway requests until ctx ends, and once more at the end.
func (s *Service) tellStops(ctx context.Context) error {
	return flushing(ctx, s.writeStops)
}

// writeStops writes down runaway requests. If the database is unreachable, they are only
// logged.
func (s *Service) writeStops(ctx context.Context) {
	stops := s.brake.Stops()
	if len(stops) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleGrace)
	defer cancel()
	events := make([]billing.Event, len(stops))
	for i, stop := range stops {
		s.Log.Warn("requests ran away", zap.String("key_id", stop.Key), zap.String("session", stop.Session),
			zap.String("cause", stop.Cause))
		events[i] = billing.Event{
			Kind: billing.EventRunaway, Object: stop.Key, Severity: billing.Warning, At: stop.At,
			Text: "Requests are stopped for a time: " + stop.Cause + ".",
			DedupID: strings.Join([]string{
				string(billing.EventRunaway), stop.Key, stop.Session,
				stop.At.UTC().Format(time.RFC3339Nano),
			}, ":"),
			Data: map[string]string{
				"session": stop.Session, "cause": stop.Cause, "until": stop.Until.UTC().Format(time.RFC3339), "router": s.routerName(),
			},
		}
	}
	if err := s.store.WriteEvents(ctx, events...); err != nil {
		s.Log.Warn("writing down what ran away", zap.Error(err))
	}
}

// leaversEvery is how often we look for people who have left.
const leaversEvery = 30 * time.Second

// reviewLeavers decides what happens to the keys of people who have left, until ctx ends.
func (s *Service) reviewLeavers(ctx context.Context) error {
	for Wait(ctx, leaversEvery) {
		if !s.ready.up() {
			continue
		}
		if err := s.Actions().SweepLeavers(ctx, time.Duration(s.now().cfg.LeaversKeep)); err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for the keys of people who have left", zap.Error(err))
		}
	}
	return nil
}

// How often we check for missing breakdowns, and how often we log how many are still to be
// made.
const (
	breakdownsEvery = time.Minute
	breakdownsTold  = 30 * time.Second
)

// makeBreakdowns makes the daily sums that reports by end user, tag and the like read
// instead of rows, until ctx ends. It rests for as long as it works.
func (s *Service) makeBreakdowns(ctx context.Context) error {
	for Wait(ctx, breakdownsEvery) {
		if !s.ready.up() {
			continue
		}
		told, telling := time.Now(), false
		for left := 1; left > 0; {
			began := time.Now()
			var err error
			if left, err = s.store.MakeBreakdown(ctx, began); err != nil {
				if ctx.Err() == nil {
					s.Log.Warn("adding up days for reports", zap.Error(err))
				}
				break
			}
			if time.Since(told) > breakdownsTold || telling && left == 0 {
				s.Log.Info("days are added up for quick reports by end user, tag and the like", zap.Int("left", left))
				told, telling = time.Now(), true
			}
			if !Wait(ctx, time.Since(began)) {
				return nil
			}
		}
	}
	return nil
}

// forwardEvery is how often we look for records to send.
const forwardEvery = time.Second

// forwardAudit sends the audit log to its destinations, until ctx ends. If there are
// several routers, one sends to each destination, and a destination that doesn't answer
// doesn't hold up the others.
func (s *Service) forwardAudit(ctx context.Context) error {
	var busy sending
	defer busy.all.Wait()
	name, at := s.routerName()+" "+billing.NewID("run_"), make(map[string]*manage.Forwarding)
	for n := 0; Wait(ctx, forwardEvery); n++ {
		if !s.ready.up() {
			continue
		}
		if n%lagEvery == 0 {
			s.tellLag(ctx)
		}
		for destination, to := range s.now().forwarders {
			if busy.has(destination) {
				continue
			}
			f := at[destination]
			if f == nil {
				f = &manage.Forwarding{Name: destination, Router: name}
				at[destination] = f
			}
			f.To = to
			end := busy.begin(destination)
			busy.all.Go(func() {
				defer end()
				s.forwardTo(ctx, f)
			})
		}
	}
	return nil
}

// lagEvery is the number of rounds between reports of how far destinations are behind.
const lagEvery = 10

// tellLag exports to the metrics how far destinations are behind, whichever router sends.
func (s *Service) tellLag(ctx context.Context) {
	all := s.now().forwarders
	if len(all) == 0 {
		return
	}
	list, err := s.Actions().Destinations(ctx)
	if err != nil {
		return // the next round will report it
	}
	for _, d := range list {
		if _, there := all[d.Name]; there {
			s.metrics.Forwarded(d.Name, d.Waiting, d.Oldest, time.Now())
		}
	}
}

func (s *Service) forwardTo(ctx context.Context, f *manage.Forwarding) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = s.Actions().ForwardAudit(ctx, f); err != nil && ctx.Err() == nil {
			s.Log.Warn("sending the audit log", zap.String("destination", f.Name), zap.Error(err))
		}
	}
}
