package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"tallyroute/billing"
	"tallyroute/billing/alert"
	"tallyroute/billing/manage"
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
	for _, file := range n.cfg.Alerts.Certificates {
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
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c.Fault = "it has a certificate that cannot be parsed"
			return c
		}
		if c.Until.IsZero() || one.NotAfter.Before(c.Until) {
			c.Subject, c.Until = one.Subject.String(), one.NotAfter
		}
	}
	if c.Until.IsZero() {
		c.Fault = "it has no certificate in PEM"
	}
	return c
}

// How often it is looked for notices that are due, and how many are sent at once.
const (
	noticesEvery  = time.Second
	noticesAtOnce = 4
)

// notify sends alerts to their channels, until ctx ends. Of several routers one sends each.
func (s *Service) notify(ctx context.Context) error {
	for Wait(ctx, noticesEvery) {
		to := s.now().notifiers
		if len(to) == 0 || !s.ready.up() {
			continue
		}
		var several errgroup.Group
		for range noticesAtOnce {
			several.Go(func() error {
				for more := true; more && ctx.Err() == nil; {
					more = s.notifyOne(ctx, to)
				}
				return nil
			})
		}
		_ = several.Wait() // none of them returns an error
	}
	return nil
}

func (s *Service) notifyOne(ctx context.Context, to map[string]manage.Notifier) (more bool) {
	n, found, err := s.Actions().SendNotice(ctx, to)
	about := []zap.Field{zap.String("alert_id", n.ID), zap.String("channel", n.Channel)}
	switch {
	case err != nil && ctx.Err() == nil:
		s.Log.Warn("sending an alert", append(about, zap.Int("tries", n.Tries), zap.Error(err))...)
	case found:
		s.Log.Info("an alert was sent", about...)
	}
	return found && (err == nil || n.Status() != billing.NoticePending)
}
