package main

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
)

// keysCommand is "tallyroute keys".
type keysCommand struct {
	Create   keysCreate   `cmd:"" help:"Create a key and print its secret, once."`
	List     keysList     `cmd:"" help:"List the keys."`
	Show     keysShow     `cmd:"" help:"Show a key, its limits and what is used of them."`
	Find     keysFind     `cmd:"" help:"Say whose key a secret is; it is read from standard input."`
	Update   keysUpdate   `cmd:"" help:"Change what a key may do, or move it to another project."`
	Rotate   keysRotate   `cmd:"" help:"Give a key a new secret; the old one stays good for a while."`
	HandOver keysHandOver `cmd:"" help:"Make a link that shows a new secret of a key once."`
	Deliver  keysDeliver  `cmd:"" help:"Have the secrets of a key written to a sink, a new one at once and whenever it is due."`
	Sinks    keysSinks    `cmd:"" help:"List where secrets of keys are delivered, and what has failed."`
	TopUp    keysTopUp    `cmd:"" help:"Add to the budget of a key that is spent once."`
	Disable  keysDisable  `cmd:"" help:"Refuse a key until it is enabled."`
	Enable   keysEnable   `cmd:"" help:"Let a key go on that was disabled, or stopped for its overrun."`
	Revoke   keysRevoke   `cmd:"" help:"End a key for good."`
	Archive  keysArchive  `cmd:"" help:"End a key for good and destroy its secrets; what it spent stays."`
	Scan     keysScan     `cmd:"" help:"Find keys of ours in files and git histories."`
	Drill    keysDrill    `cmd:"" help:"Rehearse issue, use, rotation and revocation on a key that is made for it, and print how long each took."`
}

type keysCreate struct {
	plainFormat
	Name                 string            `help:"What the key is for." required:"" placeholder:"NAME"`
	Team                 string            `help:"Name of the team; made if it is new." default:"default" placeholder:"NAME"`
	Project              string            `help:"Name or id of the project; made if it is new." default:"default" placeholder:"NAME"`
	CostCenter           string            `help:"To which a team that is new is charged." placeholder:"NAME"`
	Env                  string            `help:"Environment: prod, staging or dev. Default: the project's, or dev." placeholder:"ENV"`
	BudgetUSD            *config.USD       `help:"Dollars per period." placeholder:"AMOUNT"`
	BudgetTokens         *int64            `help:"Tokens per period." placeholder:"N"`
	Period               string            `help:"When the budget resets: ${enum}." enum:"day,week,month,quarter,year,once" default:"month"`
	Zone                 string            `help:"Time zone of the period, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	Models               []string          `help:"Models it may ask for, as names, aliases or provider/*. Default: all." placeholder:"A,B"`
	ExpiresIn            config.Duration   `help:"How long it is good for, such as 90d. Default: for ever." placeholder:"DURATION"`
	RPM                  int64             `help:"Requests per minute." placeholder:"N"`
	TPM                  int64             `help:"Tokens per minute." placeholder:"N"`
	CIDR                 []config.Prefix   `help:"Addresses it may be used from. Default: anywhere." placeholder:"RANGE"`
	AllowUnpriced        bool              `help:"May use models without a known price, despite a budget in dollars."`
	AllowProviderObjects bool              `help:"May name what is stored at providers, where all keys share one account."`
	Tags                 map[string]string `help:"Tags on all that it spends." placeholder:"NAME=VALUE"`
	Purpose              string            `help:"What it is for, in words." placeholder:"TEXT"`
	Owner                string            `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Sensitivity          string            `help:"How much harm it can do in wrong hands: critical, high, normal or low." enum:"critical,high,normal,low" default:"normal" placeholder:"LEVEL"`
	RotateEvery          config.Duration   `help:"How often it should get a new secret. Default: 7d, 30d, 90d or 180d, by its sensitivity." placeholder:"DURATION"`
	Handover             bool              `help:"Print a link that shows the secret once to whoever opens it, in place of the secret."`
	HandoverFor          config.Duration   `help:"How long the link is good." default:"24h" placeholder:"DURATION"`
	SecretOnly           bool              `help:"Print the secret and nothing else."`
}

