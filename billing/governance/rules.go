package governance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// Rules are the organisation's rules for its keys. Whatever is left out isn't regulated.
type Rules struct {
	Keys          KeyRules             `json:"keys"`
	Browser       *BrowserRules        `json:"browser,omitempty" doc:"Keys whose secret is used in web pages."`
	DataClasses   map[string][]string  `json:"data_classes,omitempty" doc:"By class of data: the providers that may receive it."`
	SecretSources map[string][]string  `json:"secret_sources,omitempty" doc:"By environment: where credentials come from, such as vault."`
	LogLevel      string               `json:"log_level,omitempty" doc:"debug, info, warn or error: the log is at least this detailed."`
	Alerts        []string             `json:"alerts,omitempty" doc:"Kinds of alerts that must go to a channel."`
	Retention     map[string]Retention `json:"retention,omitempty" doc:"By table: how long its rows are kept."`
	Reviews       *ReviewRules         `json:"reviews,omitempty" doc:"How often access is reviewed."`
}

// KeyRules are about individual keys. The lists are of environments.
type KeyRules struct {
	MaxAge       map[string]string   `json:"max_age,omitempty" doc:"By sensitivity: the longest life of a key, such as 90d."`
	RotateWithin map[string]string   `json:"rotate_within,omitempty" doc:"By sensitivity: how old a secret may be."`
	Expiry       []string            `json:"expiry,omitempty" doc:"The environments in which a key must expire."`
	Owner        []string            `json:"owner,omitempty" doc:"The environments in which a key must have an owner."`
	Purpose      []string            `json:"purpose,omitempty" doc:"The environments in which a key must have a purpose."`
	Budget       []string            `json:"budget,omitempty" doc:"Environments where a key, its project or its team must have a budget."`
	Networks     []string            `json:"networks,omitempty" doc:"The environments in which a key must be limited to known networks."`
	Models       []string            `json:"models,omitempty" doc:"The environments in which a key must name models, without wildcards."`
	Sinks        map[string][]string `json:"sinks,omitempty" doc:"By environment: secrets must be delivered to one of these sinks."`
}

// BrowserRules are about keys that anybody can read.
type BrowserRules struct {
	MaxUSD    string `json:"max_usd" doc:"The largest budget, in dollars."`
	MaxExpiry string `json:"max_expiry" doc:"The longest life of such a key, such as 30d."`
}

// Retention is how long rows are kept.
type Retention struct {
	AtLeast string `json:"at_least,omitempty"`
	AtMost  string `json:"at_most,omitempty"`
}

// ReviewRules are about access reviews.
type ReviewRules struct {
	Every  string `json:"every" doc:"Such as 90d."`
	Within string `json:"complete_within" doc:"How long a review may take, such as 14d."`
}

// Environments returns the environments that keys can be for.
func Environments() []string { return []string{"prod", "staging", "dev"} }

// Tables returns the tables whose retention can be regulated, and whether their rows are
// ever removed by age: for the others, only a minimum can be set.
func Tables() map[string]bool {
	return map[string]bool{"access_log": true, "audit_log": false, "events": true, "idempotency": true, "spend_events": false}
}

// levels returns the log levels, most verbose first.
func levels() []string { return []string{"debug", "info", "warn", "error"} }

// span parses a duration that Check has already accepted.
func span(text string) time.Duration {
	d, err := billing.ParseSpan(text)
	if err != nil {
		return 0
	}
	return d
}

// faults collects what is wrong with rules.
type faults []error

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, &billing.FieldError{Field: "rules." + field, Code: "invalid_value", Detail: fmt.Sprintf(format, args...)})
}

func (f *faults) span(field, text string) {
	if d, err := billing.ParseSpan(text); err != nil || d <= 0 {
		f.add(field, "must be a span such as 90d or 36h")
	}
}

func (f *faults) names(field string, list, known []string) {
	for i, name := range list {
		switch {
		case known != nil && !slices.Contains(known, name):
			f.add(field, "must be of %s", strings.Join(known, ", "))
		case strings.TrimSpace(name) != name || name == "" || len(name) > 100:
			f.add(field, "must be names of 1 to 100 bytes")
		case slices.Contains(list[:i], name):
			f.add(field, "has %q twice", name)
		}
	}
}

