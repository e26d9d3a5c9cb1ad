package billing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The most tokens of one kind, and the most money of one meter, that an attempt is
// booked with: 10^12 tokens and a million dollars. A provider that reports more is
// wrong, and should lock the budget rather than break the ledger: sums of these amounts
// fit everywhere.
const (
	MostTokens int64 = 1_000_000_000_000
	MostMeter  Money = 1_000_000 * NanoPerUSD
)

// Tidy makes a row fit to be stored, as far as that does not change its meaning. Its
// texts come from clients and providers, and one bad byte must not lose the row.
func (s Spend) Tidy() Spend {
	for _, text := range []*string{
		&s.EndUser, &s.RequestedModel, &s.Provider, &s.Model, &s.ServiceTier, &s.ErrorKind, &s.ProviderRequestID,
		&s.Reason, &s.Actor, &s.Owner.CostCenter, &s.Owner.Environment, &s.Price.ID, &s.Region, &s.Credential, &s.Endpoint,
		&s.AnsweredModel,
	} {
		*text = CleanText(*text)
	}
	s.Tags = CleanTags(s.Tags)
	if s.Kind == "" {
		s.Kind = KindUsage
	}
	if s.ServiceTier == "" {
		s.ServiceTier = "standard"
	}
	t := &s.Tokens
	for _, n := range []*int64{
		&t.Input, &t.CacheRead, &t.CacheWrite, &t.Output, &t.Reasoning, &t.CacheWrite1h, &t.AudioInput, &t.AudioOutput, &s.OverrunTokens,
	} {
		*n = min(*n, MostTokens)
	}
	if s.Pricing == Unpriced {
		s.Cost, s.Baseline, s.OverrunMoney = Cost{}, 0, 0
	}
	s.Cost, s.Baseline = s.Cost.bounded(), min(s.Baseline, 5*MostMeter)
	s.OverrunMoney = min(s.OverrunMoney, 5*MostMeter)
	return s.tidyFacts()
}

// The most that a row keeps of lists.
const (
	mostFees     = 16
	mostMembers  = 16
	mostLimits   = 64
	mostPrefixes = 16
	mostPrint    = 32 // bytes
)

// tidyFacts does the same for the facts besides usage and cost. It changes nothing that
// s shares with the row that it was copied from.
func (s Spend) tidyFacts() Spend {
	s.Session = CleanSession(s.Session)
	if s.ProviderCost != nil && (*s.ProviderCost < 0 || *s.ProviderCost > 5*MostMeter) {
		s.ProviderCost = nil
	}
	s.BytesIn, s.BytesOut = orUnknown(s.BytesIn), orUnknown(s.BytesOut)
	s.FirstToken, s.Took = wholeMillis(s.FirstToken), wholeMillis(s.Took)
	if len(s.Fees) > 0 {
		s.Fees = slices.Clone(s.Fees[:min(len(s.Fees), mostFees)])
		for i := range s.Fees {
			f := &s.Fees[i]
			f.Meter, f.Units, f.Cost = CleanText(f.Meter), min(max(f.Units, 0), MostTokens), min(max(f.Cost, 0), MostMeter)
		}
	}
	if len(s.UnpricedMembers) > 0 {
		s.UnpricedMembers = CleanTexts(s.UnpricedMembers[:min(len(s.UnpricedMembers), mostMembers)])
	}
	if len(s.Limits) > mostLimits {
		s.Limits = s.Limits[:mostLimits:mostLimits]
	}
	if len(s.Fingerprint) > mostPrint {
		s.Fingerprint = nil
	}
	if n := len(s.Prefixes); n > mostPrefixes*PrefixSize || n%PrefixSize != 0 {
		s.Prefixes = nil
	}
	return s
}

func orUnknown(n *int64) *int64 {
	if n == nil || *n < 0 {
		return nil
	}
	return n
}

// wholeMillis returns d truncated to the milliseconds that rows keep. A negative
// duration, or one of more than 24 days, counts as unknown.
func wholeMillis(d *time.Duration) *time.Duration {
	if d == nil || *d < 0 || *d > math.MaxInt32*time.Millisecond {
		return nil
	}
	if *d%time.Millisecond == 0 {
		return d
	}
	whole := d.Truncate(time.Millisecond)
	return &whole
}

