package main

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
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
	r := c.request()
	return a.withKeys(func(m manage.Actions, cfg *config.Config) error {
		id := billing.KeyID(c.ID)
		if c.Handover {
			token, err := m.HandOver(a.ctx, id, time.Duration(c.HandoverFor), r.Overlap, by(c.Reason))
			if err != nil {
				return err
			}
			return printHandover(a, c.Output, nil, token, cfg)
		}
		done, err := m.RotateKey(a.ctx, id, r, by(c.Reason))
		if err != nil {
			return err
		}
		switch secret := done.Secret.Reveal(); {
		case c.Output == "json":
			return printJSON(a.stdout, rotatedKey{manage.ViewKey(&done.Key, time.Now()), done.Number, secret})
		case secret == "":
			_, err = fmt.Fprintf(a.stdout, "Version %d was made before under this name, too long ago to show it again.\n", done.Number)
			return err
		case c.SecretOnly:
			_, err = fmt.Fprintln(a.stdout, secret)
			return err
		default:
			_, err = fmt.Fprintf(a.stdout, "%s\n\nThat is version %d of the secret of %s. It is stored nowhere. %s\n", secret, done.Number,
				done.Key.ID,
				endOf(r, time.Now()))
			return err
		}
	})
}

func (c keysRotate) request() manage.RotateRequest {
	r := manage.RotateRequest{Overlap: manage.DefaultOverlap, Once: c.Once}
	if c.Overlap != nil {
		r.Overlap = time.Duration(*c.Overlap)
	}
	if c.UntilUnused != nil {
		r.UntilUnused = time.Duration(*c.UntilUnused)
	}
	return r
}

// endOf says when the old secret ends.
func endOf(r manage.RotateRequest, now time.Time) string {
	switch {
	case r.UntilUnused > 0:
		return "The old one ends once it was not used for " + manage.Span(r.UntilUnused) + "."
	case r.Overlap > 0:
		return "The old one is good until " + timestamp(now.Add(r.Overlap)) + "."
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
	return a.withKeys(func(m manage.Actions, cfg *config.Config) error {
		token, err := m.HandOver(a.ctx, billing.KeyID(c.ID), time.Duration(c.For), time.Duration(c.Overlap), by(c.Reason))
		if err != nil {
			return err
		}
		return printHandover(a, c.Output, nil, token, cfg)
	})
}

// printHandover writes the link of a hand-over. Of the router it knows where it listens,
// not by which name others reach it.
func printHandover(a *cli, output string, key *billing.Key, t manage.HandoverToken, cfg *config.Config) error {
	link := "http://" + app.Reachable(cfg.Listen) + "/handover"
	if output == "json" {
		v := struct {
			Key       *manage.KeyView `json:"key,omitempty"`
			Link      string          `json:"link"`
			Token     string          `json:"token"`
			ExpiresAt *string         `json:"expires_at"`
		}{nil, link, t.Token, manage.Instant(t.ExpiresAt)}
		if key != nil {
			view := manage.ViewKey(key, time.Now())
			v.Key = &view
		}
		return printJSON(a.stdout, v)
	}
	fmt.Fprintf(a.stdout, "%s\n\nThe token shows the secret once, to whoever uses it first, until %s:\n"+
		"curl -s %s -H 'Content-Type: application/json' -d '{\"token\":\"…\"}'\n", t.Token, timestamp(t.ExpiresAt), link)
	if key == nil {
		return nil
	}
	return printKey(a, key, nil)
}

// rotationLine says when the key should get a new secret.
func rotationLine(k *billing.Key) string {
	if k.RotatedAt.IsZero() {
		return "has no secret yet"
	}
	v := manage.ViewKey(k, time.Now())
	due := "due " + timestamp(k.RotationDue())
	if k.RotationOverdue(time.Now()) {
		due = "overdue since " + timestamp(k.RotationDue())
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
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		id := billing.KeyID(c.ID)
		if c.Off {
			if err := m.UndeliverKey(a.ctx, id, by(c.Reason)); err != nil {
				return err
			}
			_, err := fmt.Fprintf(a.stdout, "The secret of %s is delivered no more; a router deletes the copy.\n", c.ID)
			return err
		}
		sink, place, _ := strings.Cut(c.To, ":")
		k, err := m.DeliverKey(a.ctx, id, manage.DeliverRequest{Sink: sink, Place: place, Overlap: time.Duration(c.Overlap)}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "A router delivers a new secret of %s to %s within seconds, and another every %s.\n", k.ID, c.To,
			manage.ViewKey(&k, time.Now()).RotateEvery)
		return err
	})
}

type keysSinks struct {
	format
}

// Run lists the deliveries.
func (c keysSinks) Run(a *cli) error {
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		all, err := m.Deliveries(a.ctx, "")
		if err != nil {
			return err
		}
		views := make([]manage.DeliveryView, len(all))
		t := table{header: []string{"KEY", "SINK", "PLACE", "STATUS", "DELIVERED", "FAILURES", "LAST FAILURE"}, records: views}
		for i, d := range all {
			v := manage.ViewDelivery(d)
			views[i] = v
			delivered := ""
			if v.DeliveredAt != nil {
				delivered = *v.DeliveredAt
			}
			t.add(text(v.KeyID), text(v.Sink), text(v.Place), text(v.Status), text(delivered), number(int64(v.Failures)), text(d.Failure))
		}
		return t.write(a.stdout, c.Output)
	})
}
