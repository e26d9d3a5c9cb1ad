// Command routebench measures what the router costs beyond proxying: it runs the same load
// alternately through a bare httputil.ReverseProxy and through tallyroute with keys, budgets,
// ledger, metrics and log, against one mock upstream, and prints the medians of CPU time per
// request and of throughput, and their ratios. Absolute figures say more about the machine than
// about the program; compare the ratios.
//
// CPU time is that of the target's process, from /proc, over the requests that ended in the
// measured window; the load is a closed loop over a fixed number of connections. Linux only.
//
//	go run ./cmd/routebench                         on SQLite
//	go run ./cmd/routebench -database postgres://…  on PostgreSQL
//	go run ./cmd/routebench -entrances              the Responses and Messages APIs beside chat completions
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "routebench:", err)
		os.Exit(1)
	}
}

// settings are the command-line flags.
type settings struct {
	database string
	binary   string
	only     string
	rounds   int
	warmup   time.Duration
	window   time.Duration
	budget   bool
	entries  bool
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "upstream":
			return serveUpstream(ctx, args[1])
		case "proxy":
			return serveProxy(ctx, args[1])
		}
	}
	var s settings
	fs := flag.NewFlagSet("routebench", flag.ContinueOnError)
	fs.StringVar(&s.database, "database", "", "postgres://… or sqlite:PATH; default a new SQLite file")
	fs.StringVar(&s.binary, "binary", "", "the tallyroute program; default: build it")
	fs.StringVar(&s.only, "only", "", "run only the loads whose name has this in it")
	fs.IntVar(&s.rounds, "rounds", 5, "rounds of each target")
	fs.DurationVar(&s.warmup, "warmup", 500*time.Millisecond, "load before the measured window of a round")
	fs.DurationVar(&s.window, "window", 2*time.Second, "the measured window of a round")
	fs.BoolVar(&s.budget, "budget", true, "the key has a token and a money budget")
	fs.BoolVar(&s.entries, "entrances", false, "compare the other entrances with chat completions")
	if err := fs.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "routebench")
	if err != nil {
		return err
	}
	return errors.Join(compare(ctx, s, dir, os.Stdout), os.RemoveAll(dir))
}

// compare starts everything, runs the rounds and prints the result.
func compare(ctx context.Context, s settings, dir string, w io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if s.binary == "" {
		if s.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	upstream, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	mock, err := start(ctx, filepath.Join(dir, "upstream.log"), self, "upstream", upstream)
	if err != nil {
		return err
	}
	defer mock.stop()
	proxy, err := startProxy(ctx, dir, self, upstream)
	if err != nil {
		return err
	}
	defer proxy.process.stop()
	router, err := startRouter(ctx, s, dir, upstream)
	if err != nil {
		return errors.Join(err, router.process.tail())
	}
	defer router.process.stop()
	if s.entries {
		return compareEntrances(ctx, s, router, w)
	}
	var r report
	for _, l := range loads() {
		if !strings.Contains(l.name, s.only) {
			continue
		}
		pair, err := measure(ctx, s, l, proxy, router)
		if err != nil {
			return errors.Join(err, router.process.tail())
		}
		pair.write(w)
		r.add("CPU per request, times a bare proxy's: "+l.name, pair.ratio(cpuMicros), l.most)
	}
	r.write(w)
	return nil
}

// build builds tallyroute into dir.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "tallyroute")
	//nolint:gosec // the path is a temporary folder of our own
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-trimpath", "-o", binary, "./cmd/tallyroute")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building tallyroute (run this from the project's root, or give -binary): %w", err)
	}
	return binary, nil
}

// measure runs one kind of load alternately through both targets.
func measure(ctx context.Context, s settings, l load, proxy, router target) (pair, error) {
	p := pair{name: l.name}
	for i := range s.rounds {
		// The two alternate in going first, so that drift affects both alike.
		order := []target{proxy, router}
		if i%2 == 1 {
			order = []target{router, proxy}
		}
		for _, t := range order {
			r, err := t.round(ctx, s, l)
			if err != nil {
				return p, fmt.Errorf("%s, %s: %w", l.name, t.name, err)
			}
			if t.name == proxy.name {
				p.direct = append(p.direct, r)
			} else {
				p.routed = append(p.routed, r)
			}
		}
	}
	return p, nil
}