// Millis returns a duration as rows store it; FromMillis converts it back.
func Millis(d *time.Duration) *int64 {
	if d == nil {
		return nil
	}
	n := d.Milliseconds()
	return &n
}

// FromMillis returns the duration of n milliseconds.
func FromMillis(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Millisecond
	return &d
}

// bounded returns c with each meter within bounds, and the total as their sum.
func (c Cost) bounded() Cost {
	if max(c.Input, c.CacheRead, c.CacheWrite, c.Output, c.Fee, c.Total/5) <= MostMeter {
		return c
	}
	for _, m := range []*Money{&c.Input, &c.CacheRead, &c.CacheWrite, &c.Output, &c.Fee} {
		*m = min(*m, MostMeter)
	}
	c.Total = c.sum()
	return c
}

func (c Cost) sum() Money { return c.Input + c.CacheRead + c.CacheWrite + c.Output + c.Fee }

// Check refuses what the ledger would refuse, and reports all faults at once: a hold
// whose row cannot be written could never be swept.
func (s Spend) Check() error {
	var faults []string
	// The text of a fault is only put together if there is one.
	refuse := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	usage := s.Kind == KindUsage
	t, c := s.Tokens, s.Cost
	if !kinds[s.Kind] {
		refuse("unknown kind %q", s.Kind)
	}
	if !statuses[s.Status] {
		refuse("unknown status %q", s.Status)
	}
	if !provenances[s.UsageSource] {
		refuse("unknown source of usage %q", s.UsageSource)
	}
	if !pricings[s.Pricing] {
		refuse("unknown pricing %q", s.Pricing)
	}
	if s.RequestID == "" || s.RequestID != CleanText(s.RequestID) {
		refuse("request id %q", s.RequestID)
	}
	if s.Attempt < 1 || s.Attempt > math.MaxInt16 {
		refuse("attempt %d", s.Attempt)
	}
	if s.OccurredAt.IsZero() {
		refuse("no time")
	}
	if s.OverrunTokens < 0 {
		refuse("an overrun of %d tokens", s.OverrunTokens)
	}
	if s.OverrunMoney < 0 {
		refuse("an overrun of $%s", s.OverrunMoney)
	}
	if usage && min(t.Input, t.CacheRead, t.CacheWrite, t.Output, t.Reasoning, t.CacheWrite1h, t.AudioInput, t.AudioOutput) < 0 {
		refuse("negative tokens")
	}
	if usage && min(c.Input, c.CacheRead, c.CacheWrite, c.Output, c.Fee, c.Total) < 0 {
		refuse("a negative cost")
	}
	if usage && s.Pricing == Priced && c.Total != c.sum() {
		refuse("meters that do not add up to the cost")
	}
	if !usage && (s.Reason == "" || s.Actor == "") {
		refuse("a correction without a reason or an actor")
	}
	if !isUUID(s.EventID) || !isUUID(s.AdjustsEvent) {
		refuse("an event id that is not a UUID")
	}
	if !isDay(s.AdjustsPeriod) {
		refuse("a period %q to adjust", s.AdjustsPeriod)
	}
	if faults == nil {
		return nil
	}
	return errors.New("billing: attempt " + fmt.Sprint(s.Attempt) + " of " + CleanText(s.RequestID) + " has " + strings.Join(faults, ", "))
}

var (
	kinds    = map[Kind]bool{KindUsage: true, KindAdjustment: true, KindCredit: true, KindRefund: true, KindFee: true}
	statuses = map[Status]bool{
		StatusOK: true, StatusError: true, StatusClientAborted: true,
		StatusUpstreamAborted: true, StatusInterrupted: true, StatusDisputed: true,
	}
	provenances = map[Provenance]bool{Reported: true, Counted: true, Bounded: true}
	pricings    = map[Pricing]bool{Priced: true, Unpriced: true, Free: true}
)

// isUUID accepts "" for a UUID that has yet to be made.
func isUUID(s string) bool { return s == "" || uuid.Validate(s) == nil }

func isDay(s string) bool {
	if s == "" {
		return true
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}
