package keys

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/finance"
)

type keysUpdate struct {
	cli.PlainFormat
	ID                   string            `arg:"" help:"Id of the key: key_…"`
	Name                 *string           `help:"The name of the key." placeholder:"NAME"`
	Project              string            `help:"Name or id of the project that it moves to; its spend stays." placeholder:"NAME"`
	Team                 string            `help:"The team of the project." placeholder:"NAME"`
	BudgetUSD            *config.USD       `help:"Dollars per period, instead of its own budget for that period." placeholder:"AMOUNT"`
	BudgetTokens         *int64            `help:"Tokens per period." placeholder:"N"`
	BudgetRequests       *int64            `help:"Requests per period." placeholder:"N"`
	Period               string            `help:"As for keys create. Default: month." enum:",${periods}" default:"" placeholder:"PERIOD"`
	Zone                 string            `help:"Time zone of the period. Default: that of the budget, or UTC." placeholder:"ZONE"`
	NoBudgets            bool              `help:"Remove all budgets and limits of its own except --rpm, --tpm and --concurrent."`
	Models               []string          `help:"Models it may use; * means all." placeholder:"A,B"`
	ExpiresIn            *config.Duration  `help:"How long it is valid, counted from now." placeholder:"DURATION"`
	NeverExpires         bool              `help:"Remove its expiry."`
	RPM                  *int64            `help:"Requests per minute; 0 means no limit." placeholder:"N"`
	TPM                  *int64            `help:"Tokens per minute; 0 means no limit." placeholder:"N"`
	Concurrent           *int64            `help:"Requests in progress at the same time; 0 means no limit." placeholder:"N"`
	CIDR                 []config.Prefix   `help:"Addresses it may be used from." placeholder:"RANGE"`
	Anywhere             bool              `help:"It may be used from any address."`
	AllowUnpriced        *bool             `help:"May use models without a known price, despite a budget in dollars." negatable:""`
	AllowProviderObjects *bool             `help:"May use objects stored at providers." negatable:""`
	KeepResponses        *bool             `help:"May have its responses kept, encrypted." negatable:""`
	Tags                 map[string]string `help:"Tags on everything that it spends, replacing the present ones." placeholder:"NAME=VALUE"`
	Purpose              *string           `help:"What it is for, in words." placeholder:"TEXT"`
	Owner                *string           `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Sensitivity          string            `help:"critical, high, normal or low." enum:",${levels}" default:"" placeholder:"LEVEL"`
	Client               string            `help:"Where its secret is: server or browser." enum:",server,browser" default:""`
	RotateEvery          *config.Duration  `help:"How often it should get a new secret; 0s: by sensitivity." placeholder:"DURATION"`
	DryRun               bool              `help:"Only show the key that would result."`
	Reason               string            `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the key.
func (c keysUpdate) Run(a *cli.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		call := adminapi.Patch("/keys"+adminapi.Path(c.ID), nil)
		change := c.body()
		if err := c.budgets(a, r, &call, change); err != nil {
			return err
		}
		call.Body = change
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, call)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, key)
		}
		return printKey(a, key)
	})
}

// check refuses flags that contradict each other or would have no effect.
func (c keysUpdate) check() error {
	budget := c.BudgetUSD != nil || c.BudgetTokens != nil || c.BudgetRequests != nil
	switch {
	case c.ExpiresIn != nil && c.NeverExpires || c.CIDR != nil && c.Anywhere || c.NoBudgets && budget:
		return cli.Usagef("two of the flags contradict each other")
	case (c.Period != "" || c.Zone != "") && !budget:
		return cli.Usagef("--period and --zone need --budget-usd, --budget-tokens or --budget-requests")
	case c.ExpiresIn != nil && *c.ExpiresIn <= 0:
		return cli.Usagef("--expires-in must be more than 0s: to end the key, revoke it")
	}
	return nil
}

