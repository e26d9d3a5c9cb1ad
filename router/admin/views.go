package admin

import (
	"fmt"
	"strings"

	"github.com/gin-gonic/gin"

	"tallyroute/billing"
)

// view is a key as answers show it: everything but its secret.
func (a *api) view(k billing.Key) gin.H {
	cidrs := make([]string, len(k.AllowedCIDRs))
	for i, p := range k.AllowedCIDRs {
		cidrs[i] = p.String()
	}
	budgets := make([]gin.H, len(k.Budgets))
	for i, b := range k.Budgets {
		budgets[i] = viewBudget(b)
	}
	status := "active"
	switch {
	case !k.RevokedAt.IsZero():
		status = "revoked"
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(a.Clock()):
		status = "expired"
	}
	return gin.H{
		"id": k.ID, "name": k.Name, "display": k.Display, "status": status,
		"project": gin.H{"id": k.ProjectID, "name": k.Project}, "team": gin.H{"id": k.TeamID, "name": k.Team},
		"cost_center": k.CostCenter, "environment": k.Environment,
		"models": orEmpty(k.Models), "allowed_cidrs": cidrs, "budgets": budgets,
		"limits":         gin.H{"requests_per_minute": k.RequestsPerMinute, "tokens_per_minute": k.TokensPerMinute},
		"allow_unpriced": k.AllowUnpriced, "tags": k.Tags, "version": k.Version,
		"created_by": k.CreatedBy, "created_at": instant(k.CreatedAt), "expires_at": instant(k.ExpiresAt),
		"revoked_at": instant(k.RevokedAt), "revoked_reason": orNull(k.RevokedReason), "last_used_at": instant(k.LastUsedAt),
	}
}

func viewBudget(b billing.Budget) gin.H {
	v := gin.H{"id": b.ID, "scope": b.Scope, "scope_id": b.ScopeID, "period": b.Period, "zone": zone(b.Zone), "usd": nil, "tokens": nil, "currency": "USD"}
	if b.Money != nil {
		v["usd"] = b.Money.Short()
	}
	if b.Tokens != nil {
		v["tokens"] = *b.Tokens
	}
	return v
}

func zone(name string) string {
	if name == "" {
		return "UTC"
	}
	return name
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// warnings say what is missing from a key that most keys should have.
func warnings(k billing.Key) []string {
	list := []string{}
	if len(k.Budgets) == 0 {
		list = append(list, "This key has no budget: it may spend without limit.")
	}
	if k.ExpiresAt.IsZero() {
		list = append(list, "This key never expires.")
	}
	return list
}

// snippets show how to use a key.
func (a *api) snippets(secret string) gin.H {
	base := a.BaseURL
	if base == "" {
		base = "http://127.0.0.1:8080/v1"
	}
	return gin.H{
		"curl": fmt.Sprintf(`curl -s %s/chat/completions -H "Authorization: Bearer %s" -H "Content-Type: application/json" -d '{"model":"auto","messages":[{"role":"user","content":"hi"}]}'`,
			strings.TrimSuffix(base, "/"), secret),
		"env":    fmt.Sprintf("OPENAI_BASE_URL=%s OPENAI_API_KEY=%s", base, secret),
		"python": fmt.Sprintf("OpenAI(base_url=%q, api_key=%q)", base, secret),
		"node":   fmt.Sprintf("new OpenAI({ baseURL: %q, apiKey: %q })", base, secret),
		"go":     fmt.Sprintf("openai.NewClient(option.WithBaseURL(%q), option.WithAPIKey(%q))", base, secret),
	}
}
