package main

import (
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/cmd/tallyroute/logs"
	"tallyroute/router/tokens"
)

// serveCommand is "tallyroute serve".
type serveCommand struct{}

// Run serves until it is told to stop.
func (serveCommand) Run(a *cli) error {
	cfg, _, err := a.settings()
	if err != nil {
		return err
	}
	log := logs.NewBusy(a.stderr, cfg.Log)
	defer func() { _ = log.Sync() }()
	counter := tokens.New(tokens.Options{})
	s, err := app.New(a.ctx, cfg, app.Options{Log: log, Tokens: counter, Demo: demo.New(counter).Local(), Version: versionString()})
	if err != nil {
		return err
	}
	return s.Run(a.ctx)
}
