package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/finance"
	"tallyroute/router/admin"
)

// Command is "tallyroute keys".
type Command struct {
	Create   keysCreate   `cmd:"" help:"Create a key and print its secret, once."`
	List     keysList     `cmd:"" help:"List the keys."`
	Show     keysShow     `cmd:"" help:"Show a key, its limits and their usage."`
	Find     keysFind     `cmd:"" help:"Say whose key a secret is; it is read from standard input."`
	Update   keysUpdate   `cmd:"" help:"Change what a key may do, or move it to another project."`
	Rotate   keysRotate   `cmd:"" help:"Give a key a new secret; the old one stays valid for a while."`
	HandOver keysHandOver `cmd:"" help:"Create a link that shows a new secret of a key once."`
	Deliver  keysDeliver  `cmd:"" help:"Have the secrets of a key written to a sink: a new one now and whenever one is due."`
	Sinks    keysSinks    `cmd:"" help:"List where secrets of keys are delivered, and which deliveries have failed."`
	TopUp    keysTopUp    `cmd:"" help:"Add to the budget of a key that is spent once."`
	Disable  keysDisable  `cmd:"" help:"Refuse a key until it is enabled."`
	Enable   keysEnable   `cmd:"" help:"Enable a key that was disabled or stopped, or whose requests ran away."`
	Revoke   keysRevoke   `cmd:"" help:"End a key for good."`
	Archive  keysArchive  `cmd:"" help:"End a key for good and destroy its secrets; its spend is kept."`
	Shared   keysShared   `cmd:"" help:"List keys that several workloads use at the same time, and suggest how to split them."`
	Rights   keysRights   `cmd:"" help:"Compare what keys may do with what they did in 90 days."`
	Scan     keysScan     `cmd:"" help:"Find keys of this installation in files and git histories."`
	Drill    keysDrill    `cmd:"" help:"Rehearse issue, use, rotation and revocation with a temporary key, and time each."`
}

