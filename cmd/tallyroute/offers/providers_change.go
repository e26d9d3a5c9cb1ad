package offers

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/catalogue"
)

// described is a provider described on the command line: by a file, or by the most
// important settings.
type described struct {
	Name    string   `arg:"" help:"The name of the provider."`
	File    string   `help:"Settings in YAML or JSON without secrets; -: standard input." placeholder:"FILE" xor:"described" required:""`
	BaseURL string   `name:"base-url" help:"Its address, instead of a file." placeholder:"URL" xor:"described" required:""`
	Adapter string   `help:"Its wire format; used with --base-url." default:"openai" placeholder:"NAME"`
	Private bool     `help:"It is in a private network; used with --base-url."`
	Open    bool     `help:"It needs no credential; used with --base-url."`
	Models  []string `name:"model" help:"A model, as ID or ID=UPSTREAM, with --base-url; it has no price." placeholder:"ID"`
	Reason  string   `help:"Why." placeholder:"TEXT"`
}

// settings returns the provider's settings as JSON.
func (d described) settings(a *cli.Context) (json.RawMessage, error) {
	if d.File == "" {
		return json.Marshal(d.plain())
	}
	from, err := a.FileOrStdin(d.File)
	if err != nil {
		return nil, err
	}
	defer cli.Closing(from)
	text, err := io.ReadAll(io.LimitReader(from, 1<<20))
	if err != nil {
		return nil, err
	}
	raw, err := catalogue.JSON(text)
	if err != nil {
		return nil, cli.Usagef("%s: %w", d.File, err)
	}
	return raw, nil
}

func (d described) plain() map[string]any {
	models := make([]map[string]string, len(d.Models))
	for i, m := range d.Models {
		id, upstream, _ := strings.Cut(m, "=")
		models[i] = map[string]string{"id": id, "upstream": cli.OrElse(upstream, id)}
	}
	plain := map[string]any{"base_url": d.BaseURL, "adapter": d.Adapter, "models": models}
	if d.Private {
		plain["private"] = true
	}
	if d.Open {
		plain["auth"] = map[string]string{"kind": "none"}
	}
	return plain
}

type providersAdd struct{ described }

// Run stores a provider.
func (c providersAdd) Run(a *cli.Context) error {
	settings, err := c.settings(a)
	if err != nil {
		return err
	}
	return c.send(a, adminapi.Post("/providers", cli.Fields{"name": c.Name, "settings": settings, "reason": c.Reason}))
}

type providersUpdate struct{ described }

// Run replaces the settings of a stored provider.
func (c providersUpdate) Run(a *cli.Context) error {
	settings, err := c.settings(a)
	if err != nil {
		return err
	}
	return c.send(a, adminapi.Put("/providers"+adminapi.Path(c.Name), cli.Fields{"settings": settings, "reason": c.Reason}))
}

func (d described) send(a *cli.Context, c adminapi.Call) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		err := r.Do(a.Ctx, c, nil)
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "Routers take %s up within a second.\n", d.Name)
		}
		return err
	})
}

type providersRemove struct {
	cli.Rehearsal
	Name   string `arg:"" help:"The name of the provider."`
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run removes a stored provider.
func (c providersRemove) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Delete("/providers"+adminapi.Path(c.Name), adminapi.Query("reason", c.Reason)), nil)
	})
}
