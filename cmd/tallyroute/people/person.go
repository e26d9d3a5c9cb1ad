package people

import (
	"encoding/json"
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Person is "tallyroute person": what is stored about one person.
type Person struct {
	Export personExport `cmd:"" help:"Print everything stored about an end user or an address, as JSON."`
	Erase  personErase  `cmd:"" help:"Permanently erase the name of an end user, or an address."`
}

type personExport struct {
	Name string `arg:"" help:"The end user as named by the client, the pseudonym, or an address."`
}

// Run prints the export.
func (c personExport) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PersonExport](a.Ctx, r, adminapi.Post("/persons/export", cli.Fields{"name": c.Name}))
		if err != nil {
			return err
		}
		out := json.NewEncoder(a.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(v)
	})
}

type personErase struct {
	Name   string `arg:"" help:"The end user as named by the client, the pseudonym, or an address."`
	Reason string `required:"" help:"Why, for the audit log. It must not contain the name." placeholder:"TEXT"`
	DryRun bool   `help:"Only report what would be erased."`
}

// Run erases the data and says what was erased.
func (c personErase) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PersonErased](a.Ctx, r, adminapi.Post("/persons/erase", cli.Fields{
			"name": c.Name, "reason": c.Reason, "dry_run": c.DryRun,
		}))
		if err != nil {
			return err
		}
		if v.Pseudonym == nil && v.Rows+v.Access+v.Responses == 0 {
			_, err = fmt.Fprintln(a.Stdout, "Nothing is held under this name: it was erased before, or clients write it differently.")
			return err
		}
		if v.DryRun {
			_, err = fmt.Fprintf(a.Stdout, "%d rows would lose the name, %d of them only where they are shown. Nothing is erased yet.\n",
				v.Rows, v.Plain)
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "%d rows have lost the name and are shown as %s; %d of them, from before pseudonyms, have it until "+
			"they are archived.\nBeside them: %d entries of the record of access, %d kept responses, %d rejected rows.\n",
			v.Rows, cli.OrElse(cli.Value(v.Pseudonym), "-"), v.Plain, v.Access, v.Responses, v.Rejects)
		return err
	})
}
