// Command routebench measures what the router costs besides proxying: it runs
// the same load through a bare httputil.ReverseProxy and through tallyroute, in
// turns, against one mock upstream, and prints the ratios of CPU time per
// request and of throughput. Absolute figures say more about the machine than
// about the program; the ratios are what to compare.
//
//	go run ./cmd/routebench                         on SQLite
//	go run ./cmd/routebench -database postgres://…  on PostgreSQL
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

// settings are the flags.
type settings struct {
	database string
	binary   string
	requests int
	clients  int
	rounds   int
	budget   bool
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
	fs.IntVar(&s.requests, "requests", 4000, "requests in each round")
	fs.IntVar(&s.clients, "clients", 16, "requests in flight")
	fs.IntVar(&s.rounds, "rounds", 5, "counted rounds of each target; one more warms up")
	fs.BoolVar(&s.budget, "budget", true, "the key has a token and a money budget")
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
		s.binary = filepath.Join(dir, "tallyroute")
		//nolint:gosec // the path is a temporary folder of our own
		build := exec.CommandContext(ctx, "go", "build", "-tags", "nomsgpack", "-o", s.binary, "./cmd/tallyroute")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building tallyroute (run this from the project's root, or give -binary): %w", err)
		}
	}
	upstream, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	mock, err := start(ctx, self, "upstream", upstream)
	if err != nil {
		return err
	}
	defer mock.stop()
	proxy, err := startProxy(ctx, self, upstream)
	if err != nil {
		return err
	}
	defer proxy.process.stop()
	router, err := startRouter(ctx, s, dir, upstream)
	if err != nil {
		return err
	}
	defer router.process.stop()
	for _, load := range loads {
		if err := measure(ctx, s, load, w, proxy, router); err != nil {
			return errors.Join(err, router.process.tail())
		}
	}
	return nil
}

// measure runs one kind of load through both targets in turns.
func measure(ctx context.Context, s settings, l load, w io.Writer, proxy, router target) error {
	var direct, routed []round
	for i := range s.rounds + 1 {
		// Which of the two goes first alternates, so that drift hits both alike.
		order := []target{proxy, router}
		if i%2 == 1 {
			order = []target{router, proxy}
		}
		for _, t := range order {
			r, err := t.run(ctx, s, l)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", l.name, t.name, err)
			}
			if i == 0 {
				continue
			}
			if t.name == proxy.name {
				direct = append(direct, r)
			} else {
				routed = append(routed, r)
			}
		}
	}
	report(w, l, direct, routed)
	return nil
}

func report(w io.Writer, l load, direct, routed []round) {
	fmt.Fprintf(w, "%s\n", l.name)
	line := func(name string, rounds []round) {
		fmt.Fprintf(w, "  %-10s %8.0f requests/s  %7.1f µs CPU/request  p50 %s  p99 %s\n", name,
			median(rounds, func(r round) float64 { return r.perSecond }),
			median(rounds, func(r round) float64 { return r.cpuMicros }),
			time.Duration(median(rounds, func(r round) float64 { return float64(r.p50) })).Round(10*time.Microsecond),
			time.Duration(median(rounds, func(r round) float64 { return float64(r.p99) })).Round(10*time.Microsecond))
	}
	line("proxy", direct)
	line("tallyroute", routed)
	ratio := func(f func(round) float64) float64 {
		return median(routed, f) / median(direct, f)
	}
	fmt.Fprintf(w, "  ratio      %8.2f throughput    %7.2f CPU/request\n",
		ratio(func(r round) float64 { return r.perSecond }), ratio(func(r round) float64 { return r.cpuMicros }))
}
