package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/upstream"
)

// CheckRules refuses a configuration that breaks the rules in its database. If there is no
// database yet, or it can't be reached, there are no rules to check against.
func CheckRules(ctx context.Context, c *config.Config, s governance.Setup) error {
	if _, missing := c.Database.Missing(); missing {
		return nil
	}
	store, err := OpenStore(ctx, c)
	if err != nil {
		return nil //nolint:nilerr // a database that is away is not a fault of the configuration
	}
	defer func() { _ = store.Close() }()
	if store.Ready(ctx) != nil {
		return nil // its schema is older than the rules, or it doesn't answer
	}
	found, err := manage.Actions{Store: store}.SetupFindings(ctx, s)
	return errors.Join(err, governance.Refusal(found))
}

// lawful refuses a snapshot that breaks the organisation's rules.
func (s *Service) lawful(ctx context.Context, n *snapshot) error {
	setup := SetupOf(n.cfg, n.catalogue)
	setup.Secrets = slices.DeleteFunc(setup.Secrets, func(one governance.Secret) bool { return one.Source == governance.Stored })
	found, err := manage.Actions{Store: s.store}.SetupFindings(ctx, setup)
	return errors.Join(err, governance.Refusal(found))
}

// reviewEvery is how often we check whether access reviews are due.
const reviewEvery = time.Minute

// reviewAccess starts access reviews that are due and reports overdue ones, until ctx ends.
// If there are several routers, each review is started by one.
func (s *Service) reviewAccess(ctx context.Context) error {
	for pause := time.Second; Wait(ctx, pause); {
		if !s.ready.up() {
			continue
		}
		pause = reviewEvery
		begun, err := s.Actions().ReviewDue(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.Warn("looking whether access is to be reviewed", zap.Error(err))
		case begun:
			s.Log.Info("a review of access was begun")
		}
	}
	return nil
}

// reload rereads the configuration and everything that it leads to, and puts it in force if
// nothing is wrong with it. Otherwise the current one stays in force. It reports whether
// retrying may help even though no file has changed.
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

// swap replaces what is in force with what is read now.
func (s *Service) swap(ctx context.Context) (restart []string, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
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
	if s.ready.up() {
		// An unreachable database is not a fault of the configuration.
		if err := s.lawful(ctx, next); err != nil && !errors.Is(err, billing.ErrUnavailable) {
			return nil, err
		}
	}
	if err := s.recordPrices(ctx, old, next); err != nil {
		return nil, err
	}
	if l := s.stored.Load(); l != nil && (old.cfg.Secrets != cfg.Secrets || cfg.Secrets.Key != "") {
		s.stored.Store(l.Stale()) // other keys may be able to open more
	}
	s.force(old, next)
	if level, err := zapcore.ParseLevel(cfg.Log.Level); err == nil {
		s.Level.SetLevel(level)
	}
	return restart, nil
}

// force replaces old with next.
func (s *Service) force(old, next *snapshot) {
	s.current.Store(next)
	if next.client != old.client {
		old.client.Close()
	}
	s.health.Keep(next.calls)
}

// reread reads the configuration again. A file that has vanished or become empty is treated
// as a mishap, not as a wish to return to the defaults.
func (s *Service) reread(ctx context.Context, running *config.Config) (*config.Config, error) {
	if running.File != "" {
		if info, err := os.Stat(running.File); err == nil && !info.Mode().IsRegular() {
			return nil, errNoFile
		}
	}
	from := *s.From
	from.secrets = s.secrets.Keeper
	cfg, _, err := LoadService(ctx, from)
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

// recordPrices stores the prices in the database before any row refers to them.
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
	if len(fresh) == 0 || !s.ready.up() { // otherwise all are recorded once the database is up
		return nil
	}
	if err := s.store.RecordPrices(ctx, fresh); err != nil {
		return fmt.Errorf("prices: %w", err)
	}
	return nil
}

// watchEvery is how often we check whether a file has changed. A changed file is only read
// once it looks the same at the next check, so that we never read a half-written file.
const watchEvery = time.Second

// watch reloads when a file has changed, or at once on request, until ctx ends. It compares
// the contents of files, whatever links lead to them: editors replace files, and Kubernetes
// swaps a link to the directory that contains them.
func (s *Service) watch(ctx context.Context) error {
	if s.From == nil {
		return nil
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	read := digests(s.now().files) // those of the configuration in force or of the one rejected
	seen := read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Hangup:
			seen = digests(s.now().files)
		case <-s.secrets.rotated:
			seen = digests(s.now().files)
		case <-t.C:
			before := seen
			seen = digests(s.now().files)
			if maps.Equal(seen, read) || !maps.Equal(seen, before) {
				continue
			}
		}
		read = seen
		again := s.reload(ctx)
		seen = digests(s.now().files)
		if read = only(read, seen); again {
			read = nil
		}
	}
}

// only returns the digests in read of the files in now; for files new in now, it returns
// those in now.
func only(read, now map[string]digest) map[string]digest {
	both := maps.Clone(now)
	for name := range now {
		if d, ok := read[name]; ok {
			both[name] = d // if it has changed since, it is read again
		}
	}
	return both
}

// digest identifies the contents of a file.
type digest [sha256.Size]byte

// mostDigested is far above the size of any configuration file.
const mostDigested = 8 << 20

// digests returns the digests of the named files; zero for anything that isn't a file or
// can't be read.
func digests(names []string) map[string]digest {
	all := make(map[string]digest, len(names))
	for _, name := range names {
		all[name] = digestOf(name)
	}
	return all
}

func digestOf(name string) (d digest) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return d
	}
	f, err := os.Open(name)
	if err != nil {
		return d
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, mostDigested)); err != nil {
		return d
	}
	return digest(sum.Sum(nil))
}

// followEvery is how often we check whether providers or credentials were changed by
// another router or on the host.
const followEvery = 800 * time.Millisecond

// followUpstreams applies what administrators store, until ctx ends.
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

// takeUp puts what is stored in force, unless it already is.
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

// loadStored reads what is stored and puts it in force. A key that can't be read at the
// moment opens nothing new.
func (s *Service) loadStored(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	old, before := s.now(), s.stored.Load()
	l, err := upstream.Load(ctx, s.store, s.ring(ctx, old.cfg), before, time.Now())
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

// flushEvery is how often collected entries are written down.
const flushEvery = 10 * time.Second

// flushing writes down collected entries periodically until ctx ends, and once more at the
// end.
func flushing(ctx context.Context, write func(context.Context)) error {
	for Wait(ctx, flushEvery) {
		write(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
	defer cancel()
	write(last)
	return nil
}

// writeUses writes down when credentials were used until ctx ends, and once more at the
// end.
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

// endVersionsEvery is how often we look for secrets whose overlap is over.
const endVersionsEvery = time.Minute

// endVersions destroys credential secrets whose overlap is over, until ctx ends.
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
