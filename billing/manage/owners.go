package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// The default owners of keys.
const (
	defaultTeam        = "default"
	defaultProject     = "default"
	defaultEnvironment = "dev"
)

// OwnedTeam is a team with one of its projects, and whether it existed before.
type OwnedTeam struct {
	Team    billing.Team
	Project billing.Project
	Existed bool
}

// EnsureTeam makes a team with its first project, without which it couldn't own anything.
// An existing team is returned, unless it differs from what is requested.
func (a Actions) EnsureTeam(ctx context.Context, p billing.Project, by By) (OwnedTeam, error) {
	if p.Team == "" {
		return OwnedTeam{}, invalid("name", "must be there")
	}
	p.Name = cmp.Or(p.Name, defaultProject)
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return OwnedTeam{}, err
	}
	existed := slices.ContainsFunc(teams, func(t billing.Team) bool { return t.Name == p.Team && t.ArchivedAt.IsZero() })
	project, err := a.ensureProject(ctx, p, by)
	if err != nil {
		return OwnedTeam{}, err
	}
	if teams, err = a.Store.ListTeams(ctx); err != nil {
		return OwnedTeam{}, err
	}
	i := slices.IndexFunc(teams, func(t billing.Team) bool { return t.ID == project.TeamID })
	if i < 0 {
		return OwnedTeam{}, &billing.NotFoundError{What: "team", ID: project.TeamID}
	}
	return OwnedTeam{teams[i], project, existed}, nil
}

// EnsureProject makes a project, and its team, by name or id, if that is new. An existing
// project is returned with existed set, unless it differs from what is requested.
func (a Actions) EnsureProject(ctx context.Context, p billing.Project, by By) (project billing.Project, existed bool, err error) {
	if p.Team == "" {
		return project, false, invalid("team", "must be there")
	}
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return project, false, err
	}
	existed = slices.ContainsFunc(all, func(o billing.Project) bool {
		return o.Name == p.Name && o.ArchivedAt.IsZero() && (o.Team == p.Team || o.TeamID == p.Team)
	})
	if strings.HasPrefix(p.Team, "team_") {
		p.TeamID, p.Team = p.Team, ""
	}
	project, err = a.ensureProject(ctx, p, by)
	return project, existed, err
}

func (a Actions) ensureProject(ctx context.Context, p billing.Project, by By) (billing.Project, error) {
	if p.Name == "" {
		return billing.Project{}, invalid("name", "must be plain text of 1 to %d bytes", maxName)
	}
	err := checkOwner(KeyRequest{Project: p.Name, Team: cmp.Or(p.Team, p.TeamID), CostCenter: p.CostCenter, Environment: p.Environment})
	if err != nil {
		return billing.Project{}, err
	}
	if err := a.checkTeam(ctx, p); err != nil {
		return billing.Project{}, err
	}
	made, err := a.Store.EnsureProject(ctx, p, a.note(by, "project.create", ""))
	if err == nil && p.DataClass != "" && p.DataClass != made.DataClass {
		err = &billing.ConflictError{Detail: fmt.Sprintf("project %s/%s has data of class %q, not %q: change it with "+
			"tallyroute projects update %s --data-class %s",
			made.Team, made.Name, made.DataClass, p.DataClass, made.ID, shellWord(p.DataClass))}
	}
	return made, err
}

// checkTeam refuses an archived team, and a cost center other than the team's, which would
// otherwise be silently ignored.
func (a Actions) checkTeam(ctx context.Context, p billing.Project) error {
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return err
	}
	for _, t := range teams {
		switch {
		case p.TeamID == "" && (t.Name != p.Team || !t.ArchivedAt.IsZero()), p.TeamID != "" && t.ID != p.TeamID:
		case !t.ArchivedAt.IsZero():
			return notArchived("team", t.Name, t.ArchivedAt)
		case p.CostCenter != "" && t.CostCenter != p.CostCenter:
			return &billing.ConflictError{Detail: fmt.Sprintf("team %q is charged to cost center %q, not %q: change it with "+
				"tallyroute teams update %s --cost-center %s",
				t.Name, t.CostCenter, p.CostCenter, t.ID, shellWord(p.CostCenter))}
		}
	}
	return nil
}

