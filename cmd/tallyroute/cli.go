package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/providers/catalogue"
)

// Exit codes of every command.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
)

// cli is what a command may touch besides its own flags.
type cli struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	configPath     string
	router         string // whose admin API is asked; "" is the database of this host
}

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usage makes of err a command line that cannot be meant.
func usage(err error) error { return usageError{err} }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// deniedError is an answer of a router that refused.
type deniedError struct{ err error }

func (e deniedError) Error() string { return e.err.Error() }
func (e deniedError) Unwrap() error { return e.err }

// denied makes of err an answer of a router that refused.
func denied(err error) error { return deniedError{err} }

// exitCode prints err, if there is one, and chooses the exit code.
func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "tallyroute:", strings.ReplaceAll(err.Error(), "billing: ", "")) // which a person need not know
	var (
		misused  usageError
		refused  deniedError
		field    *billing.FieldError
		answered *adminapi.Error
	)
	if errors.As(err, &answered) {
		switch answered.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitDenied
		case http.StatusUnprocessableEntity:
			return exitUsage
		}
	}
	switch {
	case errors.As(err, &misused), errors.As(err, &field):
		fmt.Fprintln(stderr, "Run tallyroute --help for the commands and their flags.")
		return exitUsage
	case errors.As(err, &refused):
		return exitDenied
	case isMissing(err):
		return exitNotFound
	}
	return exitError
}

// isMissing reports that what was named does not exist.
func isMissing(err error) bool {
	var notFound *billing.NotFoundError
	var answered *adminapi.Error
	return errors.As(err, &notFound) || errors.Is(err, billing.ErrUnknownKey) ||
		errors.As(err, &answered) && answered.Status == http.StatusNotFound
}

// source is where the configuration comes from.
func (a *cli) source() app.Source {
	return app.Source{File: a.configPath, Env: a.env, Demo: demo.New(nil).Local()}
}

// config reads the configuration.
func (a *cli) config() (*config.Config, error) { return config.Read(a.configPath, a.env) }

// settings reads the configuration and the catalogue that it leads to.
func (a *cli) settings() (*config.Config, app.Catalogue, error) { return app.Load(a.ctx, a.source()) }

// service are the settings of a router that is to run: all that would be refused is.
func (a *cli) service() (*config.Config, app.Catalogue, error) {
	return app.LoadService(a.ctx, a.source())
}

// wholeCatalogue is the catalogue with every offer of every provider in it, and the
// configuration that it was made from.
func (a *cli) wholeCatalogue() (*catalogue.Catalogue, *config.Config, error) {
	cfg, _, err := a.settings()
	if err != nil {
		return nil, nil, err
	}
	whole, err := app.WholeCatalogue(a.ctx, cfg, a.source().Demo)
	return whole, cfg, err
}

// closing is for what was only read: there is nothing to do about its error.
func closing(c io.Closer) { _ = c.Close() }

// fileOrStdin opens name, "-" being standard input.
func (a *cli) fileOrStdin(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}
