package server

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/web"
)

// quotaExceeded names the budget and its numbers: whoever is refused must be able to see why,
// until when and by what.
func quotaExceeded(e *billing.QuotaError) web.Problem {
	if e.Passes() {
		return rateExceeded(e)
	}
	b := e.Balance
	name := fmt.Sprintf("%s budget of %s", b.Budget.Period.Adjective(), holder(e))
	if b.Budget.Scope == billing.ScopeTemporary {
		name = "budget of " + holder(e)
	}
	numbers, everFits := "it has no room for this request", true
	if e.LacksRequests() {
		numbers = fmt.Sprintf("used %d of %s%s", b.UsedRequests, plural(*b.Budget.Requests, "request"),
			underWay(fmt.Sprint(b.HeldRequests)))
		everFits = *b.Budget.Requests > 0
	} else if free, ok := b.FreeTokens(); ok && free < e.AskedTokens {
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
	case b.Budget.Scope == billing.ScopeTemporary:
		p.Message += " The key ends at " + *resets + "."
		p.Fix += ", or exchange your key for another one with a larger budget: POST /v1/key/tokens."
		return p
	case !everFits:
		p.Message += " It resets at " + *resets + ", which would not be enough either."
	default:
		p.Message += " It resets at " + *resets + "."
		p.Fix = "Wait until " + *resets + ", ask for less (a shorter prompt, a lower max_tokens)"
	}
	if e.LacksRequests() && (!everFits || resets == nil) {
		p.Fix = "Ask your operator to raise the " + name + "."
		return p
	}
	if e.LacksRequests() {
		p.Fix = "Wait until it resets"
	}
	p.Fix += ", or ask your operator to raise the " + name + "."
	return p
}

// holder returns whom a budget applies to, by name if that is known.
func holder(e *billing.QuotaError) string {
	if e.Holder == "" && e.Balance.Budget.Scope == billing.ScopeKey {
		return "this key"
	}
	if e.Holder == "" {
		return fmt.Sprintf("this key's %s", e.Balance.Budget.Scope)
	}
	return e.Holder
}

// underWay says how much is held, if anything is.
func underWay(amount string) string {
	if strings.TrimPrefix(amount, "$") == "0" {
		return ""
	}
	return ", with " + amount + " more held by requests under way"
}

// rateExceeded says how fast the holder of a limit may go, and when there is room again.
func rateExceeded(e *billing.QuotaError) web.Problem {
	b := e.Balance
	p := web.Problem{Code: codeRate, After: max(time.Until(b.Window.End), time.Millisecond)}
	if b.Window.Concurrent() {
		p.After = time.Second // nobody knows how long the other requests take
	}
	who, per := upperFirst(holder(e)), b.Budget.Period.Words()
	alone := false
	if e.LacksRequests() {
		limit := *b.Budget.Requests
		alone = limit == 0
		verb := "make"
		if b.Window.Concurrent() {
			verb, per = "have", "under way at once"
		}
		p.Message = fmt.Sprintf("%s may %s %s %s; this would be the %s.", who, verb, plural(limit, "request"), per,
			ordinal(max(limit, b.UsedRequests+b.HeldRequests)+1)) // the limit may have been lowered
	} else if free, ok := b.FreeTokens(); ok && free < e.AskedTokens {
		limit := *b.Budget.Tokens
		if alone = e.AskedTokens > limit; !alone {
			p.Message = fmt.Sprintf("%s may use %s %s, of which %d are left; this request may need %d.",
				who, plural(limit, "token"), per, free, e.AskedTokens)
		} else {
			p.Message = fmt.Sprintf("%s may use %s %s; this request alone may need %d.", who, plural(limit, "token"), per, e.AskedTokens)
		}
	} else if free, ok := b.FreeMoney(); ok {
		alone = e.AskedMoney > *b.Budget.Money
		p.Message = fmt.Sprintf("%s may spend $%s %s, of which $%s are left; this request may cost up to $%s.",
			who, b.Budget.Money.Short(), per, free.Short(), e.AskedMoney.Short())
	}
	if alone {
		p.After, p.Final = 0, true
		p.Fix = fmt.Sprintf("Ask for less (a shorter prompt, a lower max_tokens), or ask your operator to raise the limit of %s %s.",
			holder(e), per)
	}
	return p
}

// upperFirst capitalises a name that begins a sentence.
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ordinal returns n as an ordinal: third, 21st.
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
