package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/providers/catalogue"
)

// Exit codes of every command.
const (
	ExitOK       = 0
	ExitError    = 1
	ExitUsage    = 2
	ExitNotFound = 3
	ExitDenied   = 4
)

// Context is everything that a command may use besides its own flags.
type Context struct {
	Ctx            context.Context
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            []string
	ConfigPath     string
	Router         string // whose admin API is called; "" works on this host's database
	Trust          Trust
}

// Trust says how to verify routers that speak TLS, and how this program identifies itself.
type Trust struct {
	CAFile     string
	ClientCert string
	ClientKey  string
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Usage marks err as a mistake on the command line.
func Usage(err error) error { return usageError{err} }

// Usagef returns a formatted error about a mistake on the command line.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errOnHost is returned by verbs that need direct access to the database.
var errOnHost = usageError{errors.New("this runs on the host of the database: leave --router out, and unset TALLYROUTE_ROUTER")}

// deniedError is a refusal by a router.
type deniedError struct{ err error }

func (e deniedError) Error() string { return e.err.Error() }
func (e deniedError) Unwrap() error { return e.err }

// Denied marks err as a refusal by a router.
func Denied(err error) error { return deniedError{err} }

// ExitCode prints err, if there is one, and chooses the exit code.
func ExitCode(stderr io.Writer, err error) int {
	if err == nil {
		return ExitOK
	}
	fmt.Fprintln(stderr, "tallyroute:", strings.ReplaceAll(err.Error(), "billing: ", "")) // the prefix means nothing to users
	var (
		misused  usageError
		refused  deniedError
		field    *billing.FieldError
		answered *adminapi.Error
	)
	if errors.As(err, &answered) {
		switch answered.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return ExitDenied
		case http.StatusUnprocessableEntity:
			return ExitUsage
		}
	}
	switch {
	case errors.As(err, new(*governance.BrokenError)):
		return ExitUsage // as if a router had said so
	case errors.As(err, &misused), errors.As(err, &field):
		fmt.Fprintln(stderr, "Run tallyroute --help for the commands and their flags.")
		return ExitUsage
	case errors.As(err, &refused):
		return ExitDenied
	case IsMissing(err):
		return ExitNotFound
	}
	return ExitError
}

// IsMissing reports whether err says that something named doesn't exist.
func IsMissing(err error) bool {
	var notFound *billing.NotFoundError
	var answered *adminapi.Error
	return errors.As(err, &notFound) || errors.Is(err, billing.ErrUnknownKey) ||
		errors.As(err, &answered) && answered.Status == http.StatusNotFound
}

// Source returns where the configuration comes from.
func (a *Context) Source() app.Source {
	return app.Source{File: a.ConfigPath, Env: a.Env, Demo: demo.New(nil).Local()}
}

// Config reads the configuration.
func (a *Context) Config() (*config.Config, error) { return config.Read(a.ConfigPath, a.Env) }

// Settings reads the configuration and the catalogue built from it.
func (a *Context) Settings() (*config.Config, app.Catalogue, error) {
	return app.Load(a.Ctx, a.Source())
}

// Service returns the settings of a router that is about to run, refusing everything that
// the router would.
func (a *Context) Service() (*config.Config, app.Catalogue, error) {
	return app.LoadService(a.Ctx, a.Source())
}

// WholeCatalogue returns the catalogue with every offer of every provider, built-in or
// configured, and the configuration that it was made from.
func (a *Context) WholeCatalogue() (*catalogue.Catalogue, *config.Config, error) {
	cfg, _, err := a.Settings()
	if err != nil {
		return nil, nil, err
	}
	whole, _, err := app.WholeCatalogue(a.Ctx, cfg, a.Source().Demo, nil)
	return whole, cfg, err
}

// Closing closes something that was only read, so that an error doesn't matter.
func Closing(c io.Closer) { _ = c.Close() }

// FileOrStdin opens the named file; "-" is standard input.
func (a *Context) FileOrStdin(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.Stdin), nil
	}
	return os.Open(name)
}

// mostRead is larger than any document that a command reads, in bytes.
const mostRead = 2 << 20

// ReadDocument reads a T in YAML or JSON from a file, strictly; "-" is standard input.
func ReadDocument[T any](a *Context, name string) (*T, error) {
	from, err := a.FileOrStdin(name)
	if err != nil {
		return nil, err
	}
	defer Closing(from)
	text, err := io.ReadAll(io.LimitReader(from, mostRead))
	if err != nil {
		return nil, err
	}
	var v T
	if err := config.Decode(text, &v); err != nil {
		return nil, Usagef("%s: %w", name, err)
	}
	return &v, nil
}
