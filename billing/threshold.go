package billing

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// part is the used part of one limit of a balance, as it is reported.
type part struct {
	kind, used, limit string
	share             func(percent int64) bool // whether that percentage of it is used
}

// words returns how much of a limit is used: "$8 of $10", "8 of 10 tokens".
func (p part) words() string {
	if p.kind == "usd" {
		return "$" + p.used + " of $" + p.limit
	}
	return p.used + " of " + p.limit + " " + p.kind
}

// parts returns a part for each limit that is set.
func (b Balance) parts() (all []part) {
	reached := func(used, limit int64) func(int64) bool {
		return func(percent int64) bool { return used > 0 && used >= limit/100*percent+(limit%100*percent+99)/100 }
	}
	if limit := b.Budget.Money; limit != nil {
		all = append(all, part{"usd", b.UsedMoney.Short(), limit.Short(), reached(int64(b.UsedMoney), int64(*limit))})
	}
	if limit := b.Budget.Tokens; limit != nil {
		all = append(all, part{"tokens", strconv.FormatInt(b.UsedTokens, 10), strconv.FormatInt(*limit, 10), reached(b.UsedTokens, *limit)})
	}
	if limit := b.Budget.Requests; limit != nil {
		used := b.UsedRequests
		all = append(all, part{"requests", strconv.FormatInt(used, 10), strconv.FormatInt(*limit, 10), reached(used, *limit)})
	}
	return all
}

// Passed returns the thresholds that a balance has reached as events: one for each
// limit, percentage and window, whichever process writes it first.
func (b Balance) Passed(at time.Time) (all []Event) {
	for _, part := range b.parts() {
		for _, percent := range b.Budget.Told() {
			if part.share(int64(percent)) {
				all = append(all, b.passed(part, percent, at))
			}
		}
	}
	return all
}

func (b Balance) passed(p part, percent int, at time.Time) Event {
	severity := Info
	switch {
	case percent >= 100:
		severity = Critical
	case percent >= 80:
		severity = Warning
	}
	share, start := strconv.Itoa(percent), instantText(b.Window.Start)
	return Event{
		Kind: EventThreshold, Object: b.Budget.ID, Severity: severity, At: at,
		Text:    fmt.Sprintf("%s%% of the %s budget of %s is used: %s.", share, b.Budget.Period.Adjective(), b.Budget.Holder(), p.words()),
		DedupID: strings.Join([]string{string(EventThreshold), b.Budget.ID, start, p.kind, share, p.limit}, ":"),
		Data: map[string]string{
			"threshold": share, "kind": p.kind, "used": p.used, "limit": p.limit, "period": string(b.Budget.Period),
			"scope": string(b.Budget.Scope), "scope_id": b.Budget.ScopeID, "budget_id": b.Budget.ID,
			"window_start": start, "window_end": instantText(b.Window.End),
		},
	}
}

// instantText returns an instant in RFC 3339, or "" for the zero time.
func instantText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
