package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the size of a policy.
const (
	mostEntries    = 200
	longestEntry   = 256 // bytes
	mostConditions = 8
	mostHours      = 20
	mostRepeats    = 1000
	mostOf         = 1_000_000_000_000 // tokens or bytes
)

// Fault is what is wrong with a field of a policy.
type Fault struct{ Field, Detail string }

// Check returns every fault of a policy. A nil policy has none. If groups is nil, group
// names aren't checked.
func (p *Policy) Check(groups Groups) []Fault {
	if p == nil {
		return nil
	}
	var all faults
	for _, l := range p.lists() {
		all.list(l)
	}
	for _, m := range slices.Concat(p.Models, p.DenyModels) {
		if name, named := strings.CutPrefix(m, "@"); named && groups != nil && groups[name] == nil {
			all.add("models", "has the group %q, which model_groups of the configuration lacks", m)
		}
	}
	for _, n := range p.maxima() {
		if *n.value < 0 || *n.value > mostOf {
			all.add(n.name, "must be 0, for no limit, to %d", int64(mostOf))
		}
	}
	if p.MaxRepeats > mostRepeats {
		all.add("max_repeats", "must be at most %d", mostRepeats)
	}
	if len(p.Hours) > mostHours || (p.Hours != nil && len(p.Hours) == 0) {
		all.add("hours", "must have 1 to %d entries", mostHours)
	}
	for i, h := range p.Hours {
		if detail := h.fault(); detail != "" {
			all.add(fmt.Sprintf("hours[%d]", i), "%s", detail)
		}
	}
	all.conditions(p.Conditions)
	return all
}

// faults collects the faults found.
type faults []Fault

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, Fault{field, fmt.Sprintf(format, args...)})
}

func (f *faults) list(l list) {
	switch {
	case l.entries != nil && len(l.entries) == 0:
		f.add(l.name, "must name one; leave it out to allow all")
	case len(l.entries) > mostEntries:
		f.add(l.name, "must have at most %d entries", mostEntries)
		return
	}
	for i, e := range l.entries {
		at := fmt.Sprintf("%s[%d]", l.name, i)
		if !isPlain(e) {
			f.add(at, "must be plain text of 1 to %d bytes", longestEntry)
		} else if detail := l.fault(e); detail != "" {
			f.add(at, "%s", detail)
		}
		if slices.Contains(l.entries[:i], e) {
			f.add(at, "is there twice")
		}
	}
}

func (f *faults) conditions(list []Condition) {
	if len(list) > mostConditions || (list != nil && len(list) == 0) {
		f.add("conditions", "must have 1 to %d entries", mostConditions)
		return
	}
	for i, c := range list {
		at := fmt.Sprintf("conditions[%d]", i)
		if !isPlain(c.Name) {
			f.add(at+".name", "must be plain text of 1 to %d bytes", longestEntry)
		}
		if slices.ContainsFunc(list[:i], func(o Condition) bool { return o.Name == c.Name }) {
			f.add(at+".name", "is there twice")
		}
		if _, err := c.compile(); err != nil {
			f.add(at+".must", "%s", err)
		}
	}
}

// list is one of the lists of a policy, and a check for its entries.
type list struct {
	name    string
	entries []string
	fault   func(entry string) string
}

func (p *Policy) lists() []list {
	known := func(names []string) func(string) string {
		return func(e string) string {
			if slices.Contains(names, e) {
				return ""
			}
			return "must be one of " + strings.Join(names, ", ")
		}
	}
	return []list{
		{"models", p.Models, anything},
		{"deny_models", p.DenyModels, anything},
		{"providers", p.Providers, provider},
		{"deny_providers", p.DenyProviders, provider},
		{"endpoints", p.Endpoints, known(endpoints)},
		{"features", p.Features, known(features)},
		{"allowed_cidrs", p.AllowedCIDRs, isRange},
		{"denied_cidrs", p.DeniedCIDRs, isRange},
		{"origins", p.Origins, isOrigin},
		{"referers", p.Referers, anything},
		{"required_tags", p.RequiredTags, anything},
	}
}

// maximum is one of the numeric limits of a policy.
type maximum struct {
	name  string
	value *int64
}

func (p *Policy) maxima() []maximum {
	return []maximum{
		{"max_output_tokens", &p.MaxOutputTokens},
		{"max_prompt_tokens", &p.MaxPromptTokens},
		{"max_body_bytes", &p.MaxBodyBytes},
		{"max_repeats", &p.MaxRepeats},
		{"max_session_requests", &p.MaxSessionRequests},
		{"max_session_cents", &p.MaxSessionCents},
	}
}

func anything(string) string { return "" }

func provider(e string) string {
	if strings.ContainsAny(e, "/@") {
		return "must be the name of a provider, without a model"
	}
	return ""
}

func isRange(e string) string {
	if _, ok := ParseRange(e); !ok {
		return "must be a range of addresses, such as 10.0.0.0/8"
	}
	return ""
}

func isOrigin(e string) string {
	u, err := url.Parse(e)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Scheme+"://"+u.Host != e || strings.ToLower(e) != e {
		return "must be the origin of a page, in lower case, such as https://app.example.com"
	}
	return ""
}

// isPlain reports whether s is plain text on one line.
func isPlain(s string) bool {
	return s != "" && len(s) <= longestEntry && strings.TrimSpace(s) == s && utf8.ValidString(s) &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
