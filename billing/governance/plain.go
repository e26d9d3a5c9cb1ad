package governance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// Plain returns what applies to a key, in sentences for its holder.
func Plain(k *billing.Key, now time.Time) (list []string) {
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	say("This is key %q of project %s/%s, for %s.", k.Name, k.Team, k.Project, k.Environment)
	if k.Purpose != "" {
		say("It is for: %s.", strings.TrimSuffix(k.Purpose, "."))
	}
	if k.Address != "" {
		say("%s answers for it.", k.Address)
	}
	if k.ExpiresAt.IsZero() {
		say("It does not expire.")
	} else {
		say("It expires on %s.", k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if due := k.RotationDue(); !due.IsZero() && due.After(now) {
		say("It gets a new secret by %s.", due.UTC().Format(time.RFC3339))
	} else if !due.IsZero() {
		say("It should have got a new secret by %s: rotate it.", due.UTC().Format(time.RFC3339))
	}
	if len(k.Models) == 0 {
		say("It may ask for every model%s.", map[bool]string{true: " that the policies below allow"}[k.Policies != (policy.Layers{})])
	} else {
		say("It may ask for these models: %s.", strings.Join(k.Models, ", "))
	}
	if len(k.AllowedCIDRs) > 0 {
		ranges := make([]string, len(k.AllowedCIDRs))
		for i, p := range k.AllowedCIDRs {
			ranges[i] = p.String()
		}
		say("It may be used from these addresses: %s.", strings.Join(ranges, ", "))
	}
	if len(k.Budgets) == 0 {
		say("Nothing limits how much it uses.")
	}
	for _, b := range k.Budgets {
		say("%s", budgetText(k, b))
	}
	if k.AllowUnpriced {
		say("It may use models whose price is not known.")
	}
	if k.KeepResponses {
		say("The router keeps its responses for it, where it asks for that.")
	}
	p := k.Policies
	for _, one := range []struct {
		of     string
		policy *policy.Policy
	}{{"its team", p.Team}, {"its project", p.Project}, {"itself", p.Key}, {"this temporary key", p.Temporary}} {
		list = append(list, policyText(one.of, one.policy)...)
	}
	return list
}

// budgetText describes what a budget allows a key, project, team or the organisation to use.
func budgetText(k *billing.Key, b billing.Budget) string {
	var limits []string
	if b.Money != nil {
		limits = append(limits, "$"+b.Money.Short())
	}
	if b.Tokens != nil {
		limits = append(limits, fmt.Sprintf("%d tokens", *b.Tokens))
	}
	if b.Requests != nil {
		limits = append(limits, fmt.Sprintf("%d requests", *b.Requests))
	}
	verb, then := "may use", "; what does not fit is refused"
	switch b.Action {
	case billing.ActionBlock:
	case billing.ActionAlert:
		verb, then = "is watched from", "; nothing is refused because of it"
	case billing.ActionDowngrade:
		then = fmt.Sprintf("; from %d %% on the cheapest model answers, and what does not fit is refused", b.DowngradeAt())
	}
	per := " " + b.Period.Words()
	switch b.Period {
	case billing.PeriodOnce:
		per = " once and for all"
	case billing.PeriodConcurrent:
		per = " that are under way at the same time"
	case billing.PeriodMinute:
	default:
		if b.Zone != "" && b.Zone != "UTC" {
			per += " by the clocks of " + b.Zone
		}
		if b.Starts != "" {
			per += ", in years that begin on " + b.Starts
		}
	}
	whole, part := b, strings.Replace(b.PartWords(), " of ", " for ", 1)
	whole.Part, whole.Named = "", ""
	holder := k.Holder(whole)
	return fmt.Sprintf("%s %s %s%s%s%s.", strings.ToUpper(holder[:1])+holder[1:], verb, strings.Join(limits, " and "), per, part, then)
}

func policyText(of string, p *policy.Policy) (list []string) {
	if p == nil {
		return nil
	}
	say := func(format string, args ...any) {
		list = append(list, "By the policy of "+of+", "+fmt.Sprintf(format, args...)+".")
	}
	for _, l := range []struct {
		text  string
		names []string
	}{
		{"only these models may be asked for: %s", p.Models},
		{"no model may be asked for that is or is like: %s", p.DenyModels},
		{"only these providers are called: %s", p.Providers},
		{"none of these providers is called: %s", p.DenyProviders},
		{"only these endpoints may be called: %s", p.Endpoints},
		{"requests may use these features and no others: %s", spaced(p.Features)},
		{"requests may come from these addresses only: %s", p.AllowedCIDRs},
		{"requests may not come from these addresses: %s", p.DeniedCIDRs},
		{"only pages of these origins may use it: %s", p.Origins},
		{"only pages whose address (Referer) is like this may use it: %s", p.Referers},
		{"every request must have these tags: %s", p.RequiredTags},
	} {
		if len(l.names) > 0 {
			say(l.text, strings.Join(l.names, ", "))
		}
	}
	for _, n := range []struct {
		text string
		most int64
	}{
		{"an answer has at most %d tokens", p.MaxOutputTokens},
		{"a prompt has at most %d tokens", p.MaxPromptTokens},
		{"the body of a request has at most %d bytes", p.MaxBodyBytes},
		{"the same request that comes more than %d times within moments is stopped for a while", p.MaxRepeats},
		{"a session is stopped for a while after %d requests", p.MaxSessionRequests},
	} {
		if n.most > 0 {
			say(n.text, n.most)
		}
	}
	if cents := p.MaxSessionCents; cents > 0 {
		say("a session is stopped for a while once it has spent $%d.%02d", cents/100, cents%100)
	}
	if len(p.Hours) > 0 {
		say("requests may come only %s", hoursText(p.Hours))
	}
	for _, c := range p.Conditions {
		say("a request must fulfil %q, which is: %s", c.Name, c.Must)
	}
	return list
}

// spaced writes names such as those of features with spaces.
func spaced(names []string) []string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = strings.ReplaceAll(name, "_", " ")
	}
	return words
}

