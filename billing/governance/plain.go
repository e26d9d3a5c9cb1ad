package governance

import (
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
		say("It may ask for every model that the policies below allow.")
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
	for _, b := range k.Budgets {
		say("%s", budgetText(k, b))
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
	verb := "may use"
	if !b.Binds() {
		verb = "is watched from"
	}
	per := b.Period.Words()
	if b.Period == billing.PeriodOnce {
		per = "once"
	}
	holder := k.Holder(b)
	return fmt.Sprintf("%s %s %s %s.", strings.ToUpper(holder[:1])+holder[1:], verb, strings.Join(limits, " and "), per)
}

func policyText(of string, p *policy.Policy) (list []string) {
	if p == nil {
		return nil
	}
	for _, l := range []struct {
		text  string
		names []string
	}{
		{"models only: %s", p.Models},
		{"no models like: %s", p.DenyModels},
		{"providers only: %s", p.Providers},
		{"no provider of: %s", p.DenyProviders},
		{"endpoints only: %s", p.Endpoints},
		{"features only: %s", p.Features},
		{"addresses only: %s", p.AllowedCIDRs},
		{"no addresses of: %s", p.DeniedCIDRs},
		{"pages of these origins only: %s", p.Origins},
		{"pages like these only: %s", p.Referers},
		{"requests must have these tags: %s", p.RequiredTags},
	} {
		if len(l.names) > 0 {
			list = append(list, "By the policy of "+of+", "+fmt.Sprintf(l.text, strings.Join(l.names, ", "))+".")
		}
	}
	for _, n := range []struct {
		text string
		most int64
	}{{"tokens of output", p.MaxOutputTokens}, {"tokens of prompt", p.MaxPromptTokens}, {"bytes of body", p.MaxBodyBytes}} {
		if n.most > 0 {
			list = append(list, fmt.Sprintf("By the policy of %s, a request has at most %d %s.", of, n.most, n.text))
		}
	}
	for _, n := range []struct {
		text string
		most int64
	}{
		{"the same request that comes more than %d times in short order is stopped", p.MaxRepeats},
		{"a session is stopped after %d requests", p.MaxSessionRequests},
		{"a session is stopped once it has spent %d hundredths of a dollar", p.MaxSessionCents},
	} {
		if n.most > 0 {
			list = append(list, fmt.Sprintf("By the policy of %s, "+n.text+".", of, n.most))
		}
	}
	if len(p.Hours) > 0 {
		list = append(list, "By the policy of "+of+", only at certain hours.")
	}
	for _, c := range p.Conditions {
		list = append(list, "By the policy of "+of+", only where "+c.Name+" is fulfilled.")
	}
	return list
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
