package governance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Organisation is the state of an organisation from which its policy is written, besides
// the rules.
type Organisation struct {
	Ledger       string
	Version      int64
	SHA256       string
	Author       string
	Reason       string
	MadeAt       time.Time
	At           time.Time
	Setup        *Setup // nil: the configuration isn't known
	Roles        map[string][]string
	Holders      map[string]int // the number of principals with each role
	Keys         int
	Teams        int
	Owners       int
	Acknowledged int
	Missing      []string
	Findings     []Finding
	Reviews      int // that were started
	LastReview   time.Time
	Overdue      int
	Incidents    int // that are open
}

// document is a Markdown text under construction, with the gaps found so far.
type document struct {
	strings.Builder
	rules *Rules
	org   Organisation
	gaps  []string
}

func (d *document) head(text string)                { fmt.Fprintf(d, "\n## %s\n\n", text) }
func (d *document) say(format string, args ...any)  { fmt.Fprintf(d, format+"\n\n", args...) }
func (d *document) item(format string, args ...any) { fmt.Fprintf(d, "- "+format+"\n", args...) }

// gap says that something isn't configured, both here and in the list at the end.
func (d *document) gap(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.gaps = append(d.gaps, text)
	d.item("**Gap:** %s", text)
}

// Write returns the organisation's key-management policy as Markdown, generated from the
// rules and the configuration in force. Whatever isn't configured is listed as a gap.
func (r *Rules) Write(org Organisation) string {
	if r == nil {
		r = &Rules{}
	}
	d := &document{rules: r, org: org}
	d.title()
	d.roles()
	d.lifecycle()
	d.controls()
	d.monitoring()
	d.incidents()
	d.compliance()
	d.training()
	d.findings()
	return d.String()
}

func (d *document) title() {
	o := d.org
	fmt.Fprint(d, "# Key-management policy\n\n")
	if o.Version == 0 {
		d.say("No rules are in force. This text of %s tells what the configuration does without them.", day(o.At))
	} else {
		d.say("Version %d of the rules, by %s on %s (%s; SHA-256 `%s`). Written on %s from the rules and the configuration in force, "+
			"ledger `%s`.",
			o.Version, plain(o.Author), day(o.MadeAt), plain(strings.TrimSuffix(o.Reason, ".")), o.SHA256, day(o.At), o.Ledger)
	}
	d.head("Purpose and scope")
	d.say("This policy says how virtual keys, the credentials of providers and the access of administrators are made, used, watched "+
		"and ended. "+
		"It holds for all keys (%d that are not revoked, teams: %d), and for everybody who administers the router.", o.Keys, o.Teams)
	if o.Setup == nil {
		d.gap("the configuration is not known here: write the document at a router, or on its host")
		return
	}
	f := o.Setup.Facts
	d.say("Requests go to these providers: %s. Keys, rules and the ledger are in %s.", cmp.Or(plain(strings.Join(f.Providers, ", ")),
		"none yet"),
		f.Database)
}

func (d *document) roles() {
	d.head("Roles and responsibilities")
	d.say("Who may do what is granted by role, within the organisation, a team or a project; a grant may expire. Every act is recorded.")
	fmt.Fprint(d, "| role | held by | permissions |\n| --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(d.org.Roles)) {
		fmt.Fprintf(d, "| %s | %d | %s |\n", plain(name), d.org.Holders[name], strings.Join(d.org.Roles[name], ", "))
	}
	d.say("")
	d.item("Whoever is named as the owner of a key answers for it: %d addresses do.", d.org.Owners)
	d.item("The roles security and owner set these rules and sign reviews of access off.")
	if d.org.Holders["owner"] == 0 {
		d.gap("nobody has the role owner: grant it with tallyroute principals grant")
	}
	if d.org.Holders["security"] == 0 {
		d.gap("nobody has the role security")
	}
	if s := d.org.Setup; s != nil && s.Facts.Login == "" {
		d.gap("people do not log in by an identity provider (login.issuer)")
	} else if s != nil {
		d.item("People log in at %s.", s.Facts.Login)
		if !s.Facts.MFA {
			d.gap("logins need no second factor (login.mfa)")
		}
	}
}