// Run creates the key.
func (c keysCreate) Run(a *cli) error {
	return a.withNewStore(func(s billing.Store, cfg *config.Config) error {
		actions, err := a.keyActions(s, cfg)
		if err != nil {
			return err
		}
		if c.Handover {
			key, token, err := actions.CreateKeyFor(a.ctx, c.request(cfg), time.Duration(c.HandoverFor), by(""))
			if err != nil {
				return err
			}
			return printHandover(a, c.Output, &key.Key, token, cfg)
		}
		key, secret, err := actions.CreateKey(a.ctx, c.request(cfg), by(""))
		if err != nil {
			return err
		}
		return c.print(a, &key, secret)
	})
}

// withKeys is withActions for what makes keys or looks at their secrets.
func (a *cli) withKeys(do func(manage.Actions, *config.Config) error) error {
	return a.withStore(func(s billing.Store, cfg *config.Config) error {
		actions, err := a.keyActions(s, cfg)
		if err != nil {
			return err
		}
		return do(actions, cfg)
	})
}

// keyActions are what can be done in s, once it is certain that keys are hashed
// under the pepper that the routers use.
func (a *cli) keyActions(s billing.Store, cfg *config.Config) (manage.Actions, error) {
	pepper, err := app.ReadPepper(a.ctx, cfg)
	if err != nil {
		return manage.Actions{}, err
	}
	return manage.Actions{
			Store: s, Pepper: pepper.Pepper, KnownModel: app.KnownModel(a.ctx, cfg, a.source().Demo), Groups: cfg.Groups,
			SinkNames: cfg.SinkNames(),
		},
		pepper.Confirm(a.ctx, s)
}

// by is who works at the command line.
func by(reason string) manage.By {
	host, _ := os.Hostname() // the record is worth more than the name
	return manage.By{Actor: whoami(), Source: host, Reason: reason, Access: rbac.Everything()}
}

func (c keysCreate) request(cfg *config.Config) manage.KeyRequest {
	req := manage.KeyRequest{
		Name: c.Name, Team: c.Team, Project: c.Project, CostCenter: c.CostCenter, Environment: c.Env,
		Models: c.Models, AllowedCIDRs: config.Prefixes(c.CIDR), RequestsPerMinute: c.RPM, TokensPerMinute: c.TPM,
		AllowUnpriced: c.AllowUnpriced || cfg.Defaults.OnUnpriced == "allow", AllowProviderObjects: c.AllowProviderObjects, Tags: c.Tags,
		Purpose: c.Purpose, Address: c.Owner, Sensitivity: billing.Sensitivity(c.Sensitivity), RotateEvery: time.Duration(c.RotateEvery),
	}
	if c.ExpiresIn > 0 {
		req.ExpiresAt = time.Now().UTC().Add(time.Duration(c.ExpiresIn))
	}
	if b := (billing.Budget{
		Period: billing.Period(c.Period), Zone: c.Zone, Money: c.BudgetUSD.Money(),
		Tokens: c.BudgetTokens,
	}); b.Money != nil || b.Tokens != nil {
		req.Budgets = []billing.Budget{b}
	} else if b, ok := defaultBudget(cfg.Defaults.KeyBudget); ok {
		req.Budgets = []billing.Budget{b}
	}
	return req
}

// defaultBudget is the budget of a key that is created without one, if there is one.
func defaultBudget(b config.KeyBudget) (billing.Budget, bool) {
	return billing.Budget{Period: b.Period, Zone: b.Zone, Money: b.USD.Money(), Tokens: b.Tokens}, b.USD != nil || b.Tokens != nil
}

// whoami is who works at the command line, for the key's own record.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

func (c keysCreate) print(a *cli, key *billing.Key, secret billing.Secret) error {
	if c.SecretOnly {
		_, err := fmt.Fprintln(a.stdout, secret.Reveal())
		return err
	}
	if c.Output == "json" {
		return printJSON(a.stdout, struct {
			manage.KeyView
			Secret string `json:"secret"`
		}{manage.ViewKey(key, time.Now()), secret.Reveal()})
	}
	fmt.Fprintf(a.stdout, "%s\n\n", secret.Reveal())
	fmt.Fprintln(a.stdout, "That is the key. It is shown this once and stored nowhere.")
	return printKey(a, key, nil)
}

