package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/notify"
	"tallyroute/providers/secret/manager"
)

// sender sends messages to one place.
type sender interface {
	Notify(ctx context.Context, m notify.Message) error
}

// channel sends alerts as messages.
type channel struct{ sender sender }

// Notify implements manage.Notifier.
func (c channel) Notify(ctx context.Context, n billing.Notice) error {
	err := c.sender.Notify(ctx, notify.Message{
		ID: n.ID, Kind: string(n.Kind), Severity: string(n.Severity), Object: n.Object, Title: n.Title, Text: n.Text, Remedy: n.Remedy,
		TeamID: n.TeamID, Team: n.Team, Owner: n.Owner, Data: n.Data, OccurredAt: n.At.UTC(), Try: n.Tries,
	})
	if errors.Is(err, notify.ErrNobody) {
		return billing.ErrNobody
	}
	return err
}

// Notifiers are the channels that alerts go to, by their names.
func Notifiers(ctx context.Context, cfg *config.Config) (map[string]manage.Notifier, error) {
	from, err := once(cfg)
	if err != nil {
		return nil, err
	}
	return notifiers(ctx, from, cfg)
}

// notifiers makes channels of a configuration, with what a keeper of secrets has.
func notifiers(ctx context.Context, from *manager.Keeper, cfg *config.Config) (map[string]manage.Notifier, error) {
	all := make(map[string]manage.Notifier, len(cfg.Alerts.Channels))
	for _, c := range cfg.Alerts.Channels {
		one, err := notifier(ctx, from, cfg, c)
		if err != nil {
			return nil, fmt.Errorf("alerts.channels: %s: %w", c.Name, err)
		}
		all[c.Name] = channel{one}
	}
	return all, nil
}

func notifier(ctx context.Context, from *manager.Keeper, cfg *config.Config, c config.Channel) (sender, error) {
	client := notify.Client()
	if c.Private {
		client = notify.PrivateClient()
	}
	url, _, err := credential(ctx, from, c.URL)
	if err != nil {
		return nil, err
	}
	key, _, err := credential(ctx, from, config.SecretRef(cmp.Or(string(c.Secret), string(cfg.WebhookSecret))))
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case "slack":
		return notify.Slack{URL: url.Reveal(), Client: client}, nil
	case "teams":
		return notify.Teams{URL: url.Reveal(), Client: client}, nil
	case "pagerduty":
		return notify.PagerDuty{URL: cmp.Or(url.Reveal(), notify.PagerDutyURL), RoutingKey: key.Reveal(), Client: client}, nil
	case "email":
		s := cfg.Alerts.SMTP
		password, _, err := credential(ctx, from, s.Password)
		if err != nil {
			return nil, fmt.Errorf("alerts.smtp.password: %w", err)
		}
		server := notify.SMTP{Host: s.Host, Port: s.Port, TLS: s.TLS, User: s.User, Password: password.Reveal(), From: s.From}
		return notify.Mail{Server: server, To: c.To}, nil
	}
	return notify.Webhook{URL: cmp.Or(url.Reveal(), c.Address), Secret: key.Reveal(), Client: client, Clock: time.Now}, nil
}
