// Command tallyroute is the router, its command line and its demonstration. Everything is
// assembled here and nothing is decided here: the packages below know nothing of each other
// beyond what the layer table allows, and this one connects them.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // budgets have time zones, and images contain no zone files

	"tallyroute/cmd/tallyroute/cli"
)

func main() {
	hideMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it parses args, runs one command and returns the exit code.
// Tests call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &cli.Context{Ctx: ctx, Stdin: stdin, Stdout: stdout, Stderr: stderr, Env: os.Environ()}
	return cli.ExitCode(stderr, execute(a, args))
}