// OwnerChange says what to change about a team or a project; nil leaves a field as it is.
type OwnerChange struct {
	Name       *string
	CostCenter *string // of a team
	Address    *string // of a team's owner; "" is nobody
	Team       *string // of a project: the team that it moves to, by name or id
	DataClass  *string // of a project; "" is unspecified
}

func (c OwnerChange) check() error {
	if c == (OwnerChange{}) {
		return nothingSaid()
	}
	var faults []error
	for _, f := range []struct {
		field string
		text  *string
	}{{"name", c.Name}, {"cost_center", c.CostCenter}} {
		if f.text != nil && !isName(*f.text, maxName) {
			faults = append(faults, invalid(f.field, "must be plain text of 1 to %d bytes", maxName))
		}
	}
	if c.DataClass != nil && *c.DataClass != "" && !isName(*c.DataClass, maxTagName) {
		faults = append(faults, invalid("data_class", "must be plain text of at most %d bytes", maxTagName))
	}
	if c.Address != nil && !isAddress(*c.Address) {
		faults = append(faults, invalid("owner_email", "must be an address such as ann@example.com"))
	}
	return errors.Join(faults...)
}

// ChangeTeam renames a team, or changes its cost center or its owner. Rows keep what was
// true when they were written.
func (a Actions) ChangeTeam(ctx context.Context, ref string, c OwnerChange, by By) (billing.Team, error) {
	id, err := a.teamID(ctx, ref)
	if err := errors.Join(err, c.check(), by.check()); err != nil {
		return billing.Team{}, err
	}
	return a.updateTeam(ctx, id, a.note(by, "team.change", id), func(t *billing.Team) error {
		if err := saw(by, ViewTeam(*t)); err != nil {
			return err
		}
		for _, m := range []struct{ to, from *string }{{&t.Name, c.Name}, {&t.CostCenter, c.CostCenter}, {&t.OwnerEmail, c.Address}} {
			if m.from != nil {
				*m.to = *m.from
			}
		}
		return notArchived("team", t.Name, t.ArchivedAt)
	})
}

// noted returns an edit that notes what has changed. If nothing has, it returns
// errNotWritten and stores the unchanged object in same.
func noted[O, V any](note *billing.Change, view func(O) V, same *O, edit func(*O) error) func(*O) error {
	return func(o *O) error {
		before := view(*o)
		if err := edit(o); err != nil {
			return err
		}
		if note.Detail = differences(before, view(*o)); len(note.Detail) == 0 {
			*same = *o
			return errNotWritten
		}
		return nil
	}
}

// updateTeam runs an edit of a team and notes what has changed. If nothing has, nothing is
// written.
func (a Actions) updateTeam(ctx context.Context, id string, note *billing.Change, edit func(*billing.Team) error) (billing.Team, error) {
	var same billing.Team
	t, err := a.Store.UpdateTeam(ctx, id, noted(note, ViewTeam, &same, edit), note)
	if errors.Is(err, errNotWritten) {
		return same, nil
	}
	return t, err
}

// ChangeProject renames a project, or moves it to another team with all its keys.
func (a Actions) ChangeProject(ctx context.Context, ref string, c OwnerChange, by By) (billing.Project, error) {
	id, err := a.projectID(ctx, ref)
	if err := errors.Join(err, c.check(), by.check()); err != nil {
		return billing.Project{}, err
	}
	var team billing.Team
	if c.Team != nil {
		if team, err = a.Team(ctx, *c.Team); err != nil {
			return billing.Project{}, err
		}
	}
	return a.updateProject(ctx, id, a.note(by, "project.change", id), func(p *billing.Project) error {
		if err := saw(by, ViewProject(*p)); err != nil {
			return err
		}
		if c.Name != nil {
			p.Name = *c.Name
		}
		if c.Team != nil {
			p.TeamID, p.Team, p.CostCenter = team.ID, team.Name, team.CostCenter
			if err := errors.Join(within(a.groups(), p.Policy, team.Policy),
				a.keysWithin(ctx, billing.KeyFilter{Project: p.ID}, team.Policy)); err != nil {
				return err
			}
		}
		if c.DataClass != nil {
			p.DataClass = *c.DataClass
		}
		if c.Team != nil || c.DataClass != nil {
			err := a.keysChanged(ctx, billing.KeyFilter{Project: p.ID}, func(k *billing.Key) {
				k.DataClass = p.DataClass
				if c.Team != nil {
					k.Policies.Team = team.Policy
				}
			})
			if err != nil {
				return err
			}
		}
		return notArchived("project", p.Name, p.ArchivedAt)
	})
}

