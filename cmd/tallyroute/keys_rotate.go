package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router/admin"
)

type keysRotate struct {
	plainFormat
	ID          string           `arg:"" help:"Id of the key: key_…"`
	Overlap     *config.Duration `help:"How long the old secret stays good; 0s ends it at once. Default: 24h." placeholder:"DURATION"`
	UntilUnused *config.Duration `help:"In place of that: the old secret ends once it was not used for so long, such as 6h." placeholder:"DURATION"`
	Once        string           `help:"A name for this rotation: the same one again changes nothing and shows the same secret." placeholder:"TEXT"`
	Handover    bool             `help:"Print a link that shows the new secret once to whoever opens it; the overlap begins then."`
	HandoverFor config.Duration  `help:"How long the link is good." default:"24h" placeholder:"DURATION"`
	SecretOnly  bool             `help:"Print the secret and nothing else."`
	Reason      string           `help:"Why, for the record." placeholder:"TEXT"`
}

// rotatedKey is a key with its new secret.
type rotatedKey struct {
	manage.KeyView
	SecretVersion int    `json:"secret_version"`
	Secret        string `json:"secret"` // "" where it was made too long ago to be shown again
}

// Run rotates the key.
func (c keysRotate) Run(a *cli) error {
	if c.UntilUnused != nil && (c.Overlap != nil || c.Handover) {
		return usagef("--until-unused cannot be combined with --overlap or --handover")
	}
	if c.Handover {
		overlap := manage.DefaultOverlap
		if c.Overlap != nil {
			overlap = time.Duration(*c.Overlap)
		}
		return handOver(a, c.Output, c.ID, fields{"for": c.HandoverFor, "overlap": config.Duration(overlap), "reason": c.Reason})
	}
	rotation := fields{"reason": c.Reason}
	if c.Overlap != nil {
		rotation["overlap"] = *c.Overlap
	}
	if c.UntilUnused != nil {
		rotation["until_unused"] = *c.UntilUnused
	}
	call := adminapi.Post("/keys"+adminapi.Path(c.ID, "rotate"), rotation)
	call.Once = c.Once
	return a.ask(needs{keys: true}, func(r adminapi.API) error {
		done, err := adminapi.Do[admin.RotatedKey](a.ctx, r, call)
		if err != nil {
			return err
		}
		switch secret := value(done.Secret); {
		case c.Output == "json":
			return printJSON(a.stdout, rotatedKey{done.KeyView, done.SecretVersion, secret})
		case secret == "":
			_, err = fmt.Fprintf(a.stdout, "Version %d was made before under this name, too long ago to show it again.\n",
				done.SecretVersion)
			return err
		case c.SecretOnly:
			_, err = fmt.Fprintln(a.stdout, secret)
			return err
		default:
			_, err = fmt.Fprintf(a.stdout, "%s\n\nThat is version %d of the secret of %s. It is stored nowhere. %s\n", secret,
				done.SecretVersion,
				done.ID, c.endOfOld(time.Now()))
			return err
		}
	})
}

// endOfOld says when the old secret ends.
func (c keysRotate) endOfOld(now time.Time) string {
	overlap := manage.DefaultOverlap
	if c.Overlap != nil {
		overlap = time.Duration(*c.Overlap)
	}
	switch {
	case c.UntilUnused != nil && *c.UntilUnused > 0:
		return "The old one ends once it was not used for " + manage.Span(time.Duration(*c.UntilUnused)) + "."
	case overlap > 0:
		return "The old one is good until " + timestamp(now.Add(overlap)) + "."
	}
	return "The old one has ended."
}

type keysHandOver struct {
	plainFormat
	ID      string          `arg:"" help:"Id of the key: key_…"`
	For     config.Duration `help:"How long the link is good." default:"24h" placeholder:"DURATION"`
	Overlap config.Duration `help:"How long the old secret stays good once the link was opened." default:"24h" placeholder:"DURATION"`
	Reason  string          `help:"Why, for the record." placeholder:"TEXT"`
}

// Run makes the link.
func (c keysHandOver) Run(a *cli) error {
	return handOver(a, c.Output, c.ID, fields{"for": c.For, "overlap": c.Overlap, "reason": c.Reason})
}

// handOver makes a link and prints it.
func handOver(a *cli, output, id string, body fields) error {
	return a.ask(needs{keys: true}, func(r adminapi.API) error {
		made, err := adminapi.Do[admin.Handover](a.ctx, r, adminapi.Post("/keys"+adminapi.Path(id, "hand-over"), body))
		if err != nil {
			return err
		}
		return printHandover(a, output, nil, made)
	})
}

