package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/doctor"
	"tallyroute/cmd/tallyroute/finance"
	"tallyroute/cmd/tallyroute/keys"
	"tallyroute/cmd/tallyroute/offers"
	"tallyroute/cmd/tallyroute/people"
	"tallyroute/cmd/tallyroute/watch"
)

// grammar is the command line: one field per noun.
type grammar struct {
	Config string `help:"Configuration file. Without it ./tallyroute.yaml is read if it exists." env:"TALLYROUTE_CONFIG" placeholder:"FILE"`
	Router string `help:"Router to call instead of this host's database: ${router}." env:"TALLYROUTE_ROUTER" placeholder:"URL"`
	CAFile string `name:"ca-file" help:"Further authorities that vouch for routers, in PEM." env:"TALLYROUTE_CA_FILE" placeholder:"FILE"`

	ClientCert string `help:"Certificate in PEM, for routers that require one." env:"TALLYROUTE_CLIENT_CERT" placeholder:"FILE"`
	ClientKey  string `help:"Its key." env:"TALLYROUTE_CLIENT_KEY" placeholder:"FILE"`

	Demo        demoCommand        `cmd:"" help:"Try it: a router, two demonstration providers and a key, without any setup."`
	Serve       serveCommand       `cmd:"" help:"Run the router."`
	Backup      backupCommand      `cmd:"" help:"Write a consistent copy of the SQLite database to a file, while routers use it."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the database's tables up to date."`
	Keys        keys.Command       `cmd:"" help:"Virtual keys: create, change, rotate, hand over, find and end them."`
	Teams       people.Teams       `cmd:"" help:"Create, list, change and archive teams."`
	Team        people.Team        `cmd:"" help:"Your own keys in your teams, and raises that you ask for."`
	Leavers     people.Leavers     `cmd:"" help:"Keys of people who have left: transfer, keep or disable them."`
	Raises      people.Raises      `cmd:"" help:"Raises that members ask for: list, approve, decline."`
	Projects    people.Projects    `cmd:"" help:"Create, list, change and archive projects."`
	Budgets     finance.Budgets    `cmd:"" help:"The budgets of keys, teams, projects and the organisation, and their usage."`
	Policy      policyCommand      `cmd:"" help:"What the keys of a team, of a project, or one key may do; try a request."`
	Providers   offers.Providers   `cmd:"" help:"Providers and their health: list, store, change and remove them."`
	Credentials offers.Credentials `cmd:"" help:"Our credentials at providers: list, store, try, rotate and end them."`
	Secrets     offers.Secrets     `cmd:"" help:"The key that encrypts credentials in the database: create or change it."`
	Models      offers.Models      `cmd:"" help:"Who serves a model, and at what price."`
	Catalogue   offers.Catalogue   `cmd:"" help:"Check the catalogue of providers, models and prices, and take newer prices."`
	Route       offers.Route       `cmd:"" help:"Explain which provider would be chosen, and why."`
	Report      finance.Report     `cmd:"" help:"What was spent, by team, model, key, project, provider or day."`
	Period      finance.Period     `cmd:"" help:"List, close and reopen the months of the ledger."`
	Prices      finance.Prices     `cmd:"" help:"Correct what was charged at a wrong price."`
	Spend       finance.Spend      `cmd:"" help:"Post corrections, and archive closed months."`
	Integrity   finance.Integrity  `cmd:"" help:"Prove that the ledger adds up."`
	Principals  people.Principals  `cmd:"" help:"Users and service accounts that administer by REST, their roles and tokens."`
	Login       people.Login       `cmd:"" help:"Log in at the router that --router names."`
	Logout      people.Logout      `cmd:"" help:"End that login."`
	Whoami      people.Whoami      `cmd:"" help:"Who you are to the router, and what you may do."`
	Sessions    people.Sessions    `cmd:"" help:"Logins: list and end them."`
	Governance  people.Governance  `cmd:"" help:"The organisation's rules for keys: set, report, acknowledge, and write the policy."`
	Reviews     people.Reviews     `cmd:"" help:"Reviews of who may do what: each key and grant is kept, narrowed or revoked."`
	Audit       people.Audit       `cmd:"" help:"The audit log: who did what, and proof that the record was not altered."`
	Access      keys.Access        `cmd:"" help:"The access record: who used which key, from where and when."`
	Person      people.Person      `cmd:"" help:"What is stored about an end user: export it, or erase the name."`
	Events      watch.Events       `cmd:"" help:"Overruns, disputed usage, rejected rows, breaches and denials."`
	Alerts      watch.Alerts       `cmd:"" help:"Alerts, whether they arrived, and tests of channels."`
	Anomalies   watch.Anomalies    `cmd:"" help:"What is unusual about the use of keys, and what is usual for one."`
	Incident    watch.Incident     `cmd:"" help:"Leaked keys: end their use, seal what they did, close the incident."`
	Replicas    watch.Replicas     `cmd:"" help:"Routers that hold allowances, and those that will not come back."`
	Doctor      doctor.Command     `cmd:"" help:"Check the setup of the router on this host, and say what to fix."`
	Setup       configCommand      `cmd:"" name:"config" help:"Check and print the configuration."`
	Admin       adminCommand       `cmd:"" help:"Create a token for the admin API."`
	Connect     connectCommand     `cmd:"" help:"Show or write the configuration of an agent or another client for the router."`
	Chat        chatCommand        `cmd:"" help:"Send one message through a running router."`
	Health      healthCommand      `cmd:"" help:"Ask the running router whether it is alive."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// policyCommand is "tallyroute policy": what keys may do and, with the same verbs as
// governance, whether they are managed as the organisation requires.
type policyCommand struct {
	keys.Policy
	Report   people.GovernanceReport   `cmd:"" help:"The same as governance report."`
	Document people.GovernanceDocument `cmd:"" help:"The same as governance document."`
}

// parserOf returns a parser that reads command lines into g. It calls stop after --help,
// when the help text has been printed.
func parserOf(a *cli.Context, g *grammar, stop func(int)) (*kong.Kong, error) {
	kinds := make([]string, 0, len(billing.EventKinds()))
	for _, k := range billing.EventKinds() {
		kinds = append(kinds, string(k))
	}
	return kong.New(g,
		kong.Name("tallyroute"),
		kong.Description("One OpenAI-compatible endpoint that holds budgets, takes the cheapest healthy provider and books every attempt."),
		kong.Writers(a.Stdout, a.Stderr),
		kong.Vars{
			"dimensions": strings.Join(append(billing.Dimensions(), billing.TagDimension+"NAME"), ", "),
			"kinds":      strings.Join(kinds, ", "),
			"periods":    "concurrent,minute,day,week,month,quarter,year,once",
			"resets":     "minute, day, week, month, quarter, year or once; concurrent limits requests in progress",
			"actions":    "block, downgrade (the cheapest model answers from the highest threshold below 100 on), or alert only",
			"levels":     "critical,high,normal,low",
			"endpoints":  "chat,embeddings,responses,messages,count_tokens,models,key,tokens",
			"router":     "its admin listener, or its public one with /v1/team; with your login or the token in TALLYROUTE_TOKEN",
		},
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.Exit(stop),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
}

// readDuration reads a duration as the configuration does: 90d as well as 2160h, never negative.
func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	var d config.Duration
	err := d.UnmarshalText([]byte(text))
	target.SetInt(int64(d))
	return err
}

// execute parses args and runs the command that they name.
func execute(a *cli.Context, args []string) error {
	var g grammar
	stopped := false
	parser, err := parserOf(a, &g, func(int) { stopped = true })
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	chosen, err := parser.Parse(args)
	if stopped {
		return nil
	}
	if err == nil {
		err = refuseEmpty(chosen)
	}
	if err != nil {
		return cli.Usage(err)
	}
	a.ConfigPath, a.Router, a.Env = g.Config, g.Router, config.Ours(a.Env, args)
	a.Trust = cli.Trust{CAFile: g.CAFile, ClientCert: g.ClientCert, ClientKey: g.ClientKey}
	return chosen.Run(a)
}

// refuseEmpty refuses arguments that are empty, as those of a shell variable that is not set
// are: an empty id or filter would mean something else than what was meant. Text that may be
// empty on purpose has a pointer.
func refuseEmpty(chosen *kong.Context) error {
	for _, p := range chosen.Path {
		v := p.Positional
		if p.Flag != nil {
			v = p.Flag.Value
		}
		if v == nil || p.Resolved {
			continue
		}
		if slices.Contains(texts(v.Target), "") || v.IsCumulative() && v.Target.Len() == 0 {
			return fmt.Errorf("%s is empty: give it a value, or leave it out", v.ShortSummary())
		}
	}
	return nil
}

// texts returns the texts that an argument was given; none if it isn't text.
func texts(v reflect.Value) []string {
	switch {
	case v.Kind() == reflect.String:
		return []string{v.String()}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = v.Index(i).String()
		}
		return list
	}
	return nil
}