// updateProject is updateTeam for a project.
func (a Actions) updateProject(ctx context.Context, id string, note *billing.Change, edit func(*billing.Project) error) (
	billing.Project, error,
) {
	var same billing.Project
	p, err := a.Store.UpdateProject(ctx, id, noted(note, ViewProject, &same, edit), note)
	if errors.Is(err, errNotWritten) {
		return same, nil
	}
	return p, err
}

// ArchiveTeam archives a team with its projects and keys, whose secrets are destroyed.
// Their spend stays.
func (a Actions) ArchiveTeam(ctx context.Context, ref string, by By) (billing.Team, error) {
	id, err := a.teamID(ctx, ref)
	if err := errors.Join(err, by.check()); err != nil {
		return billing.Team{}, err
	}
	note := a.note(by, "team.archive", id)
	return a.updateTeam(ctx, id, note, func(t *billing.Team) error {
		if err := saw(by, ViewTeam(*t)); err != nil {
			return err
		}
		if t.ArchivedAt.IsZero() {
			t.ArchivedAt = note.At
		}
		return nil
	})
}

// ArchiveProject archives a project with its keys, whose secrets are destroyed. Their spend
// stays.
func (a Actions) ArchiveProject(ctx context.Context, ref string, by By) (billing.Project, error) {
	id, err := a.projectID(ctx, ref)
	if err := errors.Join(err, by.check()); err != nil {
		return billing.Project{}, err
	}
	note := a.note(by, "project.archive", id)
	return a.updateProject(ctx, id, note, func(p *billing.Project) error {
		if err := saw(by, ViewProject(*p)); err != nil {
			return err
		}
		if p.ArchivedAt.IsZero() {
			p.ArchivedAt = note.At
		}
		return nil
	})
}

func notArchived(what, name string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return &billing.ConflictError{Detail: fmt.Sprintf("%s %q is archived, which is for good", what, name)}
}

// teamID returns the id of a team, given its id or name.
func (a Actions) teamID(ctx context.Context, ref string) (string, error) {
	t, err := a.Team(ctx, ref)
	return t.ID, err
}

// Team returns a team, given its id or name.
func (a Actions) Team(ctx context.Context, ref string) (billing.Team, error) {
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return billing.Team{}, err
	}
	for _, t := range teams {
		if t.ID == ref || (t.Name == ref && t.ArchivedAt.IsZero()) {
			return t, nil
		}
	}
	return billing.Team{}, &billing.NotFoundError{What: "team", ID: ref}
}

// Project returns a project, given its id or team/name.
func (a Actions) Project(ctx context.Context, ref string) (billing.Project, error) {
	projects, err := a.Store.ListProjects(ctx)
	if err != nil {
		return billing.Project{}, err
	}
	for _, p := range projects {
		if p.ID == ref || (p.Team+"/"+p.Name == ref && p.ArchivedAt.IsZero()) {
			return p, nil
		}
	}
	return billing.Project{}, &billing.NotFoundError{What: "project", ID: ref}
}

// projectID returns the id of a project, given its id or team/name.
func (a Actions) projectID(ctx context.Context, ref string) (string, error) {
	p, err := a.Project(ctx, ref)
	return p.ID, err
}

// OwnersCalled returns the ids of a team, given its id or name, and of a project, given its
// id or team/name; "" is none.
func (a Actions) OwnersCalled(ctx context.Context, team, project string) (teamID, projectID string, err error) {
	if team != "" {
		teamID, err = a.teamID(ctx, team)
	}
	if project != "" && err == nil {
		projectID, err = a.projectID(ctx, project)
	}
	return teamID, projectID, err
}

