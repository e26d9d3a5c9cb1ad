package main

import (
	"strings"

	"github.com/alecthomas/kong"

	"tallyroute/billing"
)

// grammar is the command line: one member for each noun.
type grammar struct {
	Config string `help:"Configuration file. Without it ./tallyroute.yaml is read if it exists." env:"TALLYROUTE_CONFIG" placeholder:"FILE"`
	Router string `help:"Admin listener to call, by your login or the token in TALLYROUTE_TOKEN, in place of the database of this host." env:"TALLYROUTE_ROUTER" placeholder:"URL"`

	Demo       demoCommand       `cmd:"" help:"Try it: a router, two demonstration providers and a key, without any set-up."`
	Serve      serveCommand      `cmd:"" help:"Run the router."`
	Backup     backupCommand     `cmd:"" help:"Write a consistent copy of the SQLite database to a file, while routers use it."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database's tables up to date."`
	Keys       keysCommand       `cmd:"" help:"Virtual keys: make, change, rotate, hand over, find and end them."`
	Teams      teamsCommand      `cmd:"" help:"Create, list, change and archive teams."`
	Projects   projectsCommand   `cmd:"" help:"Create, list, change and archive projects."`
	Budgets    budgetsCommand    `cmd:"" help:"The budgets of keys, teams, projects and the organisation, and how they stand."`
	Policy     policyCommand     `cmd:"" help:"What the keys of a team, of a project, or one key may do; try a request."`
	Providers  providersCommand  `cmd:"" help:"Providers, and how they have been behaving."`
	Models     modelsCommand     `cmd:"" help:"Who serves a model, and at what price."`
	Catalogue  catalogueCommand  `cmd:"" help:"Check the catalogue of providers, models and prices, and take newer prices."`
	Route      routeCommand      `cmd:"" help:"Explain which provider would be taken, and why."`
	Report     reportCommand     `cmd:"" help:"What was spent, by team, model, key, project, provider or day."`
	Period     periodCommand     `cmd:"" help:"List, close and reopen the months of the ledger."`
	Prices     pricesCommand     `cmd:"" help:"Correct what was costed with a wrong price."`
	Spend      spendCommand      `cmd:"" help:"Post corrections, and archive closed months."`
	Integrity  integrityCommand  `cmd:"" help:"Prove that the ledger adds up."`
	Principals principalsCommand `cmd:"" help:"Users and service accounts that administer by REST, their roles and tokens."`
	Login      loginCommand      `cmd:"" help:"Log in at the router that --router names."`
	Logout     logoutCommand     `cmd:"" help:"End that login."`
	Whoami     whoamiCommand     `cmd:"" help:"Who you are for the router, and what you may do."`
	Sessions   sessionsCommand   `cmd:"" help:"Logins: list and end them."`
	Audit      auditCommand      `cmd:"" help:"The audit log: who did what, and proof that nobody changed the record of it."`
	Access     accessCommand     `cmd:"" help:"The record of access: who used which key, from where and when."`
	Events     eventsCommand     `cmd:"" help:"Overruns, disputed usage, rejected rows, breaches and denials."`
	Alerts     alertsCommand     `cmd:"" help:"What somebody was told, whether it arrived, and how to try a channel."`
	Incident   incidentCommand   `cmd:"" help:"Keys in wrong hands: end their use, seal what they did, close."`
	Replicas   replicasCommand   `cmd:"" help:"Routers that hold allowances, and those that will not come back."`
	Setup      configCommand     `cmd:"" name:"config" help:"Check and print the configuration."`
	Admin      adminCommand      `cmd:"" help:"Make a token for the admin API."`
	Connect    connectCommand    `cmd:"" help:"Show how a coding agent or another client is pointed at the router, or write it into its file."`
	Chat       chatCommand       `cmd:"" help:"Send one message through a running router."`
	Health     healthCommand     `cmd:"" help:"Ask the running router whether it is alive."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// parser reads command lines into g. It calls stop after --help, which has then printed
// all there is to say.
func (a *cli) parser(g *grammar, stop func(int)) (*kong.Kong, error) {
	kinds := make([]string, 0, len(billing.EventKinds()))
	for _, k := range billing.EventKinds() {
		kinds = append(kinds, string(k))
	}
	return kong.New(g,
		kong.Name("tallyroute"),
		kong.Description("One OpenAI-compatible endpoint that holds budgets, takes the cheapest healthy provider and books every attempt."),
		kong.Writers(a.stdout, a.stderr),
		kong.Vars{
			"dimensions": strings.Join(append(billing.Dimensions(), billing.TagDimension+"NAME"), ", "),
			"kinds":      strings.Join(kinds, ", "),
		},
		kong.Exit(stop),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
	)
}

// command parses args and runs what they name.
func (a *cli) command(args []string) error {
	var g grammar
	stopped := false
	parser, err := a.parser(&g, func(int) { stopped = true })
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
	if err != nil {
		return usage(err)
	}
	a.configPath, a.router = g.Config, g.Router
	return chosen.Run(a)
}
