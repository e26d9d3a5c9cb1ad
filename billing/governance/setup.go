package governance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Setup is the part of a configuration that rules look at.
type Setup struct {
	LogLevel string
	Channels []Channel
	// AlertsOff means that alert conditions aren't checked.
	AlertsOff bool
	Sinks     []string
	// Kept is how long rows of a table are kept: 0 is indefinitely, Never is not at all.
	// Rows of tables that aren't listed are never removed by age.
	Kept    map[string]time.Duration
	Secrets []Secret
	// Facts are what else the document says about the configuration.
	Facts Facts
}

// Inline is the source of a secret that is in the configuration itself.
const Inline = "inline"

// Stored is the source of a credential that the database holds, encrypted.
const Stored = "stored"

// Never means that rows aren't kept at all.
const Never = time.Duration(-1)

// Channel is a destination for alerts.
type Channel struct {
	Name     string
	Kinds    []string // empty is all
	Narrowed bool     // restricted to some teams, or to critical alerts
}

// Secret is a credential and its source.
type Secret struct {
	Setting      string
	Source       string   // env, file, vault, …; inline is written in the configuration itself
	Environments []string // of the keys that it is for; empty is all
}

// Facts are what the document says about the configuration.
type Facts struct {
	Providers     []string // those that take requests
	Database      string   // PostgreSQL or SQLite
	Login         string   // the issuer through which people log in; "" is none
	MFA           bool
	LeakListener  bool
	PepperSource  string
	IntegrityRuns time.Duration // 0 is never
	KeyEnded      time.Duration // until the streams of a revoked key are ended
	Transport     Transport
	Sealing       string // source of the key that encrypts stored credentials and responses; "" means none
	SealingTwo    bool   // the previous key is still accepted for decryption
}

// Transport describes how data is protected in transit.
type Transport struct {
	Public, Admin string // the oldest TLS version that a listener accepts; "" means no TLS
	Demanded      bool   // without TLS, keys and tokens from other hosts are refused
	ClientCerts   bool   // administrators present certificates
	HSTS          bool
	Database      string // its sslmode: verify-full, disable, …; "" if the connection stays on this host
}

// OfSetup returns the rules that a configuration breaks.
func (r *Rules) OfSetup(s Setup) (found []Finding) {
	if r == nil {
		return nil
	}
	add := func(rule, setting, fix, detail string, args ...any) {
		found = append(found, Finding{Rule: rule, Object: setting, Field: setting, Detail: fmt.Sprintf(detail, args...), Fix: fix})
	}
	if r.LogLevel != "" && slices.Index(levels(), s.LogLevel) > slices.Index(levels(), r.LogLevel) {
		add("log_level", "log.level", "set log.level: "+r.LogLevel, "the log must have all of level %s, and it begins at %s", r.LogLevel,
			s.LogLevel)
	}
	for _, kind := range r.Alerts {
		switch {
		case s.AlertsOff:
			add("alerts", "alerts.every", "set alerts.every: 10s",
				"alerts of kind %s must go to a channel, and nothing is looked for", kind)
		case !slices.ContainsFunc(s.Channels, func(c Channel) bool {
			return !c.Narrowed && (len(c.Kinds) == 0 || slices.Contains(c.Kinds, kind))
		}):
			add("alerts", "alerts.channels", "add a channel to alerts.channels, for all teams, whose kinds have "+kind,
				"alerts of kind %s must go to a channel", kind)
		}
	}
	for _, env := range slices.Sorted(maps.Keys(r.Keys.Sinks)) {
		want := r.Keys.Sinks[env]
		if len(want) > 0 && !slices.ContainsFunc(want, func(name string) bool { return slices.Contains(s.Sinks, name) }) {
			add("keys.sinks", "sinks", "add "+want[0]+"=… to sinks",
				"secrets of keys in %s are delivered to %s, which is not a sink of the configuration",
				env, strings.Join(want, " or "))
		}
	}
	return append(append(found, r.ofKept(s)...), r.ofSecrets(s)...)
}

func (r *Rules) ofKept(s Setup) (found []Finding) {
	settings := map[string]string{"access_log": "access_keep", "events": "events_keep", "idempotency": "idempotency.ttl"}
	for _, table := range slices.Sorted(maps.Keys(r.Retention)) {
		kept, removed := s.Kept[table]
		rule, setting := r.Retention[table], settings[table]
		if !removed || setting == "" {
			continue
		}
		add := func(fix, detail, want string) {
			found = append(found, Finding{
				Rule: "retention", Object: setting, Field: setting, Fix: "set " + setting + ": " + fix,
				Detail: fmt.Sprintf(detail, table, want, keptText(kept)),
			})
		}
		if least := span(rule.AtLeast); least > 0 && kept != 0 && kept < least {
			add(rule.AtLeast, "rows of %s must be kept for at least %s, and are kept %s", rule.AtLeast)
		}
		if most := span(rule.AtMost); most > 0 && (kept == 0 || kept > most) {
			add(rule.AtMost, "rows of %s may be kept for at most %s, and are kept %s", rule.AtMost)
		}
	}
	return found
}

func keptText(d time.Duration) string {
	if d == Never {
		return "not at all"
	}
	if d == 0 {
		return "for ever"
	}
	return "for " + wholeHours(d)
}

// fix says how to get the secret from an allowed source. A provider's credentials have
// variable names of their own.
func (s Secret) fix(source string) string {
	if strings.HasPrefix(s.Setting, "providers.") {
		return fmt.Sprintf("keep it there, and refer to it as %s:… below %s", source, s.Setting)
	}
	return fmt.Sprintf("keep it there, and set %s: %s:…", s.Setting, source)
}

// OfSecret returns the rules that a credential breaks by its source.
func (r *Rules) OfSecret(s Secret) []Finding {
	if r == nil {
		return nil
	}
	return r.ofSecrets(Setup{Secrets: []Secret{s}})
}

func (r *Rules) ofSecrets(s Setup) (found []Finding) {
	for _, one := range s.Secrets {
		for _, env := range slices.Sorted(maps.Keys(r.SecretSources)) {
			may := r.SecretSources[env]
			if len(may) == 0 || slices.Contains(may, one.Source) || len(one.Environments) > 0 && !slices.Contains(one.Environments, env) {
				continue
			}
			found = append(found, Finding{
				Rule: "secret_sources", Object: one.Setting, Field: one.Setting,
				Detail: fmt.Sprintf("credentials in %s come from %s, and this one from %s", env, strings.Join(may, " or "),
					cmp.Or(one.Source, "nowhere")),
				Fix: one.fix(may[0]),
			})
			break
		}
	}
	return found
}
