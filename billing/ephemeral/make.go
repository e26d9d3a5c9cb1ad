package ephemeral

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// usual is the default lifetime of a temporary key.
const usual = 15 * time.Minute

const mostEndUser = 128 // bytes

// Wish is a request for a temporary key.
type Wish struct {
	Life    *time.Duration // nil is 15 minutes
	Policy  *policy.Policy
	Tags    map[string]string
	EndUser string
	Tokens  *int64
	Money   *billing.Money
}

// FaultsError lists everything that is wrong with a wish.
type FaultsError struct{ Faults []policy.Fault }

// Error lists the faults.
func (e *FaultsError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = f.Field + " " + f.Detail
	}
	return "ephemeral: " + strings.Join(texts, "; ")
}

// Key returns the temporary key for a wish, made with a key, or a *FaultsError if that
// isn't allowed.
func (w *Wish) Key(of *billing.Key, now time.Time) (Key, error) {
	if faults := w.faults(of); len(faults) > 0 {
		return Key{}, &FaultsError{faults}
	}
	ends := now.Add(w.life())
	if !of.ExpiresAt.IsZero() && of.ExpiresAt.Before(ends) {
		ends = of.ExpiresAt
	}
	return Key{
		ID: billing.NewID("tok_"), KeyID: of.ID, Ends: ends.Unix(), Policy: w.Policy, Tags: w.Tags, EndUser: w.EndUser,
		Tokens: w.Tokens, Money: w.Money,
	}, nil
}

func (w *Wish) life() time.Duration {
	if w.Life == nil {
		return usual
	}
	return *w.Life
}

func (w *Wish) faults(of *billing.Key) []policy.Fault {
	var all []policy.Fault
	add := func(field, format string, args ...any) {
		all = append(all, policy.Fault{Field: field, Detail: fmt.Sprintf(format, args...)})
	}
	if life := w.life(); life < time.Second || life > Longest {
		add("expires_in", "must be 1 to %d seconds", int64(Longest/time.Second))
	}
	for _, f := range w.Policy.Check(nil) {
		add("policy."+f.Field, "%s", f.Detail)
	}
	if len(w.Tags) > billing.MostTags {
		add("tags", "must be at most %d", billing.MostTags)
	}
	for name, value := range w.Tags {
		if !plain(name, billing.LongestTagName) || strings.HasPrefix(name, billing.OwnTags) || !plain(value, billing.LongestTagValue) {
			add("tags."+short(name), "must have a name of at most %d bytes that does not begin with %s, and plain text of at most %d bytes",
				billing.LongestTagName, billing.OwnTags, billing.LongestTagValue)
		} else if old, set := of.Tags[name]; set && old != value {
			add("tags."+name, "is set by the key to %q", old)
		}
	}
	if w.EndUser != "" && !plain(w.EndUser, mostEndUser) {
		add("end_user", "must be plain text of at most %d bytes", mostEndUser)
	}
	all = append(all, w.wider(of)...)
	slices.SortStableFunc(all, func(a, b policy.Fault) int { return cmp.Compare(a.Field, b.Field) })
	return all
}

// wider returns where the wish exceeds the budgets of the key.
func (w *Wish) wider(of *billing.Key) (all []policy.Fault) {
	if most := billing.MostUsed().Tokens; w.Tokens != nil && (*w.Tokens < 0 || *w.Tokens > most) {
		all = append(all, policy.Fault{Field: "budget.tokens", Detail: fmt.Sprintf("must be 0 to %d", most)})
	}
	if most := billing.MostUsed().Money; w.Money != nil && (*w.Money < 0 || *w.Money > most) {
		all = append(all, policy.Fault{Field: "budget.usd", Detail: "must be 0 to " + most.Short()})
	}
	for _, b := range of.Budgets {
		if w.Tokens != nil && b.Tokens != nil && *w.Tokens > *b.Tokens {
			all = append(all, policy.Fault{Field: "budget.tokens", Detail: fmt.Sprintf("must be at most %d, as %s has per %s", *b.Tokens,
				of.Holder(b), b.Period)})
		}
		if w.Money != nil && b.Money != nil && *w.Money > *b.Money {
			all = append(all, policy.Fault{Field: "budget.usd", Detail: fmt.Sprintf("must be at most %s, as %s has per %s", b.Money.Short(),
				of.Holder(b), b.Period)})
		}
	}
	return all
}

// plain reports whether s is plain text on one line.
func plain(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// short returns a name truncated for use in a message.
func short(name string) string {
	if plain(name, billing.LongestTagName) {
		return name
	}
	return "?"
}
