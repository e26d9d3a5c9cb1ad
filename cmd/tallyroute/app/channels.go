package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/audit"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/providers/notify"
	"tallyroute/providers/secret/manager"
	"tallyroute/providers/syslog"
)

// sender sends messages to one destination.
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

// Notifiers returns the channels that alerts are sent to, by name.
func Notifiers(ctx context.Context, cfg *config.Config) (map[string]manage.Notifier, error) {
	from, err := once(cfg)
	if err != nil {
		return nil, err
	}
	return notifiers(ctx, from, cfg)
}

// notifiers makes a configuration's channels, reading their secrets from a keeper.
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

// forwarders returns the destinations that a configuration sends the audit log to, by name.
func forwarders(ctx context.Context, from *manager.Keeper, cfg *config.Config) (map[string]manage.Forwarder, error) {
	all := make(map[string]manage.Forwarder, len(cfg.AuditForward))
	for _, d := range cfg.AuditForward {
		one, err := forwarder(ctx, from, cfg, d)
		if err != nil {
			return nil, fmt.Errorf("audit_forward: %s: %w", d.Name, err)
		}
		all[d.Name] = one
	}
	return all, nil
}

func forwarder(ctx context.Context, from *manager.Keeper, cfg *config.Config, d config.Destination) (manage.Forwarder, error) {
	to, err := url.Parse(d.Address)
	if err != nil {
		return nil, err
	}
	if to.Scheme == "https" || to.Scheme == "http" {
		key, _, err := credential(ctx, from, config.SecretRef(cmp.Or(string(d.Secret), string(cfg.WebhookSecret))))
		client := notify.Client()
		if d.Private {
			client = notify.PrivateClient()
		}
		return webhookForwarder{notify.Webhook{URL: d.Address, Secret: key.Reveal(), Client: client, Clock: time.Now}}, err
	}
	s := syslogForwarder{server: syslog.Server{Network: to.Scheme, Address: to.Host}}
	if s.host, err = os.Hostname(); err != nil {
		s.host = "tallyroute"
	}
	if d.CA == "" {
		return s, nil
	}
	text, err := os.ReadFile(d.CA)
	if err != nil {
		return nil, err
	}
	if s.server.CAs = x509.NewCertPool(); !s.server.CAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", d.CA)
	}
	return s, nil
}

// auditKey returns the key that signs checkpoints of the audit log; nil signs none.
func auditKey(ctx context.Context, from *manager.Keeper, cfg *config.Config) (*audit.SigningKey, error) {
	text, there, err := credential(ctx, from, cfg.AuditSigningKey)
	if err != nil || !there {
		return nil, wrapped("audit_signing_key", err)
	}
	key, err := manage.ParseAuditKey(text.Reveal())
	return key, wrapped("audit_signing_key", err)
}

func wrapped(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// webhookForwarder posts records as JSON, signed in the same way as alerts.
type webhookForwarder struct{ hook notify.Webhook }

// Forward implements manage.Forwarder.
func (w webhookForwarder) Forward(ctx context.Context, records []manage.AuditRecord) error {
	return w.hook.Post(ctx, map[string]any{"object": "audit.records", "data": records})
}

// syslogForwarder sends records as syslog messages.
type syslogForwarder struct {
	server syslog.Server
	host   string
}

// Severities of messages: a denial or a failure is a warning.
const (
	syslogWarning = 4
	syslogNotice  = 5
)

// Forward implements manage.Forwarder.
func (s syslogForwarder) Forward(ctx context.Context, records []manage.AuditRecord) error {
	list := make([]syslog.Message, len(records))
	for i, r := range records {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		change, err := r.Change()
		if err != nil {
			return err
		}
		list[i] = syslog.Message{
			At: change.At, Severity: syslogNotice, ID: r.Action, Text: string(text),
			Data: [][2]string{{"seq", strconv.FormatInt(r.Seq, 10)}, {"actor", r.Actor}, {"object", r.Object}, {"hash", r.Hash}},
		}
		if r.Outcome != billing.OutcomeDone {
			list[i].Severity = syslogWarning
		}
	}
	return s.server.Send(ctx, s.host, list)
}
