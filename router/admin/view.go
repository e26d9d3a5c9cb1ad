package admin

import (
	"time"

	"tallyroute/billing"
)

// keyView is a key as the API shows it.
type keyView struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"`
	Display       string            `json:"display"`
	Status        string            `json:"status"`
	Project       named             `json:"project"`
	Team          named             `json:"team"`
	CostCenter    string            `json:"cost_center"`
	Environment   string            `json:"environment"`
	Models        []string          `json:"models"` // null: all
	AllowedCIDRs  []string          `json:"allowed_cidrs"`
	Limits        limits            `json:"limits"`
	AllowUnpriced bool              `json:"allow_unpriced"`
	Tags          map[string]string `json:"tags"`
	Budgets       []budgetView      `json:"budgets"` // all that bind the key, its owners' included
	CreatedBy     string            `json:"created_by"`
	CreatedAt     *string           `json:"created_at"`
	ExpiresAt     *string           `json:"expires_at"` // null: never
	RevokedAt     *string           `json:"revoked_at"`
	RevokedReason *string           `json:"revoked_reason"`
	StoppedAt     *string           `json:"stopped_at"`     // null: it is not
	OverrunTokens int64             `json:"overrun_tokens"` // since it was made or enabled
	OverrunUSD    string            `json:"overrun_usd"`
	EnabledAt     *string           `json:"enabled_at"` // when it was last let go on
	EnabledBy     string            `json:"enabled_by,omitempty"`
	EnabledReason string            `json:"enabled_reason,omitempty"`
	LastUsedAt    *string           `json:"last_used_at"`
	Version       int64             `json:"version"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type limits struct {
	RequestsPerMinute *int64 `json:"requests_per_minute"` // null: no limit
	TokensPerMinute   *int64 `json:"tokens_per_minute"`
}

// budgetView is a budget and, where it was asked for, how it stands.
type budgetView struct {
	ID       string    `json:"id"`
	Scope    string    `json:"scope"`
	ScopeID  string    `json:"scope_id"`
	Period   string    `json:"period"`
	Zone     string    `json:"zone"`
	USD      *string   `json:"usd"` // null: not limited
	Currency string    `json:"currency"`
	Tokens   *int64    `json:"tokens"` // null: not limited
	Standing *standing `json:"standing,omitempty"`
}

type standing struct {
	UsedUSD    string  `json:"used_usd"`
	HeldUSD    string  `json:"held_usd"`
	UsedTokens int64   `json:"used_tokens"`
	HeldTokens int64   `json:"held_tokens"`
	ResetsAt   *string `json:"resets_at"` // null: never
}

func viewKey(k *billing.Key, now time.Time) keyView {
	v := keyView{
		ID: string(k.ID), Name: k.Name, Display: k.Display, Status: status(k, now),
		Project: named{k.ProjectID, k.Project}, Team: named{k.TeamID, k.Team}, CostCenter: k.CostCenter, Environment: k.Environment,
		Models: k.Models, AllowedCIDRs: []string{}, AllowUnpriced: k.AllowUnpriced, Tags: k.Tags, Budgets: []budgetView{},
		Limits:    limits{positive(k.RequestsPerMinute), positive(k.TokensPerMinute)},
		CreatedBy: k.CreatedBy, CreatedAt: instant(k.CreatedAt), ExpiresAt: instant(k.ExpiresAt),
		StoppedAt: instant(k.StoppedAt), OverrunTokens: k.Overrun.Tokens, OverrunUSD: k.Overrun.Money.Short(),
		EnabledAt: instant(k.EnabledAt), EnabledBy: k.EnabledBy, EnabledReason: k.EnabledReason,
		RevokedAt: instant(k.RevokedAt), LastUsedAt: instant(k.LastUsedAt), Version: k.Version,
	}
	if len(k.Models) == 0 {
		v.Models = nil
	}
	if k.Tags == nil {
		v.Tags = map[string]string{}
	}
	if k.RevokedReason != "" {
		v.RevokedReason = &k.RevokedReason
	}
	for _, p := range k.AllowedCIDRs {
		v.AllowedCIDRs = append(v.AllowedCIDRs, p.String())
	}
	for _, b := range k.Budgets {
		v.Budgets = append(v.Budgets, viewBudget(b))
	}
	return v
}

func status(k *billing.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now):
		return "expired"
	case !k.StoppedAt.IsZero():
		return "stopped"
	}
	return "active"
}

func viewBudget(b billing.Budget) budgetView {
	v := budgetView{
		ID: b.ID, Scope: string(b.Scope), ScopeID: b.ScopeID, Period: string(b.Period), Zone: zoneOf(b),
		Currency: "USD", Tokens: b.Tokens,
	}
	if b.Money != nil {
		usd := b.Money.Short()
		v.USD = &usd
	}
	return v
}

func viewBalances(list []billing.Balance) []budgetView {
	views := make([]budgetView, len(list))
	for i, b := range list {
		views[i] = viewBudget(b.Budget)
		views[i].Standing = &standing{b.UsedMoney.Short(), b.HeldMoney.Short(), b.UsedTokens, b.HeldTokens, instant(b.Window.End)}
	}
	return views
}

// instant is t as RFC 3339 in UTC, null where it is zero.
func instant(t time.Time) *string {
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
