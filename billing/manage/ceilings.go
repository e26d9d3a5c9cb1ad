package manage

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/rbac"
)

// Limits on ceilings.
const (
	mostOwnKeys = 1000
	mostLife    = 3650 * 24 * time.Hour
)

// SetCeiling sets how much the members of a team may create for themselves, replacing the
// previous ceiling. Existing keys stay as they are.
func (a Actions) SetCeiling(ctx context.Context, team string, c billing.Ceiling, by By) (billing.Ceiling, error) {
	t, err := a.Team(ctx, team)
	if err == nil {
		err = notArchived("team", t.Name, t.ArchivedAt)
	}
	if err != nil {
		return c, err
	}
	note := a.note(by, "team.ceiling", t.ID)
	if c.Period == "" {
		c.Period = billing.PeriodMonth
	}
	c.TeamID, c.UpdatedAt, c.UpdatedBy = t.ID, note.At, note.Actor
	var faults []error
	if c.Keys < 1 || c.Keys > mostOwnKeys {
		faults = append(faults, invalid("keys", "must be between 1 and %d", mostOwnKeys))
	}
	if c.Life < 0 || c.Life > 0 && c.Life < time.Minute || c.Life > mostLife {
		faults = append(faults, invalid("expires_in", "must be between 1m and 3650d"))
	}
	b, limited := c.Budget()
	if !limited {
		b.Requests = new(int64) // so that its period is checked all the same
	}
	if b.ID, b.ScopeID = "bud_x", "key_x"; b.Validate() != nil {
		faults = append(faults, invalid("budget", "%s", strings.ReplaceAll(b.Validate().Error(), "billing: ", "")))
	}
	if len(c.Models) == 0 {
		c.Models = nil
	}
	if err := errors.Join(append(faults, a.checkModels(c.Models), by.check())...); err != nil {
		return c, err
	}
	before, err := a.Ceiling(ctx, t.ID)
	if err != nil && !errors.As(err, new(*billing.NotFoundError)) {
		return c, err
	}
	note.Detail = differences(ViewCeiling(before), ViewCeiling(c))
	return c, a.Store.SetCeiling(ctx, c, note)
}

// RemoveCeiling stops the members of a team from creating keys for themselves. Existing
// keys stay.
func (a Actions) RemoveCeiling(ctx context.Context, team string, by By) error {
	id, err := a.teamID(ctx, team)
	if err := errors.Join(err, by.check()); err != nil {
		return err
	}
	return a.Store.RemoveCeiling(ctx, id, a.note(by, "team.ceiling.remove", id))
}

// Ceiling returns the ceiling of a team.
func (a Actions) Ceiling(ctx context.Context, team string) (billing.Ceiling, error) {
	id, err := a.teamID(ctx, team)
	if err != nil {
		return billing.Ceiling{}, err
	}
	all, err := a.Store.ListCeilings(ctx)
	if err != nil {
		return billing.Ceiling{}, err
	}
	i := slices.IndexFunc(all, func(c billing.Ceiling) bool { return c.TeamID == id })
	if i < 0 {
		return billing.Ceiling{}, &billing.NotFoundError{What: "ceiling", ID: team}
	}
	return all[i], nil
}

// OwnTeams returns the teams in which the caller may create keys, with what is left for the
// caller.
func (a Actions) OwnTeams(ctx context.Context, by By) ([]OwnTeam, error) {
	if by.PrincipalID == "" {
		return nil, errNobody
	}
	projects, err := a.Store.ListProjects(ctx)
	if err != nil {
		return nil, err
	}
	ceilings, err := a.Store.ListCeilings(ctx)
	if err != nil {
		return nil, err
	}
	list := []OwnTeam{}
	for _, p := range projects {
		if !p.ArchivedAt.IsZero() || !by.Access.May(rbac.KeysOwn, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID}) {
			continue
		}
		i := slices.IndexFunc(list, func(t OwnTeam) bool { return t.Team.ID == p.TeamID })
		if i < 0 {
			i, list = len(list), append(list, OwnTeam{Team: Named{p.TeamID, p.Team}})
			has := slices.ContainsFunc(ceilings, func(c billing.Ceiling) bool { return c.TeamID == p.TeamID })
			if has {
				if err := a.stands(ctx, &list[i], by); err != nil {
					return nil, err
				}
			}
		}
		list[i].Projects = append(list[i].Projects, Named{p.ID, p.Name})
	}
	return list, nil
}

