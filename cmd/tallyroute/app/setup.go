package app

import (
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
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
		Database: "PostgreSQL", Login: c.Login.Issuer, MFA: len(c.Login.MFA) > 0, LeakListener: c.Leaks.Listen != "off" &&
			c.Leaks.Listen != "",
		PepperSource: secret.SourceOf(string(c.KeyPepper)), IntegrityRuns: time.Duration(c.IntegrityEvery),
		KeyEnded: time.Duration(c.Timeouts.KeyEnded),
	}
	if _, err := c.Database.SQLitePath(); err == nil {
		f.Database = "SQLite"
	}
	return f
}