// spans describes a rule by sensitivity.
func (d *document) spans(rule map[string]string, text, gap string) {
	if len(rule) == 0 {
		d.gap("%s", gap)
		return
	}
	var parts []string
	for _, s := range slices.SortedFunc(maps.Keys(rule), func(a, b string) int { return cmp.Compare(span(rule[a]), span(rule[b])) }) {
		parts = append(parts, s+" "+rule[s])
	}
	d.item(text, strings.Join(parts, ", "))
}

// list describes a rule by environment.
func (d *document) list(environments []string, text, gap string) {
	if len(environments) == 0 {
		d.gap("%s", gap)
		return
	}
	d.item("In %s, %s.", strings.Join(environments, ", "), text)
}

func (d *document) lifecycle() {
	k := d.rules.Keys
	d.head("Lifecycle of keys")
	d.say("**Made.** A key is made by whoever has the permission keys.write. Its secret is stored as a hash alone, and shown once, " +
		"handed over by " +
		"a link that opens once, or delivered to a sink.")
	d.list(k.Owner, "a key has an owner who answers for it", "no rule asks for an owner of keys (keys.owner)")
	d.list(k.Purpose, "a key says what it is for", "no rule asks for the purpose of keys (keys.purpose)")
	d.list(k.Expiry, "a key expires", "no rule asks for the expiry of keys (keys.expiry)")
	if len(k.Sinks) == 0 {
		d.gap("no rule says where secrets are delivered (keys.sinks): whoever makes a key sees its secret")
	}
	for _, env := range slices.Sorted(maps.Keys(k.Sinks)) {
		d.item("Secrets of keys in %s are delivered to %s, and shown to nobody.", env, strings.Join(k.Sinks[env], " or "))
	}
	fmt.Fprintln(d)
	d.say("**Rotated.** A rotation makes a new secret, and the old one stays good for an overlap that ends by itself.")
	d.spans(k.RotateWithin, "A secret is at most so old, by sensitivity: %s.", "no rule limits the age of secrets (keys.rotate_within)")
	d.spans(k.MaxAge, "A key lives at most so long, by sensitivity: %s.", "no rule limits the age of keys (keys.max_age)")
	fmt.Fprintln(d)
	d.say("**Ended.** A key that is revoked, disabled or expired is refused by every router within a second. Archiving destroys its " +
		"secrets; what " +
		"it spent stays in the ledger.")
	if s := d.org.Setup; s != nil {
		after := "at once"
		if s.Facts.KeyEnded > 0 {
			after = "after " + s.Facts.KeyEnded.String()
		}
		d.item("A stream that is under way when its key ends is cut %s.", after)
	}
}

func (d *document) controls() {
	k := d.rules.Keys
	d.head("Controls")
	d.list(k.Budget, "a budget of the key, its project or its team binds it", "no rule asks for budgets of keys (keys.budget)")
	d.list(k.Networks, "a key is for known addresses alone", "no rule asks for addresses of keys (keys.networks)")
	d.list(k.Models, "a key names its models, without wildcards", "no rule asks for named models (keys.models)")
	if b := d.rules.Browser; b != nil {
		d.item("A key in pages is bound to their origins, has a budget of at most $%s of its own and lives for at most %s.", b.MaxUSD,
			b.MaxExpiry)
	} else {
		d.gap("no rule is for keys in pages (browser)")
	}
	if len(d.rules.DataClasses) == 0 {
		d.gap("no rule says which providers may be sent which class of data (data_classes)")
	}
	for _, class := range slices.Sorted(maps.Keys(d.rules.DataClasses)) {
		d.item("Data of class %s may be sent to: %s.", class, cmp.Or(strings.Join(d.rules.DataClasses[class], ", "), "no provider"))
	}
	if len(d.rules.SecretSources) == 0 {
		d.gap("no rule says where credentials of providers may be kept (secret_sources)")
	}
	for _, env := range slices.Sorted(maps.Keys(d.rules.SecretSources)) {
		d.item("Credentials for %s are kept in: %s.", env, strings.Join(d.rules.SecretSources[env], ", "))
	}
	if s := d.org.Setup; s != nil {
		d.item("The pepper that secrets are hashed with is read from: %s.", cmp.Or(s.Facts.PepperSource, "a file beside the database"))
		d.sealing(s.Facts)
		d.transport(s.Facts.Transport)
	}
	d.item("Every rule is enforced when a key, a policy or a budget is made or changed; those of the configuration by config check, " +
		"at the start " +
		"and at a reload. What was there before is reported.")
}

