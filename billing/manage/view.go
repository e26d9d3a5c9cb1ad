package manage

import (
	"cmp"
	"fmt"
	"time"

	"tallyroute/billing"
)

// KeyView is a key in JSON.
type KeyView struct {
	ID                   string            `json:"id"`
	Name                 string            `json:"name"`
	Display              string            `json:"display"`
	Status               string            `json:"status"`
	Project              Named             `json:"project"`
	Team                 Named             `json:"team"`
	CostCenter           string            `json:"cost_center"`
	Environment          string            `json:"environment"`
	Models               []string          `json:"models" nullable:"true"`        // null: all
	AllowedCIDRs         []string          `json:"allowed_cidrs" nullable:"true"` // null: from anywhere
	Limits               Limits            `json:"limits"`
	AllowUnpriced        bool              `json:"allow_unpriced"`
	AllowProviderObjects bool              `json:"allow_provider_objects"`
	Tags                 map[string]string `json:"tags"`
	Budgets              []BudgetView      `json:"budgets"` // all that bind the key, its owners' included
	CreatedBy            string            `json:"created_by"`
	CreatedAt            *string           `json:"created_at"`
	ExpiresAt            *string           `json:"expires_at"` // null: never
	RevokedAt            *string           `json:"revoked_at"`
	RevokedReason        *string           `json:"revoked_reason"`
	StoppedAt            *string           `json:"stopped_at"`     // null: it is not
	OverrunTokens        int64             `json:"overrun_tokens"` // since it was made or enabled
	OverrunUSD           string            `json:"overrun_usd"`
	EnabledAt            *string           `json:"enabled_at"` // when it was last let go on
	EnabledBy            string            `json:"enabled_by,omitempty"`
	EnabledReason        string            `json:"enabled_reason,omitempty"`
	DisabledAt           *string           `json:"disabled_at"` // null: it is not
	DisabledBy           string            `json:"disabled_by,omitempty"`
	DisabledReason       string            `json:"disabled_reason,omitempty"`
	ArchivedAt           *string           `json:"archived_at"`
	LastUsedAt           *string           `json:"last_used_at"`
	Purpose              string            `json:"purpose"`
	Owner                *string           `json:"owner"` // the address of who answers for it
	Sensitivity          string            `json:"sensitivity"`
	RotateEvery          string            `json:"rotate_every"`
	RotatedAt            *string           `json:"rotated_at"` // when its newest secret was made
	RotationDueAt        *string           `json:"rotation_due_at"`
	Version              int64             `json:"version"`
}

// Named is an owner of a key.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Limits are a key's limits per minute.
type Limits struct {
	RequestsPerMinute *int64 `json:"requests_per_minute"` // null: no limit
	TokensPerMinute   *int64 `json:"tokens_per_minute"`
}

// BudgetView is a budget in JSON and, where it was asked for, how it stands.
type BudgetView struct {
	ID       string    `json:"id"`
	Scope    string    `json:"scope"`
	ScopeID  string    `json:"scope_id"`
	Period   string    `json:"period"`
	Zone     string    `json:"zone"`
	USD      *string   `json:"usd"` // null: not limited
	Currency string    `json:"currency"`
	Tokens   *int64    `json:"tokens"` // null: not limited
	Standing *Standing `json:"standing,omitempty"`
}

// Standing is how a budget stands in the current period.
type Standing struct {
	UsedUSD         string  `json:"used_usd"`
	HeldUSD         string  `json:"held_usd"`
	RemainingUSD    *string `json:"remaining_usd"` // null: not limited
	UsedTokens      int64   `json:"used_tokens"`
	HeldTokens      int64   `json:"held_tokens"`
	RemainingTokens *int64  `json:"remaining_tokens"` // null: not limited
	Since           *string `json:"since"`            // when the period began
	ResetsAt        *string `json:"resets_at"`        // null: never
}

