package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/router"
	"tallyroute/router/web"
)

// describe writes where a request went and what its key has left. None of the provider's
// response headers are passed on.
func describe(h *web.Header, way router.Route, out router.Outcome, took time.Duration) {
	h.Set("Openai-Processing-Ms", strconv.FormatInt(took.Milliseconds(), 10))
	h.Set("X-Tallyroute-Provider", way.Target.Provider)
	h.Set("X-Tallyroute-Model", way.Target.Model)
	h.Set("X-Tallyroute-Requested-Model", way.Requested)
	if way.Downgraded {
		h.Set("X-Tallyroute-Downgraded", way.Requested)
	}
	h.Set("X-Tallyroute-Attempts", strconv.Itoa(len(way.Attempts)))
	h.Set("X-Tallyroute-Route-Reason", string(way.Reason))
	h.Set("X-Tallyroute-Overhead-Ms", milliseconds(out.Overhead))
	if way.MaxOutput > 0 {
		h.Set("X-Tallyroute-Max-Tokens", strconv.FormatInt(way.MaxOutput, 10))
	}
	if len(way.Dropped) > 0 {
		h.Set("X-Tallyroute-Dropped", listed(way.Dropped))
	}
	if len(way.Unpriced) > 0 {
		h.Set("X-Tallyroute-Unpriced-Members", listed(way.Unpriced))
	}
	describeKey(h, way.KeyUntil)
	describeRates(h, out.Rates)
	describeBudgets(h, out.Balances)
}

// describeKey tells the holder of a replaced secret when that secret expires (RFC 8594).
func describeKey(h *web.Header, until time.Time) {
	if until.IsZero() {
		return
	}
	h.Set("Sunset", until.UTC().Format(http.TimeFormat))
	h.Set("X-Tallyroute-Key-Expires", until.UTC().Format(time.RFC3339))
}

// longestList bounds a header that repeats a client's words.
const longestList = 1 << 10