// hoursText describes when requests are allowed: "on Monday to Friday from 08:00 to 18:00,
// by the clocks of Europe/Berlin".
func hoursText(all []policy.Hours) string {
	texts := make([]string, len(all))
	for i, h := range all {
		next := ""
		if h.Until <= h.From {
			next = " of the next day"
		}
		texts[i] = fmt.Sprintf("%s from %s to %s%s (%s)", daysText(h.Days), h.From, h.Until, next, cmp.Or(h.Zone, "UTC"))
	}
	return strings.Join(texts, ", or ")
}

var weekdays = []struct{ short, long string }{
	{"mon", "Monday"},
	{"tue", "Tuesday"},
	{"wed", "Wednesday"},
	{"thu", "Thursday"},
	{"fri", "Friday"},
	{"sat", "Saturday"},
	{"sun", "Sunday"},
}

// daysText lists days of the week. Runs of three or more are given by their first and last.
func daysText(days []string) string {
	if len(days) == 0 || len(days) == len(weekdays) {
		return "every day"
	}
	var texts []string
	for i := 0; i < len(weekdays); i++ {
		end := i
		for end < len(weekdays) && slices.Contains(days, weekdays[end].short) {
			end++
		}
		switch {
		case end == i:
		case end-i >= 3:
			texts = append(texts, weekdays[i].long+" to "+weekdays[end-1].long)
			i = end - 1
		default:
			texts = append(texts, weekdays[i].long)
		}
	}
	return "on " + strings.Join(texts, ", ")
}

// Asks returns what the organisation requires of a key, in sentences.
func (r *Rules) Asks(k *billing.Key) (list []string) {
	if r == nil {
		return nil
	}
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	j := judge{rules: r, key: Key{Key: k}}
	if text := r.Keys.MaxAge[j.sensitivity()]; text != "" {
		say("A key of sensitivity %s lives for at most %s.", j.sensitivity(), text)
	}
	if text := r.Keys.RotateWithin[j.sensitivity()]; text != "" {
		say("Its secret is at most %s old.", text)
	}
	for _, one := range []struct {
		in   []string
		text string
	}{
		{r.Keys.Expiry, "it must expire"},
		{r.Keys.Owner, "somebody must answer for it"},
		{r.Keys.Purpose, "it must say what it is for"},
		{r.Keys.Budget, "a budget must bind it"},
		{r.Keys.Networks, "it is for known addresses alone"},
		{r.Keys.Models, "it names its models one by one"},
	} {
		if slices.Contains(one.in, k.Environment) {
			say("In %s, %s.", k.Environment, one.text)
		}
	}
	if want := r.Required(k.Environment); len(want) > 0 {
		say("Its secrets are delivered to %s, and shown to nobody.", strings.Join(want, " or "))
	}
	if b := r.Browser; b != nil && InBrowser(k) {
		say("In pages, it is bound to their origins, has a budget of at most $%s and lives for at most %s.", b.MaxUSD, b.MaxExpiry)
	}
	if may, known := r.DataClasses[k.DataClass]; known {
		say("Its data is of class %s, which may be sent to %s alone.", k.DataClass, strings.Join(may, ", "))
	}
	return list
}
