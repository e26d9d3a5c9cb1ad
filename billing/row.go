package billing

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The most tokens of one kind and the most money of one meter that an attempt
// is booked with: 10^12 tokens and a million dollars. A provider that reports
// more is lying, and is to lock the budget rather than the ledger: sums of
// these fit everywhere.
const (
	MostTokens int64 = 1_000_000_000_000
	MostMeter  Money = 1_000_000 * NanoPerUSD
)

// Tidy makes a row fit to be stored, as far as that does not change what it
// says. Its texts come from clients and providers, and one bad byte must not
// lose the row.
func (s Spend) Tidy() Spend {
	for _, text := range []*string{
		&s.EndUser, &s.RequestedModel, &s.Provider, &s.Model, &s.ServiceTier, &s.ErrorKind, &s.ProviderRequestID,
		&s.Reason, &s.Actor, &s.Owner.CostCenter, &s.Owner.Environment, &s.Price.ID,
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
	return s
}

// bounded keeps each meter within bounds, and the total their sum.
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

// Check refuses what the ledger would refuse, all faults at once: a hold whose
// row cannot be written could never be swept.
func (s Spend) Check() error {
	var faults []string
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	usage := s.Kind == KindUsage
	t, c := s.Tokens, s.Cost
	refuse(!kinds[s.Kind], "unknown kind %q", s.Kind)
	refuse(!statuses[s.Status], "unknown status %q", s.Status)
	refuse(!provenances[s.UsageSource], "unknown source of usage %q", s.UsageSource)
	refuse(!pricings[s.Pricing], "unknown pricing %q", s.Pricing)
	refuse(s.RequestID == "" || s.RequestID != CleanText(s.RequestID), "request id %q", s.RequestID)
	refuse(s.Attempt < 1 || s.Attempt > math.MaxInt16, "attempt %d", s.Attempt)
	refuse(s.OccurredAt.IsZero(), "no time")
	refuse(s.OverrunTokens < 0, "an overrun of %d tokens", s.OverrunTokens)
	refuse(s.OverrunMoney < 0, "an overrun of $%s", s.OverrunMoney)
	refuse(usage && min(t.Input, t.CacheRead, t.CacheWrite, t.Output, t.Reasoning, t.CacheWrite1h, t.AudioInput, t.AudioOutput) < 0, "negative tokens")
	refuse(usage && min(c.Input, c.CacheRead, c.CacheWrite, c.Output, c.Fee, c.Total) < 0, "a negative cost")
	refuse(usage && s.Pricing == Priced && c.Total != c.sum(), "meters that do not add up to the cost")
	refuse(!usage && (s.Reason == "" || s.Actor == ""), "a correction without a reason or an actor")
	refuse(!isUUID(s.EventID) || !isUUID(s.AdjustsEvent), "an event id that is no UUID")
	refuse(!isDay(s.AdjustsPeriod), "a period %q to adjust", s.AdjustsPeriod)
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

// isUUID takes "" for one that is yet to be made.
func isUUID(s string) bool { return s == "" || uuid.Validate(s) == nil }

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return s == "" || err == nil
}
