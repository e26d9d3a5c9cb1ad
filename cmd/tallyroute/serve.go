package main

import (
	"os"
	"os/signal"
	"syscall"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/router/tokens"
)

// serveCommand is "tallyroute serve".
type serveCommand struct{}

// Run serves until it is told to stop. SIGHUP reloads the configuration.
func (serveCommand) Run(a *cli.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	cfg, _, err := a.Service()
	if err != nil {
		return err
	}
	log, level := logs.NewBusy(a.Stderr, cfg.Log)
	defer func() { _ = log.Sync() }()
	counter, from := tokens.New(tokens.Options{}), a.Source()
	s, err := app.New(a.Ctx, cfg, app.Options{
		Log: log, Level: level, Tokens: counter, Demo: demo.New(counter).Local(), Version: versionString(),
		From: &from, Hangup: hangup,
	})
	if err != nil {
		return err
	}
	return s.Run(a.Ctx)
}
