package governance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// Key is a key with the additional facts that rules look at.
type Key struct {
	*billing.Key
	Sink    string // where its secrets are delivered; "" is nowhere
	Groups  policy.Groups
	Unnamed bool // it hasn't been created, so it has no id yet
	// Own is the command, as typed so far, with which a member creates the key for himself;
	// "" if the key is created in another way.
	Own string
}

// OfKey returns the rules that a key breaks at an instant. A key that has ended breaks
// none.
func (r *Rules) OfKey(k Key, now time.Time) []Finding {
	if r == nil || !k.RevokedAt.IsZero() || !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return nil
	}
	j := judge{rules: r, key: k, now: now}
	j.age()
	j.rotation()
	j.members()
	j.limits()
	j.sink()
	j.browser()
	j.dataClass()
	if k.Own != "" {
		j.ownFixes()
	}
	return j.found
}

// judge collects the findings about one key.
type judge struct {
	rules *Rules
	key   Key
	now   time.Time
	found []Finding
	flags []string      // flags that "team create" also needs
	life  time.Duration // its --for; 0 if it needs none
}

// add notes a finding. The fix is what follows "tallyroute keys update KEY", or "keys
// create" for a key yet to be created.
func (j *judge) add(rule, field, flags, detail string, args ...any) {
	fix := "add " + flags
	switch {
	case j.key.Own != "" && j.give(flags):
		fix = ""
	case j.key.Own != "":
		fix = askLead
	case !j.key.Unnamed:
		fix = fmt.Sprintf("tallyroute keys update %s %s", j.key.ID, flags)
	}
	j.mend(rule, field, fix, detail, args...)
}

// askLead is the fix for findings that a member can't resolve with a flag.
const askLead = "ask the lead of the team to make the key"

// give records flags of "keys create" for the "team create" command, and reports whether
// that command has them. If there are several lifetimes, the shortest applies.
func (j *judge) give(flags string) bool {
	name, value, _ := strings.Cut(flags, " ")
	switch name {
	case "--purpose", "--models":
		j.flags = append(j.flags, flags)
	case "--cidr":
		j.flags = append(j.flags, "--from "+value)
	case "--budget-usd":
		j.flags = append(j.flags, "--usd "+value)
	case "--expires-in":
		j.life = min(cmp.Or(j.life, span(value)), span(value))
	default:
		return false
	}
	return true
}

// ownFixes sets the fix of findings about a member's own key: one command that resolves all
// those that a member can resolve. For the rest, the lead of the team has to be asked.
func (j *judge) ownFixes() {
	command := strings.Join(append([]string{j.key.Own}, j.flags...), " ")
	if j.life > 0 {
		command += " --for " + j.life.String()
	}
	for i := range j.found {
		switch fix := &j.found[i].Fix; {
		case *fix == "":
			*fix = command
		case *fix != askLead && j.found[i].Rule != "data_classes":
			*fix = askLead
		}
	}
}

// mend is like add, with a different command as the fix.
func (j *judge) mend(rule, field, fix, detail string, args ...any) {
	f := Finding{Rule: rule, Name: j.key.Name, Field: field, Detail: fmt.Sprintf(detail, args...), Fix: fix}
	if !j.key.Unnamed {
		f.Object = string(j.key.ID)
	}
	j.found = append(j.found, f)
}

