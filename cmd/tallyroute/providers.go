package main

import (
	"fmt"
	"slices"
	"strings"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/router/admin"
)

// providersCommand is "tallyroute providers".
type providersCommand struct {
	List providersList `cmd:"" help:"List the providers that take part, and how they stand at the router that is running."`
}

type providersList struct {
	format
	All bool `help:"Those without a credential, too."`
}

// providerView is a provider in JSON.
type providerView struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"` // has its credential
	Models     int    `json:"models"`
	// Status is healthy, open (left out for now), trial, or unknown where no router that
	// is running says so.
	Status string   `json:"status"`
	Cause  string   `json:"cause,omitempty"`
	Down   []string `json:"down"` // targets of it that are left out for now
}

// Run lists the providers.
func (c providersList) Run(a *cli) error {
	whole, cfg, err := a.wholeCatalogue()
	if err != nil {
		return err
	}
	entries, asked := app.AskHealth(a.ctx, cfg)
	views := []providerView{}
	for _, o := range whole.Offers() {
		i := slices.IndexFunc(views, func(v providerView) bool { return v.Name == o.Provider })
		if i < 0 {
			i = len(views)
			views = append(views, providerView{Name: o.Provider, Status: "unknown", Down: []string{}})
		}
		views[i].Models++
		views[i].Configured = views[i].Configured || o.Configured
	}
	if !c.All {
		views = slices.DeleteFunc(views, func(v providerView) bool { return !v.Configured })
	}
	t := table{header: []string{"PROVIDER", "CREDENTIAL", "MODELS", "STATUS", "CAUSE", "MODELS DOWN"}}
	for i := range views {
		if asked {
			views[i].stand(entries)
		}
		v := views[i]
		t.add(text(v.Name), text(map[bool]string{true: "yes", false: "no"}[v.Configured]), number(int64(v.Models)), text(v.Status),
			text(orElse(v.Cause, "-")), text(orElse(strings.Join(v.Down, ", "), "-")))
	}
	t.records = views
	if !asked && c.Output == "table" {
		fmt.Fprintln(a.stderr, "No router that is running says how they stand: set admin_token as it has it.")
	}
	return t.write(a.stdout, c.Output)
}

// stand fills in how a router says that the provider stands.
func (v *providerView) stand(entries []admin.TargetHealth) {
	v.Status = "healthy"
	for _, e := range entries {
		switch provider, _, target := strings.Cut(e.Name, "/"); {
		case provider != v.Name || e.Status == "healthy":
		case target:
			v.Down = append(v.Down, e.Name)
		default:
			v.Status, v.Cause = e.Status, e.Cause
		}
	}
}
