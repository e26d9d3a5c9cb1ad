package config

import (
	"tallyroute/billing"
	"tallyroute/billing/alert"
)

// Alerts are who is told of what.
type Alerts struct {
	Every        Duration  `yaml:"every"`        // how often it is looked; 0 is never
	Certificates []string  `yaml:"certificates"` // files in PEM, of which it is told when they expire
	SMTP         SMTP      `yaml:"smtp"`
	Channels     []Channel `yaml:"channels"`
}

// Anomalies are how the use of keys is watched.
type Anomalies struct {
	Every     Duration `yaml:"every"`     // 0 is never
	Countries string   `yaml:"countries"` // a file in MaxMind's format; "" knows no country
	Disable   bool     `yaml:"disable"`   // keys whose use is critical
}

// Runaway is from when on requests have run away, of every key; policies may say less. 0 is
// no limit.
type Runaway struct {
	Repeats         int64    `yaml:"repeats"` // of the same request, within
	Within          Duration `yaml:"within"`
	SessionRequests int64    `yaml:"session_requests"`
	SessionCents    int64    `yaml:"session_cents"` // hundredths of a dollar
	Pause           Duration `yaml:"pause"`         // for how long they are stopped
}

// SMTP is the server that takes mail.
type SMTP struct {
	Host     string    `yaml:"host"`
	Port     int       `yaml:"port"`
	TLS      string    `yaml:"tls"` // starttls, tls or none
	User     string    `yaml:"user"`
	Password SecretRef `yaml:"password"`
	From     string    `yaml:"from"`
}

// Channel is where alerts go, and which.
type Channel struct {
	Name     string    `yaml:"name"`
	Kind     string    `yaml:"kind"`    // webhook, slack, teams, pagerduty or email
	URL      SecretRef `yaml:"url"`     // a reference: for Slack and Teams, the address is the secret
	Address  string    `yaml:"address"` // of a webhook, where it is none
	Secret   SecretRef `yaml:"secret"`  // of a webhook's signature, or the routing key of PagerDuty
	To       []string  `yaml:"to"`      // addresses of e-mail; owner is who answers for the object
	Private  bool      `yaml:"private"` // it is at an address that is not public
	Kinds    []string  `yaml:"kinds"`
	Severity string    `yaml:"severity"` // the least
	Teams    []string  `yaml:"teams"`
	Quiet    string    `yaml:"quiet"` // 22:00-07:00 Europe/Berlin
}

// Route is which alerts go to the channel.
func (c Channel) Route() alert.Channel {
	quiet, _ := alert.ParseQuiet(c.Quiet) // which was checked when it was read
	to := alert.Channel{
		Name: c.Name, Least: billing.Severity(c.Severity), Teams: c.Teams, Quiet: quiet,
		Owners: c.Kind == "email" && len(c.To) == 1 && c.To[0] == owner,
	}
	for _, k := range c.Kinds {
		to.Kinds = append(to.Kinds, billing.AlertKind(k))
	}
	return to
}

// owner stands for whoever answers for what an alert is about.
const owner = "owner"

// Destination is somebody who is sent the audit log.
type Destination struct {
	Name    string    `yaml:"name"`
	Address string    `yaml:"address"` // udp://, tcp:// or tls://HOST:PORT of a syslog server, or https:// of a webhook
	Secret  SecretRef `yaml:"secret"`  // of a webhook's signature
	CA      string    `yaml:"ca"`      // a file in PEM, of a syslog server over TLS
	Private bool      `yaml:"private"` // a webhook is at an address that is not public
}