type keysCreate struct {
	cli.Rehearsal
	cli.PlainFormat
	Name                 string            `help:"What the key is for." required:"" placeholder:"NAME"`
	Team                 string            `help:"Name of the team; a new name creates one." default:"default" placeholder:"NAME"`
	Project              string            `help:"Name or id of the project; a new name creates one." default:"default" placeholder:"NAME"`
	CostCenter           string            `help:"Cost center of a new team." placeholder:"NAME"`
	Env                  string            `help:"Environment: prod, staging or dev. Default: the project's, or dev." placeholder:"ENV"`
	BudgetUSD            *config.USD       `help:"Dollars per period." placeholder:"AMOUNT"`
	BudgetTokens         *int64            `help:"Tokens per period." placeholder:"N"`
	BudgetRequests       *int64            `help:"Requests per period." placeholder:"N"`
	Period               string            `help:"When the budget resets: ${resets}." enum:",${periods}" default:"" placeholder:"PERIOD"`
	Zone                 string            `help:"Time zone of the period, such as Europe/Berlin. Default: UTC." placeholder:"ZONE"`
	Models               []string          `help:"Models it may use, as names, aliases or provider/*. Default: all." placeholder:"A,B"`
	ExpiresIn            config.Duration   `help:"How long it is valid, such as 90d. Default: forever." placeholder:"DURATION"`
	RPM                  *int64            `help:"Requests per minute." placeholder:"N"`
	TPM                  *int64            `help:"Tokens per minute." placeholder:"N"`
	Concurrent           *int64            `help:"Requests in progress at the same time." placeholder:"N"`
	CIDR                 []config.Prefix   `help:"Addresses it may be used from. Default: anywhere." placeholder:"RANGE"`
	AllowUnpriced        bool              `help:"May use models without a known price, despite a budget in dollars."`
	AllowProviderObjects bool              `help:"May use objects stored at providers, where all keys share one account."`
	KeepResponses        bool              `help:"May have its responses kept, encrypted, if the router keeps any."`
	Tags                 map[string]string `help:"Tags on everything that it spends." placeholder:"NAME=VALUE"`
	Purpose              string            `help:"What it is for, in words." placeholder:"TEXT"`
	Owner                string            `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Sensitivity          string            `help:"How much harm it can do: ${enum}." enum:"${levels}" default:"normal" placeholder:"LEVEL"`
	RotateEvery          config.Duration   `help:"How often it should get a new secret. Default: by sensitivity." placeholder:"DURATION"`
	Client               string            `help:"Where its secret is: ${enum}." enum:"server,browser" default:"server" placeholder:"KIND"`
	Policy               string            `help:"A file with further restrictions; - is standard input." placeholder:"FILE"`
	To                   string            `help:"Deliver its secrets to a configured sink; do not print them." placeholder:"SINK:PLACE"`
	Handover             bool              `help:"Print a link that shows the secret once, instead of the secret."`
	HandoverFor          *config.Duration  `help:"How long the link is valid. Default: 24h." placeholder:"DURATION"`
	SecretOnly           bool              `help:"Print the secret and nothing else."`
}

// Run creates the key.
func (c keysCreate) Run(a *cli.Context) error {
	key, err := c.body(a)
	if err != nil {
		return err
	}
	return a.Change(c.Rehearsal, cli.Needs{Creates: !c.DryRun, Keys: true}, func(r adminapi.API) error {
		made, err := adminapi.Do[admin.CreatedKey](a.Ctx, r, adminapi.Post("/keys", key))
		if err != nil {
			return err
		}
		if made.Handover != nil {
			return printHandover(a, c.Output, &made.KeyView, *made.Handover)
		}
		return c.print(a, made)
	})
}

// body returns the requested key. On the host, the defaults of its configuration apply.
func (c keysCreate) body(a *cli.Context) (cli.Fields, error) {
	key := cli.Fields{
		"name": c.Name, "team": c.Team, "project": c.Project, "cost_center": c.CostCenter,
		"limits":                 limitsOf(c.RPM, c.TPM, c.Concurrent),
		"allow_provider_objects": c.AllowProviderObjects, "keep_responses": c.KeepResponses, "tags": c.Tags, "purpose": c.Purpose,
		"owner":          c.Owner,
		"sensitivity":    c.Sensitivity,
		"client":         c.Client,
		"allow_unpriced": c.AllowUnpriced,
	}
	if c.Env != "" {
		key["environment"] = c.Env
	}
	if c.Models != nil {
		key["models"] = c.Models
	}
	if c.CIDR != nil {
		key["allowed_cidrs"] = c.CIDR
	}
	if c.ExpiresIn > 0 {
		key["expires_in"] = c.ExpiresIn
	}
	if c.RotateEvery > 0 {
		key["rotate_every"] = c.RotateEvery
	}
	if c.Policy != "" {
		p, err := cli.ReadDocument[policy.Policy](a, c.Policy)
		if err != nil {
			return nil, err
		}
		key["policy"] = p
	}
	if c.To != "" {
		sink, place, _ := strings.Cut(c.To, ":")
		if sink == "" {
			return nil, cli.Usagef("--to: want the name of a sink, a colon and a place, such as files:checkout/key")
		}
		key["sink"], key["place"] = sink, place
	}
	if c.SecretOnly && (c.Handover || c.To != "") {
		return nil, cli.Usagef("--secret-only prints the secret, which --handover and --to keep back: leave one of them out")
	}
	if c.Handover {
		key["handover"], key["handover_for"] = true, linkLife(c.HandoverFor)
	} else if c.HandoverFor != nil {
		return nil, errNoLink()
	}
	budget := cli.Fields{"period": cli.OrElse(c.Period, string(billing.PeriodMonth)), "zone": cli.OrElse(c.Zone, "UTC")}
	if finance.Limit(budget, c.BudgetUSD, c.BudgetTokens, c.BudgetRequests); len(budget) > 2 {
		key["budget"] = budget
	} else if c.Period != "" || c.Zone != "" {
		return nil, cli.Usagef("--period and --zone need --budget-usd, --budget-tokens or --budget-requests")
	}
	if a.Router != "" {
		return key, nil
	}
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	if cfg.Defaults.OnUnpriced == "allow" {
		key["allow_unpriced"] = true
	}
	if d := cfg.Defaults.KeyBudget; len(budget) == 2 && (d.USD != nil || d.Tokens != nil) {
		budget = cli.Fields{"period": d.Period, "zone": d.Zone}
		finance.Limit(budget, d.USD, d.Tokens, nil)
		key["budget"] = budget
	}
	return key, nil
}

func (c keysCreate) print(a *cli.Context, made admin.CreatedKey) error {
	if c.SecretOnly {
		_, err := fmt.Fprintln(a.Stdout, made.Secret)
		return err
	}
	if c.Output == "json" {
		return cli.PrintJSON(a.Stdout, struct {
			manage.KeyView
			Secret string `json:"secret"`
		}{made.KeyView, made.Secret})
	}
	if c.To != "" {
		fmt.Fprintf(a.Stdout, "A router makes the secret within seconds, and delivers it to %s.\n", c.To)
		return printKey(a, made.KeyView)
	}
	fmt.Fprintf(a.Stdout, "%s\n\n", made.Secret)
	fmt.Fprintln(a.Stdout, "That is the key. It is shown this once and stored nowhere.")
	return printKey(a, made.KeyView)
}

type keysList struct {
	cli.Format
	Team    string          `help:"Only this team." placeholder:"NAME"`
	Project string          `help:"Only this project." placeholder:"NAME"`
	Status  string          `help:"Only with this status: active, disabled, stopped, expired, revoked or archived." placeholder:"STATUS"`
	Query   string          `short:"q" help:"Part of the name or of the visible secret, or the beginning of the id." placeholder:"TEXT"`
	Stale   config.Duration `help:"Neither used nor created within this time, such as 90d." placeholder:"DURATION"`
	Due     bool            `help:"Only those that are due for a new secret."`
}

// Run lists the keys.
func (c keysList) Run(a *cli.Context) error {
	q := adminapi.Query("team", c.Team, "project", c.Project, "status", c.Status, "q", c.Query)
	if c.Stale > 0 {
		q.Set("unused_for", time.Duration(c.Stale).String())
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		keys, err := adminapi.All[manage.KeyView](a.Ctx, r, "/keys", q, 0)
		if err != nil {
			return err
		}
		now := time.Now()
		if c.Due {
			keys = slices.DeleteFunc(keys, func(v manage.KeyView) bool { return !overdue(v, now) })
		}
		t := cli.Table{Header: []string{"ID", "NAME", "KEY", "TEAM", "PROJECT", "ENV", "STATUS", "EXPIRES", "LAST USED"}, Records: keys}
		for _, v := range keys {
			t.Add(cli.Text(v.ID), cli.Text(v.Name), cli.Text(v.Display), cli.Text(v.Team.Name), cli.Text(v.Project.Name),
				cli.Text(v.Environment),
				cli.Text(v.Status), cli.Text(expiry(cli.InstantOf(v.ExpiresAt), now)), cli.Text(cli.Ago(cli.InstantOf(v.LastUsedAt), now)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

func expiry(t, now time.Time) string {
	switch {
	case t.IsZero():
		return "never"
	case t.After(now):
		return "in " + cli.Span(t.Sub(now))
	}
	return cli.Ago(t, now)
}

type keysShow struct {
	cli.PlainFormat
	ID string `arg:"" help:"Id of the key: key_…"`
}

// shownKey is a key with the state of its budgets and the versions of its secret.
type shownKey struct {
	manage.KeyView
	Versions  []manage.VersionView `json:"versions"`
	Handovers int                  `json:"pending_handovers"`
}

// Run shows the key.
func (c keysShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Get("/keys"+adminapi.Path(c.ID), nil))
		if err != nil {
			return err
		}
		versions, err := adminapi.Do[admin.KeyVersions](a.Ctx, r, adminapi.Get("/keys"+adminapi.Path(c.ID, "versions"), nil))
		if err != nil {
			return err
		}
		v := shownKey{key, versions.Data, versions.PendingHandovers}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, v)
		}
		if err := printKey(a, key); err != nil {
			return err
		}
		return printVersions(a, v)
	})
}

// printKey prints a key for people, including the state of its budgets if it is known.
func printKey(a *cli.Context, v manage.KeyView) error {
	var t cli.Table
	line := func(name, value string) {
		if value != "" {
			t.Add(cli.Text(name), cli.Text(value))
		}
	}
	line("id", v.ID)
	line("name", v.Name)
	line("key", v.Display)
	line("status", v.Status)
	line("owner", fmt.Sprintf("%s / %s (%s), cost center %s", v.Team.Name, v.Project.Name, v.Environment, v.CostCenter))
	line("models", cli.OrElse(strings.Join(v.Models, ", "), "all"))
	line("from", cli.OrElse(strings.Join(v.AllowedCIDRs, ", "), "anywhere"))
	line("may", mayLine(v))
	for _, b := range v.Budgets {
		line("budget", finance.BudgetLine(b))
	}
	line("tags", tagText(v.Tags))
	line("purpose", v.Purpose)
	line("answers", cli.Value(v.Owner))
	line("rotation", rotationLine(v))
	line("expires", cli.OrElse(cli.Value(v.ExpiresAt), "never"))
	if v.OverrunTokens != 0 || v.OverrunUSD != "0" {
		line("overrun", fmt.Sprintf("%d tokens, $%s", v.OverrunTokens, v.OverrunUSD))
	}
	line("stopped", cli.Value(v.StoppedAt))
	if v.DisabledAt != nil {
		line("disabled", strings.TrimSpace(*v.DisabledAt+" by "+v.DisabledBy+" "+v.DisabledReason))
	}
	if v.EnabledBy != "" {
		line("enabled", strings.TrimSpace(cli.Value(v.EnabledAt)+" by "+v.EnabledBy+" "+v.EnabledReason))
	}
	line("revoked", strings.TrimSpace(cli.Value(v.RevokedAt)+" "+cli.Value(v.RevokedReason)))
	line("archived", cli.Value(v.ArchivedAt))
	line("last used", cli.Value(v.LastUsedAt))
	line("created", cli.Value(v.CreatedAt)+" by "+v.CreatedBy)
	return t.PrintTable(a.Stdout)
}

// mayLine describes what the key may do that others can't by default.
func mayLine(v manage.KeyView) string {
	var may []string
	for _, one := range []struct {
		may  bool
		text string
	}{
		{v.AllowUnpriced, "use models without a known price"},
		{v.AllowProviderObjects, "name what is stored at providers"},
		{v.KeepResponses, "have its responses kept"},
	} {
		if one.may {
			may = append(may, one.text)
		}
	}
	return strings.Join(may, ", ")
}

// overdue reports whether a key in force should have got a new secret by now.
func overdue(v manage.KeyView, now time.Time) bool {
	return v.RotationDueAt != nil && v.Status == "active" && now.After(cli.InstantOf(v.RotationDueAt))
}

// limitsOf returns the given per-minute and concurrency limits of a key.
func limitsOf(rpm, tpm, concurrent *int64) cli.Fields {
	limits := cli.Fields{}
	for name, to := range map[string]*int64{"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrent_requests": concurrent} {
		if to != nil {
			limits[name] = *to
		}
	}
	return limits
}

// tagText formats tags on one line: "feature=checkout, step=2".
func tagText(tags map[string]string) string {
	parts := make([]string, 0, len(tags))
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, name+"="+tags[name])
	}
	return strings.Join(parts, ", ")
}

type keysRevoke struct {
	cli.Rehearsal
	ID     string `arg:"" optional:"" help:"Id of the key: key_…"`
	Secret string `help:"Instead of the id, - reads the key's secret from standard input." placeholder:"-"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run revokes the key.
func (c keysRevoke) Run(a *cli.Context) error {
	if (c.ID == "") == (c.Secret == "") || (c.Secret != "" && c.Secret != "-") {
		return cli.Usagef("give the id of the key, or --secret - and the secret on standard input")
	}
	call := adminapi.Post("/keys"+adminapi.Path(c.ID, "revoke"), cli.Fields{"reason": c.Reason})
	if c.Secret != "" {
		secret, err := readSecret(a)
		if err != nil {
			return err
		}
		call = adminapi.Post("/keys/revoke", cli.Fields{"secret": secret, "reason": c.Reason})
	}
	return a.Change(c.Rehearsal, cli.Needs{Keys: c.Secret != ""}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, call)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is revoked since %s. Routers refuse it within a second.\n", key.ID, cli.Value(key.RevokedAt))
		return err
	})
}

type keysEnable struct {
	cli.Rehearsal
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run enables the key again.
func (c keysEnable) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		key, err := adminapi.Do[manage.KeyView](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(c.ID, "enable"),
			cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%s is %s. Routers accept it within a second where that is active; an overrun it was stopped for "+
			"counts anew, and what ran away goes on.\n", key.ID, key.Status)
		return err
	})
}