// sealing describes how credentials stored in the database are protected.
func (d *document) sealing(f Facts) {
	switch f.Sealing {
	case "":
		d.gap("no key seals credentials in the database (secrets.encryption_key): none can be stored there")
	case Inline:
		d.gap("the key that seals credentials in the database is written in the configuration (secrets.encryption_key)")
	default:
		d.item("Credentials of providers that the database keeps are sealed under a key that it does not have, read from: %s.", f.Sealing)
	}
	if f.SealingTwo {
		d.gap("the key before it still opens what it sealed: seal that again with tallyroute secrets rekey, and take " +
			"secrets.previous_encryption_key out")
	}
}

// transport describes how secrets are protected in transit.
func (d *document) transport(t Transport) {
	for _, l := range []struct{ who, version, setting string }{
		{"Clients", t.Public, "tls.cert_file"}, {"Administrators", t.Admin, "admin_tls.cert_file"},
	} {
		if l.version == "" {
			d.gap("%s reach the router without TLS of its own (%s): something before it has to speak it", strings.ToLower(l.who), l.setting)
			continue
		}
		d.item("%s reach the router by TLS %s or newer.", l.who, l.version)
	}
	if t.Demanded {
		d.item("A key or token that comes from another host in clear is refused, and its owner is told.")
	} else {
		d.gap("a key or token that comes in clear is not refused (require_tls)")
	}
	if t.ClientCerts {
		d.item("Administrators present a certificate of a known authority besides their token.")
	} else {
		d.gap("administrators present no certificates (admin_tls.client_ca_file)")
	}
	if t.Public != "" && !t.HSTS {
		d.gap("browsers are not told to use TLS alone (tls.hsts)")
	}
	switch t.Database {
	case "":
		d.item("The database is on the router's host.")
	case "verify-full", "verify-ca":
		d.item("The router reaches its database by TLS, and verifies its certificate (%s).", t.Database)
	case "unknown":
		d.gap("how the router reaches its database is kept elsewhere (database): see that it says sslmode=verify-full")
	default:
		d.gap("the router does not verify the certificate of its database (sslmode=%s)", t.Database)
	}
}

func (d *document) monitoring() {
	d.head("Monitoring")
	s := d.org.Setup
	if d.rules.LogLevel != "" {
		d.item("The log has everything of level %s.", d.rules.LogLevel)
	} else {
		d.gap("no rule says how much is logged (log_level)")
	}
	if len(d.rules.Alerts) > 0 {
		d.item("Alerts of these kinds must go to a channel: %s.", strings.Join(d.rules.Alerts, ", "))
	} else {
		d.gap("no rule says which alerts must exist (alerts)")
	}
	if s != nil && len(s.Channels) == 0 {
		d.gap("no channel is configured that alerts go to (alerts.channels)")
	} else if s != nil {
		names := make([]string, len(s.Channels))
		for i, c := range s.Channels {
			names[i] = c.Name
		}
		d.item("Alerts go to: %s.", plain(strings.Join(names, ", ")))
	}
	for _, table := range slices.Sorted(maps.Keys(Tables())) {
		d.retention(table)
	}
	if s != nil && s.Facts.IntegrityRuns == 0 {
		d.gap("the ledger is not checked by itself (integrity_every)")
	} else if s != nil {
		d.item("The ledger is checked for its laws every %s.", s.Facts.IntegrityRuns)
	}
	d.item("The audit log chains every act of administrators by its hash; signed checkpoints prove that none was removed.")
	d.reviews()
}

