package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/router/tokens"
)

// demoCommand is "tallyroute demo".
type demoCommand struct {
	Once        bool       `help:"Send two requests, check the results, and stop. Leaves nothing behind."`
	Listen      string     `help:"Address of the router." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	AdminListen string     `help:"Address of the admin listener, or off." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	Database    config.DSN `help:"Where to keep keys and spend." default:"sqlite:./tallyroute.db" placeholder:"DSN"`
	Verbose     bool       `short:"v" help:"Log every request."`
}

// Run starts the demonstration.
func (c demoCommand) Run(a *cli.Context) error {
	if c.Once {
		return c.once(a)
	}
	age := ageOf(c.Database)
	s, _, err := c.service(a)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; choose another with --listen and --admin-listen", err)
	}
	if err != nil {
		return err
	}
	return s.During(a.Ctx, func(ctx context.Context) error {
		key, secret, err := demo.Key(ctx, s)
		if err != nil {
			return err
		}
		c.greet(a.Stdout, s, &key, secret, age)
		<-ctx.Done()
		fmt.Fprintf(a.Stdout, "\nstopped. What was spent: %s%s report models\n", c.where(), self())
		return nil
	})
}

// once sends two requests through a router in a temporary directory and checks the results.
func (c demoCommand) once(a *cli.Context) error {
	dir, err := os.MkdirTemp("", "tallyroute-demo-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c.Listen, c.AdminListen, c.Database = "127.0.0.1:0", "127.0.0.1:0", config.DSN("sqlite:"+filepath.Join(dir, "tallyroute.db"))
	s, providers, err := c.service(a)
	if err != nil {
		return err
	}
	r := demo.Rehearsal{
		Service: s, Providers: providers, Out: a.Stdout,
		Print: func(rows []billing.Spend) error { return printSpend(a.Stdout, rows) },
	}
	return chatError(s.During(a.Ctx, r.Run))
}

// service returns the demonstration's router and its providers.
func (c demoCommand) service(a *cli.Context) (*app.Service, *demo.Providers, error) {
	cfg, counter := c.config(), tokens.New(tokens.Options{})
	providers := demo.New(counter)
	s, err := app.New(a.Ctx, cfg, app.Options{
		Log: logs.New(a.Stderr, cfg.Log), Tokens: counter, Demo: providers.Local(), Version: versionString(),
	})
	return s, providers, err
}

// where returns the environment variable that other commands need to find the database, if
// they wouldn't find it by themselves.
func (c demoCommand) where() string {
	if c.Database == config.Default().Database {
		return ""
	}
	return config.EnvName("database") + "=" + string(c.Database) + " "
}

// self returns how this program was called, for commands to paste: they are to run this
// very build.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	if found, err := exec.LookPath("tallyroute"); err == nil && sameFile(found, exe) {
		return "tallyroute"
	}
	if ofGoRun(exe) {
		return "go run ./cmd/tallyroute"
	}
	return os.Args[0]
}

func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errors.Join(errA, errB) == nil && os.SameFile(x, y)
}

// ofGoRun reports whether a program was built by go run, in a temporary directory or the
// build cache, and so won't stay where it is.
func ofGoRun(exe string) bool {
	cache := os.Getenv("GOCACHE")
	if dir, err := os.UserCacheDir(); cache == "" && err == nil {
		cache = filepath.Join(dir, "go-build")
	}
	return strings.Contains(exe, "go-build") || cache != "" && strings.HasPrefix(exe, cache+string(filepath.Separator))
}

// config returns the demonstration's configuration. It reads no file and needs no
// credentials.
func (c demoCommand) config() *config.Config {
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Database, cfg.Demo = c.Listen, c.AdminListen, c.Database, true
	cfg.Log.Level = "error"
	if c.Verbose {
		cfg.Log.Level = "info"
	}
	cfg.Timeouts.ShutdownWait = 0
	return &cfg
}

// ageOf returns " (new)" for a database file that doesn't exist yet.
func ageOf(d config.DSN) string {
	if _, missing := d.Missing(); missing {
		return " (new)"
	}
	return ""
}

// greet prints everything that one needs to get started.
func (c demoCommand) greet(w io.Writer, s *app.Service, key *billing.Key, secret billing.Secret, age string) {
	base, administration := "http://"+s.Address("public"), "off"
	if at := s.Address("admin"); at != "" {
		administration = "http://" + at
	}
	path, _ := c.Database.SQLitePath()
	fmt.Fprintf(w, "tallyroute %s  %s   metrics and health %s\n", versionString(), base, administration)
	fmt.Fprintf(w, "database  %s%s   providers  demo-a (cheap, fails now and then), demo-b (dearer, steady)\n", c.Database, age)
	fmt.Fprintf(w, "your key  %s   shown once; today it may spend $%s and %d tokens\n", secret.Reveal(), key.Budgets[0].Money.Short(),
		*key.Budgets[0].Tokens)
	fmt.Fprintf(w, "try it    curl -i %s/v1/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' "+
		"-d '{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'\n", base, secret.Reveal())
	fmt.Fprintf(w, "again     the second request finds demo-a failing: x-tallyroute-provider says who answered, x-tallyroute-attempts "+
		"after how many tries\n")
	fmt.Fprintf(w, "spend     %s%s report models\n", c.where(), self())
	fmt.Fprintf(w, "next      stop this one, then OPENAI_API_KEY=… %s serve: real models appear; keys: %s keys create --help\n",
		self(), self())
	if path != "" { // another database is its owner's to clean up
		fmt.Fprintf(w, "undo      rm -r %s* %s\n", path, filepath.Join(filepath.Dir(path), app.PepperFile))
	}
}

// printSpend prints rows of the ledger.
func printSpend(w io.Writer, rows []billing.Spend) error {
	t := cli.Table{Header: []string{"REQUEST", "TRY", "PROVIDER", "MODEL", "STATUS", "WHY", "PROMPT", "COMPLETION", "USAGE", "COST USD"}}
	for _, r := range rows {
		t.Add(cli.Text("…"+r.RequestID[max(0, len(r.RequestID)-6):]), cli.Number(int64(r.Attempt)), cli.Text(r.Provider), cli.Text(r.Model),
			cli.Text(strings.TrimSpace(string(r.Status)+" "+r.ErrorKind)), cli.Text(string(r.RouteReason)),
			cli.Number(r.Tokens.Prompt()), cli.Number(r.Tokens.Output), cli.Text(string(r.UsageSource)), cli.Money(r.Cost.Total))
	}
	fmt.Fprintln(w)
	err := t.PrintTable(w)
	fmt.Fprintln(w)
	return err
}
