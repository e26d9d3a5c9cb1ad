package main

import (
	"errors"
	"fmt"
	"os/user"
	"strings"
	"time"

	"tallyroute/billing"
)

// keysCommand is "tallyroute keys".
type keysCommand struct {
	Create keysCreate `cmd:"" help:"Create a key and print its secret, once."`
	List   keysList   `cmd:"" help:"List the keys."`
	Show   keysShow   `cmd:"" help:"Show a key, its limits and what is used of them."`
	Revoke keysRevoke `cmd:"" help:"End a key for good."`
	Enable keysEnable `cmd:"" help:"Let a key go on that was stopped for its overrun."`
}

type keysCreate struct {
	plainFormat
	Name          string            `help:"What the key is for." required:"" placeholder:"NAME"`
	Team          string            `help:"Name of the team; made if it is new." default:"default" placeholder:"NAME"`
	Project       string            `help:"Name or id of the project; made if it is new." default:"default" placeholder:"NAME"`
	CostCenter    string            `help:"To which a team that is new is charged." placeholder:"NAME"`
	Env           string            `help:"Environment: prod, staging or dev. Default: the project's, or dev." placeholder:"ENV"`
	BudgetUSD     *usd              `help:"Dollars per period." placeholder:"AMOUNT"`
	BudgetTokens  *int64            `help:"Tokens per period." placeholder:"N"`
	Period        string            `help:"When the budget starts afresh: ${enum}." enum:"day,week,month,quarter,year,once" default:"month"`
	Zone          string            `help:"Time zone of the period, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	Models        []string          `help:"Models it may ask for, as names, aliases or provider/*. Default: all." placeholder:"A,B"`
	ExpiresIn     duration          `help:"How long it is good for, such as 90d. Default: for ever." placeholder:"DURATION"`
	RPM           int64             `help:"Requests per minute." placeholder:"N"`
	TPM           int64             `help:"Tokens per minute." placeholder:"N"`
	CIDR          []prefix          `help:"Addresses it may be used from. Default: anywhere." placeholder:"RANGE"`
	AllowUnpriced bool              `help:"May use models without a known price, despite a budget in dollars."`
	Tags          map[string]string `help:"Tags on all that it spends." placeholder:"NAME=VALUE"`
	SecretOnly    bool              `help:"Print the secret and nothing else."`
}

// keyView is a key as JSON shows it.
type keyView struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Secret      string            `json:"secret,omitempty"` // of keys that were created just now
	Display     string            `json:"display"`
	Status      string            `json:"status"`
	TeamID      string            `json:"team_id"`
	Team        string            `json:"team"`
	ProjectID   string            `json:"project_id"`
	Project     string            `json:"project"`
	CostCenter  string            `json:"cost_center"`
	Environment string            `json:"environment"`
	Models      []string          `json:"models"`
	CIDRs       []string          `json:"allowed_cidrs"`
	RPM         int64             `json:"requests_per_minute"`
	TPM         int64             `json:"tokens_per_minute"`
	Tags        map[string]string `json:"tags,omitempty"`
	Budgets     []balanceView     `json:"budgets"`
	CreatedBy   string            `json:"created_by"`
	CreatedAt   string            `json:"created_at"`
	ExpiresAt   string            `json:"expires_at,omitempty"`
	RevokedAt   string            `json:"revoked_at,omitempty"`
	Reason      string            `json:"revoked_reason,omitempty"`
	StoppedAt   string            `json:"stopped_at,omitempty"`
	OverrunUSD  string            `json:"overrun_usd"` // since it was made or enabled
	Overrun     int64             `json:"overrun_tokens"`
	EnabledAt   string            `json:"enabled_at,omitempty"`
	EnabledBy   string            `json:"enabled_by,omitempty"`
	EnabledFor  string            `json:"enabled_reason,omitempty"`
	LastUsedAt  string            `json:"last_used_at,omitempty"`
}

// balanceView is a budget that binds a key and, where it was asked for, how it stands.
type balanceView struct {
	ID         string         `json:"id"`
	Scope      billing.Scope  `json:"scope"`
	Period     billing.Period `json:"period"`
	Zone       string         `json:"zone"`
	USD        *string        `json:"usd"`
	Tokens     *int64         `json:"tokens"`
	UsedUSD    *string        `json:"used_usd,omitempty"`
	UsedTokens *int64         `json:"used_tokens,omitempty"`
	ResetsAt   string         `json:"resets_at,omitempty"`
}

func viewKey(k *billing.Key, now time.Time) keyView {
	v := keyView{
		ID: string(k.ID), Name: k.Name, Display: k.Display, Status: keyStatus(k, now),
		TeamID: k.TeamID, Team: k.Team, ProjectID: k.ProjectID, Project: k.Project,
		CostCenter: k.CostCenter, Environment: k.Environment,
		Models: append([]string{}, k.Models...), CIDRs: []string{},
		RPM: k.RequestsPerMinute, TPM: k.TokensPerMinute, Tags: k.Tags, Budgets: []balanceView{},
		CreatedBy: k.CreatedBy, CreatedAt: timestamp(k.CreatedAt), ExpiresAt: timestamp(k.ExpiresAt),
		StoppedAt: timestamp(k.StoppedAt), OverrunUSD: k.Overrun.Money.Short(), Overrun: k.Overrun.Tokens,
		EnabledAt: timestamp(k.EnabledAt), EnabledBy: k.EnabledBy, EnabledFor: k.EnabledReason,
		RevokedAt: timestamp(k.RevokedAt), Reason: k.RevokedReason, LastUsedAt: timestamp(k.LastUsedAt),
	}
	for _, p := range k.AllowedCIDRs {
		v.CIDRs = append(v.CIDRs, p.String())
	}
	for _, b := range k.Budgets {
		v.Budgets = append(v.Budgets, balanceView{
			ID: b.ID, Scope: b.Scope, Period: b.Period, Zone: orElse(b.Zone, "UTC"), USD: usdText(b.Money), Tokens: b.Tokens,
		})
	}
	return v
}

func keyStatus(k *billing.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now):
		return "expired"
	case !k.StoppedAt.IsZero():
		return "stopped"
	}
	return "active"
}

// Run creates the key.
func (c keysCreate) Run(a *app) error {
	return a.withNewStore(func(s billing.Store, cfg *Config) error {
		issuer, err := a.issuer(s, cfg)
		if err != nil {
			return err
		}
		key, secret, err := issuer.Issue(a.ctx, c.request(cfg))
		var field *billing.FieldError
		if errors.As(err, &field) {
			return usagef("%s: %s", field.Field, field.Detail)
		}
		if err != nil {
			return err
		}
		return c.print(a, &key, secret)
	})
}

// issuer makes keys in s, once it is certain that they are hashed under the
// pepper that the routers use.
func (a *app) issuer(s billing.Store, cfg *Config) (billing.Issuer, error) {
	pepper, err := cfg.pepper(a.ctx)
	if err != nil {
		return billing.Issuer{}, err
	}
	if err := pepper.confirm(a.ctx, s); err != nil {
		return billing.Issuer{}, err
	}
	return billing.Issuer{Keys: s, Owners: s, Pepper: pepper.Pepper}, nil
}

func (c keysCreate) request(cfg *Config) billing.KeyRequest {
	req := billing.KeyRequest{
		Name: c.Name, Team: c.Team, Project: c.Project, CostCenter: c.CostCenter, Environment: c.Env,
		Models: c.Models, AllowedCIDRs: prefixes(c.CIDR), RequestsPerMinute: c.RPM, TokensPerMinute: c.TPM,
		AllowUnpriced: c.AllowUnpriced || cfg.Defaults.OnUnpriced == "allow", Tags: c.Tags, CreatedBy: whoami(),
	}
	if c.ExpiresIn > 0 {
		req.ExpiresAt = time.Now().UTC().Add(time.Duration(c.ExpiresIn))
	}
	if b := (billing.Budget{Period: billing.Period(c.Period), Zone: c.Zone, Money: c.BudgetUSD.money(), Tokens: c.BudgetTokens}); b.Money != nil || b.Tokens != nil {
		req.Budgets = []billing.Budget{b}
	} else if b, ok := cfg.Defaults.KeyBudget.budget(); ok {
		req.Budgets = []billing.Budget{b}
	}
	return req
}

// budget is the budget of a key that is created without one, if there is one.
func (b keyBudget) budget() (billing.Budget, bool) {
	return billing.Budget{Period: b.Period, Zone: b.Zone, Money: b.USD.money(), Tokens: b.Tokens}, b.USD != nil || b.Tokens != nil
}

// whoami is who works at the command line, for the key's own record.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

func (c keysCreate) print(a *app, key *billing.Key, secret billing.Secret) error {
	if c.SecretOnly {
		_, err := fmt.Fprintln(a.stdout, secret.Reveal())
		return err
	}
	if c.Output == "json" {
		v := viewKey(key, time.Now())
		v.Secret = secret.Reveal()
		return printJSON(a.stdout, v)
	}
	fmt.Fprintf(a.stdout, "%s\n\n", secret.Reveal())
	fmt.Fprintln(a.stdout, "That is the key. It is shown this once and stored nowhere.")
	return printKey(a, viewKey(key, time.Now()))
}

type keysList struct {
	format
	Team    string `help:"Of this team." placeholder:"NAME"`
	Project string `help:"Of this project." placeholder:"NAME"`
	Status  string `help:"With this status: active, stopped, expired or revoked." placeholder:"STATUS"`
	Query   string `short:"q" help:"With this in the name." placeholder:"TEXT"`
}

// Run lists the keys.
func (c keysList) Run(a *app) error {
	switch c.Status {
	case "", "active", "stopped", "expired", "revoked":
	default:
		return usagef("--status: want active, stopped, expired or revoked")
	}
	return a.withStore(func(s billing.Store, _ *Config) error {
		now := time.Now()
		t := table{header: []string{"ID", "NAME", "KEY", "TEAM", "PROJECT", "ENV", "STATUS", "EXPIRES", "LAST USED"}}
		views := []keyView{}
		f := billing.KeyFilter{Team: c.Team, Project: c.Project, Status: c.Status, Query: c.Query, Now: now}
		for {
			keys, err := s.ListKeys(a.ctx, f)
			if err != nil {
				return err
			}
			for i := range keys {
				k := &keys[i]
				t.add(text(string(k.ID)), text(k.Name), text(k.Display), text(k.Team), text(k.Project), text(k.Environment),
					text(keyStatus(k, now)), text(expiry(k.ExpiresAt, now)), text(ago(k.LastUsedAt, now)))
				views = append(views, viewKey(k, now))
				f.After = k.ID
			}
			if len(keys) == 0 {
				break
			}
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

// Run shows the key.
func (c keysShow) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		key, err := billing.Issuer{Keys: s, Owners: s}.Find(a.ctx, billing.KeyID(c.ID))
		if err != nil {
			return err
		}
		now := time.Now()
		balances, err := s.Balances(a.ctx, &key, now)
		if err != nil {
			return err
		}
		v := viewKey(&key, now)
		v.Budgets = v.Budgets[:0]
		for _, b := range balances {
			v.Budgets = append(v.Budgets, viewBalance(b))
		}
		if c.Output == "json" {
			return printJSON(a.stdout, v)
		}
		return printKey(a, v)
	})
}

func viewBalance(b billing.Balance) balanceView {
	tokens := b.UsedTokens
	return balanceView{
		ID: b.Budget.ID, Scope: b.Budget.Scope, Period: b.Budget.Period, Zone: orElse(b.Budget.Zone, "UTC"),
		USD: usdText(b.Budget.Money), Tokens: b.Budget.Tokens,
		UsedUSD: usdText(&b.UsedMoney), UsedTokens: &tokens, ResetsAt: timestamp(b.Window.End),
	}
}

// printKey writes a key for people.
func printKey(a *app, v keyView) error {
	var t table
	line := func(name, value string) {
		if value != "" {
			t.add(text(name), text(value))
		}
	}
	line("id", v.ID)
	line("name", v.Name)
	line("key", v.Display)
	line("status", v.Status)
	line("owner", fmt.Sprintf("%s / %s (%s), cost center %s", v.Team, v.Project, v.Environment, v.CostCenter))
	line("models", orElse(strings.Join(v.Models, ", "), "all"))
	line("from", orElse(strings.Join(v.CIDRs, ", "), "anywhere"))
	for _, b := range v.Budgets {
		line("budget", b.String())
	}
	if v.RPM > 0 {
		line("requests", fmt.Sprintf("%d per minute", v.RPM))
	}
	if v.TPM > 0 {
		line("tokens", fmt.Sprintf("%d per minute", v.TPM))
	}
	line("expires", orElse(v.ExpiresAt, "never"))
	if v.Overrun > 0 || v.OverrunUSD != "0" {
		line("overrun", fmt.Sprintf("%d tokens, $%s", v.Overrun, v.OverrunUSD))
	}
	line("stopped", v.StoppedAt)
	if v.EnabledAt != "" {
		line("enabled", strings.TrimSpace(v.EnabledAt+" by "+v.EnabledBy+" "+v.EnabledFor))
	}
	line("revoked", strings.TrimSpace(v.RevokedAt+" "+v.Reason))
	line("last used", v.LastUsedAt)
	line("created", v.CreatedAt+" by "+v.CreatedBy)
	return t.printTable(a.stdout)
}

// String is the budget in words: "key, per month (UTC): $3.2 of $50, resets 2026-12-01T00:00:00Z".
func (b balanceView) String() string {
	var limits []string
	if b.USD != nil {
		limits = append(limits, "$"+shortUSD(b.UsedUSD, " of $")+shortUSD(b.USD, ""))
	}
	if b.Tokens != nil {
		used := ""
		if b.UsedTokens != nil {
			used = fmt.Sprintf("%d of ", *b.UsedTokens)
		}
		limits = append(limits, fmt.Sprintf("%s%d tokens", used, *b.Tokens))
	}
	s := fmt.Sprintf("%s, per %s (%s): %s", b.Scope, b.Period, b.Zone, strings.Join(limits, ", "))
	if b.ResetsAt != "" {
		s += ", resets " + b.ResetsAt
	}
	return s
}

// shortUSD is an amount without trailing zeros and what follows it, or nothing.
func shortUSD(amount *string, after string) string {
	if amount == nil {
		return ""
	}
	m, err := billing.ParseMoney(*amount)
	if err != nil {
		return *amount + after
	}
	return m.Short() + after
}

type keysRevoke struct {
	ID     string `arg:"" help:"Id of the key: key_…"`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run revokes the key.
func (c keysRevoke) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		key, err := billing.Issuer{Keys: s, Owners: s}.Revoke(a.ctx, billing.KeyID(c.ID), c.Reason)
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
func (c keysEnable) Run(a *app) error {
	return a.withStore(func(s billing.Store, _ *Config) error {
		key, err := billing.Issuer{Keys: s, Owners: s}.Enable(a.ctx, billing.KeyID(c.ID), whoami(), c.Reason)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s is not stopped. Routers accept it within a second; its overrun counts anew.\n", key.ID)
		return err
	})
}
