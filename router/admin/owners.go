package admin

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

func listTeams(x *exchange, in wire.Paging) (wire.Page[manage.TeamView], error) {
	teams, err := x.Actions.Teams(x.ctx())
	if err != nil {
		return wire.Page[manage.TeamView]{}, err
	}
	teams = slices.DeleteFunc(teams, func(t billing.Team) bool { return !x.access.May(rbac.OwnersRead, rbac.Place{TeamID: t.ID}) })
	return wire.Paged(in, teams, manage.ViewTeam, func(t manage.TeamView) string { return t.ID })
}

// newTeam is the body of createTeam.
type newTeam struct {
	Name        string `json:"name" required:"true"`
	CostCenter  string `json:"cost_center"`
	Project     string `json:"project" doc:"Its first project. Default: default."`
	Environment string `json:"environment" enum:"prod,staging,dev" doc:"The environment of the project."`
}

// CreatedTeam is a team with its first project.
type CreatedTeam struct {
	manage.TeamView
	Project manage.ProjectView `json:"project"`
}

// createTeam is POST /teams: a team with its first project. A team that already exists is
// returned, unless it differs.
func createTeam(x *exchange, in newTeam) (CreatedTeam, error) {
	made, err := x.Actions.EnsureTeam(x.ctx(), billing.Project{
		Team: in.Name, CostCenter: in.CostCenter, Name: in.Project, Environment: in.Environment,
	}, x.by(""))
	if err != nil {
		return CreatedTeam{}, err
	}
	x.subject = made.Team.ID
	x.status = madeOrFound[made.Existed]
	return CreatedTeam{manage.ViewTeam(made.Team), manage.ViewProject(made.Project)}, nil
}

func listProjects(x *exchange, in wire.Paging) (wire.Page[manage.ProjectView], error) {
	projects, err := x.Actions.Projects(x.ctx())
	if err != nil {
		return wire.Page[manage.ProjectView]{}, err
	}
	projects = slices.DeleteFunc(projects, func(p billing.Project) bool {
		return !x.access.May(rbac.OwnersRead, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID})
	})
	return wire.Paged(in, projects, manage.ViewProject, func(p manage.ProjectView) string { return p.ID })
}

// newProject is the body of createProject.
type newProject struct {
	Name        string `json:"name" required:"true"`
	Team        string `json:"team" required:"true" doc:"Name or id. A new name creates a team."`
	CostCenter  string `json:"cost_center"`
	Environment string `json:"environment" enum:"prod,staging,dev"`
	DataClass   string `json:"data_class" doc:"The class of the data in its requests, such as confidential."`
}

// createProject is POST /projects. The team, by name or id, is created if it is new.
func createProject(x *exchange, in newProject) (manage.ProjectView, error) {
	if err := x.needsScope(rbac.OwnersWrite, in.Team, ""); err != nil {
		return manage.ProjectView{}, err
	}
	project, existed, err := x.Actions.EnsureProject(x.ctx(), billing.Project{
		Name: in.Name, Team: in.Team, CostCenter: in.CostCenter, Environment: in.Environment, DataClass: in.DataClass,
	}, x.by(""))
	if err != nil {
		return manage.ProjectView{}, err
	}
	x.subject = project.ID
	x.status = madeOrFound[existed]
	return manage.ViewProject(project), nil
}

// thresholds are percentages; null stands for a budget's defaults.
type thresholds []int

// UnmarshalJSON reads a list of percentages.
func (t *thresholds) UnmarshalJSON(raw []byte) error {
	*t = billing.DefaultThresholds()
	if string(raw) == "null" {
		return nil
	}
	return wire.DecodeValue(raw, reflect.ValueOf((*[]int)(t)).Elem())
}

func (thresholds) Schema(s *wire.Schemas) wire.Schema {
	return wire.OrNull(s.Of(reflect.TypeFor[[]int](), wire.Field{}))
}

