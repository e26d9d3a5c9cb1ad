package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/cli"
)

// testMain runs the tests and then stops the PostgreSQL that they started.
type testMain struct{ *testing.M }

func (m testMain) Run() int { return pgtest.Main(m.M) }

// TestMain makes the program available to the scripts as "tallyroute".
func TestMain(m *testing.M) {
	testscript.Main(testMain{m}, map[string]func(){"tallyroute": main, untilParentEnds: func() {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(cli.ExitError)
		}()
		main()
	}})
}

// untilParentEnds is the program as tests spawn it: it does not outlive them,
// however they end. Its standard input ends when they do.
const untilParentEnds = "tallyroute-of-tests"

// TestScripts runs the command line as its users do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"OPENAI_API_KEY", "OPENAI_BASE_URL", "TALLYROUTE_CONFIG"} {
				e.Setenv(name, "")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": wantStatus},
	})
}

// wantStatus runs tallyroute and wants it to end with a certain exit code:
// status 3 keys show key_none.
func wantStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: status CODE ARGS…")
	}
	// The script's shell cannot tell one failure from another; the program can.
	err := ts.Exec("tallyroute", args[1:]...)
	got := "0"
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = string(rune('0' + exit.ExitCode()))
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("tallyroute %v: exit code %s; want %s", args[1:], got, args[0])
	}
}
