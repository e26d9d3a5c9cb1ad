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

// Context is what a command may touch besides its own flags.
type Context struct {
	Ctx            context.Context
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            []string
	ConfigPath     string
	Router         string // whose admin API is asked; "" is the database of this host
	Trust          Trust
}

// Trust is how routers that speak TLS are known, and how this program shows who it is.
type Trust struct {
	CAFile     string
	ClientCert string
	ClientKey  string
}

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Usage makes of err a command line that cannot be meant.
func Usage(err error) error { return usageError{err} }

// Usagef is a command line that cannot be meant, and why.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errOnHost is a verb that needs the database itself.
var errOnHost = usageError{errors.New("this runs on the host of the database: leave --router out, and unset TALLYROUTE_ROUTER")}

// deniedError is an answer of a router that refused.
type deniedError struct{ err error }

func (e deniedError) Error() string { return e.err.Error() }
func (e deniedError) Unwrap() error { return e.err }

// Denied makes of err an answer of a router that refused.
func Denied(err error) error { return deniedError{err} }

// ExitCode prints err, if there is one, and chooses the exit code.
func ExitCode(stderr io.Writer, err error) int {
	if err == nil {
		return ExitOK
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
			return ExitDenied
		case http.StatusUnprocessableEntity:
			return ExitUsage
		}
	}
	switch {
	case errors.As(err, new(*governance.BrokenError)):
		return ExitUsage // as where a router says so
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

// IsMissing reports that what was named does not exist.
func IsMissing(err error) bool {
	var notFound *billing.NotFoundError
	var answered *adminapi.Error
	return errors.As(err, &notFound) || errors.Is(err, billing.ErrUnknownKey) ||
		errors.As(err, &answered) && answered.Status == http.StatusNotFound
}

// Source is where the configuration comes from.
func (a *Context) Source() app.Source {
	return app.Source{File: a.ConfigPath, Env: a.Env, Demo: demo.New(nil).Local()}
}

// Config reads the configuration.
func (a *Context) Config() (*config.Config, error) { return config.Read(a.ConfigPath, a.Env) }

// Settings reads the configuration and the catalogue that it leads to.
func (a *Context) Settings() (*config.Config, app.Catalogue, error) {
	return app.Load(a.Ctx, a.Source())
}

// Service are the settings of a router that is to run: all that would be refused is.
func (a *Context) Service() (*config.Config, app.Catalogue, error) {
	return app.LoadService(a.Ctx, a.Source())
}

// WholeCatalogue is the catalogue with every offer of every provider in it, of the
// built-in ones and of the configuration, and the configuration that it was made from.
func (a *Context) WholeCatalogue() (*catalogue.Catalogue, *config.Config, error) {
	cfg, _, err := a.Settings()
	if err != nil {
		return nil, nil, err
	}
	whole, _, err := app.WholeCatalogue(a.Ctx, cfg, a.Source().Demo, nil)
	return whole, cfg, err
}

// Closing is for what was only read: there is nothing to do about its error.
func Closing(c io.Closer) { _ = c.Close() }

// FileOrStdin opens name, "-" being standard input.
func (a *Context) FileOrStdin(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.Stdin), nil
	}
	return os.Open(name)
}

// mostRead is more than any document that a command reads has.
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