// stands asks what a new key could get, without creating one.
func (a Actions) stands(ctx context.Context, t *OwnTeam, by By) error {
	k := billing.Key{TeamID: t.Team.ID, OwnerID: by.PrincipalID}
	err := a.Store.CreateOwnKey(ctx, k, [32]byte{}, a.now(), func(_ *billing.Key, c billing.Ceiling, own []billing.OwnUse) error {
		v, at := ViewCeiling(c), ceiling{c, own, nil}
		left := at.left()
		t.Ceiling, t.Keys = &v, at.live()
		t.Left = &LeftView{dollarsOrNull(left.Money), left.Tokens, left.Requests}
		return errFull
	})
	if errors.Is(err, errFull) || errors.As(err, new(*billing.NotFoundError)) {
		return nil
	}
	return err
}

// OwnTeam is one of the caller's teams.
type OwnTeam struct {
	Team     Named        `json:"team"`
	Projects []Named      `json:"projects"`
	Ceiling  *CeilingView `json:"ceiling" doc:"Null if members may not create keys."`
	Keys     int64        `json:"keys" doc:"Your own keys that are in force."`
	Left     *LeftView    `json:"left" doc:"What the ceiling leaves for new keys of yours."`
}

// LeftView is what is left of a ceiling; null means no limit.
type LeftView struct {
	USD      *string `json:"usd"`
	Tokens   *int64  `json:"tokens"`
	Requests *int64  `json:"requests"`
}

// CeilingView is a ceiling in JSON.
type CeilingView struct {
	TeamID    string   `json:"team_id"`
	Keys      int64    `json:"keys" doc:"The most keys in force that a member may have."`
	Period    string   `json:"period"`
	Zone      string   `json:"zone"`
	USD       *string  `json:"usd" doc:"For all keys of one member together; null means no limit."`
	Tokens    *int64   `json:"tokens"`
	Requests  *int64   `json:"requests"`
	ExpiresIn *string  `json:"expires_in" doc:"The longest life of a key; null means no bound."`
	Models    []string `json:"models" nullable:"true" doc:"Null means all."`
	UpdatedAt *string  `json:"updated_at"`
	UpdatedBy string   `json:"updated_by"`
}

func dollarsOrNull(m *billing.Money) *string {
	if m == nil {
		return nil
	}
	text := m.Short()
	return &text
}

// ViewCeiling converts a ceiling to JSON form.
func ViewCeiling(c billing.Ceiling) CeilingView {
	v := CeilingView{
		TeamID: c.TeamID, Keys: c.Keys, Period: string(c.Period), Zone: c.Zone, USD: dollarsOrNull(c.Money), Tokens: c.Tokens,
		Requests: c.Requests, Models: c.Models, UpdatedAt: Instant(c.UpdatedAt), UpdatedBy: c.UpdatedBy,
	}
	if len(c.Models) == 0 {
		v.Models = nil
	}
	if c.Life > 0 {
		v.ExpiresIn = TextOrNull(Span(c.Life))
	}
	return v
}

// mostRaise is the longest time for which a raise can be requested.
const mostRaise = 366 * 24 * time.Hour

// AskRaise requests a temporary raise of the limits of one of the caller's keys. It needs a
// reason.
func (a Actions) AskRaise(ctx context.Context, id billing.KeyID, amount billing.Amount, until time.Time,
	by By,
) (billing.RaiseRequest, error) {
	k, err := a.OwnKey(ctx, id, by)
	if err := errors.Join(err, by.needsReason()); err != nil {
		return billing.RaiseRequest{}, err
	}
	if err := notRevoked(&k); err != nil {
		return billing.RaiseRequest{}, err
	}
	own := ownBudgets(&k)
	if len(own) == 0 {
		return billing.RaiseRequest{}, &billing.ConflictError{Detail: "key " + string(id) +
			" has no budget of its own that could be raised"}
	}
	r := billing.RaiseRequest{
		ID: billing.NewID("ask_"), BudgetID: own[0].ID, KeyID: id, PrincipalID: by.PrincipalID, By: amount, Until: until,
		Reason: strings.TrimSpace(by.Reason), AskedAt: a.now(), Outcome: billing.RaisePending, TeamID: k.TeamID, ProjectID: k.ProjectID,
	}
	if until.Sub(r.AskedAt) > mostRaise {
		return r, invalid("until", "must be within 366 days")
	}
	t, err := a.Team(ctx, k.TeamID)
	if err != nil {
		return r, err
	}
	note := a.note(by, "raise.ask", r.ID)
	note.Detail = raiseDetail(r)
	note.Detail["team_owner"] = t.OwnerEmail
	return r, a.Store.AskRaise(ctx, r, note)
}

