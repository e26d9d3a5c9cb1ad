package postgres

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"tallyroute/billing"
)

// The most tokens of one kind, and the most money of one meter, that one
// attempt is booked with. A provider that reports more is lying, and has to
// lock the budget rather than the ledger: sums of these stay within bigint.
const (
	mostTokens int64         = 1_000_000_000_000
	mostMoney  billing.Money = 1_000_000_000_000_000
)

// tidy makes a fit for the database as far as that does not change what it
// says: texts come from clients and providers, and one bad byte would lose the row.
func tidy(a billing.Spend) billing.Spend {
	for _, s := range []*string{
		&a.RequestID, &a.EndUser, &a.RequestedModel, &a.Provider, &a.Model, &a.ServiceTier, &a.ErrorKind,
		&a.ProviderRequestID, &a.Reason, &a.Actor, &a.Owner.CostCenter, &a.Owner.Environment, &a.Price.ID,
	} {
		*s = clean(*s)
	}
	a.Tags = cleanTags(a.Tags)
	a.OccurredAt = a.OccurredAt.Truncate(time.Microsecond) // what the database keeps
	if a.Kind == "" {
		a.Kind = billing.KindUsage
	}
	if a.ServiceTier == "" {
		a.ServiceTier = "standard"
	}
	for _, n := range []*int64{&a.Tokens.Input, &a.Tokens.CacheRead, &a.Tokens.CacheWrite, &a.Tokens.Output, &a.Tokens.Reasoning, &a.OverrunTokens} {
		*n = min(*n, mostTokens)
	}
	a.Cost = bounded(a.Cost)
	a.Baseline = min(a.Baseline, 5*mostMoney)
	return a
}

// bounded is c with no meter beyond what is booked, and their sum.
func bounded(c billing.Cost) billing.Cost {
	if max(c.Input, c.CacheRead, c.CacheWrite, c.Output, c.Fee, c.Total/5) <= mostMoney {
		return c
	}
	for _, m := range []*billing.Money{&c.Input, &c.CacheRead, &c.CacheWrite, &c.Output, &c.Fee} {
		*m = min(*m, mostMoney)
	}
	c.Total = c.Input + c.CacheRead + c.CacheWrite + c.Output + c.Fee
	return c
}

// check refuses what the ledger would refuse, before a hold is taken that could
// never be swept.
func check(a billing.Spend) error {
	usage := a.Kind == billing.KindUsage
	t, c := a.Tokens, a.Cost
	_, period := time.Parse(time.DateOnly, a.AdjustsPeriod)
	var faults []error
	for _, rule := range []struct {
		broken bool
		fault  string
	}{
		{a.RequestID == "", "no request id"},
		{a.OccurredAt.IsZero(), "no time"},
		{a.Attempt < 1 || a.Attempt > math.MaxInt16, "attempts count from 1 to 32767"},
		{!kinds[a.Kind], fmt.Sprintf("unknown kind %q", a.Kind)},
		{!statuses[a.Status], fmt.Sprintf("unknown status %q", a.Status)},
		{!sources[a.UsageSource], fmt.Sprintf("unknown source of usage %q", a.UsageSource)},
		{!pricings[a.Pricing], fmt.Sprintf("unknown pricing %q", a.Pricing)},
		{usage && min(t.Input, t.CacheRead, t.CacheWrite, t.Output, t.Reasoning) < 0, "negative tokens"},
		{a.OverrunTokens < 0, "negative overrun"},
		{usage && min(c.Input, c.CacheRead, c.CacheWrite, c.Output, c.Fee, c.Total) < 0, "negative cost"},
		{
			usage && a.Pricing == billing.Priced && c.Total != c.Input+c.CacheRead+c.CacheWrite+c.Output+c.Fee,
			"the meters do not add up to the cost",
		},
		{!usage && (a.Reason == "" || a.Actor == ""), "a correction needs a reason and an actor"},
		{!isUUID(a.EventID) || !isUUID(a.AdjustsEvent), "an event id is not a UUID"},
		{a.AdjustsPeriod != "" && period != nil, "the period to adjust is not a date"},
	} {
		if rule.broken {
			faults = append(faults, errors.New(rule.fault))
		}
	}
	return errors.Join(faults...)
}

var (
	kinds = map[billing.Kind]bool{
		billing.KindUsage: true, billing.KindAdjustment: true, billing.KindCredit: true, billing.KindRefund: true, billing.KindFee: true,
	}
	statuses = map[billing.Status]bool{
		billing.StatusOK: true, billing.StatusError: true, billing.StatusClientAborted: true,
		billing.StatusUpstreamAborted: true, billing.StatusInterrupted: true, billing.StatusDisputed: true,
	}
	sources  = map[billing.Provenance]bool{billing.Reported: true, billing.Counted: true, billing.Bounded: true}
	pricings = map[billing.Pricing]bool{billing.Priced: true, billing.Unpriced: true, billing.Free: true}
)

// isUUID takes "" for one that is yet to be made.
func isUUID(s string) bool { return s == "" || uuid.Validate(s) == nil }

// longest is how many bytes of a text are kept.
const longest = 256

// clean replaces what PostgreSQL cannot store, NUL and invalid UTF-8, by U+FFFD
// and cuts what is too long at the end of a character.
func clean(s string) string {
	if len(s) > longest+utf8.UTFMax {
		s = s[:longest+utf8.UTFMax] // a client may send megabytes
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= longest {
		return s
	}
	end := longest
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// cleanAll is empty, not nil, where there is nothing.
func cleanAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = clean(s)
	}
	return out
}

// cleanTags is empty, not nil, where there is nothing.
func cleanTags(tags map[string]string) map[string]string {
	out := make(map[string]string, len(tags))
	for k, v := range tags {
		out[clean(k)] = clean(v)
	}
	return out
}
