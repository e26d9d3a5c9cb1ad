package admin

import (
	"net/http"
	"regexp"

	"github.com/gin-gonic/gin"

	"tallyroute/billing"
)

func (a *api) listTeams(c *gin.Context) (int, any, error) {
	list, err := a.Owners.ListTeams(c.Request.Context())
	if err != nil {
		return 0, nil, err
	}
	data := make([]gin.H, len(list))
	for i, t := range list {
		data[i] = gin.H{
			"id": t.ID, "name": t.Name, "cost_center": t.CostCenter, "owner_email": orNull(t.OwnerEmail),
			"created_at": instant(t.CreatedAt), "archived_at": instant(t.ArchivedAt),
		}
	}
	return http.StatusOK, whole(data), nil
}

// whole is a list that has no further page.
func whole(data []gin.H) gin.H { return gin.H{"data": data, "has_more": false, "next_cursor": nil} }

func (a *api) listProjects(c *gin.Context) (int, any, error) {
	list, err := a.Owners.ListProjects(c.Request.Context())
	if err != nil {
		return 0, nil, err
	}
	data := make([]gin.H, len(list))
	for i, p := range list {
		data[i] = viewProject(p)
	}
	return http.StatusOK, whole(data), nil
}

func viewProject(p billing.Project) gin.H {
	return gin.H{
		"id": p.ID, "name": p.Name, "team": gin.H{"id": p.TeamID, "name": p.Team}, "cost_center": p.CostCenter,
		"environment": p.Environment, "created_at": instant(p.CreatedAt), "archived_at": instant(p.ArchivedAt),
	}
}

type projectBody struct {
	Name        string `json:"name"`
	Team        string `json:"team"`
	CostCenter  string `json:"cost_center"`
	Environment string `json:"environment"`
}

func (a *api) createProject(c *gin.Context) (int, any, error) {
	var body projectBody
	if err := read(c, &body); err != nil {
		return 0, nil, err
	}
	if body.Name == "" || body.Team == "" {
		return 0, nil, invalid("name", "A project wants a name and a team.")
	}
	if body.Environment == "" {
		body.Environment = "dev"
	}
	p, err := a.Owners.EnsureProject(c.Request.Context(), billing.Project{
		Name: body.Name, Team: body.Team, CostCenter: body.CostCenter, Environment: body.Environment,
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, viewProject(p), nil
}

func (a *api) listBudgets(c *gin.Context) (int, any, error) {
	list, err := a.Owners.ListBudgets(c.Request.Context())
	if err != nil {
		return 0, nil, err
	}
	data := make([]gin.H, len(list))
	for i, b := range list {
		data[i] = viewBudget(b)
	}
	return http.StatusOK, whole(data), nil
}

// setBudget sets the budget of a project, a team or the organisation.
func (a *api) setBudget(c *gin.Context) (int, any, error) {
	var body budgetBody
	if err := read(c, &body); err != nil {
		return 0, nil, err
	}
	b, err := body.budget()
	if err != nil {
		return 0, nil, err
	}
	if b.Scope == billing.ScopeOrg && b.ScopeID == "" {
		b.ScopeID = "org"
	}
	if b.ID == "" {
		b.ID = billing.NewID("bud_")
	}
	if err := b.Validate(); err != nil {
		return 0, nil, &billing.FieldError{Field: "budget", Detail: err.Error()}
	}
	if err := a.Owners.SetBudget(c.Request.Context(), b, a.Clock()); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, viewBudget(b), nil
}

var month = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])$`)

// spend is a report from the daily rollup.
func (a *api) spend(c *gin.Context) (int, any, error) {
	q := billing.SpendQuery{GroupBy: c.DefaultQuery("group_by", "team"), Month: c.Query("month"), KeyID: billing.KeyID(c.Query("key"))}
	switch q.GroupBy {
	case "team", "model", "key", "project", "provider", "day":
	default:
		return 0, nil, invalid("group_by", "Want team, model, key, project, provider or day.")
	}
	if q.Month == "" {
		q.Month = a.Clock().UTC().Format("2006-01")
	}
	if !month.MatchString(q.Month) {
		return 0, nil, invalid("month", "Want a month such as 2026-11.")
	}
	rows, err := a.Reports.Spend(c.Request.Context(), q)
	if err != nil {
		return 0, nil, err
	}
	data := make([]gin.H, len(rows))
	for i, r := range rows {
		data[i] = gin.H{
			"group": r.Group, "requests": r.Requests, "attempts": r.Attempts, "errors": r.Errors,
			"input_tokens": r.Tokens.Input, "cache_read_tokens": r.Tokens.CacheRead, "cache_write_tokens": r.Tokens.CacheWrite,
			"output_tokens": r.Tokens.Output, "cost_usd": r.Cost.String(), "routing_savings_usd": r.Savings.String(),
			"currency": "USD", "unpriced_attempts": r.Unpriced, "overrun_tokens": r.Overrun, "not_reported_attempts": r.NotExact,
		}
	}
	return http.StatusOK, whole(data), nil
}
