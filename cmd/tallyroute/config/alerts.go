package config

import (
	"tallyroute/billing"
	"tallyroute/billing/alert"
)

// Alerts configures which alerts are sent to whom.
type Alerts struct {
	Every        Duration  `yaml:"every"`        // how often conditions are checked; 0 never checks
	Certificates []string  `yaml:"certificates"` // PEM files to alert about before they expire
	SMTP         SMTP      `yaml:"smtp"`
	Channels     []Channel `yaml:"channels"`
}

// Anomalies configures how the use of keys is watched.
type Anomalies struct {
	Every     Duration `yaml:"every"`     // 0 never watches
	Countries string   `yaml:"countries"` // a file in MaxMind's format; "" knows no countries
	Disable   bool     `yaml:"disable"`   // disables keys whose use is critical
}

// Runaway sets the thresholds above which requests, of any key, count as runaway; policies
// may set lower ones. 0 is no limit.
type Runaway struct {
	Repeats         int64    `yaml:"repeats"` // of an identical request, within
	Within          Duration `yaml:"within"`
	SessionRequests int64    `yaml:"session_requests"`
	SessionCents    int64    `yaml:"session_cents"` // hundredths of a dollar
	Pause           Duration `yaml:"pause"`         // for how long requests are stopped
}

// SMTP is the server that mail is sent through.
type SMTP struct {
	Host     string    `yaml:"host"`
	Port     int       `yaml:"port"`
	TLS      string    `yaml:"tls"` // starttls, tls or none
	User     string    `yaml:"user"`
	Password SecretRef `yaml:"password"`
	From     string    `yaml:"from"`
}

// Channel is a destination for alerts, with a filter for which it gets.
type Channel struct {
	Name     string    `yaml:"name"`
	Kind     string    `yaml:"kind"`    // webhook, slack, teams, pagerduty or email
	URL      SecretRef `yaml:"url"`     // a reference: for Slack and Teams, the address is the secret
	Address  string    `yaml:"address"` // of a webhook, if it isn't a secret
	Secret   SecretRef `yaml:"secret"`  // for signing webhook calls, or PagerDuty's routing key
	To       []string  `yaml:"to"`      // e-mail addresses; "owner" is whoever is responsible for the object
	Private  bool      `yaml:"private"` // allows an address that isn't public
	Kinds    []string  `yaml:"kinds"`
	Severity string    `yaml:"severity"` // the minimum
	Teams    []string  `yaml:"teams"`
	Quiet    string    `yaml:"quiet"` // 22:00-07:00 Europe/Berlin
}

// Route returns which alerts go to the channel.
func (c Channel) Route() alert.Channel {
	quiet, _ := alert.ParseQuiet(c.Quiet) // checked when it was read
	to := alert.Channel{
		Name: c.Name, Least: billing.Severity(c.Severity), Teams: c.Teams, Quiet: quiet,
		Owners: c.Kind == "email" && len(c.To) == 1 && c.To[0] == owner,
	}
	for _, k := range c.Kinds {
		to.Kinds = append(to.Kinds, billing.AlertKind(k))
	}
	return to
}

// owner stands for whoever is responsible for what an alert is about.
const owner = "owner"

// Destination is a place to which the audit log is sent.
type Destination struct {
	Name    string    `yaml:"name"`
	Address string    `yaml:"address"` // udp://, tcp:// or tls://HOST:PORT of a syslog server, or https:// of a webhook
	Secret  SecretRef `yaml:"secret"`  // for signing webhook calls
	CA      string    `yaml:"ca"`      // a PEM file, for a syslog server over TLS
	Private bool      `yaml:"private"` // allows a webhook at an address that isn't public
}
