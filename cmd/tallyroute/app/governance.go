package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/secret"
)

// SetupOf is what the organisation's rules ask of a configuration and of the providers
// that it leads to.
func SetupOf(c *config.Config, providers Catalogue) governance.Setup {
	s := governance.Setup{
		LogLevel: c.Log.Level, AlertsOff: c.Alerts.Every == 0, Sinks: c.SinkNames(),
		Kept: map[string]time.Duration{
			"events": time.Duration(c.EventsKeep), "access_log": orNever(c.AccessKeep), "idempotency": orNever(c.Idempotency.TTL),
		},
	}
	for _, channel := range c.Alerts.Channels {
		to := channel.Route()
		one := governance.Channel{Name: to.Name, Narrowed: len(to.Teams) > 0 || to.Least == billing.Critical || to.Owners}
		for _, kind := range to.Kinds {
			one.Kinds = append(one.Kinds, string(kind))
		}
		s.Channels = append(s.Channels, one)
	}
	for _, use := range c.SecretUses() {
		s.Secrets = append(s.Secrets, governance.Secret{Setting: use.Setting, Source: use.Source})
	}
	s.Facts = factsOf(c)
	if providers.Catalogue == nil {
		return s
	}
	for _, p := range providers.Providers() {
		if !p.Configured {
			continue
		}
		s.Facts.Providers = append(s.Facts.Providers, p.Name)
		for _, ref := range p.References {
			s.Secrets = append(s.Secrets, governance.Secret{
				Setting: "providers." + p.Name, Source: secret.SourceOf(ref), Environments: p.Environments,
			})
		}
	}
	return s
}

func orNever(l config.Lifetime) time.Duration {
	if l == 0 {
		return governance.Never
	}
	return time.Duration(l)
}

// factsOf are what the written policy tells of a configuration.
func factsOf(c *config.Config) governance.Facts {
	f := governance.Facts{
		Database: "PostgreSQL", Login: c.Login.Issuer, MFA: len(c.Login.MFA) > 0, LeakListener: c.Leaks.Listen != "off" && c.Leaks.Listen != "",
		PepperSource: secret.SourceOf(string(c.KeyPepper)), IntegrityRuns: time.Duration(c.IntegrityEvery),
		KeyEnded: time.Duration(c.Timeouts.KeyEnded),
	}
	if _, err := c.Database.SQLitePath(); err == nil {
		f.Database = "SQLite"
	}
	return f
}

// CheckRules refuses a configuration that breaks the rules in its database. Where there is
// no database yet, or it cannot be asked, there are no rules to check by.
func CheckRules(ctx context.Context, c *config.Config, s governance.Setup) error {
	if path, err := c.Database.SQLitePath(); err == nil {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	store, err := OpenStore(ctx, c)
	if err != nil {
		return nil //nolint:nilerr // a database that is away is not a fault of the configuration
	}
	defer func() { _ = store.Close() }()
	if store.Ready(ctx) != nil {
		return nil // its tables are older than the rules, or it does not answer
	}
	found, err := manage.Actions{Store: store}.SetupFindings(ctx, s)
	return errors.Join(err, governance.Refusal(found))
}

// lawful refuses what breaks the organisation's rules.
func (s *Service) lawful(ctx context.Context, n *snapshot) error {
	found, err := manage.Actions{Store: s.store}.SetupFindings(ctx, SetupOf(n.cfg, n.catalogue))
	return errors.Join(err, governance.Refusal(found))
}

// reviewEvery is how often it is looked whether access is to be reviewed.
const reviewEvery = time.Minute

// reviewAccess begins reviews of access that are due, and tells of those that are overdue,
// until ctx ends. Of several routers one begins each.
func (s *Service) reviewAccess(ctx context.Context) error {
	for pause := lastTry; Wait(ctx, pause); {
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