// budgetMembers are what a budget limits.
type budgetMembers struct {
	Period     string                    `json:"period" enum:"concurrent,minute,day,week,month,quarter,year,once" doc:"Default: month."`
	Zone       string                    `json:"zone" doc:"The time zone of its days. Default: that of the existing budget, or UTC."`
	USD        wire.Member[*wire.Amount] `json:"usd" doc:"Null means no limit in money. Default: that of the existing budget."`
	Tokens     wire.Member[*int64]       `json:"tokens" doc:"Null means no limit in tokens. Default: that of the existing budget."`
	Requests   wire.Member[*int64]       `json:"requests" doc:"Null means no limit in requests. Default: that of the existing budget."`
	Starts     string                    `json:"starts" doc:"The first day of the fiscal year as MM-DD, which the other periods follow."`
	Action     string                    `json:"action" enum:"block,downgrade,alert" doc:"downgrade: the cheapest model near the limit."`
	Part       string                    `json:"part" doc:"model, credential, user, end_user or tag:NAME. Default: all. Cannot be changed."`
	Named      string                    `json:"named" doc:"The part, or a pattern with *. Default: each by itself. Cannot be changed."`
	Thresholds thresholds                `json:"thresholds" doc:"The percentages at which an event is recorded; null means 50, 80 and 100."`
}

func (b budgetMembers) budget() manage.BudgetChange {
	return manage.BudgetChange{
		Budget: billing.Budget{
			Period: billing.Period(b.Period), Zone: b.Zone, Tokens: b.Tokens.Value, Money: b.USD.Value.Money(),
			Requests: b.Requests.Value, Starts: b.Starts, Action: billing.Action(b.Action), Thresholds: b.Thresholds,
			Part: billing.Part(b.Part), Named: b.Named,
		},
		NoRequests: b.Requests.There && b.Requests.Value == nil,
		NoMoney:    b.USD.There && b.USD.Value == nil, NoTokens: b.Tokens.There && b.Tokens.Value == nil,
	}
}

// ownBudget is a budget of a single key.
type ownBudget struct{ budgetMembers }

func (b ownBudget) budget() manage.BudgetChange {
	own := b.budgetMembers.budget()
	own.Period = cmp.Or(own.Period, billing.PeriodMonth)
	return own
}

func listBudgets(x *exchange, in wire.Paging) (wire.Page[manage.BudgetView], error) {
	var none wire.Page[manage.BudgetView]
	limit, err := in.Most()
	if err == nil && !wire.CursorFor(in.Cursor, "bud_") {
		err = wire.ErrCursor()
	}
	if err != nil {
		return none, err
	}
	budgets, err := x.budgetsAfter(in.Cursor, limit+1)
	if err != nil {
		return none, err
	}
	balances, err := x.Actions.BalancesOf(x.ctx(), budgets[:min(limit, len(budgets))])
	if err != nil {
		return none, err
	}
	list := wire.ListOf(balances, x.viewBalance)
	if err := x.nameBudgets(list.Data); err != nil {
		return none, err
	}
	if len(budgets) > limit {
		list.ContinueAfter(budgets[limit-1].ID)
	}
	return list, nil
}

// names are the parameters of listBudgetNames.
type names struct {
	wire.Paging
	Name string `json:"name" doc:"Only this name, such as that of an end user, of whom only a hash is stored."`
}

// listBudgetNames is GET /budgets/{id}/names.
func listBudgetNames(x *exchange, in names) (wire.Page[manage.NameView], error) {
	limit, err := in.Most()
	if err == nil && !wire.CursorFor(in.Cursor, "bud_") {
		err = wire.ErrCursor()
	}
	if err != nil {
		return wire.Page[manage.NameView]{}, err
	}
	all, err := x.Actions.BudgetNames(x.ctx(), x.param("id"), manage.NamesQuery{Name: in.Name, After: in.Cursor, Limit: limit + 1})
	list := wire.ListOf(all[:min(limit, len(all))], func(b billing.Balance) manage.NameView { return manage.ViewName(b, x.Start) })
	if len(all) > limit {
		list.ContinueAfter(all[limit-1].Budget.ID)
	}
	return list, err
}

// viewBalance converts a budget with its state and forecast to JSON form.
func (x *exchange) viewBalance(b billing.Balance) manage.BudgetView {
	return manage.ViewBalance(b, x.Start)
}

// nameBudgets adds the names of the objects to which budgets apply.
func (x *exchange) nameBudgets(list []manage.BudgetView) error {
	ids := make([]string, len(list))
	for i, b := range list {
		ids[i] = b.ScopeID
	}
	names, err := x.Actions.Names(x.ctx(), ids...)
	for i := range list {
		list[i].ScopeName = names[list[i].ScopeID]
	}
	return err
}

// named adds the name of the object to which a budget applies, unless err is set.
func (x *exchange) named(b manage.BudgetView, err error) (manage.BudgetView, error) {
	list := []manage.BudgetView{b}
	if err == nil {
		err = x.nameBudgets(list)
	}
	return list[0], err
}

