package offers

import (
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// Providers is "tallyroute providers".
type Providers struct {
	List   providersList   `cmd:"" help:"List the providers in use and their health at the running router."`
	Add    providersAdd    `cmd:"" help:"Store a provider, in addition to those of the configuration and the built-in ones."`
	Update providersUpdate `cmd:"" help:"Replace the settings of a stored provider."`
	Remove providersRemove `cmd:"" help:"Remove a stored provider. If it replaced a built-in one, that one is used again."`
}

type providersList struct {
	cli.Format
	All bool `help:"Include those without a credential."`
}

// providerView is a provider in JSON.
type providerView struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"` // has its credential
	Models     int    `json:"models"`
	// Status is healthy, open (left out for now), trial, or unknown if no running router
	// reports it.
	Status string   `json:"status"`
	Cause  string   `json:"cause,omitempty"`
	Down   []string `json:"down"` // its targets that are left out for now
}

// Run lists the providers.
func (c providersList) Run(a *cli.Context) error {
	views, entries, err := c.known(a)
	if err != nil {
		return err
	}
	asked := entries != nil
	if !c.All {
		views = slices.DeleteFunc(views, func(v providerView) bool { return !v.Configured })
	}
	t := cli.Table{Header: []string{"PROVIDER", "CREDENTIAL", "MODELS", "STATUS", "CAUSE", "MODELS DOWN"}}
	for i := range views {
		if asked {
			views[i].stand(entries)
		}
		v := views[i]
		t.Add(cli.Text(v.Name), cli.Text(map[bool]string{true: "yes", false: "no"}[v.Configured]), cli.Number(int64(v.Models)),
			cli.Text(v.Status),
			cli.Text(cli.OrElse(v.Cause, "-")), cli.Text(cli.OrElse(strings.Join(v.Down, ", "), "-")))
	}
	t.Records = views
	if !asked && c.Output == "table" {
		fmt.Fprintln(a.Stderr, "No router that is running says how they stand: set admin_token as it has it.")
	}
	return t.Write(a.Stdout, c.Output)
}

// known returns the providers known to a router, or to the host of the database, with their
// health; entries is nil if no router reports any.
func (c providersList) known(a *cli.Context) (views []providerView, entries []admin.TargetHealth, err error) {
	views = []providerView{}
	if a.Router != "" {
		err = a.Ask(cli.Needs{}, func(r adminapi.API) error {
			all, err := adminapi.All[manage.ProviderView](a.Ctx, r, "/providers", nil, 0)
			if err != nil {
				return err
			}
			for _, p := range all {
				views = append(views, providerView{
					Name: p.Name, Configured: p.Configured, Models: p.Models, Status: "unknown",
					Down: []string{},
				})
			}
			h, err := adminapi.Do[admin.Health](a.Ctx, r, adminapi.Get("/health", nil))
			entries = append([]admin.TargetHealth{}, h.Data...)
			return err
		})
		return views, entries, err
	}
	whole, cfg, err := a.StoredCatalogue()
	if err != nil {
		return nil, nil, err
	}
	for _, o := range whole.Offers() {
		i := slices.IndexFunc(views, func(v providerView) bool { return v.Name == o.Provider })
		if i < 0 {
			i = len(views)
			views = append(views, providerView{Name: o.Provider, Status: "unknown", Down: []string{}})
		}
		views[i].Models++
		views[i].Configured = views[i].Configured || o.Configured
	}
	if told, ok := app.AskHealth(a.Ctx, cfg); ok {
		entries = append([]admin.TargetHealth{}, told...)
	}
	return views, entries, nil
}

// stand fills in the provider's health as reported by a router.
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
