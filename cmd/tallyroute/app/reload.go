package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
)

// reloaded is how reading the configuration again went.
type reloaded struct {
	at      time.Time
	err     error    // why it was rejected
	restart []string // settings that take effect at the next start
}

// What a configuration cannot be reloaded for, besides its faults.
var (
	errGone   = errors.New("the file is gone")
	errEmpty  = errors.New("the file is empty")
	errNoFile = errors.New("it was not read from a file")
)

// reload reads the configuration and all that it leads to again, and puts it in
// force if nothing is wrong with it. Otherwise what is in force stays so. It reports
// whether trying again may help although no file has changed.
func (s *Service) reload(ctx context.Context) (again bool) {
	restart, err := s.swap(ctx)
	if ctx.Err() != nil {
		return false
	}
	before := s.reloaded.Swap(&reloaded{time.Now(), err, restart})
	s.metrics.Reloaded(time.Now(), err)
	switch {
	case err == nil:
		s.Log.Info("the configuration was reloaded", zap.Int("models", len(s.now().catalogue.Models())))
	case before == nil || before.err == nil || before.err.Error() != err.Error():
		s.Log.Error("the configuration was not reloaded; the one before stays in force", zap.Error(err))
	}
	if len(restart) > 0 {
		s.Log.Warn("some settings take effect at the next start", zap.Strings("settings", restart))
	}
	return errors.Is(err, billing.ErrUnavailable)
}

// swap puts what is read now in the place of what is in force.
func (s *Service) swap(ctx context.Context) (restart []string, err error) {
	old := s.now()
	cfg, err := s.reread(ctx, old.cfg)
	if err != nil {
		return nil, err
	}
	restart = cfg.KeepFixed(old.cfg)
	next, err := s.build(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.recordPrices(ctx, old, next); err != nil {
		return nil, err
	}
	s.current.Store(next)
	if next.client != old.client {
		old.client.Close()
	}
	s.health.Keep(next.calls)
	if level, err := zapcore.ParseLevel(cfg.Log.Level); err == nil {
		s.Level.SetLevel(level)
	}
	return restart, nil
}

// reread reads the configuration again. A file that has vanished or has been emptied
// is a mishap, and none that says that all shall be as by default.
func (s *Service) reread(ctx context.Context, running *config.Config) (*config.Config, error) {
	if running.File != "" {
		if info, err := os.Stat(running.File); err == nil && !info.Mode().IsRegular() {
			return nil, errNoFile
		}
	}
	cfg, _, err := Load(ctx, *s.From)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && cfg.File == "" && running.File != "":
		return nil, errGone
	case err != nil:
		return nil, err
	case strings.TrimSpace(cfg.Text) == "" && strings.TrimSpace(running.Text) != "":
		return nil, errEmpty
	}
	return cfg, nil
}

// recordPrices makes the database know the prices before rows refer to them.
func (s *Service) recordPrices(ctx context.Context, old, next *snapshot) error {
	known := make(map[string]bool)
	for _, p := range old.prices.All() {
		known[p.Resolved().ID] = true
	}
	var fresh []billing.Price
	for _, p := range next.prices.All() {
		if !known[p.Resolved().ID] {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 || !s.ready.up() { // or all are recorded as soon as the database is
		return nil
	}
	if err := s.store.RecordPrices(ctx, fresh); err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	return nil
}

// check is what a probe may read: how requests can be answered, and how the last
// reload went. A reload that was rejected takes no router out of service.
func (s *Service) check(ctx context.Context) (map[string]string, error) {
	state, err := s.ready.check(ctx)
	r := s.reloaded.Load()
	if err != nil || r == nil {
		return state, err
	}
	switch {
	case r.err != nil:
		state["config"] = "rejected: " + reason(r.err)
	case len(r.restart) > 0:
		state["config"] = "reloaded; these take effect at the next start: " + strings.Join(r.restart, ", ")
	default:
		state["config"] = "reloaded"
	}
	state["config_read_at"] = r.at.UTC().Format(time.RFC3339)
	return state, nil
}

// reason is why a configuration was rejected, as anybody may read it: the first fault
// and how many there are. Faults name places and repeat no values.
func reason(err error) string {
	var faults config.Faults
	var conflict *billing.ConflictError
	switch {
	case errors.Is(err, errGone), errors.Is(err, errEmpty), errors.Is(err, errNoFile):
		return err.Error()
	case errors.Is(err, billing.ErrUnavailable):
		return "the database does not answer, which has to know its prices"
	case errors.As(err, &conflict):
		return conflict.Detail
	case !errors.As(err, &faults):
		return "it cannot be put in force; the log says why"
	case len(faults) > 1:
		return fmt.Sprintf("%s, and %d more", faults[0], len(faults)-1)
	}
	return faults[0].String()
}