// budgetsAfter returns the next budgets that the caller may see.
func (x *exchange) budgetsAfter(id string, limit int) ([]billing.Budget, error) {
	f := billing.BudgetFilter{After: id, Limit: limit}
	narrow := x.within(rbac.BudgetsRead) != nil
	if narrow {
		f.Limit = 0
	}
	budgets, err := x.Actions.Budgets(x.ctx(), f)
	if err == nil && narrow {
		budgets, err = x.visible(budgets)
	}
	return budgets[:min(limit, len(budgets))], err
}

// scopedBudget is the body of setBudget.
type scopedBudget struct {
	budgetMembers
	ID      string `json:"id" doc:"The id of the budget to change."`
	Scope   string `json:"scope" doc:"org, team, project or key; not needed with an id."`
	ScopeID string `json:"scope_id" doc:"Id or name (for a project, team/project) of what it applies to; not needed for org."`
}

// setBudget is POST /budgets: it creates a budget, or changes the one with the id or with the
// same scope and period. Usage so far is kept.
func setBudget(x *exchange, in scopedBudget) (manage.BudgetView, error) {
	c := in.budget()
	c.ID, c.Scope = in.ID, billing.Scope(in.Scope)
	if err := x.maySetBudget(in); err != nil {
		return manage.BudgetView{}, err
	}
	b, existed, err := x.Actions.SetBudget(x.ctx(), c, in.ScopeID, x.by(""))
	if err != nil {
		return manage.BudgetView{}, err
	}
	x.subject = b.ID
	x.status = madeOrFound[existed]
	return x.named(tagged(x, manage.ViewBudget)(b, nil))
}

// maySetBudget requires the permission for what the budget applies to: by the budget's id, or
// by its scope.
func (x *exchange) maySetBudget(in scopedBudget) error {
	if x.access.May(rbac.BudgetsWrite, rbac.Place{}) {
		return nil
	}
	missing := &billing.NotFoundError{What: "budget", ID: in.ID}
	at, err := x.Actions.PlaceOfBudget(x.ctx(), in.ID)
	if in.ID == "" {
		missing = &billing.NotFoundError{What: cmp.Or(in.Scope, "budget"), ID: in.ScopeID}
		at, err = x.Actions.PlaceOf(x.ctx(), billing.Scope(in.Scope), in.ScopeID)
	}
	if err != nil {
		return err
	}
	return x.needs(rbac.BudgetsWrite, at, missing)
}

// visible returns the budgets that the caller may see: all, or those of teams, projects and
// keys within the caller's places.
func (x *exchange) visible(budgets []billing.Budget) ([]billing.Budget, error) {
	within := x.within(rbac.BudgetsRead)
	if within == nil {
		return budgets, nil
	}
	seen := make(map[string]bool) // ids of teams, projects and keys
	for _, team := range within.Teams {
		seen[team] = true
	}
	projects, err := x.Actions.Projects(x.ctx())
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		seen[p.ID] = x.access.May(rbac.BudgetsRead, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID})
	}
	f := billing.KeyFilter{Within: within, Limit: 200}
	for more := true; more; {
		var keys []billing.Key
		if keys, more, err = x.Actions.Keys(x.ctx(), f); err != nil {
			return nil, err
		}
		for _, k := range keys {
			seen[string(k.ID)], f.After = true, k.ID
		}
	}
	return slices.DeleteFunc(budgets, func(b billing.Budget) bool { return !seen[b.ScopeID] }), nil
}

// raise is the body of raiseBudget.
type raise struct {
	rehearsal
	USD      *wire.Amount `json:"usd" doc:"The number of dollars to add."`
	Tokens   int64        `json:"tokens" doc:"The number of tokens to add."`
	Requests int64        `json:"requests" doc:"The number of requests to add."`
	From     wire.Instant `json:"from" doc:"When it begins. Default: at once."`
	Until    wire.Instant `json:"until" required:"true" doc:"When the limit returns to its former value."`
	Reason   string       `json:"reason" required:"true"`
}

// raiseBudget is POST /budgets/{id}/raise: it raises the limits for a time.
func raiseBudget(x *exchange, in raise) (manage.BudgetView, error) {
	by := billing.Amount{Tokens: in.Tokens, Requests: in.Requests}
	if money := in.USD.Money(); money != nil {
		by.Money = *money
	}
	return x.named(viewed(x.viewBalance)(x.Actions.RaiseBudget(x.ctx(), billing.Raise{
		BudgetID: x.param("id"), By: by, From: in.From.Time, Until: in.Until.Time,
	}, x.by(in.Reason))))
}

