package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/connect"
)

// connectCommand is "tallyroute connect": it shows how to point a client at this router.
type connectCommand struct {
	Client string `arg:"" help:"One of codex, claude-code, opencode, cursor, aider, continue, open-webui, librechat, n8n."`
	URL    string `help:"Address of the router. Default: the configured listener." placeholder:"URL"`
	Key    string `help:"Virtual key to write. Without it, clients that can read it from the environment use TALLYROUTE_KEY."`
	Model  string `help:"Model or alias." default:"auto"`
	Write  bool   `help:"Merge it into the client's file in the home folder, and keep a copy (codex, claude-code, opencode)."`
}

// Run prints the configuration of a client, or writes it.
func (c connectCommand) Run(a *cli.Context) error {
	s := connect.Settings{URL: strings.TrimSuffix(strings.TrimSuffix(c.URL, "/"), "/v1"), Key: c.Key, Model: c.Model}
	if s.URL == "" {
		cfg, err := a.Config()
		if err != nil {
			return err
		}
		s.URL = app.PublicURL(cfg)
	}
	text, err := connect.Text(c.Client, s)
	if err != nil {
		return cli.Usage(err)
	}
	if !c.Write {
		_, err := fmt.Fprint(a.Stdout, text)
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	w, err := connect.Write(c.Client, s, connect.Home{Dir: home, Getenv: os.Getenv}, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "%s is written", w.File)
	if w.Backup != "" {
		fmt.Fprintf(a.Stdout, "; what was there is kept in %s", w.Backup)
	}
	fmt.Fprintln(a.Stdout)
	return nil
}
