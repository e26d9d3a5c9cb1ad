// Command tallyroute is the router, its command line and its demonstration.
// Everything is put together here and nothing is decided here: the packages
// below know nothing of each other beyond the layer table, and this one hands
// them to one another.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // budgets have zones, and images have no files of them

	"tallyroute/cmd/tallyroute/cli"
)

func main() {
	hideMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it parses args, runs one command and says how the
// process ends. It is what tests call.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &cli.Context{Ctx: ctx, Stdin: stdin, Stdout: stdout, Stderr: stderr, Env: os.Environ()}
	return cli.ExitCode(stderr, execute(a, args))
}