// Known holds the names that rules may use.
type Known struct {
	Alerts  []string // kinds
	Sources []string // of credentials
}

// Check reports every fault in the rules.
func (r *Rules) Check(known Known) error {
	var f faults
	var sensitivities []string
	for _, s := range billing.Sensitivities() {
		sensitivities = append(sensitivities, string(s))
	}
	for name, spans := range map[string]map[string]string{"max_age": r.Keys.MaxAge, "rotate_within": r.Keys.RotateWithin} {
		f.names("keys."+name, slices.Sorted(maps.Keys(spans)), sensitivities)
		for _, one := range slices.Sorted(maps.Keys(spans)) {
			f.span("keys."+name+"."+one, spans[one])
		}
	}
	for name, list := range r.Keys.lists() {
		f.names("keys."+name, list, Environments())
	}
	for name, sets := range map[string]map[string][]string{"keys.sinks": r.Keys.Sinks, "secret_sources": r.SecretSources} {
		f.names(name, slices.Sorted(maps.Keys(sets)), Environments())
		for _, env := range slices.Sorted(maps.Keys(sets)) {
			f.names(name+"."+env, sets[env], map[string][]string{"secret_sources": known.Sources}[name])
		}
	}
	f.names("data_classes", slices.Sorted(maps.Keys(r.DataClasses)), nil)
	for _, class := range slices.Sorted(maps.Keys(r.DataClasses)) {
		f.names("data_classes."+class, r.DataClasses[class], nil)
	}
	f.names("alerts", r.Alerts, known.Alerts)
	f.rest(r)
	slices.SortFunc(f, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(f...)
}

func (f *faults) rest(r *Rules) {
	if r.LogLevel != "" && !slices.Contains(levels(), r.LogLevel) {
		f.add("log_level", "must be one of %s", strings.Join(levels(), ", "))
	}
	if b := r.Browser; b != nil {
		if m, err := billing.ParseMoney(b.MaxUSD); err != nil || m <= 0 {
			f.add("browser.max_usd", `must be dollars as text, such as "5"`)
		}
		f.span("browser.max_expiry", b.MaxExpiry)
	}
	if v := r.Reviews; v != nil {
		f.span("reviews.every", v.Every)
		f.span("reviews.complete_within", v.Within)
	}
	f.names("retention", slices.Sorted(maps.Keys(r.Retention)), slices.Sorted(maps.Keys(Tables())))
	for table, keep := range r.Retention {
		at := "retention." + table
		if keep == (Retention{}) {
			f.add(at, "must say at_least or at_most")
		}
		for name, text := range map[string]string{"at_least": keep.AtLeast, "at_most": keep.AtMost} {
			if text != "" {
				f.span(at+"."+name, text)
			}
		}
		if keep.AtMost != "" && !Tables()[table] {
			f.add(at+".at_most", "cannot be kept: nothing removes rows of %s by their age", table)
		}
		if keep.AtMost != "" && span(keep.AtMost) < span(keep.AtLeast) {
			f.add(at, "must not be more at least than at most")
		}
	}
}

// lists returns the lists of environments, by rule.
func (k KeyRules) lists() map[string][]string {
	return map[string][]string{
		"expiry": k.Expiry, "owner": k.Owner, "purpose": k.Purpose, "budget": k.Budget, "networks": k.Networks, "models": k.Models,
	}
}

// ReviewsEvery returns how often access is reviewed, and how long a review may take; ok is
// false if there is no such rule.
func (r *Rules) ReviewsEvery() (every, within time.Duration, ok bool) {
	if r == nil || r.Reviews == nil {
		return 0, 0, false
	}
	return span(r.Reviews.Every), span(r.Reviews.Within), true
}

// KeptAtLeast returns how long rows of a table must be kept; 0 if no rule says.
func (r *Rules) KeptAtLeast(table string) time.Duration {
	if r == nil {
		return 0
	}
	return span(r.Retention[table].AtLeast)
}
