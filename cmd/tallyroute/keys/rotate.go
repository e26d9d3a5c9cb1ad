package keys

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router/admin"
)

type keysRotate struct {
	cli.Rehearsal
	cli.PlainFormat
	ID          string           `arg:"" help:"Id of the key: key_…"`
	Overlap     *config.Duration `help:"How long the old secret stays valid; 0s ends it at once. Default: 24h." placeholder:"DURATION"`
	UntilUnused *config.Duration `help:"Alternatively, the old secret ends once unused for this long, such as 6h." placeholder:"DURATION"`
	Once        string           `help:"A name for this rotation: repeating it shows the same secret again." placeholder:"TEXT"`
	Handover    bool             `help:"Print a link that shows the new secret once; the overlap begins when it is opened."`
	HandoverFor *config.Duration `help:"How long the link is valid. Default: 24h." placeholder:"DURATION"`
	SecretOnly  bool             `help:"Print the secret and nothing else."`
	Reason      string           `help:"Why, for the record." placeholder:"TEXT"`
}

// rotatedKey is a key with its new secret.
type rotatedKey struct {
	manage.KeyView
	SecretVersion int    `json:"secret_version"`
	Secret        string `json:"secret"` // "" if it was made too long ago to be shown again
}

// Run rotates the key.
func (c keysRotate) Run(a *cli.Context) error {
	if c.UntilUnused != nil && (c.Overlap != nil || c.Handover) {
		return cli.Usagef("--until-unused cannot be combined with --overlap or --handover")
	}
	if c.Handover && c.DryRun {
		return cli.Usagef("--dry-run cannot be combined with --handover")
	}
	if c.Handover {
		overlap := manage.DefaultOverlap
		if c.Overlap != nil {
			overlap = time.Duration(*c.Overlap)
		}
		return handOver(a, c.Output, c.ID,
			cli.Fields{"for": linkLife(c.HandoverFor), "overlap": config.Duration(overlap), "reason": c.Reason})
	}
	if c.HandoverFor != nil {
		return errNoLink()
	}
	rotation := cli.Fields{"reason": c.Reason}
	if c.Overlap != nil {
		rotation["overlap"] = *c.Overlap
	}
	if c.UntilUnused != nil {
		rotation["until_unused"] = *c.UntilUnused
	}
	call := adminapi.Post("/keys"+adminapi.Path(c.ID, "rotate"), rotation)
	call.Once = c.Once
	return a.Change(c.Rehearsal, cli.Needs{Keys: true}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.RotatedKey](a.Ctx, r, call)
		if err != nil {
			return err
		}
		switch secret := cli.Value(done.Secret); {
		case c.Output == "json":
			return cli.PrintJSON(a.Stdout, rotatedKey{done.KeyView, done.SecretVersion, secret})
		case secret == "":
			_, err = fmt.Fprintf(a.Stdout, "Version %d was made before under this name, too long ago to show it again.\n",
				done.SecretVersion)
			return err
		case c.SecretOnly:
			_, err = fmt.Fprintln(a.Stdout, secret)
			return err
		default:
			_, err = fmt.Fprintf(a.Stdout, "%s\n\nThat is version %d of the secret of %s. It is stored nowhere. %s\n", secret,
				done.SecretVersion,
				done.ID, c.endOfOld(time.Now()))
			return err
		}
	})
}

// endOfOld says when the old secret expires.
func (c keysRotate) endOfOld(now time.Time) string {
	overlap := manage.DefaultOverlap
	if c.Overlap != nil {
		overlap = time.Duration(*c.Overlap)
	}
	switch {
	case c.UntilUnused != nil && *c.UntilUnused > 0:
		return "The old one ends once it was not used for " + manage.Span(time.Duration(*c.UntilUnused)) + "."
	case overlap > 0:
		return "The old one is good until " + cli.Timestamp(now.Add(overlap)) + "."
	}
	return "The old one has ended."
}

type keysHandOver struct {
	cli.PlainFormat
	ID      string          `arg:"" help:"Id of the key: key_…"`
	For     config.Duration `help:"How long the link is valid." default:"24h" placeholder:"DURATION"`
	Overlap config.Duration `help:"How long the old secret stays valid once the link was opened." default:"24h" placeholder:"DURATION"`
	Reason  string          `help:"Why, for the record." placeholder:"TEXT"`
}

// Run makes the link.
func (c keysHandOver) Run(a *cli.Context) error {
	return handOver(a, c.Output, c.ID, cli.Fields{"for": c.For, "overlap": c.Overlap, "reason": c.Reason})
}

// linkLife returns how long a link is valid: as given, or the default.
func linkLife(said *config.Duration) config.Duration {
	if said == nil {
		return config.Duration(24 * time.Hour)
	}
	return *said
}

func errNoLink() error { return cli.Usagef("--handover-for needs --handover") }

// handOver makes a link and prints it.
func handOver(a *cli.Context, output, id string, body cli.Fields) error {
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		made, err := adminapi.Do[admin.Handover](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(id, "hand-over"), body))
		if err != nil {
			return err
		}
		return printHandover(a, output, nil, made)
	})
}