// printHandover writes the link of a hand-over. The host knows where its router listens,
// not by which name others reach it.
func printHandover(a *cli, output string, key *manage.KeyView, h admin.Handover) error {
	link := h.Path
	if a.router == "" {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		link = "http://" + app.Reachable(cfg.Listen) + h.Path
	}
	if output == "json" {
		return printJSON(a.stdout, struct {
			Key       *manage.KeyView `json:"key,omitempty"`
			Link      string          `json:"link"`
			Token     string          `json:"token"`
			ExpiresAt *string         `json:"expires_at"`
		}{key, link, h.Token, h.ExpiresAt})
	}
	fmt.Fprintf(a.stdout, "%s\n\nThe token shows the secret once, to whoever uses it first, until %s:\n"+
		"curl -s %s -H 'Content-Type: application/json' -d '{\"token\":\"…\"}'\n", h.Token, value(h.ExpiresAt), link)
	if key == nil {
		return nil
	}
	return printKey(a, *key)
}

// rotationLine says when the key should get a new secret.
func rotationLine(v manage.KeyView) string {
	if v.RotatedAt == nil {
		return "has no secret yet"
	}
	due := "due " + value(v.RotationDueAt)
	if overdue(v, time.Now()) {
		due = "overdue since " + value(v.RotationDueAt)
	}
	return fmt.Sprintf("every %s (%s), %s", v.RotateEvery, v.Sensitivity, due)
}

// printVersions writes the versions of a key's secret, where there is more than one.
func printVersions(a *cli, v shownKey) error {
	if v.Handovers > 0 {
		fmt.Fprintf(a.stdout, "\nA hand-over waits to be opened.\n")
	}
	if len(v.Versions) < 2 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := table{header: []string{"VERSION", "KEY", "MADE", "ENDS", "LAST USED", "LAST HOUR", "SHARE", "ADDRESSES", "USER AGENTS"}}
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
		t.add(number(int64(s.Version)), text(s.Display), text(*s.CreatedAt), text(ends), text(used), number(s.LastHour), text(share),
			text(callerText(s.Addresses)), text(callerText(s.Agents)))
	}
	return t.printTable(a.stdout)
}

func callerText(list []manage.CallerView) string {
	parts := make([]string, len(list))
	for i, c := range list {
		parts[i] = fmt.Sprintf("%s (%d)", c.Name, c.Requests)
	}
	return orElse(strings.Join(parts, ", "), "-")
}

type keysDeliver struct {
	ID      string          `arg:"" help:"Id of the key: key_…"`
	To      string          `help:"Where to: the name of a sink of the configuration, a colon and a place in it." placeholder:"SINK:PLACE" xor:"to" required:""`
	Off     bool            `help:"Deliver no more, and delete the copy." xor:"to" required:""`
	Overlap config.Duration `help:"How long the old secret stays good after a new one was delivered." default:"24h" placeholder:"DURATION"`
	Reason  string          `help:"Why, for the record." placeholder:"TEXT"`
}

// Run sets where the secrets go. A router writes them.
func (c keysDeliver) Run(a *cli) error {
	at := "/keys" + adminapi.Path(c.ID, "sink")
	return a.ask(needs{keys: true}, func(r adminapi.API) error {
		if c.Off {
			if err := r.Do(a.ctx, adminapi.Delete(at, adminapi.Query("reason", c.Reason)), nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "The secret of %s is delivered no more; a router deletes the copy.\n", c.ID)
			return err
		}
		sink, place, _ := strings.Cut(c.To, ":")
		d, err := adminapi.Do[manage.DeliveryView](a.ctx, r, adminapi.Put(at, fields{
			"sink": sink, "place": place, "overlap": c.Overlap, "reason": c.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "A router delivers a new secret of %s to %s within seconds, and another whenever "+
			"it is due.\n", d.KeyID,
			c.To)
		return err
	})
}

type keysSinks struct {
	format
}

// Run lists the deliveries.
func (c keysSinks) Run(a *cli) error {
	return a.ask(needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.DeliveryView](a.ctx, r, "/sinks", nil, 0)
		if err != nil {
			return err
		}
		t := table{header: []string{"KEY", "SINK", "PLACE", "STATUS", "DELIVERED", "FAILURES", "LAST FAILURE"}, records: all}
		for _, v := range all {
			t.add(text(v.KeyID), text(v.Sink), text(v.Place), text(v.Status), text(value(v.DeliveredAt)), number(int64(v.Failures)),
				text(value(v.Failure)))
		}
		return t.write(a.stdout, c.Output)
	})
}
