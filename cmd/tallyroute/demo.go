package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/tokens"
)

// demoCommand is "tallyroute demo".
type demoCommand struct {
	Once        bool   `help:"Send two requests, check what came of them, and end. Leaves nothing behind."`
	Listen      string `help:"Address of the router." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	AdminListen string `help:"Address of the admin listener, or off." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	Database    dsn    `help:"Where to keep keys and spend." default:"sqlite:./tallyroute.db" placeholder:"DSN"`
	Verbose     bool   `short:"v" help:"Log every request."`
}

// Run starts the demonstration.
func (c demoCommand) Run(a *app) error {
	if c.Once {
		return c.once(a)
	}
	cfg := c.config()
	age := ageOf(cfg.Database)
	s, err := newService(a.ctx, cfg, newLogger(a.stderr, cfg.Log), tokens.New(tokens.Options{}))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; choose another with --listen and --admin-listen", err)
	}
	if err != nil {
		return err
	}
	return s.demonstrate(a.ctx, func(ctx context.Context) error {
		key, secret, err := s.demoKey(ctx)
		if err != nil {
			return err
		}
		c.greet(a.stdout, s, &key, secret, age)
		<-ctx.Done()
		fmt.Fprintf(a.stdout, "\nstopped. What was spent: %s%s report models\n", c.where(), self())
		return nil
	})
}

// where tells other commands of a database that they would not find by themselves.
func (c demoCommand) where() string {
	if c.Database == defaultConfig().Database {
		return ""
	}
	return envName("database") + "=" + string(c.Database) + " "
}

// self is how this program was called, for commands to paste.
func self() string {
	if _, err := exec.LookPath("tallyroute"); err == nil {
		return "tallyroute"
	}
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/tallyroute"
	}
	return os.Args[0]
}

// config is the demonstration's configuration. It reads no file and needs no
// credential.
func (c demoCommand) config() *Config {
	cfg := defaultConfig()
	cfg.Listen, cfg.AdminListen, cfg.Database, cfg.Demo = c.Listen, c.AdminListen, c.Database, true
	cfg.Log.Level = "error"
	if c.Verbose {
		cfg.Log.Level = "info"
	}
	cfg.Timeouts.ShutdownWait = 0
	return &cfg
}

// ageOf is " (new)" for a database file that does not exist yet.
func ageOf(d dsn) string {
	path, err := d.sqlitePath()
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return " (new)"
	}
	return ""
}

// demonstrate runs the service and, once it is ready, do.
func (s *service) demonstrate(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- s.run(ctx) }()
	err := s.await(ctx, served)
	if err == nil {
		err = do(ctx)
	}
	stop()
	return errors.Join(err, <-served)
}

// await returns when the service can answer, or has ended instead.
func (s *service) await(ctx context.Context, served chan error) error {
	for {
		_, err := s.ready.check(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		select {
		case ended := <-served:
			served <- nil
			return errors.Join(err, ended)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// demoKey makes a fresh key in the demonstration's project.
func (s *service) demoKey(ctx context.Context) (billing.Key, billing.Secret, error) {
	tokens, money := int64(1_000_000), billing.Money(1*billing.NanoPerUSD)
	return manage.Actions{Store: s.store, Pepper: s.pepper.Pepper}.CreateKey(ctx, manage.KeyRequest{
		Name: "demo " + time.Now().Format("2006-01-02 15:04"), Team: "demo", Project: "demo", CostCenter: "demo", Environment: "dev",
		Budgets: []billing.Budget{{Period: billing.PeriodDay, Tokens: &tokens, Money: &money}},
	}, manage.By{Actor: "demo"})
}

// greet prints all that one needs to begin with.
func (c demoCommand) greet(w io.Writer, s *service, key *billing.Key, secret billing.Secret, age string) {
	base := "http://" + reachable(s.public.address())
	administration := "off"
	if s.admin != nil {
		administration = "http://" + reachable(s.admin.address())
	}
	path, _ := c.Database.sqlitePath()
	fmt.Fprintf(w, "tallyroute %s  %s   metrics and health %s\n", versionString(), base, administration)
	fmt.Fprintf(w, "database  %s%s   providers  demo-a (cheap, fails now and then), demo-b (dearer, steady)\n", c.Database, age)
	fmt.Fprintf(w, "your key  %s   shown once; today it may spend $%s and %d tokens\n", secret.Reveal(), key.Budgets[0].Money.Short(),
		*key.Budgets[0].Tokens)
	fmt.Fprintf(w, "try it    curl -i %s/v1/chat/completions -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' "+
		"-d '{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}'\n", base, secret.Reveal())
	fmt.Fprintf(w, "again     the second request finds demo-a failing: x-tallyroute-provider says who answered, x-tallyroute-attempts "+
		"after how many tries\n")
	fmt.Fprintf(w, "spend     %s%s report models\n", c.where(), self())
	fmt.Fprintf(w, "next      OPENAI_API_KEY=… %s serve: real models appear; keys: %s keys create --help\n", self(), self())
	if path != "" { // what it made in another database is for its owner
		fmt.Fprintf(w, "undo      rm -r %s* %s\n", path, filepath.Join(filepath.Dir(path), pepperFile))
	}
}
