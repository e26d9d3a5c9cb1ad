package governance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Setup is what rules ask of a configuration.
type Setup struct {
	LogLevel string
	Channels []Channel
	// AlertsOff is that nothing is looked for.
	AlertsOff bool
	Sinks     []string
	// Kept is how long rows of a table are kept: 0 is for ever, Never not at all. Of
	// tables that are not in it nothing is removed by age.
	Kept    map[string]time.Duration
	Secrets []Secret
	// Facts are what the document says of the configuration besides.
	Facts Facts
}

// Never is that rows are not kept at all.
const Never = time.Duration(-1)

// Channel is where alerts go.
type Channel struct {
	Name     string
	Kinds    []string // none is all
	Narrowed bool     // to some teams, or to what is critical
}

// Secret is a credential and where it comes from.
type Secret struct {
	Setting      string
	Source       string   // env, file, vault, …; inline stands in the configuration itself
	Environments []string // of the keys that it is for; none is all
}

// Facts are what the document tells of the configuration.
type Facts struct {
	Providers     []string // that take requests
	Database      string   // PostgreSQL or SQLite
	Login         string   // the issuer by which people log in; "" is none
	MFA           bool
	LeakListener  bool
	PepperSource  string
	IntegrityRuns time.Duration // 0 is never
	KeyEnded      time.Duration // until a stream of a key ends that was revoked
}

// OfSetup are the rules that a configuration breaks.
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
				"secrets of keys in %s are delivered to %s, which is no sink of the configuration",
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

// fix is what to do so that the secret comes from a source. A provider has its own names
// for what it is called with.
func (s Secret) fix(source string) string {
	if strings.HasPrefix(s.Setting, "providers.") {
		return fmt.Sprintf("keep it there, and refer to it as %s:… below %s", source, s.Setting)
	}
	return fmt.Sprintf("keep it there, and set %s: %s:…", s.Setting, source)
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