type keysList struct {
	format
	Team    string          `help:"Of this team." placeholder:"NAME"`
	Project string          `help:"Of this project." placeholder:"NAME"`
	Status  string          `help:"With this status: active, disabled, stopped, expired, revoked or archived." placeholder:"STATUS"`
	Query   string          `short:"q" help:"With this in the name or in what is shown of the secret, or at the start of the id." placeholder:"TEXT"`
	Stale   config.Duration `help:"Not used for so long, nor made since, such as 90d." placeholder:"DURATION"`
	Due     bool            `help:"That should have got a new secret by now."`
}

// Run lists the keys.
func (c keysList) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		now := time.Now()
		t := table{header: []string{"ID", "NAME", "KEY", "TEAM", "PROJECT", "ENV", "STATUS", "EXPIRES", "LAST USED"}}
		views := []manage.KeyView{}
		f := billing.KeyFilter{Team: c.Team, Project: c.Project, Status: c.Status, Query: c.Query}
		if c.Stale > 0 {
			f.Unused = now.Add(-time.Duration(c.Stale))
		}
		for more := true; more; {
			keys, rest, err := m.Keys(a.ctx, f)
			if err != nil {
				return err
			}
			for i := range keys {
				k, v := &keys[i], manage.ViewKey(&keys[i], now)
				f.After = k.ID
				if c.Due && !k.RotationOverdue(now) {
					continue
				}
				t.add(text(v.ID), text(k.Name), text(k.Display), text(k.Team), text(k.Project), text(k.Environment),
					text(v.Status), text(expiry(k.ExpiresAt, now)), text(ago(k.LastUsedAt, now)))
				views = append(views, v)
			}
			more = rest
		}
		t.records = views
		return t.write(a.stdout, c.Output)
	})
}

func expiry(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case t.After(now):
		return "in " + span(t.Sub(now))
	}
	return ago(t, now)
}

type keysShow struct {
	plainFormat
	ID string `arg:"" help:"Id of the key: key_…"`
}

// shownKey is a key with its budgets as they stand and the versions of its secret.
type shownKey struct {
	manage.KeyView
	Versions  []manage.VersionView `json:"versions"`
	Handovers int                  `json:"pending_handovers"`
}

// Run shows the key.
func (c keysShow) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		key, err := m.Key(a.ctx, billing.KeyID(c.ID))
		if err != nil {
			return err
		}
		balances, err := m.Balances(a.ctx, &key)
		if err != nil {
			return err
		}
		versions, pending, err := m.Versions(a.ctx, key.ID)
		if err != nil {
			return err
		}
		v := shownKey{manage.ViewKey(&key, time.Now()), manage.ViewVersions(versions, time.Now()), len(pending)}
		v.Budgets = manage.ViewBalances(balances)
		if c.Output == "json" {
			return printJSON(a.stdout, v)
		}
		if err := printKey(a, &key, balances); err != nil {
			return err
		}
		return printVersions(a, v)
	})
}