// printHandover prints the link of a hand-over. The host knows where its router listens,
// but not the name by which others reach it.
func printHandover(a *cli.Context, output string, key *manage.KeyView, h admin.Handover) error {
	link := h.Path
	if a.Router == "" {
		cfg, err := a.Config()
		if err != nil {
			return err
		}
		link = app.PublicURL(cfg) + h.Path
	}
	if output == "json" {
		return cli.PrintJSON(a.Stdout, struct {
			Key       *manage.KeyView `json:"key,omitempty"`
			Link      string          `json:"link"`
			Token     string          `json:"token"`
			ExpiresAt *string         `json:"expires_at"`
		}{key, link, h.Token, h.ExpiresAt})
	}
	fmt.Fprintf(a.Stdout, "%s\n\nThe token shows the secret once, to whoever uses it first, until %s:\n"+
		"curl -s %s -H 'Content-Type: application/json' -d '{\"token\":\"…\"}'\n", h.Token, cli.Value(h.ExpiresAt), link)
	if key == nil {
		return nil
	}
	return printKey(a, *key)
}

// rotationLine says when the key is due for a new secret.
func rotationLine(v manage.KeyView) string {
	if v.RotatedAt == nil {
		return "has no secret yet"
	}
	due := "due " + cli.Value(v.RotationDueAt)
	if overdue(v, time.Now()) {
		due = "overdue since " + cli.Value(v.RotationDueAt)
	}
	return fmt.Sprintf("every %s (%s), %s", v.RotateEvery, v.Sensitivity, due)
}

// printVersions prints the versions of a key's secret if there is more than one.
func printVersions(a *cli.Context, v shownKey) error {
	if v.Handovers > 0 {
		fmt.Fprintf(a.Stdout, "\nA hand-over waits to be opened.\n")
	}
	if len(v.Versions) < 2 {
		return nil
	}
	fmt.Fprintln(a.Stdout)
	t := cli.Table{Header: []string{"VERSION", "KEY", "MADE", "ENDS", "LAST USED", "LAST HOUR", "SHARE", "ADDRESSES", "USER AGENTS"}}
	for _, s := range v.Versions {
		ends, share, used := "with the key", "-", "-"
		if s.ValidUntil != nil {
			ends = *s.ValidUntil
		} else if s.UntilUnused != nil {
			ends = "unused for " + *s.UntilUnused
		}
		if s.SharePercent != nil {
			share = *s.SharePercent + " %"
		}
		if s.LastUsedAt != nil {
			used = *s.LastUsedAt
		}
		t.Add(cli.Number(int64(s.Version)), cli.Text(s.Display), cli.Text(*s.CreatedAt), cli.Text(ends), cli.Text(used),
			cli.Number(s.LastHour), cli.Text(share),
			cli.Text(callerText(s.Addresses)), cli.Text(callerText(s.Agents)))
	}
	return t.PrintTable(a.Stdout)
}

func callerText(list []manage.CallerView) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = fmt.Sprintf("%s (%d)", c.Name, c.Requests)
	}
	return cli.OrElse(strings.Join(parts, ", "), "-")
}

type keysDeliver struct {
	cli.Rehearsal
	ID      string          `arg:"" help:"Id of the key: key_…"`
	To      string          `help:"Destination: a configured sink, a colon, and a place." placeholder:"SINK:PLACE" xor:"to" required:""`
	Off     bool            `help:"Stop deliveries and delete the copy." xor:"to" required:""`
	Overlap config.Duration `help:"How long the old secret stays valid after a new one was delivered." default:"24h" placeholder:"DURATION"`
	Reason  string          `help:"Why, for the record." placeholder:"TEXT"`
}

// Run sets where the secrets are delivered. A router delivers them.
func (c keysDeliver) Run(a *cli.Context) error {
	if c.DryRun && !c.Off {
		return cli.Usagef("--dry-run is for --off")
	}
	at := "/keys" + adminapi.Path(c.ID, "sink")
	return a.Change(c.Rehearsal, cli.Needs{Keys: true}, func(r adminapi.API) error {
		if c.Off {
			if err := r.Do(a.Ctx, adminapi.Delete(at, adminapi.Query("reason", c.Reason)), nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.Stdout, "The secret of %s is delivered no more; a router deletes the copy.\n", c.ID)
			return err
		}
		sink, place, _ := strings.Cut(c.To, ":")
		d, err := adminapi.Do[manage.DeliveryView](a.Ctx, r, adminapi.Put(at, cli.Fields{
			"sink": sink, "place": place, "overlap": c.Overlap, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "A router delivers a new secret of %s to %s within seconds, and another whenever "+
			"it is due.\n", d.KeyID,
			c.To)
		return err
	})
}

type keysSinks struct {
	cli.Format
}

// Run lists the deliveries.
func (c keysSinks) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.DeliveryView](a.Ctx, r, "/sinks", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"KEY", "SINK", "PLACE", "STATUS", "DELIVERED", "FAILURES", "LAST FAILURE"}, Records: all}
		for _, v := range all {
			t.Add(cli.Text(v.KeyID), cli.Text(v.Sink), cli.Text(v.Place), cli.Text(v.Status), cli.Text(cli.Value(v.DeliveredAt)),
				cli.Number(int64(v.Failures)),
				cli.Text(cli.Value(v.Failure)))
		}
		return t.Write(a.Stdout, c.Output)
	})
}
