// Command corpus replays recorded exchanges with real providers through the
// real router and tells how many come out as they should: it starts the judge's
// replay as the upstream providers, a router on a new SQLite database, and the
// judge's check as the client. Then it compares the rows of the ledger with what was
// recorded: tokens by kind, costs, stated costs, and disputes. The exchanges and the judge lie beside the
// project and are not part of it.
//
//	go run ./cmd/corpus                          all formats; a fall below the recorded score fails
//	go run ./cmd/corpus -families openai-chat -v one of them, with every check that fails
//	go run ./cmd/corpus -apis 'groq*,xai*'       some providers
//	go run ./cmd/corpus -cases DIR               other exchanges; only printed
//	go run ./cmd/corpus -update                  record the score
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	shared   string // the folder with the judge, the schemas and the exchanges
	cases    string
	record   string
	binary   string
	families string
	apis     string
	cut      string
	clients  int
	plain    bool
	verbose  bool
	update   bool
	report   string
}

func parse(args []string) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("corpus", flag.ContinueOnError)
	fs.StringVar(&s.shared, "shared", sharedFolder(), "where tools/judge, spec and corpus are")
	fs.StringVar(&s.cases, "cases", "", "folder of exchanges; default SHARED/corpus/dev")
	fs.StringVar(&s.record, "score", filepath.Join(".ci", "corpus.json"), "the recorded score")
	fs.StringVar(&s.binary, "binary", "", "the tallyroute program; default: build it")
	fs.StringVar(&s.families, "families", "", "only these formats, separated by commas")
	fs.StringVar(&s.apis, "apis", "", "only these APIs, as globs separated by commas")
	fs.StringVar(&s.cut, "cut", "events", "how streams are cut on their way: events, whole, bytes:N")
	fs.IntVar(&s.clients, "clients", 4, "requests in flight")
	fs.BoolVar(&s.plain, "plain", false, "without the catalogue: every provider is called without its declared quirks")
	fs.BoolVar(&s.verbose, "v", false, "print every check that fails")
	fs.BoolVar(&s.update, "update", false, "record the score")
	fs.StringVar(&s.report, "reports", "", "a folder that gets the judge's report of every format, bodies included")
	err := fs.Parse(args)
	return s, err
}

// sharedFolder is where the shared folder is looked for.
func sharedFolder() string {
	if dir := os.Getenv("TALLYROUTE_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join("..", "shared")
}

func run(ctx context.Context, args []string, w io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	judge := filepath.Join(s.shared, "tools", "judge")
	recorded := s.cases == ""
	if recorded {
		s.cases = filepath.Join(s.shared, "corpus", "dev")
	}
	for _, dir := range []string{judge, s.cases} {
		if _, err := os.Stat(dir); err != nil {
			_, err := fmt.Fprintf(w, "corpus: skipped: the recorded exchanges are not here (%s)\n", dir)
			return err
		}
	}
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err
	}
	got, err := s.play(ctx, judge, dir, w)
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	got.print(w)
	switch {
	case !recorded || s.plain:
		return nil
	case s.update:
		return s.write(got)
	}
	return s.compare(got)
}

// play builds the programs and replays one format after the other.
func (s *settings) play(ctx context.Context, judge, dir string, w io.Writer) (score, error) {
	if err := s.build(ctx, judge, dir); err != nil {
		return score{}, err
	}
	total := newScore()
	all, err := s.exchanges(ctx, dir)
	if err != nil {
		return score{}, err
	}
	for _, f := range formats() {
		apis := all.of(f.family)
		if len(apis) == 0 || !s.wants(f.family) {
			continue
		}
		if why := f.missing(); why != "" {
			_, _ = fmt.Fprintf(w, "%s is not judged: %s\n", f.family, why)
			continue
		}
		results, ledger, err := s.replay(ctx, dir, f, apis, w)
		if err != nil {
			return score{}, fmt.Errorf("%s: %w", f.family, err)
		}
		for _, r := range results {
			total.add(r)
		}
		total.Ledger.Cases += ledger.Cases
		total.Ledger.Pass += ledger.Pass
	}
	return total, nil
}

func (s *settings) wants(family string) bool {
	if s.families == "" {
		return true
	}
	for name := range strings.SplitSeq(s.families, ",") {
		if name == family {
			return true
		}
	}
	return false
}