func (d *document) retention(table string) {
	rule, ruled := d.rules.Retention[table]
	kept := ""
	if s := d.org.Setup; s != nil {
		if span, removed := s.Kept[table]; removed {
			kept = "; they are kept " + keptText(span)
		} else {
			kept = "; they are removed by hand alone"
		}
	}
	if !ruled {
		d.gap("no rule says how long rows of %s are kept (retention.%s)%s", table, table, kept)
		return
	}
	var parts []string
	if rule.AtLeast != "" {
		parts = append(parts, "for at least "+rule.AtLeast)
	}
	if rule.AtMost != "" {
		parts = append(parts, "for at most "+rule.AtMost)
	}
	d.item("Rows of %s are kept %s%s.", table, strings.Join(parts, " and "), kept)
}

func (d *document) reviews() {
	v := d.rules.Reviews
	if v == nil {
		d.gap("no rule asks for reviews of access (reviews)")
		return
	}
	d.item("All keys and grants are reviewed every %s, each to be kept, narrowed or revoked within %s.", v.Every, v.Within)
	switch {
	case d.org.Reviews == 0:
		d.gap("no review has been begun yet")
	case d.org.Overdue > 0:
		d.gap("%d reviews are overdue", d.org.Overdue)
	default:
		d.item("The last of %d reviews was begun on %s.", d.org.Reviews, day(d.org.LastReview))
	}
}

func (d *document) incidents() {
	d.head("Incident response")
	d.say("Whoever suspects that a key is in wrong hands opens an incident (`tallyroute incident open --key KEY`), which in one step " +
		"ends or narrows " +
		"its use, gathers what it did from where, and seals that with a digest. The owner is told. An incident is closed with its outcome.")
	d.item("%d incidents are open.", d.org.Incidents)
	if s := d.org.Setup; s != nil && !s.Facts.LeakListener {
		d.gap("no listener is told of secrets that are found in public (leaks.listen)")
	} else if s != nil {
		d.item("Secrets that are found in public are reported to a listener of the router, which verifies the report.")
	}
}

func (d *document) compliance() {
	d.head("Compliance")
	d.say("These tables show where what is described here has to do with controls of standards and laws. They are for information: " +
		"they claim no " +
		"certification, and no completeness.")
	for _, s := range standards() {
		fmt.Fprintf(d, "### %s\n\n| number | title | here |\n| --- | --- | --- |\n", s.name)
		for _, p := range s.pairs {
			fmt.Fprintf(d, "| %s | %s | %s |\n", p.number, p.title, p.here)
		}
		fmt.Fprintln(d)
	}
}

func (d *document) training() {
	d.head("Training and acknowledgement")
	d.say("Everybody who answers for keys or teams is told of every version of the rules, and acknowledges it. Holders of a key read " +
		"what holds for " +
		"it, in plain words, at `GET /v1/key/policy`.")
	switch {
	case d.org.Version == 0:
		d.gap("there are no rules to acknowledge")
	case len(d.org.Missing) > 0:
		d.gap("%d have acknowledged version %d; these have not: %s", d.org.Acknowledged, d.org.Version,
			plain(strings.Join(d.org.Missing, ", ")))
	case d.org.Owners == 0:
		d.gap("nobody is named as an owner of keys or teams, so nobody is told")
	default:
		d.item("All %d have acknowledged version %d.", d.org.Owners, d.org.Version)
	}
	d.gap("the router keeps no record of trainings: name yours beside this document")
}

func (d *document) findings() {
	d.head("What breaks the rules today")
	if len(d.org.Findings) == 0 {
		d.say("Nothing.")
	} else {
		fmt.Fprint(d, "| rule | what | detail | fix |\n| --- | --- | --- | --- |\n")
	}
	for _, f := range d.org.Findings {
		fmt.Fprintf(d, "| %s | %s | %s | %s |\n", f.Rule, plain(f.Name+" "+f.Object), plain(f.Detail), plain(f.Fix))
	}
	d.head("Gaps")
	if len(d.gaps) == 0 {
		d.say("None.")
	}
	for _, g := range d.gaps {
		d.item("%s", g)
	}
}

// plain makes foreign text safe anywhere in the document: on one line, and without any
// meaning in Markdown or HTML.
func plain(s string) string {
	return strings.NewReplacer(
		`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "#", `\#`, "!", `\!`, "~", `\~`,
		"<", "&lt;", ">", "&gt;", "&", "&amp;").Replace(strings.Join(strings.Fields(s), " "))
}
