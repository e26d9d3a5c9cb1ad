package main

import (
	"fmt"

	"tallyroute/billing/governance"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/countries"
)

// configCommand is "tallyroute config".
type configCommand struct {
	Check configCheck `cmd:"" help:"Read the configuration and report everything that is wrong with it."`
	Print configPrint `cmd:"" help:"Print the configuration."`
}

type configCheck struct {
	Rules          string `help:"A file with the organisation's rules. Default: those of the database, if it answers." placeholder:"FILE"`
	WithoutSecrets bool   `help:"Skip what only the router's own machine has, such as the pepper, to check a file elsewhere."`
}

// lawful refuses a configuration that breaks the organisation's rules.
func (c configCheck) lawful(a *cli.Context, cfg *config.Config, b app.Catalogue) error {
	setup := app.SetupOf(cfg, b)
	if c.Rules != "" {
		rules, err := cli.ReadDocument[governance.Rules](a, c.Rules)
		if err != nil {
			return err
		}
		return governance.Refusal(rules.OfSetup(setup))
	}
	if c.WithoutSecrets {
		return nil
	}
	return app.CheckRules(a.Ctx, cfg, setup)
}

// Run reads the configuration and refuses whatever serve would refuse.
func (c configCheck) Run(a *cli.Context) error {
	read := a.Service
	if c.WithoutSecrets {
		read = a.Settings
	}
	cfg, b, err := read()
	if err != nil {
		return err
	}
	if err := c.lawful(a, cfg, b); err != nil {
		return err
	}
	if err := new(countries.File).Use(cfg.Anomalies.Countries); err != nil && !c.WithoutSecrets {
		return fmt.Errorf("anomalies.countries: %w", err)
	}
	where := cfg.File
	if where == "" {
		where = "no file, defaults and environment"
	}
	ready := 0
	for _, p := range b.Providers() {
		if p.Configured {
			ready++
		}
	}
	_, err = fmt.Fprintf(a.Stdout, "ok: %s; %d of %d providers have their credential\n", where, ready, len(b.Providers()))
	return err
}

type configPrint struct {
	Effective bool `help:"Include defaults and the environment. Without it, only differences from the defaults are printed."`
}

// Run prints the configuration as an equivalent file. Passwords are left out; secrets are
// references, so they can be shown.
func (c configPrint) Run(a *cli.Context) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	base := config.Default()
	if c.Effective {
		base = config.Config{}
	}
	return config.Print(a.Stdout, cfg, &base)
}
