package server

import (
	"fmt"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/plan"
	"tallyroute/router/web"
)

// quotaExceeded names the budget and its numbers: whoever is refused must be able to
// see why, until when and by whom.
func quotaExceeded(e *billing.QuotaError) web.Problem {
	b := e.Balance
	name := fmt.Sprintf("%s budget of %s", adjective(b.Budget.Period), holder(e))
	numbers, everFits := "it has no room for this request", true
	if free, ok := b.FreeTokens(); ok && free < e.AskedTokens {
		numbers = fmt.Sprintf("used %d of %d tokens%s; this request may need %d",
			b.UsedTokens, *b.Budget.Tokens, underWay(fmt.Sprint(b.HeldTokens)), e.AskedTokens)
		everFits = e.AskedTokens <= *b.Budget.Tokens
	} else if b.Budget.Money != nil {
		numbers = fmt.Sprintf("used $%s of $%s%s; this request may cost up to $%s",
			b.UsedMoney.Short(), b.Budget.Money.Short(), underWay("$"+b.HeldMoney.Short()), e.AskedMoney.Short())
		everFits = e.AskedMoney <= *b.Budget.Money
	}
	p := web.Problem{Code: codeQuota, Fix: "Ask for less (a shorter prompt, a lower max_tokens)"}
	p.Message = fmt.Sprintf("The %s is not enough for this request: %s.", name, numbers)
	resets := manage.Instant(b.Window.End)
	switch {
	case resets == nil:
		p.Message += " It never resets."
	case !everFits:
		p.Message += " It resets at " + *resets + ", which would not be enough either."
	default:
		p.Message += " It resets at " + *resets + "."
		p.Fix = "Wait until " + *resets + ", ask for less (a shorter prompt, a lower max_tokens)"
	}
	p.Fix += ", or ask your operator to raise the " + name + "."
	return p
}

func holder(e *billing.QuotaError) string {
	if e.Holder == "" {
		return fmt.Sprintf("this key's %s", e.Balance.Budget.Scope)
	}
	return e.Holder
}

// underWay tells what is held, if anything is.
func underWay(amount string) string {
	if strings.TrimPrefix(amount, "$") == "0" {
		return ""
	}
	return ", with " + amount + " more held by requests under way"
}

// adjective says how often a budget resets.
func adjective(p billing.Period) string {
	switch p {
	case billing.PeriodDay:
		return "daily"
	case billing.PeriodOnce:
		return "one-time"
	default:
		return string(p) + "ly"
	}
}

// rateExceeded says what the key may do in a minute.
func rateExceeded(e *router.RateError) web.Problem {
	p := web.Problem{Code: codeRate, After: e.RetryAfter, Final: e.RetryAfter <= 0}
	if p.Final {
		p.Fix = "Ask for less (a shorter prompt, a lower max_tokens), or ask your operator to raise the key's limit per minute."
	}
	switch left := e.Remaining(); {
	case e.Kind == "requests" && p.Final:
		p.Message = fmt.Sprintf("%s may make %s per minute.", thisKey, plural(e.Limit, "request"))
	case e.Kind == "requests":
		p.Message = fmt.Sprintf("%s may make %s per minute; this would be the %s.", thisKey, plural(e.Limit, "request"), ordinal(e.Limit+1))
	case p.Final:
		p.Message = fmt.Sprintf("%s may use %s per minute; this request alone may need %d.", thisKey, plural(e.Limit, "token"), e.Asked)
	default:
		p.Message = fmt.Sprintf("%s may use %s per minute, of which %d are left; this request may need %d.",
			thisKey, plural(e.Limit, "token"), left, e.Asked)
	}
	return p
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ordinal is a number as it is counted: third, 21st.
func ordinal(n int64) string {
	words := [...]string{"", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}
	if n > 0 && n < int64(len(words)) {
		return words[n]
	}
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n) + suffix
}

// unpriced says what has no price: the model, or the tier that is asked for.
func unpriced(e *plan.UnpricedError) web.Problem {
	model := web.Label(e.Model, chat.MaxModel)
	if e.Tier == "" {
		return web.Problem{Code: codeUnpriced, Param: "model", Message: fmt.Sprintf(
			"No price is known for %s, and a budget in money binds this key.", model)}
	}
	member := "service_tier"
	if e.Tier == billing.TierFast {
		member = "speed"
	}
	return web.Problem{
		Code: codeUnpriced, Param: member, Message: fmt.Sprintf(
			"No price is known for %s with %s %q, and a budget in money binds this key.", model, member, web.Label(e.Tier, 64)),
		Fix: fmt.Sprintf("Leave out %s, or have the price of this tier added to the configuration.", member),
	}
}

// byName puts the name of a key that is known in place of "This API key".
func byName(message string, k *billing.Key, end string) string {
	name := thisKey + end
	if k != nil && k.Name != "" {
		name = fmt.Sprintf("API key %q%s", k.Name, end)
	}
	return strings.Replace(message, thisKey, name, 1)
}
