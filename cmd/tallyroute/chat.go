package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sashabaranov/go-openai"

	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/client"
)

// chatCommand is "tallyroute chat": it sends one message through a running router, as any
// program would.
type chatCommand struct {
	Message []string `arg:"" help:"The message."`
	URL     string   `help:"Base URL. Default: the configured listener." env:"OPENAI_BASE_URL" placeholder:"URL"`
	Key     string   `help:"Virtual key." env:"TALLYROUTE_KEY,OPENAI_API_KEY" placeholder:"sk-tr-…"`
	Model   string   `help:"Model or alias." default:"auto"`
	Plain   bool     `help:"Wait for the whole answer instead of streaming it."`
}

// Run prints the answer and, on standard error, where it came from and what it cost.
func (c chatCommand) Run(a *cli.Context) error {
	if c.Key == "" {
		return cli.Usagef("needs a key: set TALLYROUTE_KEY, OPENAI_API_KEY or --key")
	}
	base, by, err := a.Reach(c.URL)
	if err != nil {
		return err
	}
	if c.URL == "" {
		base += "/v1"
	}
	router := client.New(base, c.Key, by)
	ask := router.Stream
	if c.Plain {
		ask = router.Plain
	}
	told, err := ask(a.Ctx, c.Model, strings.Join(c.Message, " "), a.Stdout)
	if err != nil {
		return chatError(err)
	}
	fmt.Fprintln(a.Stdout)
	fmt.Fprintln(a.Stderr, told.String())
	return nil
}

// chatError turns an API error into what the router said, and tells refusals from failures.
func chatError(err error) error {
	var refused *openai.APIError
	if !errors.As(err, &refused) {
		return err
	}
	err = fmt.Errorf("%s (%d %v)", refused.Message, refused.HTTPStatusCode, refused.Code)
	switch refused.HTTPStatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusPaymentRequired, http.StatusTooManyRequests:
		return cli.Denied(err)
	}
	return err
}
