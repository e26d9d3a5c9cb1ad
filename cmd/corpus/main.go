// Command corpus replays recorded exchanges with real providers through the real router and
// reports how many come out as they should. It needs three folders, which are not part of this
// repository:
//
//	TALLYROUTE_CORPUS  the exchanges: a folder for each API, a JSON file for each exchange, with
//	                   what was sent and answered, and what should come of it
//	TALLYROUTE_SPEC    published schemas; those of OpenAI's API in its folder openai, a file
//	                   NAME.schema.json for each
//	TALLYROUTE_PLAYER  the source of the player, a Go program: "config" lists the APIs of the
//	                   exchanges, "replay" answers as the providers did, "check" asks as a client
//	                   and writes a report
//
// It starts the player's replay as the upstream providers, a router on a new SQLite database,
// and the player's check as the client. Then it compares the rows of the ledger with what was
// recorded: tokens by kind, costs, stated costs, and disputes.
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

// settings are the command-line flags.
type settings struct {
	player   string // the folder with its source code
	spec     string
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
	fs.StringVar(&s.player, "player", os.Getenv("TALLYROUTE_PLAYER"), "folder with the source of the player; default: TALLYROUTE_PLAYER")
	fs.StringVar(&s.spec, "spec", os.Getenv("TALLYROUTE_SPEC"), "folder of published schemas; default: TALLYROUTE_SPEC")
	fs.StringVar(&s.cases, "cases", "", "folder of exchanges; default: TALLYROUTE_CORPUS")
	fs.StringVar(&s.record, "score", filepath.Join(".ci", "corpus.json"), "the recorded score")
	fs.StringVar(&s.binary, "binary", "", "the tallyroute program; default: build it")
	fs.StringVar(&s.families, "families", "", "only these formats, separated by commas")
	fs.StringVar(&s.apis, "apis", "", "only these APIs, as globs separated by commas")
	fs.StringVar(&s.cut, "cut", "events", "how streams are cut on their way: events, whole, bytes:N")
	fs.IntVar(&s.clients, "clients", 4, "requests in flight")
	fs.BoolVar(&s.plain, "plain", false, "without the catalogue: every provider is called without its declared quirks")
	fs.BoolVar(&s.verbose, "v", false, "print every check that fails")
	fs.BoolVar(&s.update, "update", false, "record the score")
	fs.StringVar(&s.report, "reports", "", "a folder that gets the player's report of every format, bodies included")
	err := fs.Parse(args)
	return s, err
}

func run(ctx context.Context, args []string, w io.Writer) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	recorded := s.cases == ""
	if recorded {
		s.cases = os.Getenv("TALLYROUTE_CORPUS")
	}
	if s.cases == "" || s.player == "" || s.spec == "" {
		_, err := fmt.Fprintln(w, "corpus: skipped: TALLYROUTE_CORPUS, TALLYROUTE_SPEC and TALLYROUTE_PLAYER say where the recorded "+
			"exchanges, the schemas and the program that plays them are")
		return err
	}
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return err
	}
	got, err := s.play(ctx, dir, w)
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

// play builds the programs and replays each format in turn.
func (s *settings) play(ctx context.Context, dir string, w io.Writer) (score, error) {
	if err := s.build(ctx, dir); err != nil {
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
			_, _ = fmt.Fprintf(w, "%s is not played: %s\n", f.family, why)
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