// policyChange is the body of setTeamPolicy, setProjectPolicy and setKeyPolicy.
type policyChange struct {
	rehearsal
	Policy   *policy.Policy `json:"policy" required:"true" doc:"Replaces the present policy; null removes it."`
	Replaces string         `json:"replaces" doc:"The revision that this is based on; any other is a conflict."`
	Reason   string         `json:"reason"`
}

// getPolicy is GET /teams/{id}/policy, and likewise for projects and keys.
func getPolicy(level policy.Level) func(*exchange, none) (manage.PolicyView, error) {
	return func(x *exchange, _ none) (manage.PolicyView, error) {
		return x.tagPolicy(x.Actions.Policy(x.ctx(), level, x.C.Param("id")))
	}
}

// setPolicy is PUT /teams/{id}/policy, and likewise for projects and keys.
func setPolicy(level policy.Level) func(*exchange, policyChange) (manage.PolicyView, error) {
	return func(x *exchange, in policyChange) (manage.PolicyView, error) {
		change := manage.PolicyChange{Policy: in.Policy, Replaces: in.Replaces}
		return x.tagPolicy(x.Actions.SetPolicy(x.ctx(), level, x.param("id"), change, x.by(in.Reason)))
	}
}

// tagPolicy returns a policy and sets its revision as the ETag.
func (x *exchange) tagPolicy(v manage.PolicyView, err error) (manage.PolicyView, error) {
	if err == nil {
		x.C.Header("ETag", `"`+v.Revision+`"`)
	}
	return v, err
}

// policyTrial is the body of tryPolicy: the parts of a request that rules look at.
type policyTrial struct {
	Endpoint  string            `json:"endpoint" required:"true" enum:"chat,embeddings,responses,messages,count_tokens,models,key,tokens"`
	Model     string            `json:"model" doc:"The model as a client would request it. Default: any."`
	Provider  string            `json:"provider" doc:"The provider that would serve it. Default: any."`
	Features  []string          `json:"features" doc:"Any of stream, tools, vision, audio, documents, reasoning, server_tools."`
	MaxOutput int64             `json:"max_output_tokens"`
	Prompt    int64             `json:"prompt_tokens"`
	Body      int64             `json:"body_bytes"`
	Tags      map[string]string `json:"tags"`
	EndUser   string            `json:"end_user"`
	Session   string            `json:"session"`
	From      string            `json:"from" doc:"The address of the client."`
	Origin    string            `json:"origin"`
	Referer   string            `json:"referer"`
	At        *wire.Instant     `json:"at" doc:"Default: now."`
	Draft     *policy.Policy    `json:"draft" doc:"A policy to try in place of the key's own."`
}

// tryPolicy is POST /keys/{id}/policy/try.
func tryPolicy(x *exchange, in policyTrial) (manage.PolicyVerdict, error) {
	t := manage.PolicyTrial{Provider: in.Provider, Prompt: in.Prompt, Draft: in.Draft, Request: policy.Request{
		Model: in.Model, MaxOutput: in.MaxOutput, Choices: 1, BodyBytes: in.Body, Tags: in.Tags, EndUser: in.EndUser, Session: in.Session,
	}}
	t.Origin, t.Referer, t.At = in.Origin, in.Referer, x.Start
	if in.At != nil {
		t.At = in.At.Time
	}
	var err error
	if t.Endpoint, err = policy.ParseEndpoint(in.Endpoint); err != nil {
		return manage.PolicyVerdict{}, wire.Invalid("endpoint", "%s", err)
	}
	if t.Features, err = policy.ParseFeatures(in.Features); err != nil {
		return manage.PolicyVerdict{}, wire.Invalid("features", "%s", err)
	}
	for name, n := range map[string]int64{"max_output_tokens": in.MaxOutput, "prompt_tokens": in.Prompt, "body_bytes": in.Body} {
		if n < 0 {
			return manage.PolicyVerdict{}, wire.Invalid(name, "must be 0 or more")
		}
	}
	if in.From != "" {
		if t.From, err = netip.ParseAddr(in.From); err != nil {
			return manage.PolicyVerdict{}, wire.Invalid("from", "must be an address")
		}
	}
	return x.Actions.TryPolicy(x.ctx(), billing.KeyID(x.param("id")), t)
}