func (j *judge) sensitivity() string {
	return string(cmp.Or(j.key.Sensitivity, billing.SensitivityNormal))
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func ends(t time.Time) string {
	if t.IsZero() {
		return "never expires"
	}
	return "expires on " + t.UTC().Format(time.RFC3339)
}

func (j *judge) age() {
	text := j.rules.Keys.MaxAge[j.sensitivity()]
	if text == "" {
		return
	}
	until := j.key.CreatedAt.Add(span(text))
	if !j.key.ExpiresAt.IsZero() && !j.key.ExpiresAt.After(until) {
		return
	}
	detail := "a key of sensitivity %s may live for %s, and this one %s"
	if until.After(j.now) {
		j.add("keys.max_age", "expires_at", j.expiry(until, text), detail, j.sensitivity(), text, ends(j.key.ExpiresAt))
		return
	}
	j.mend("keys.max_age", "expires_at", fmt.Sprintf("make a new key, then tallyroute keys revoke %s", j.key.ID),
		detail+"; its time was over on "+day(until), j.sensitivity(), text, ends(j.key.ExpiresAt))
}

// expiry returns the flag that makes a key expire by an instant.
func (j *judge) expiry(until time.Time, text string) string {
	if j.key.Unnamed {
		return "--expires-in " + text
	}
	return "--expires-in " + wholeHours(until.Sub(j.now))
}

func wholeHours(d time.Duration) string {
	if d >= 24*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%dm", max(1, d/time.Minute))
}

func (j *judge) rotation() {
	text := j.rules.Keys.RotateWithin[j.sensitivity()]
	if text == "" {
		return
	}
	every := cmp.Or(j.key.RotateEvery, j.key.Sensitivity.RotateEvery())
	if most := span(text); every > most {
		j.add("keys.rotate_within", "rotate_every", "--rotate-every "+text,
			"a secret of sensitivity %s may be %s old, and this key's is replaced every %s", j.sensitivity(), text, wholeHours(every))
		every = most
	}
	if !j.key.RotatedAt.IsZero() && j.key.RotatedAt.Add(every).Before(j.now) {
		j.mend("keys.rotate_within", "rotated_at", fmt.Sprintf("tallyroute keys rotate %s", j.key.ID),
			"a new secret was due on %s", day(j.key.RotatedAt.Add(every)))
	}
}

// in reports whether a rule applies to the key's environment.
func (j *judge) in(environments []string) bool {
	return slices.Contains(environments, j.key.Environment)
}

func (j *judge) members() {
	env := j.key.Environment
	if j.in(j.rules.Keys.Expiry) && j.key.ExpiresAt.IsZero() {
		j.add("keys.expiry", "expires_at", "--expires-in 90d", "a key in %s must expire", env)
	}
	if j.in(j.rules.Keys.Owner) && j.key.Address == "" {
		j.add("keys.owner", "owner", "--owner ann@example.com", "somebody must answer for a key in %s", env)
	}
	if j.in(j.rules.Keys.Purpose) && j.key.Purpose == "" {
		j.add("keys.purpose", "purpose", `--purpose "what it is for"`, "a key in %s must say what it is for", env)
	}
}

func (j *judge) limits() {
	env := j.key.Environment
	if j.in(j.rules.Keys.Budget) && !slices.ContainsFunc(j.key.Budgets, func(b billing.Budget) bool {
		return b.Scope != billing.ScopeOrg && lasting(b)
	}) {
		j.add("keys.budget", "budgets", "--budget-usd 10",
			"a budget in money or tokens, of its own, its project or its team, must bind a key in %s", env)
	}
	if j.in(j.rules.Keys.Networks) && !j.narrow() {
		j.add("keys.networks", "allowed_cidrs", "--cidr 10.0.0.0/8",
			"a key in %s is for known addresses, and this one may be used from anywhere, or from a range wider than /8 (IPv6: /16)", env)
	}
	if j.in(j.rules.Keys.Models) && !j.names() {
		j.add("keys.models", "models", "--models NAME,NAME", "a key in %s names its models, without wildcards, and this one has %s", env,
			cmp.Or(strings.Join(j.key.Models, ", "), "all"))
	}
}

// lasting reports whether a budget refuses what exceeds it in money or tokens, over more
// than a minute: a rate alone doesn't limit spend.
func lasting(b billing.Budget) bool {
	return b.Binds() && (b.Money != nil || b.Tokens != nil) && !b.Period.Passes()
}

// The widest ranges that still count as known addresses.
const (
	widestIPv4 = 8
	widestIPv6 = 16
)

// narrow reports whether some level restricts the addresses.
func (j *judge) narrow() bool {
	own := make([]string, len(j.key.AllowedCIDRs))
	for i, p := range j.key.AllowedCIDRs {
		own[i] = p.String()
	}
	return known(own) || slices.ContainsFunc(j.layers(), func(p *policy.Policy) bool { return known(p.AllowedCIDRs) })
}

// known reports whether there are ranges, and none of them is too wide to count as known
// addresses.
func known(ranges []string) bool {
	return len(ranges) > 0 && !slices.ContainsFunc(ranges, func(text string) bool {
		p, ok := policy.ParseRange(text)
		return !ok || p.Bits() < widestIPv6 && (!p.Addr().Is4() || p.Bits() < widestIPv4)
	})
}

// layers returns the policies that apply to the key.
func (j *judge) layers() []*policy.Policy {
	p := j.key.Policies
	return slices.DeleteFunc([]*policy.Policy{p.Team, p.Project, p.Key}, func(p *policy.Policy) bool { return p == nil })
}

// models returns the lists of models that apply to the key, with groups expanded.
func (j *judge) models() (lists [][]string) {
	of := [][]string{j.key.Models}
	for _, p := range j.layers() {
		of = append(of, p.Models)
	}
	for _, models := range of {
		var spread []string
		for _, m := range models {
			if group, named := strings.CutPrefix(m, "@"); named {
				spread = append(spread, j.key.Groups[group]...)
				continue
			}
			spread = append(spread, m)
		}
		if len(models) > 0 {
			lists = append(lists, spread)
		}
	}
	return lists
}

// names reports whether some level lists the models individually.
func (j *judge) names() bool {
	return slices.ContainsFunc(j.models(), func(list []string) bool {
		return !slices.ContainsFunc(list, func(m string) bool { return strings.Contains(m, "*") })
	})
}

// Required returns the sinks to one of which secrets in an environment must be delivered.
func (r *Rules) Required(environment string) []string {
	if r == nil {
		return nil
	}
	return r.Keys.Sinks[environment]
}

func (j *judge) sink() {
	want := j.rules.Required(j.key.Environment)
	if len(want) == 0 || slices.Contains(want, j.key.Sink) {
		return
	}
	fix := fmt.Sprintf("tallyroute keys deliver %s --to %s:PLACE", j.key.ID, want[0])
	if j.key.Unnamed {
		fix = "add --to " + want[0] + ":PLACE"
	}
	j.mend("keys.sinks", "sink", fix, "secrets of keys in %s are delivered to %s, and shown to nobody; this key's go to %s",
		j.key.Environment, strings.Join(want, " or "), cmp.Or(j.key.Sink, "whoever makes them"))
}

// InBrowser reports whether a key's secret is embedded in web pages: either the key says
// so, or it is bound to their origins.
func InBrowser(k *billing.Key) bool {
	p := k.Policies
	return k.Client == billing.ClientBrowser || slices.ContainsFunc([]*policy.Policy{p.Team, p.Project, p.Key}, hasOrigins)
}

func hasOrigins(p *policy.Policy) bool { return p != nil && len(p.Origins) > 0 }

func (j *judge) browser() {
	rule := j.rules.Browser
	if rule == nil || !InBrowser(j.key.Key) {
		return
	}
	if !slices.ContainsFunc(j.layers(), hasOrigins) {
		fix := fmt.Sprintf("tallyroute policy set key %s --file FILE, with origins in the file", j.key.ID)
		if j.key.Unnamed {
			fix = "add --policy FILE, with origins in the file"
		}
		j.mend("browser.origin", "policy.origins", fix, "a key in pages must be bound to their origins")
	}
	most, err := billing.ParseMoney(rule.MaxUSD)
	if err == nil && !slices.ContainsFunc(j.key.Budgets, func(b billing.Budget) bool {
		return b.Scope == billing.ScopeKey && lasting(b) && b.Money != nil && *b.Money <= most
	}) {
		j.add("browser.budget", "budgets", "--budget-usd "+rule.MaxUSD, "a key in pages must have a budget of at most $%s of its own",
			rule.MaxUSD)
	}
	until := j.key.CreatedAt.Add(span(rule.MaxExpiry))
	if j.key.ExpiresAt.IsZero() || j.key.ExpiresAt.After(until) {
		j.add("browser.expiry", "expires_at", j.expiry(until, rule.MaxExpiry), "a key in pages may live for %s, and this one %s",
			rule.MaxExpiry,
			ends(j.key.ExpiresAt))
	}
}

func (j *judge) dataClass() {
	class := j.key.DataClass
	if class == "" || len(j.rules.DataClasses) == 0 {
		return
	}
	project := j.key.Team + "/" + j.key.Project
	may, known := j.rules.DataClasses[class]
	if !known {
		j.mend("data_classes", "data_class", fmt.Sprintf("tallyroute projects update %s --data-class NAME", project),
			"project %s has data of class %q, and the rules only know %s", project, class,
			strings.Join(slices.Sorted(maps.Keys(j.rules.DataClasses)), ", "))
		return
	}
	if j.reaches(may) {
		return
	}
	j.mend("data_classes", "policy.providers", fmt.Sprintf("tallyroute policy set project %s --file FILE, with providers: [%s] in the file",
		project, strings.Join(may, ", ")),
		"data of class %q may be sent to %s alone, and nothing binds the key to these", class,
		cmp.Or(strings.Join(may, ", "), "no provider"))
}

// reaches reports whether some level restricts the key to the given providers.
func (j *judge) reaches(may []string) bool {
	for _, p := range j.layers() {
		if len(p.Providers) > 0 && !slices.ContainsFunc(p.Providers, func(name string) bool { return !slices.Contains(may, name) }) {
			return true
		}
	}
	return slices.ContainsFunc(j.models(), func(list []string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(m string) bool {
			provider, _, found := strings.Cut(m, "/")
			return !found || !slices.Contains(may, provider)
		})
	})
}
