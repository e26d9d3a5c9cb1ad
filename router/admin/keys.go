package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"tallyroute/billing"
)

// budgetBody is a budget as requests give it.
type budgetBody struct {
	ID      string  `json:"id"`
	Scope   string  `json:"scope"`
	ScopeID string  `json:"scope_id"`
	Period  string  `json:"period"`
	Zone    string  `json:"zone"`
	USD     *usd    `json:"usd"`
	Tokens  *int64  `json:"tokens"`
	Action  *string `json:"action"`
}

func (b budgetBody) budget() (billing.Budget, error) {
	if b.Action != nil && *b.Action != "block" {
		return billing.Budget{}, invalid("budget.action", `The only action is "block".`)
	}
	return billing.Budget{
		ID: b.ID, Scope: billing.Scope(b.Scope), ScopeID: b.ScopeID, Period: billing.Period(b.Period),
		Zone: b.Zone, Tokens: b.Tokens, Money: (*billing.Money)(b.USD),
	}, nil
}

type rateBody struct {
	RequestsPerMinute *int64 `json:"requests_per_minute"`
	TokensPerMinute   *int64 `json:"tokens_per_minute"`
}

// keyBody is what a key is asked to be. In a PATCH, what is absent stays.
type keyBody struct {
	Name          *string            `json:"name"`
	Team          *string            `json:"team"`
	Project       *string            `json:"project"`
	CostCenter    *string            `json:"cost_center"`
	Environment   *string            `json:"environment"`
	Models        *[]string          `json:"models"`
	Budget        *budgetBody        `json:"budget"`
	Budgets       *[]budgetBody      `json:"budgets"`
	Limits        *rateBody          `json:"limits"`
	AllowedCIDRs  *[]string          `json:"allowed_cidrs"`
	AllowUnpriced *bool              `json:"allow_unpriced"`
	ExpiresIn     *span              `json:"expires_in"`
	ExpiresAt     *time.Time         `json:"expires_at"`
	Tags          *map[string]string `json:"tags"`
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func (a *api) createKey(c *gin.Context) (int, any, error) {
	var body keyBody
	if err := read(c, &body); err != nil {
		return 0, nil, err
	}
	req := billing.KeyRequest{
		Name: or(body.Name, ""), Team: or(body.Team, ""), Project: or(body.Project, ""),
		CostCenter: or(body.CostCenter, ""), Environment: or(body.Environment, ""), CreatedBy: "admin",
	}
	var k billing.Key
	if err := a.apply(body, &k); err != nil {
		return 0, nil, err
	}
	req.Models, req.AllowedCIDRs, req.Budgets, req.Tags = k.Models, k.AllowedCIDRs, k.Budgets, k.Tags
	req.RequestsPerMinute, req.TokensPerMinute = k.RequestsPerMinute, k.TokensPerMinute
	req.AllowUnpriced, req.ExpiresAt = k.AllowUnpriced, k.ExpiresAt
	key, secret, err := a.Issuer.Issue(c.Request.Context(), req)
	if err != nil {
		return 0, nil, err
	}
	view := a.view(key)
	view["secret"], view["secret_shown_once"] = secret.Reveal(), true
	view["snippets"] = a.snippets(secret.Reveal())
	view["warnings"] = warnings(key)
	return http.StatusCreated, view, nil
}

// apply puts what a body says into a key.
func (a *api) apply(body keyBody, k *billing.Key) error {
	if body.Models != nil {
		if err := a.checkModels(*body.Models); err != nil {
			return err
		}
		k.Models = *body.Models
	}
	if body.AllowedCIDRs != nil {
		list, err := parseCIDRs(*body.AllowedCIDRs)
		if err != nil {
			return err
		}
		k.AllowedCIDRs = list
	}
	if err := body.budgets(k); err != nil {
		return err
	}
	if body.Limits != nil {
		k.RequestsPerMinute = or(body.Limits.RequestsPerMinute, k.RequestsPerMinute)
		k.TokensPerMinute = or(body.Limits.TokensPerMinute, k.TokensPerMinute)
		if k.RequestsPerMinute < 0 || k.TokensPerMinute < 0 {
			return invalid("limits", "A limit per minute is 0 (none) or more.")
		}
	}
	if body.ExpiresIn != nil && body.ExpiresAt != nil {
		return invalid("expires_in", "Give expires_in or expires_at, not both.")
	}
	if body.ExpiresIn != nil {
		k.ExpiresAt = a.Clock().Add(time.Duration(*body.ExpiresIn)).UTC()
	}
	k.ExpiresAt = or(body.ExpiresAt, k.ExpiresAt)
	k.Name = or(body.Name, k.Name)
	k.Tags = or(body.Tags, k.Tags)
	k.AllowUnpriced = or(body.AllowUnpriced, k.AllowUnpriced)
	return nil
}

// budgets replaces the key's own budgets where the body names any. One that
// keeps its id keeps what was used.
func (body keyBody) budgets(k *billing.Key) error {
	var asked []budgetBody
	switch {
	case body.Budget != nil && body.Budgets != nil:
		return invalid("budget", "Give budget or budgets, not both.")
	case body.Budget != nil:
		asked = []budgetBody{*body.Budget}
	case body.Budgets != nil:
		asked = *body.Budgets
	default:
		return nil
	}
	own := slices.DeleteFunc(slices.Clone(k.Budgets), func(b billing.Budget) bool { return b.Scope != billing.ScopeKey })
	rest := slices.DeleteFunc(slices.Clone(k.Budgets), func(b billing.Budget) bool { return b.Scope == billing.ScopeKey })
	for n, given := range asked {
		b, err := given.budget()
		if err != nil {
			return err
		}
		if given.Scope != "" && b.Scope != billing.ScopeKey {
			return invalid("budgets.scope", "A key carries budgets of its own; set those of a project, team or the organisation at /admin/v1/budgets.")
		}
		b.Scope, b.ScopeID = billing.ScopeKey, string(k.ID)
		// A lone budget of the same period is the one that there is, changed.
		if b.ID == "" {
			if i := slices.IndexFunc(own, func(o billing.Budget) bool { return o.Period == b.Period && o.Zone == b.Zone }); i >= 0 {
				b.ID = own[i].ID
				own = slices.Delete(own, i, i+1)
			}
		}
		check := b
		if check.ScopeID == "" {
			check.ScopeID = "key_"
		}
		if err := check.Validate(); err != nil {
			return &billing.FieldError{Field: fmt.Sprintf("budgets[%d]", n), Detail: err.Error()}
		}
		rest = append(rest, b)
	}
	k.Budgets = rest
	return nil
}

func (a *api) checkModels(names []string) error {
	if a.KnownModel == nil {
		return nil
	}
	for i, name := range names {
		if nearest, known := a.KnownModel(name); !known {
			message := fmt.Sprintf("No model or alias %.64q.", name)
			if nearest != "" {
				message += fmt.Sprintf(" Did you mean %q?", nearest)
			}
			return &problem{
				status: 422, kind: "invalid_request_error", code: "unknown_model", param: fmt.Sprintf("models[%d]", i),
				message: message, fix: "GET /v1/models lists the names; provider/* stands for all of a provider.",
			}
		}
	}
	return nil
}

func parseCIDRs(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, invalid(fmt.Sprintf("allowed_cidrs[%d]", i), fmt.Sprintf("%.64q is not an address range such as 10.0.0.0/8.", text))
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (a *api) getKey(c *gin.Context) (int, any, error) {
	k, err := a.Issuer.Find(c.Request.Context(), billing.KeyID(c.Param("id")))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.view(k), nil
}

func (a *api) updateKey(c *gin.Context) (int, any, error) {
	var body keyBody
	if err := read(c, &body); err != nil {
		return 0, nil, err
	}
	if body.Team != nil || body.Project != nil || body.CostCenter != nil || body.Environment != nil {
		return 0, nil, invalid("project", "A key stays with its project; make a new one for another.")
	}
	if body.Name != nil && *body.Name == "" {
		return 0, nil, invalid("name", "A key has a name.")
	}
	k, err := a.Keys.UpdateKey(c.Request.Context(), billing.KeyID(c.Param("id")), func(k *billing.Key) error {
		return a.apply(body, k)
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.view(k), nil
}

func (a *api) revokeKey(c *gin.Context) (int, any, error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := read(c, &body); err != nil {
		return 0, nil, err
	}
	k, err := a.Issuer.Revoke(c.Request.Context(), billing.KeyID(c.Param("id")), body.Reason)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.view(k), nil
}

// pageLimit is the most that a list returns at once.
const pageLimit = 200

func (a *api) listKeys(c *gin.Context) (int, any, error) {
	limit := 50
	if text := c.Query("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > pageLimit {
			return 0, nil, invalid("limit", "Want a number from 1 to 200.")
		}
		limit = n
	}
	status := c.Query("status")
	if status != "" && status != "active" && status != "expired" && status != "revoked" {
		return 0, nil, invalid("status", "Want active, expired or revoked.")
	}
	list, err := a.Keys.ListKeys(c.Request.Context(), billing.KeyFilter{
		Team: c.Query("team"), Project: c.Query("project"), Status: status, Query: c.Query("q"),
		After: billing.KeyID(c.Query("after")), Limit: limit, Now: a.Clock(),
	})
	if err != nil {
		return 0, nil, err
	}
	data := make([]gin.H, len(list))
	for i, k := range list {
		data[i] = a.view(k)
	}
	page := gin.H{"data": data, "has_more": len(list) == limit, "next_cursor": nil}
	if len(list) == limit {
		page["next_cursor"] = list[len(list)-1].ID
	}
	return http.StatusOK, page, nil
}