// printKey writes a key for people, with how its budgets stand where that is known.
func printKey(a *cli, k *billing.Key, balances []billing.Balance) error {
	var t table
	line := func(name, value string) {
		if value != "" {
			t.add(text(name), text(value))
		}
	}
	v := manage.ViewKey(k, time.Now())
	line("id", v.ID)
	line("name", v.Name)
	line("key", v.Display)
	line("status", v.Status)
	line("owner", fmt.Sprintf("%s / %s (%s), cost center %s", k.Team, k.Project, k.Environment, k.CostCenter))
	line("models", orElse(strings.Join(v.Models, ", "), "all"))
	line("from", orElse(strings.Join(v.AllowedCIDRs, ", "), "anywhere"))
	for _, b := range k.Budgets {
		line("budget", budgetLine(b, balances))
	}
	if k.RequestsPerMinute > 0 {
		line("requests", fmt.Sprintf("%d per minute", k.RequestsPerMinute))
	}
	if k.TokensPerMinute > 0 {
		line("tokens", fmt.Sprintf("%d per minute", k.TokensPerMinute))
	}
	line("tags", tagText(k.Tags))
	line("purpose", v.Purpose)
	if v.Owner != nil {
		line("answers", *v.Owner)
	}
	line("rotation", rotationLine(k))
	line("expires", orElse(timestamp(k.ExpiresAt), "never"))
	if k.Overrun != (billing.Amount{}) {
		line("overrun", fmt.Sprintf("%d tokens, $%s", k.Overrun.Tokens, k.Overrun.Money.Short()))
	}
	line("stopped", timestamp(k.StoppedAt))
	if !k.DisabledAt.IsZero() {
		line("disabled", strings.TrimSpace(timestamp(k.DisabledAt)+" by "+k.DisabledBy+" "+k.DisabledReason))
	}
	if k.EnabledBy != "" {
		line("enabled", strings.TrimSpace(timestamp(k.EnabledAt)+" by "+k.EnabledBy+" "+k.EnabledReason))
	}
	line("revoked", strings.TrimSpace(timestamp(k.RevokedAt)+" "+k.RevokedReason))
	line("archived", timestamp(k.ArchivedAt))
	line("last used", timestamp(k.LastUsedAt))
	line("created", timestamp(k.CreatedAt)+" by "+k.CreatedBy)
	return t.printTable(a.stdout)
}

// tagText is tags in one line: "feature=checkout, step=2".
func tagText(tags map[string]string) string {
	parts := make([]string, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, name+"="+tags[name])
	}
	return strings.Join(parts, ", ")
}

// budgetLine is a budget in words: "key, per month (UTC): $3.2 of $50, resets 2026-12-01T00:00:00Z".
func budgetLine(b billing.Budget, balances []billing.Balance) string {
	var usedUSD, usedTokens, resets string
	for _, s := range balances {
		if s.Budget.ID != b.ID {
			continue
		}
		usedUSD, usedTokens = s.UsedMoney.Short()+" of $", fmt.Sprintf("%d of ", s.UsedTokens)
		if !s.Window.End.IsZero() {
			resets = ", resets " + timestamp(s.Window.End)
		}
	}
	var limits []string
	if b.Money != nil {
		limits = append(limits, "$"+usedUSD+b.Money.Short())
	}
	if b.Tokens != nil {
		limits = append(limits, fmt.Sprintf("%s%d tokens", usedTokens, *b.Tokens))
	}
	return fmt.Sprintf("%s, per %s (%s): %s%s", b.Scope, b.Period, orElse(b.Zone, "UTC"), strings.Join(limits, ", "), resets)
}

type keysRevoke struct {
	ID     string `arg:"" optional:"" help:"Id of the key: key_…"`
	Secret string `help:"In place of the id, - : the key's secret is read from standard input." placeholder:"-"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run revokes the key.
func (c keysRevoke) Run(a *cli) error {
	if (c.ID == "") == (c.Secret == "") || (c.Secret != "" && c.Secret != "-") {
		return usagef("give the id of the key, or --secret - and the secret on standard input")
	}
	with := a.withActions
	if c.Secret != "" {
		with = a.withKeys
	}
	return with(func(m manage.Actions, _ *config.Config) error {
		id := billing.KeyID(c.ID)
		if c.Secret != "" {
			key, err := a.findKey(m)
			if err != nil {
				return err
			}
			id = key.ID
		}
		key, err := m.RevokeKey(a.ctx, id, manage.Ending{}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s is revoked since %s. Routers refuse it within a second.\n", key.ID, timestamp(key.RevokedAt))
		return err
	})
}

type keysEnable struct {
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run lets the key go on.
func (c keysEnable) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		key, err := m.EnableKey(a.ctx, billing.KeyID(c.ID), manage.Ending{}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s is %s. Routers accept it within a second where that is active; an overrun it was stopped for "+
			"counts anew.\n", key.ID, key.Status(time.Now()))
		return err
	})
}