// body returns the request body for the given flags, without budgets.
func (c keysUpdate) body() cli.Fields {
	change, limits := cli.Fields{}, limitsOf(c.RPM, c.TPM, c.Concurrent)
	for name, to := range map[string]*string{"name": c.Name, "purpose": c.Purpose, "owner": c.Owner} {
		if to != nil {
			change[name] = strings.TrimSpace(*to)
		}
	}
	for name, to := range map[string]string{
		"project": c.Project, "team": c.Team, "reason": c.Reason, "sensitivity": c.Sensitivity,
	} {
		if to != "" {
			change[name] = to
		}
	}
	for name, to := range map[string]*bool{
		"allow_unpriced": c.AllowUnpriced, "allow_provider_objects": c.AllowProviderObjects, "keep_responses": c.KeepResponses,
	} {
		if to != nil {
			change[name] = *to
		}
	}
	if c.NoBudgets { // the per-minute and concurrency limits are budgets too
		none := int64(0)
		limits = limitsOf(cmp.Or(c.RPM, &none), cmp.Or(c.TPM, &none), cmp.Or(c.Concurrent, &none))
	}
	if len(limits) > 0 {
		change["limits"] = limits
	}
	if c.Models != nil {
		change["models"] = c.Models
	}
	if c.CIDR != nil || c.Anywhere {
		change["allowed_cidrs"] = c.CIDR
	}
	if len(c.Tags) > 0 {
		change["tags"] = c.Tags
	}
	if c.RotateEvery != nil {
		change["rotate_every"] = *c.RotateEvery
	}
	if c.Client != "" {
		change["client"] = c.Client
	}
	if c.DryRun {
		change["dry_run"] = true
	}
	switch {
	case c.NeverExpires:
		change["expires_at"] = nil
	case c.ExpiresIn != nil:
		change["expires_in"] = *c.ExpiresIn
	}
	return change
}

// budgets adds the key's new set of own budgets. A given one replaces the one for its
// period; the others stay, so the change depends on the version of the key that was read.
func (c keysUpdate) budgets(a *cli.Context, r adminapi.API, call *adminapi.Call, change cli.Fields) error {
	if c.NoBudgets {
		change["budgets"] = []cli.Fields{}
	}
	if c.BudgetUSD == nil && c.BudgetTokens == nil && c.BudgetRequests == nil {
		return nil
	}
	key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Get("/keys"+adminapi.Path(c.ID), nil))
	if err != nil {
		return err
	}
	fresh := cli.Fields{"period": cli.OrElse(c.Period, string(billing.PeriodMonth)), "zone": c.Zone}
	finance.Limit(fresh, c.BudgetUSD, c.BudgetTokens, c.BudgetRequests)
	budgets := []cli.Fields{fresh}
	for _, b := range key.Budgets {
		if b.Scope == string(billing.ScopeKey) && b.Period != fresh["period"] && !billing.Period(b.Period).Passes() {
			budgets = append(budgets, cli.Fields{"period": b.Period})
		}
	}
	change["budgets"], call.Version = budgets, key.Version
	return nil
}

type keysFind struct{ cli.PlainFormat }

// Run says which key the secret on standard input belongs to.
func (c keysFind) Run(a *cli.Context) error {
	secret, err := readSecret(a)
	if err != nil {
		return err
	}
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Post("/keys/find", cli.Fields{"secret": secret}))
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, key)
		}
		return printKey(a, key)
	})
}

// readSecret reads the secret from standard input. It never repeats it in an error.
func readSecret(a *cli.Context) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(a.Stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("standard input: %w", err)
	}
	return line, nil
}

type keysDisable struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run disables the key.
func (c keysDisable) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(c.ID, "disable"),
			cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is disabled since %s. Routers refuse it within a second, until it is enabled.\n", key.ID,
			cli.Value(key.DisabledAt))
		return err
	})
}

type keysArchive struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run archives the key and destroys its secrets.
func (c keysArchive) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(c.ID, "archive"),
			cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is archived since %s: its secrets and hand-overs are destroyed, what it spent stays.\n", key.ID,
			cli.Value(key.ArchivedAt))
		return err
	})
}

type keysTopUp struct {
	cli.Rehearsal
	ID        string     `arg:"" help:"Id of the key: key_…"`
	USD       config.USD `help:"Dollars to add." required:"" placeholder:"AMOUNT"`
	Reference string     `help:"Number of the order or payment. Repeating one changes nothing." required:"" placeholder:"TEXT"`
	Reason    string     `help:"Why, for the record." placeholder:"TEXT"`
}

// Run adds to the budget.
func (c keysTopUp) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		b, err := adminapi.Do[manage.BudgetView](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(c.ID, "top-up"), cli.Fields{
			"usd": billing.Money(c.USD).String(), "reference": c.Reference, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", b.ID, finance.BudgetLine(b))
		return err
	})
}