// ViewKey is a key as it is shown.
func ViewKey(k *billing.Key, now time.Time) KeyView {
	v := KeyView{
		ID: string(k.ID), Name: k.Name, Display: k.Display, Status: k.Status(now),
		Project: Named{k.ProjectID, k.Project}, Team: Named{k.TeamID, k.Team}, CostCenter: k.CostCenter, Environment: k.Environment,
		Models: k.Models, AllowUnpriced: k.AllowUnpriced, AllowProviderObjects: k.AllowProviderObjects,
		Tags: k.Tags, Budgets: []BudgetView{},
		Limits:    Limits{positive(k.RequestsPerMinute), positive(k.TokensPerMinute)},
		CreatedBy: k.CreatedBy, CreatedAt: Instant(k.CreatedAt), ExpiresAt: Instant(k.ExpiresAt),
		StoppedAt: Instant(k.StoppedAt), OverrunTokens: k.Overrun.Tokens, OverrunUSD: k.Overrun.Money.Short(),
		EnabledAt: Instant(k.EnabledAt), EnabledBy: k.EnabledBy, EnabledReason: k.EnabledReason,
		DisabledAt: Instant(k.DisabledAt), DisabledBy: k.DisabledBy, DisabledReason: k.DisabledReason, ArchivedAt: Instant(k.ArchivedAt),
		Purpose: k.Purpose, Owner: TextOrNull(k.Address), Sensitivity: string(k.Sensitivity),
		RotateEvery: Span(cmp.Or(k.RotateEvery, k.Sensitivity.RotateEvery())), RotatedAt: Instant(k.RotatedAt),
		RotationDueAt: Instant(k.RotationDue()),
		RevokedAt:     Instant(k.RevokedAt), RevokedReason: TextOrNull(k.RevokedReason), LastUsedAt: Instant(k.LastUsedAt),
		Version: k.Version,
	}
	if len(k.Models) == 0 {
		v.Models = nil
	}
	if k.Tags == nil {
		v.Tags = map[string]string{}
	}
	for _, p := range k.AllowedCIDRs {
		v.AllowedCIDRs = append(v.AllowedCIDRs, p.String())
	}
	for _, b := range k.Budgets {
		v.Budgets = append(v.Budgets, ViewBudget(b))
	}
	return v
}

// ViewBudget is a budget as it is shown.
func ViewBudget(b billing.Budget) BudgetView {
	v := BudgetView{
		ID: b.ID, Scope: string(b.Scope), ScopeID: b.ScopeID, Period: string(b.Period), Zone: cmp.Or(b.Zone, "UTC"),
		Currency: "USD", Tokens: b.Tokens,
	}
	if b.Money != nil {
		v.USD = TextOrNull(b.Money.Short())
	}
	return v
}

// ViewBalances are budgets with how they stand.
func ViewBalances(list []billing.Balance) []BudgetView {
	views := make([]BudgetView, len(list))
	for i, b := range list {
		views[i] = ViewBalance(b)
	}
	return views
}

// ViewBalance is a budget with how it stands.
func ViewBalance(b billing.Balance) BudgetView {
	v := ViewBudget(b.Budget)
	v.Standing = &Standing{
		UsedUSD: b.UsedMoney.Short(), HeldUSD: b.HeldMoney.Short(), UsedTokens: b.UsedTokens, HeldTokens: b.HeldTokens,
		Since: Instant(b.Window.Start), ResetsAt: Instant(b.Window.End),
	}
	if free, ok := b.FreeMoney(); ok {
		text := free.Short()
		v.Standing.RemainingUSD = &text
	}
	if free, ok := b.FreeTokens(); ok {
		v.Standing.RemainingTokens = &free
	}
	return v
}

// Span is a duration as it is written: 90d, 36h, 90m0s.
func Span(d time.Duration) string {
	switch {
	case d > 0 && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// Instant is t as RFC 3339 in UTC, null where it is zero.
func Instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}

func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

// TeamView is a team in JSON.
type TeamView struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	CostCenter string  `json:"cost_center"`
	OwnerEmail *string `json:"owner_email"`
	CreatedAt  *string `json:"created_at"`
	ArchivedAt *string `json:"archived_at"`
}

// ProjectView is a project in JSON.
type ProjectView struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Team        Named   `json:"team"`
	CostCenter  string  `json:"cost_center"`
	Environment string  `json:"environment"`
	CreatedAt   *string `json:"created_at"`
	ArchivedAt  *string `json:"archived_at"`
}

// ViewTeam is a team as it is shown.
func ViewTeam(t billing.Team) TeamView {
	return TeamView{t.ID, t.Name, t.CostCenter, TextOrNull(t.OwnerEmail), Instant(t.CreatedAt), Instant(t.ArchivedAt)}
}

// ViewProject is a project as it is shown.
func ViewProject(p billing.Project) ProjectView {
	return ProjectView{p.ID, p.Name, Named{p.TeamID, p.Team}, p.CostCenter, p.Environment, Instant(p.CreatedAt), Instant(p.ArchivedAt)}
}

// TextOrNull is s, or null where it is empty.
func TextOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