func raiseDetail(r billing.RaiseRequest) map[string]string {
	return map[string]string{
		"key": string(r.KeyID), "budget": r.BudgetID, "usd": r.By.Money.Short(), "tokens": strconv.FormatInt(r.By.Tokens, 10),
		"requests": strconv.FormatInt(r.By.Requests, 10), "until": r.Until.UTC().Format(time.RFC3339),
	}
}

// OwnRaises returns the caller's requests, newest first.
func (a Actions) OwnRaises(ctx context.Context, by By) ([]billing.RaiseRequest, error) {
	if by.PrincipalID == "" {
		return nil, errNobody
	}
	return a.Store.ListRaises(ctx, billing.RaiseFilter{PrincipalID: by.PrincipalID})
}

// Raises returns the requests of members, newest first.
func (a Actions) Raises(ctx context.Context, f billing.RaiseFilter) ([]billing.RaiseRequest, error) {
	return a.Store.ListRaises(ctx, f)
}

// ApproveRaise raises the budget as the member requested.
func (a Actions) ApproveRaise(ctx context.Context, id string, by By) (billing.RaiseRequest, error) {
	return a.decideRaise(ctx, id, billing.RaiseApproved, "raise.approve", by)
}

// DeclineRaise declines a member's request.
func (a Actions) DeclineRaise(ctx context.Context, id string, by By) (billing.RaiseRequest, error) {
	return a.decideRaise(ctx, id, billing.RaiseDeclined, "raise.decline", by)
}

func (a Actions) decideRaise(ctx context.Context, id string, outcome billing.RaiseOutcome, action string,
	by By,
) (billing.RaiseRequest, error) {
	if err := by.check(); err != nil {
		return billing.RaiseRequest{}, err
	}
	note := a.note(by, action, id)
	return a.Store.DecideRaise(ctx, id, func(r *billing.RaiseRequest) error {
		if by.PrincipalID != "" && r.PrincipalID == by.PrincipalID {
			return &NotAllowedError{Detail: "nobody may decide on their own request"}
		}
		r.Outcome, r.DecidedAt, r.DecidedBy, r.Answer = outcome, note.At, note.Actor, note.Reason
		note.Detail = raiseDetail(*r)
		return nil
	}, note)
}

// PlaceOfRaise returns the place of the key that a request is about.
func (a Actions) PlaceOfRaise(ctx context.Context, id string) (rbac.Place, error) {
	list, err := a.Store.ListRaises(ctx, billing.RaiseFilter{ID: id})
	if err == nil && (len(list) == 0 || id == "") {
		err = &billing.NotFoundError{What: "raise", ID: id}
	}
	if err != nil {
		return rbac.Place{}, err
	}
	return rbac.Place{TeamID: list[0].TeamID, ProjectID: list[0].ProjectID}, nil
}

// RaiseView is a request in JSON.
type RaiseView struct {
	ID          string  `json:"id"`
	BudgetID    string  `json:"budget_id"`
	KeyID       string  `json:"key_id"`
	PrincipalID string  `json:"principal_id"`
	USD         string  `json:"usd"`
	Tokens      int64   `json:"tokens"`
	Requests    int64   `json:"requests"`
	Until       *string `json:"until"`
	Reason      string  `json:"reason"`
	AskedAt     *string `json:"asked_at"`
	Outcome     string  `json:"outcome" enum:"pending,approved,declined"`
	DecidedAt   *string `json:"decided_at"`
	DecidedBy   string  `json:"decided_by"`
	Answer      string  `json:"answer"`
}

// ViewRaise converts a request to JSON form.
func ViewRaise(r billing.RaiseRequest) RaiseView {
	return RaiseView{
		r.ID, r.BudgetID, string(r.KeyID), r.PrincipalID, r.By.Money.Short(), r.By.Tokens, r.By.Requests, Instant(r.Until), r.Reason,
		Instant(r.AskedAt), string(r.Outcome), Instant(r.DecidedAt), r.DecidedBy, r.Answer,
	}
}
