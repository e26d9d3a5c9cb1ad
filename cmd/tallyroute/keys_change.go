package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

type keysUpdate struct {
	plainFormat
	ID                   string            `arg:"" help:"Id of the key: key_…"`
	Name                 *string           `help:"What the key is called." placeholder:"NAME"`
	Project              string            `help:"Name or id of the project that it moves to; what it spent stays where it is." placeholder:"NAME"`
	Team                 string            `help:"Whose project that is." placeholder:"NAME"`
	BudgetUSD            *config.USD       `help:"Dollars per period, in place of its own budget for that period." placeholder:"AMOUNT"`
	BudgetTokens         *int64            `help:"Tokens per period, likewise." placeholder:"N"`
	Period               string            `help:"Which period: day, week, month, quarter, year or once. Default: month." enum:",day,week,month,quarter,year,once" default:"" placeholder:"PERIOD"`
	Zone                 string            `help:"Time zone of the period. Default: that of the budget, or UTC." placeholder:"ZONE"`
	NoBudgets            bool              `help:"No budgets of its own any more."`
	Models               []string          `help:"Models it may ask for; * is all." placeholder:"A,B"`
	ExpiresIn            *config.Duration  `help:"How long it is good for from now." placeholder:"DURATION"`
	NeverExpires         bool              `help:"It has no end any more."`
	RPM                  *int64            `help:"Requests per minute; 0 means no limit." placeholder:"N"`
	TPM                  *int64            `help:"Tokens per minute; 0 means no limit." placeholder:"N"`
	CIDR                 []config.Prefix   `help:"Addresses it may be used from." placeholder:"RANGE"`
	Anywhere             bool              `help:"It may be used from any address."`
	AllowUnpriced        *bool             `help:"May use models without a known price, despite a budget in dollars." negatable:""`
	AllowProviderObjects *bool             `help:"May name what is stored at providers." negatable:""`
	Tags                 map[string]string `help:"Tags on all that it spends, in place of those it has." placeholder:"NAME=VALUE"`
	Purpose              *string           `help:"What it is for, in words." placeholder:"TEXT"`
	Owner                *string           `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Sensitivity          string            `help:"critical, high, normal or low." enum:",critical,high,normal,low" default:"" placeholder:"LEVEL"`
	RotateEvery          *config.Duration  `help:"How often it should get a new secret; 0s is what its sensitivity says." placeholder:"DURATION"`
	DryRun               bool              `help:"Only say what the key would be."`
	Reason               string            `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the key.
func (c keysUpdate) Run(a *cli) error {
	if err := c.check(); err != nil {
		return err
	}
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		change := manage.KeyChange{Project: c.Project, Team: c.Team, DryRun: c.DryRun}
		if c.says() {
			change.Edit = c.edit
		}
		key, err := m.ChangeKey(a.ctx, billing.KeyID(c.ID), change, by(c.Reason))
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(a.stdout, manage.ViewKey(&key, time.Now()))
		}
		return printKey(a, &key, nil)
	})
}

// check refuses flags that contradict each other, or would have no effect.
func (c keysUpdate) check() error {
	budget := c.BudgetUSD != nil || c.BudgetTokens != nil
	switch {
	case c.ExpiresIn != nil && c.NeverExpires || c.CIDR != nil && c.Anywhere || c.NoBudgets && budget:
		return usagef("two of the flags contradict each other")
	case (c.Period != "" || c.Zone != "") && !budget:
		return usagef("--period and --zone need --budget-usd or --budget-tokens")
	case c.ExpiresIn != nil && *c.ExpiresIn <= 0:
		return usagef("--expires-in must be more than 0s: to end the key, revoke it")
	}
	return nil
}

// says reports whether anything of the key itself is to be different.
func (c keysUpdate) says() bool {
	c.plainFormat, c.ID, c.Project, c.Team, c.DryRun, c.Reason = plainFormat{}, "", "", "", false, ""
	return !reflect.ValueOf(c).IsZero()
}

// edit changes what flags were given for.
func (c keysUpdate) edit(k *billing.Key) {
	for _, text := range []struct{ to, from *string }{{&k.Name, c.Name}, {&k.Purpose, c.Purpose}, {&k.Address, c.Owner}} {
		if text.from != nil {
			*text.to = strings.TrimSpace(*text.from)
		}
	}
	for _, n := range []struct{ to, from *int64 }{{&k.RequestsPerMinute, c.RPM}, {&k.TokensPerMinute, c.TPM}} {
		if n.from != nil {
			*n.to = *n.from
		}
	}
	for _, may := range []struct{ to, from *bool }{{&k.AllowUnpriced, c.AllowUnpriced}, {&k.AllowProviderObjects, c.AllowProviderObjects}} {
		if may.from != nil {
			*may.to = *may.from
		}
	}
	if c.Models != nil {
		k.Models = c.Models
	}
	if c.CIDR != nil || c.Anywhere {
		k.AllowedCIDRs = config.Prefixes(c.CIDR)
	}
	if len(c.Tags) > 0 {
		k.Tags = c.Tags
	}
	if c.Sensitivity != "" {
		k.Sensitivity = billing.Sensitivity(c.Sensitivity)
	}
	if c.RotateEvery != nil {
		k.RotateEvery = time.Duration(*c.RotateEvery)
	}
	switch {
	case c.NeverExpires:
		k.ExpiresAt = time.Time{}
	case c.ExpiresIn != nil:
		k.ExpiresAt = time.Now().UTC().Add(time.Duration(*c.ExpiresIn)).Truncate(time.Second)
	}
	c.editBudgets(k)
}

func (c keysUpdate) editBudgets(k *billing.Key) {
	switch {
	case c.NoBudgets:
		manage.SetBudgets(k, nil)
	case c.BudgetUSD != nil || c.BudgetTokens != nil:
		fresh := manage.BudgetChange{Budget: billing.Budget{
			Period: billing.Period(orElse(c.Period, string(billing.PeriodMonth))), Zone: c.Zone,
			Money: c.BudgetUSD.Money(), Tokens: c.BudgetTokens,
		}}
		budgets := []manage.BudgetChange{fresh}
		for _, b := range k.Budgets {
			if b.Scope == billing.ScopeKey && b.Period != fresh.Period {
				budgets = append(budgets, manage.BudgetChange{Budget: b})
			}
		}
		manage.SetBudgets(k, budgets)
	}
}

type keysFind struct{ plainFormat }

// Run says whose key the secret on standard input is.
func (c keysFind) Run(a *cli) error {
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		key, err := a.findKey(m)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printJSON(a.stdout, manage.ViewKey(&key, time.Now()))
		}
		return printKey(a, &key, nil)
	})
}

// findKey is the key whose secret is on standard input. The secret is not repeated.
func (a *cli) findKey(m manage.Actions) (billing.Key, error) {
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return billing.Key{}, fmt.Errorf("standard input: %w", err)
	}
	return m.FindKey(a.ctx, line)
}

type keysDisable struct {
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run has the key refused.
func (c keysDisable) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		key, err := m.DisableKey(a.ctx, billing.KeyID(c.ID), manage.Ending{}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s is disabled since %s. Routers refuse it within a second, until it is enabled.\n", key.ID,
			timestamp(key.DisabledAt))
		return err
	})
}

type keysArchive struct {
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the key and destroys its secrets.
func (c keysArchive) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		key, err := m.ArchiveKey(a.ctx, billing.KeyID(c.ID), manage.Ending{}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s is archived since %s: its secrets and hand-overs are destroyed, what it spent stays.\n", key.ID,
			timestamp(key.ArchivedAt))
		return err
	})
}