// listed formats a list for a header. It says how many names did not fit.
func listed(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if b.Len()+len(name) > longestList {
			fmt.Fprintf(&b, ", and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// describeCost writes the cost of a plain answer. The cost of a stream is not known when its
// headers go out: it is estimated here and reported in its last chunk.
func describeCost(h *web.Header, a *router.Answer) {
	if a.Response == nil {
		status := "unpriced"
		if a.Route.Estimated {
			status = "estimated"
			h.Set("X-Tallyroute-Cost-Estimate-Usd", a.Route.Estimate.Short())
		}
		h.Set("X-Tallyroute-Cost-Status", status)
		return
	}
	setCost(h, a.Outcome())
}

// setCost writes the cost of a finished request.
func setCost(h *web.Header, out router.Outcome) {
	status, usd := costOf(out)
	h.Set("X-Tallyroute-Cost-Status", status)
	if usd != nil {
		h.Set("X-Tallyroute-Cost-Usd", *usd)
	}
}

// costOf returns how the cost of a request is known, and the cost; nil if it is unpriced.
func costOf(out router.Outcome) (status string, usd *string) {
	status = costStatus(out.Spend)
	if out.Earlier > 0 && (status == "exact" || status == "differs") {
		status = "estimated" // the cost of failed attempts is only bounded
	}
	if status != "unpriced" {
		usd = manage.TextOrNull(billing.SatAdd(out.Spend.Cost.Total, out.Earlier).Short())
	}
	return status, usd
}

// costStatus says in one word how the cost is known. It is exact if the provider reported the
// usage and nothing contradicts it.
func costStatus(s billing.Spend) string {
	switch {
	case s.Pricing == billing.Unpriced:
		return "unpriced"
	case s.Disputed:
		return "disputed"
	case s.OverrunTokens > 0 || s.OverrunMoney > 0:
		return "overrun"
	case s.UsageSource != billing.Reported:
		return "estimated"
	case s.CostDiffers():
		return "differs"
	}
	return "exact"
}

// rateHeaders are the header names for each kind of router.Rate.
var rateHeaders = map[string]struct{ limit, remaining, reset string }{
	"requests": {"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"},
	"tokens":   {"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"},
}

// describeRates writes the limits per minute, as OpenAI does.
func describeRates(h *web.Header, rates []router.Rate) {
	for _, r := range rates {
		names := rateHeaders[r.Kind]
		h.Set(names.limit, strconv.FormatInt(r.Limit, 10))
		h.Set(names.remaining, strconv.FormatInt(r.Remaining, 10))
		h.Set(names.reset, r.Reset.Round(time.Millisecond).String())
	}
}

// describeBudgets writes what the tightest budgets have left.
func describeBudgets(h *web.Header, balances []billing.Balance) {
	left := remaining(balances)
	if left.USD != nil {
		h.Set("X-Tallyroute-Budget-Remaining-Usd", *left.USD)
	}
	if left.Tokens != nil {
		h.Set("X-Tallyroute-Budget-Remaining-Tokens", strconv.FormatInt(*left.Tokens, 10))
	}
	if left.Requests != nil {
		h.Set("X-Tallyroute-Budget-Remaining-Requests", strconv.FormatInt(*left.Requests, 10))
	}
	if left.ResetsAt != nil {
		h.Set("X-Tallyroute-Budget-Reset", *left.ResetsAt)
	}
}

// left is what a key may still use according to the tightest of its budgets; for tokens and
// requests, only budgets for longer than a minute count.
type left struct {
	USD      *string `json:"usd"`    // null: no limit
	Tokens   *int64  `json:"tokens"` // null: no limit
	Requests *int64  `json:"requests"`
	ResetsAt *string `json:"resets_at"` // when the first of them resets; null: never
}

func remaining(balances []billing.Balance) left {
	var money, tokens, requests *billing.Balance
	for i := range balances {
		b := &balances[i]
		if free, ok := b.FreeMoney(); ok && (money == nil || free < freeMoney(money)) {
			money = b
		}
		if b.Budget.Period == billing.PeriodMinute || b.Window.Concurrent() {
			continue // X-Ratelimit-* covers it
		}
		if free, ok := b.FreeTokens(); ok && (tokens == nil || free < freeTokens(tokens)) {
			tokens = b
		}
		if free, ok := b.FreeRequests(); ok && (requests == nil || free < freeRequests(requests)) {
			requests = b
		}
	}
	var l left
	var reset time.Time
	if money != nil {
		l.USD = manage.TextOrNull(freeMoney(money).Short())
		reset = money.Window.End
	}
	if tokens != nil {
		n := freeTokens(tokens)
		l.Tokens = &n
		if end := tokens.Window.End; reset.IsZero() || (!end.IsZero() && end.Before(reset)) {
			reset = end
		}
	}
	if requests != nil {
		n := freeRequests(requests)
		l.Requests = &n
		if end := requests.Window.End; reset.IsZero() || (!end.IsZero() && end.Before(reset)) {
			reset = end
		}
	}
	l.ResetsAt = manage.Instant(reset)
	return l
}

func freeMoney(b *billing.Balance) billing.Money {
	free, _ := b.FreeMoney()
	return free
}

func freeTokens(b *billing.Balance) int64 {
	free, _ := b.FreeTokens()
	return free
}

func freeRequests(b *billing.Balance) int64 {
	free, _ := b.FreeRequests()
	return free
}

// milliseconds formats d with up to three decimals.
func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
}

// withUsage returns an answer, or its last chunk, with what is booked in its usage: the cost,
// and the counts if they differ from what the provider reported. If the provider reported none,
// the usage is added.
func withUsage(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	s := out.Spend
	members := costMembers(s, out.Earlier)
	if reported == nil || s.Disputed || tokensOf(reported) != s.Tokens {
		members = append(append(countMembers(s.Tokens), ','), members...)
	}
	if reported == nil && !jsonraw.IsObject(jsonraw.Lookup(data, "usage")) {
		return jsonraw.Edit(data, []jsonraw.Member{{Name: "usage", Value: append(append([]byte{'{'}, members...), '}')}})
	}
	return chat.AddUsageMembers(data, members)
}

// usageHead builds, from a stream's first chunk, the chunk that will report the usage if the
// provider reports none; the usage is added later.
func usageHead(first []byte) []byte {
	var o jsonraw.Object
	for _, name := range []string{"id", "object", "created", "model"} {
		o.Raw(name, jsonraw.Lookup(first, name))
	}
	o.Word("choices", "[]")
	return o.Bytes()
}

func tokensOf(u *chat.Usage) billing.Tokens {
	return billing.Tokens{
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning,
		CacheWrite1h: u.CacheWrite1h, AudioInput: u.AudioInput, AudioOutput: u.AudioOutput,
	}
}

// countMembers returns the booked counts as members of the format.
func countMembers(t billing.Tokens) []byte {
	b := make([]byte, 0, 512)
	count := func(name string, n int64) { b = strconv.AppendInt(append(b, name...), n, 10) }
	count(`"prompt_tokens":`, t.Prompt())
	if t.Output > 0 {
		count(`,"completion_tokens":`, t.Output)
	}
	count(`,"total_tokens":`, t.Total())
	if t.CacheRead+t.CacheWrite+t.AudioInput > 0 {
		count(`,"prompt_tokens_details":{"cached_tokens":`, t.CacheRead)
		count(`,"cache_write_tokens":`, t.CacheWrite)
		count(`,"audio_tokens":`, t.AudioInput)
		b = append(b, '}')
	}
	if t.Reasoning+t.AudioOutput > 0 {
		count(`,"completion_tokens_details":{"reasoning_tokens":`, t.Reasoning)
		count(`,"audio_tokens":`, t.AudioOutput)
		b = append(b, '}')
	}
	return b
}

// costMembers returns the members that report the cost of a request inside a usage object,
// including that of the attempts that failed before the answer. Anything unpriced has a cost of
// null, which is not a cost of zero.
func costMembers(s billing.Spend, earlier billing.Money) []byte {
	if s.Pricing == billing.Unpriced {
		return []byte(`"cost":null,"cost_details":null`)
	}
	b := make([]byte, 0, 256)
	amount := func(name string, m billing.Money) {
		b = append(m.AppendShort(append(b, name...)), ',')
	}
	amount(`"cost":`, billing.SatAdd(s.Cost.Total, earlier))
	amount(`"cost_details":{"input":`, s.Cost.Input)
	amount(`"cache_read":`, s.Cost.CacheRead)
	amount(`"cache_write":`, s.Cost.CacheWrite)
	amount(`"output":`, s.Cost.Output)
	amount(`"fee":`, s.Cost.Fee)
	if earlier > 0 {
		amount(`"failed_attempts":`, earlier)
	}
	id, err := json.Marshal(s.Price.ID)
	if err != nil {
		id = []byte("null") // cannot happen: every string is valid JSON
	}
	b = append(append(b, `"currency":"USD","price_id":`...), id...)
	return append(b, '}')
}
