package config

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/alert"
)

func (r *reader) checkAlerts(cfg *Config) {
	r.oneOf("alerts.smtp.tls", cfg.Alerts.SMTP.TLS, "starttls", "tls", "none")
	names := make(map[string]bool)
	for i, c := range cfg.Alerts.Channels {
		at := "alerts.channels[" + strconv.Itoa(i) + "]"
		if !sinkName.MatchString(c.Name) {
			r.fault(at+".name", "needs a name of small letters, digits, - and _")
		}
		if names[c.Name] {
			r.fault(at+".name", "is there twice")
		}
		names[c.Name] = true
		r.checkChannel(at, c, cfg)
		r.checkRoute(at, c)
	}
}

func (r *reader) checkChannel(at string, c Channel, cfg *Config) {
	needs := func(there bool, member, what string) {
		if !there {
			r.fault(at+"."+member, "%s", what)
		}
	}
	switch c.Kind {
	case "webhook":
		needs((c.URL != "") != (c.Address != ""), "address", "needs an address, or a url that refers to one")
		needs(c.Address == "" || isHook(c), "address", "want https://HOST/PATH; http is for private: true alone")
		needs(c.Secret != "" || cfg.WebhookSecret != "", "secret", "needs what its calls are signed with, here or as webhook_secret")
	case "slack", "teams":
		needs(c.URL != "", "url", "needs a reference to the address that "+c.Kind+" gave out")
	case "pagerduty":
		needs(c.Secret != "", "secret", "needs a reference to a routing key")
	case "email":
		smtp := cfg.Alerts.SMTP
		needs(smtp.Host != "" && smtp.From != "" && smtp.Port > 0 && smtp.Port < 1<<16, "kind", "needs alerts.smtp.host, port and from")
		needs(len(c.To) > 0, "to", "needs addresses, or owner")
		for _, to := range c.To {
			_, err := mail.ParseAddress(to)
			needs(to == owner || err == nil, "to", "want addresses such as ops@example.com, or owner")
		}
	default:
		r.fault(at+".kind", "want webhook, slack, teams, pagerduty or email")
	}
}

func isHook(c Channel) bool {
	u, err := url.Parse(c.Address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && c.Private)
}

func (r *reader) checkRoute(at string, c Channel) {
	kinds := make([]string, 0, len(alert.Kinds()))
	for _, k := range alert.Kinds() {
		kinds = append(kinds, string(k))
	}
	if c.Kinds != nil && len(c.Kinds) == 0 {
		r.fault(at+".kinds", "is empty: leave it out for all kinds")
	}
	if c.Teams != nil && len(c.Teams) == 0 {
		r.fault(at+".teams", "is empty: leave it out for all teams")
	}
	for _, k := range c.Kinds {
		if !slices.Contains(kinds, k) {
			r.fault(at+".kinds", "want some of %s", strings.Join(kinds, ", "))
		}
	}
	if c.Severity != "" {
		r.oneOf(at+".severity", c.Severity, string(billing.Info), string(billing.Warning), string(billing.Critical))
	}
	if _, err := alert.ParseQuiet(c.Quiet); err != nil {
		r.fault(at+".quiet", "%s", err)
	}
}

func (r *reader) checkAnomalies(a Anomalies) {
	if a.Every != 0 && (a.Every < Duration(time.Second) || a.Every > Duration(time.Hour)) {
		r.fault("anomalies.every", "want 1s to 1h, or 0 for never")
	}
}

func (r *reader) checkRunaway(a Runaway) {
	for name, n := range map[string]int64{"session_requests": a.SessionRequests, "session_cents": a.SessionCents} {
		if n < 0 || n > 1_000_000_000_000 {
			r.fault("runaway."+name, "want 0, for no limit, to 1000000000000")
		}
	}
	if a.Repeats < 0 || a.Repeats > 1000 {
		r.fault("runaway.repeats", "want 0, for no limit, to 1000")
	}
	for name, d := range map[string]Duration{"within": a.Within, "pause": a.Pause} {
		if d < Duration(time.Second) || d > Duration(24*time.Hour) {
			r.fault("runaway."+name, "want 1s to 24h")
		}
	}
}

func (r *reader) checkForward(cfg *Config) {
	names := make(map[string]bool)
	for i, d := range cfg.AuditForward {
		at := "audit_forward[" + strconv.Itoa(i) + "]"
		if !sinkName.MatchString(d.Name) || names[d.Name] {
			r.fault(at+".name", "needs a name of its own, of small letters, digits, - and _")
		}
		names[d.Name] = true
		u, err := url.Parse(d.Address)
		if err != nil {
			r.fault(at+".address", "want tls://HOST:PORT or https://HOST/PATH")
			continue
		}
		switch u.Scheme {
		case "udp", "tcp", "tls":
			if _, port, err := net.SplitHostPort(u.Host); err != nil || port == "" || u.Path != "" || u.User != nil {
				r.fault(at+".address", "want %s://HOST:PORT", u.Scheme)
			}
		case "https", "http":
			if !isHook(Channel{Address: d.Address, Private: d.Private}) {
				r.fault(at+".address", "want https://HOST/PATH; http is for private: true alone")
			}
			if d.Secret == "" && cfg.WebhookSecret == "" {
				r.fault(at+".secret", "needs what its calls are signed with, here or as webhook_secret")
			}
		default:
			r.fault(at+".address", "want udp://, tcp:// or tls://HOST:PORT of a syslog server, or https:// of a webhook")
		}
	}
}
