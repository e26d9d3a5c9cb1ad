package manage

import (
	"strings"
	"time"

	"tallyroute/billing"
)

// PeriodView is a month of the ledger in JSON.
type PeriodView struct {
	Month      billing.Month        `json:"month"`
	Status     billing.PeriodStatus `json:"status"`
	Rows       int64                `json:"rows"`
	CostUSD    string               `json:"cost_usd"`
	Unpriced   int64                `json:"unpriced_attempts"`
	SHA256     *string              `json:"sha256"`
	ClosedAt   *string              `json:"closed_at"`
	ClosedBy   *string              `json:"closed_by"`
	ArchivedAt *string              `json:"archived_at"`
}

// ViewPeriod is a month as it is shown.
func ViewPeriod(p billing.PeriodStanding) PeriodView {
	return PeriodView{
		Month: p.Month, Status: p.Status, Rows: p.Rows, CostUSD: p.Money.Short(), Unpriced: p.Unpriced, SHA256: TextOrNull(p.SHA256),
		ClosedAt: Instant(p.ClosedAt), ClosedBy: TextOrNull(p.ClosedBy), ArchivedAt: Instant(p.ArchivedAt),
	}
}

// AdjustmentView is a correction in JSON.
type AdjustmentView struct {
	RequestID string        `json:"request_id"`
	KeyID     billing.KeyID `json:"key_id"`
	Kind      billing.Kind  `json:"kind"`
	AmountUSD string        `json:"amount_usd"` // what was charged; below zero what was given back
	Month     billing.Month `json:"month,omitempty"`
	Reason    string        `json:"reason"`
	Actor     string        `json:"actor"`
}

// ViewAdjustment is a correction as it is shown.
func ViewAdjustment(row billing.Spend) AdjustmentView {
	return AdjustmentView{
		RequestID: row.RequestID, KeyID: row.Owner.KeyID, Kind: row.Kind, AmountUSD: row.Cost.Total.Short(),
		Month: billing.Month(strings.TrimSuffix(row.AdjustsPeriod, "-01")), Reason: row.Reason, Actor: row.Actor,
	}
}

// RepricedView is what a repricing came to, in JSON.
type RepricedView struct {
	DryRun     bool   `json:"dry_run"`
	Rows       int64  `json:"rows"`
	Adjusted   int64  `json:"adjusted"`
	Priced     int64  `json:"priced_for_the_first_time"`
	Unpriced   int64  `json:"still_unpriced"`
	Difference string `json:"difference_usd"`
}

// ViewRepriced is a repricing as it is shown.
func ViewRepriced(r Repricing, sum billing.Repriced) RepricedView {
	return RepricedView{r.DryRun, sum.Rows, sum.Adjusted, sum.Priced, sum.Unpriced, sum.Difference.Short()}
}

// RejectView is a row that the ledger refused and that waits to be booked, in JSON.
type RejectView struct {
	RequestID  string        `json:"request_id"`
	Attempt    int           `json:"attempt"`
	KeyID      billing.KeyID `json:"key_id"`
	RejectedAt *string       `json:"rejected_at"`
	OccurredAt *string       `json:"occurred_at"`
	Provider   string        `json:"provider"`
	Model      string        `json:"model"`
	Tokens     int64         `json:"tokens"`
	CostUSD    string        `json:"cost_usd"`
	Reason     string        `json:"reason"`
}

// ViewReject is a row that waits as it is shown.
func ViewReject(r billing.RejectedRow) RejectView {
	used := r.Used()
	return RejectView{
		RequestID: r.Row.RequestID, Attempt: r.Row.Attempt, KeyID: r.Row.Owner.KeyID, RejectedAt: Instant(r.At),
		OccurredAt: Instant(r.Row.OccurredAt),
		Provider:   r.Row.Provider, Model: r.Row.Model, Tokens: used.Tokens, CostUSD: used.Money.Short(), Reason: r.Reason,
	}
}

// EventView is an event, in JSON.
type EventView struct {
	Kind       string            `json:"kind"`
	Object     string            `json:"object"`
	Severity   string            `json:"severity"`
	OccurredAt *string           `json:"occurred_at"`
	Text       string            `json:"text"`
	Data       map[string]string `json:"data"`
	ID         string            `json:"id"` // the same for the same event, however often it is told
}

// ViewEvent is an event as it is shown.
func ViewEvent(e billing.Event) EventView {
	return EventView{string(e.Kind), e.Object, string(e.Severity), Instant(e.At), e.Text, e.Data, e.DedupID}
}

// ReplicaView is a router that holds allowances, in JSON.
type ReplicaView struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Status       string    `json:"status"` // live; lost: its leases have expired; or forgotten
	StartedAt    time.Time `json:"started_at"`
	SeenAt       time.Time `json:"seen_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	Leases       int       `json:"leases"`
	LeasedTokens int64     `json:"leased_tokens"`
	LeasedUSD    string    `json:"leased_usd"`
	BusyTokens   int64     `json:"busy_tokens"`
	BusyUSD      string    `json:"busy_usd"`
}

// ViewReplica is a router as it is shown.
func ViewReplica(r billing.ReplicaState) ReplicaView {
	status := "lost"
	if r.Live {
		status = "live"
	}
	if billing.IsForgotten(r.Epoch) {
		status = "forgotten" // what it was using is still leased
	}
	return ReplicaView{
		ID: r.ID, Name: r.Name, Status: status, StartedAt: r.StartedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt, Leases: r.Leases,
		LeasedTokens: r.Leased.Tokens, LeasedUSD: r.Leased.Money.Short(), BusyTokens: r.Busy.Tokens, BusyUSD: r.Busy.Money.Short(),
	}
}

// IntegrityView is what a check of the ledger's laws found, in JSON.
type IntegrityView struct {
	RanAt    *string   `json:"ran_at"`
	Breaches int64     `json:"breaches"`
	Laws     []LawView `json:"laws"`
}

// LawView is a law of the ledger and whether it holds.
type LawView struct {
	Law      string      `json:"law"`
	Says     string      `json:"says"`
	OK       bool        `json:"ok"`
	Breaches int64       `json:"breaches"`
	First    *BreachView `json:"first"`
}

// BreachView is one place where a law does not hold.
type BreachView struct {
	Where    string `json:"where"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// ViewIntegrity is a check of the ledger as it is shown.
func ViewIntegrity(r billing.IntegrityReport) IntegrityView {
	v := IntegrityView{RanAt: Instant(r.RanAt), Breaches: r.Breaches, Laws: make([]LawView, len(r.Laws))}
	for i, l := range r.Laws {
		v.Laws[i] = LawView{Law: l.Name, Says: l.Says, OK: l.Breaches == 0, Breaches: l.Breaches}
		if l.Breaches > 0 {
			v.Laws[i].First = &BreachView{l.First.Where, l.First.Expected, l.First.Found}
		}
	}
	return v
}