// existingProject returns the project that a key moves to: by id, by name within a team, or
// by a name that only one team has. Without a name it is the team's default project.
func (a Actions) existingProject(ctx context.Context, name, team string) (billing.Project, error) {
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return billing.Project{}, err
	}
	if team != "" {
		if _, err := a.teamID(ctx, team); err != nil {
			return billing.Project{}, err
		}
	}
	named := name != ""
	name = cmp.Or(name, defaultProject)
	var found []billing.Project
	for _, p := range all {
		meant := p.ID == name || (p.ArchivedAt.IsZero() && (p.Name == name || p.Team+"/"+p.Name == name))
		if meant && (team == "" || team == p.Team || team == p.TeamID) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0 && !named:
		return billing.Project{}, invalid("project", "must name a project of team %q, which has none called %q", team, name)
	case len(found) == 0:
		return billing.Project{}, &billing.NotFoundError{What: "project", ID: name}
	case len(found) > 1:
		return billing.Project{}, invalid("team", "several teams have a project %q: say which", name)
	}
	return found[0], notArchived("project", name, found[0].ArchivedAt)
}

// archivedTeams returns the ids of archived teams.
func (a Actions) archivedTeams(ctx context.Context) (map[string]bool, error) {
	teams, err := a.Store.ListTeams(ctx)
	gone := make(map[string]bool)
	for _, t := range teams {
		if !t.ArchivedAt.IsZero() {
			gone[t.ID] = true
		}
	}
	return gone, err
}

// projects returns all projects, and the archived teams.
func (a Actions) projects(ctx context.Context) (all []billing.Project, gone map[string]bool, err error) {
	if all, err = a.Store.ListProjects(ctx); err != nil {
		return nil, nil, err
	}
	gone, err = a.archivedTeams(ctx)
	return all, gone, err
}

// project finds or creates the owner of a key.
func (a Actions) project(ctx context.Context, r KeyRequest, by By) (billing.Project, error) {
	want, err := a.projectToBe(ctx, r)
	if err != nil || r.DryRun || want.ID != "" {
		return want, err
	}
	return a.ensureProject(ctx, want, by) // it checks the environment
}

// projectToBe returns the owner of a key; one that is yet to be created has no id.
func (a Actions) projectToBe(ctx context.Context, r KeyRequest) (billing.Project, error) {
	name := cmp.Or(r.Project, defaultProject)
	byID := strings.HasPrefix(name, "proj_")
	if name == defaultProject { // one of many: another team's must not pay
		r.Team = cmp.Or(r.Team, defaultTeam)
	}
	want := billing.Project{Name: name, Team: r.Team, CostCenter: r.CostCenter, Environment: r.Environment}
	all, gone, err := a.projects(ctx)
	if err != nil {
		return billing.Project{}, err
	}
	var found []billing.Project
	for _, p := range all {
		// The name of an archived team is free, and so are those of its projects.
		ofTeam := r.Team == p.TeamID || (!gone[p.TeamID] && (r.Team == "" || r.Team == p.Team)) || (byID && r.Team == "")
		if ofTeam && ((byID && p.ID == name) || (!byID && p.Name == name)) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0 && byID:
		return billing.Project{}, &billing.NotFoundError{What: "project", ID: name}
	case len(found) > 1:
		return billing.Project{}, invalid("team", "several teams have a project %q: say which", name)
	case len(found) == 1 && !found[0].ArchivedAt.IsZero():
		return billing.Project{}, &billing.ConflictError{Detail: fmt.Sprintf("project %q is archived", name)}
	case len(found) == 1:
		if r.DryRun || r.CostCenter == "" || r.CostCenter == found[0].CostCenter {
			return found[0], sameEnvironment(found[0], want.Environment)
		}
		want.Name, want.TeamID, want.Team = found[0].Name, found[0].TeamID, ""
	default:
		want.Environment = cmp.Or(want.Environment, defaultEnvironment)
		want.Team = cmp.Or(want.Team, defaultTeam)
		if strings.HasPrefix(want.Team, "team_") {
			want.TeamID, want.Team = want.Team, ""
		}
	}
	return want, nil
}

func sameEnvironment(p billing.Project, want string) error {
	if want == "" || want == p.Environment {
		return nil
	}
	return &billing.ConflictError{Detail: fmt.Sprintf("project %q of team %q is in %s, not in %s", p.Name, p.Team,
		p.Environment, want)}
}
