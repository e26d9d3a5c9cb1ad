package manage

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// PolicyView is the policy of a team, a project or a key in JSON, with the policies above
// it.
type PolicyView struct {
	Level    string         `json:"level" enum:"team,project,key"`
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Revision string         `json:"revision" doc:"Of this version of the policy; none if there is no policy."`
	Policy   *policy.Policy `json:"policy" doc:"Null means none."`
	Above    []PolicyAbove  `json:"above" doc:"Those that apply to it as well, outermost first."`
}

// PolicyAbove is a policy that applies to everything below it.
type PolicyAbove struct {
	Level  string         `json:"level" enum:"team,project"`
	Policy *policy.Policy `json:"policy"`
}

func viewPolicy(level policy.Level, id, name string, own *policy.Policy, above policy.Layers) PolicyView {
	v := PolicyView{Level: string(level), ID: id, Name: name, Revision: own.Revision(), Policy: own, Above: []PolicyAbove{}}
	for _, one := range []PolicyAbove{{string(policy.Team), above.Team}, {string(policy.Project), above.Project}} {
		if one.Policy != nil {
			v.Above = append(v.Above, one)
		}
	}
	return v
}

func viewTeamPolicy(t billing.Team) PolicyView {
	return viewPolicy(policy.Team, t.ID, t.Name, t.Policy, policy.Layers{})
}

func viewProjectPolicy(p billing.Project, team *policy.Policy) PolicyView {
	return viewPolicy(policy.Project, p.ID, p.Team+"/"+p.Name, p.Policy, policy.Layers{Team: team})
}

func viewKeyPolicy(k *billing.Key) PolicyView {
	return viewPolicy(policy.Key, string(k.ID), k.Name, k.Policies.Key, policy.Layers{Team: k.Policies.Team, Project: k.Policies.Project})
}

// Policy returns the policy of a team, a project or a key, by its id or name.
func (a Actions) Policy(ctx context.Context, level policy.Level, ref string) (PolicyView, error) {
	switch level {
	case policy.Team:
		t, err := a.Team(ctx, ref)
		return viewTeamPolicy(t), err
	case policy.Project:
		p, team, err := a.projectWithTeam(ctx, ref)
		return viewProjectPolicy(p, team), err
	case policy.Key:
		k, err := a.Key(ctx, billing.KeyID(ref))
		return viewKeyPolicy(&k), err
	case policy.Temporary: // carries its own policy
	}
	return PolicyView{}, invalid("level", "must be team, project or key")
}

// PolicyChange is a policy that replaces the current one; nil removes it.
type PolicyChange struct {
	Policy   *policy.Policy
	Replaces string // the revision that this is based on; "" is any
	seen     string // likewise, from By.Seen
}

// errRevision refuses a policy that is based on another one than the current one.
var errRevision = &billing.ConflictError{Detail: "the policy has changed meanwhile: read it again"}

// SetPolicy replaces the policy of a team, a project or a key. It is refused if it has a
// fault, if it allows what a level above doesn't, or if a level below would then allow what
// it doesn't.
func (a Actions) SetPolicy(ctx context.Context, level policy.Level, ref string, c PolicyChange, by By) (PolicyView, error) {
	if c.Policy != nil && reflect.ValueOf(*c.Policy).IsZero() {
		c.Policy = nil
	}
	c.seen = by.Seen
	if err := errors.Join(a.checkPolicy(level, c.Policy), by.check()); err != nil {
		return PolicyView{}, err
	}
	switch level {
	case policy.Team:
		return a.setTeamPolicy(ctx, ref, c, by)
	case policy.Project:
		return a.setProjectPolicy(ctx, ref, c, by)
	case policy.Key:
		return a.setKeyPolicy(ctx, billing.KeyID(ref), c, by)
	case policy.Temporary: // carries its own policy
	}
	return PolicyView{}, invalid("level", "must be team, project or key")
}

func (a Actions) setTeamPolicy(ctx context.Context, ref string, c PolicyChange, by By) (PolicyView, error) {
	id, err := a.teamID(ctx, ref)
	if err != nil {
		return PolicyView{}, err
	}
	t, err := a.updateTeam(ctx, id, a.note(by, "team.policy", id), func(t *billing.Team) error {
		if err := replace(&t.Policy, c); err != nil {
			return err
		}
		return errors.Join(notArchived("team", t.Name, t.ArchivedAt), a.projectsWithin(ctx, t.ID, t.Policy),
			a.keysWithin(ctx, billing.KeyFilter{Team: t.ID}, t.Policy),
			a.keysChanged(ctx, billing.KeyFilter{Team: t.ID}, func(k *billing.Key) { k.Policies.Team = t.Policy }))
	})
	return viewTeamPolicy(t), err
}

func (a Actions) setProjectPolicy(ctx context.Context, ref string, c PolicyChange, by By) (PolicyView, error) {
	old, _, err := a.projectWithTeam(ctx, ref)
	if err != nil {
		return PolicyView{}, err
	}
	var team *policy.Policy
	p, err := a.updateProject(ctx, old.ID, a.note(by, "project.policy", old.ID), func(p *billing.Project) error {
		if err := replace(&p.Policy, c); err != nil {
			return err
		}
		of, err := a.Team(ctx, p.TeamID)
		team = of.Policy
		return errors.Join(err, notArchived("project", p.Name, p.ArchivedAt), within(a.groups(), p.Policy, team),
			a.keysWithin(ctx, billing.KeyFilter{Project: p.ID}, p.Policy),
			a.keysChanged(ctx, billing.KeyFilter{Project: p.ID}, func(k *billing.Key) { k.Policies.Project = p.Policy }))
	})
	return viewProjectPolicy(p, team), err
}

func (a Actions) setKeyPolicy(ctx context.Context, id billing.KeyID, c PolicyChange, by By) (PolicyView, error) {
	if err := noSecret(string(id)); err != nil {
		return PolicyView{}, err
	}
	judge, err := a.judge(ctx, id)
	if err != nil {
		return PolicyView{}, err
	}
	k, err := a.changeKey(ctx, id, KeyChange{}, a.note(by, "key.policy", string(id)), func(k *billing.Key) error {
		broken := judge.of(k)
		if err := replace(&k.Policies.Key, c); err != nil {
			return err
		}
		return errors.Join(notRevoked(k), a.keyWithin(k), judge.changed(broken, k))
	})
	return viewKeyPolicy(&k), err
}

// replace replaces a policy if it is the one that the change is based on.
func replace(p **policy.Policy, c PolicyChange) error {
	if c.seen != "" && c.seen != (*p).Revision() {
		return ErrVersion
	}
	if c.Replaces != "" && c.Replaces != (*p).Revision() {
		return errRevision
	}
	*p = c.Policy
	return nil
}

// checkPolicy reports every fault of a policy.
func (a Actions) checkPolicy(level policy.Level, p *policy.Policy) error {
	var faults []error
	for _, f := range p.Check(a.groups()) {
		faults = append(faults, invalid("policy."+f.Field, "%s", f.Detail))
	}
	if p != nil && level == policy.Key {
		for _, own := range []struct {
			name string
			list []string
		}{{"models", p.Models}, {"allowed_cidrs", p.AllowedCIDRs}} {
			if own.list != nil {
				faults = append(faults, invalid("policy."+own.name, "is a member of the key itself: set it there"))
			}
		}
	}
	return errors.Join(faults...)
}

// own returns everything that a key says about what it may do, as one policy.
func own(k *billing.Key) *policy.Policy {
	p := policy.Policy{}
	if k.Policies.Key != nil {
		p = *k.Policies.Key
	}
	p.Models, p.AllowedCIDRs = k.Models, nil
	for _, c := range k.AllowedCIDRs {
		p.AllowedCIDRs = append(p.AllowedCIDRs, c.String())
	}
	return &p
}

// keyWithin refuses a key that allows itself what a level above doesn't allow.
func (a Actions) keyWithin(k *billing.Key) error {
	return errors.Join(within(a.groups(), own(k), k.Policies.Project), within(a.groups(), own(k), k.Policies.Team))
}

func within(groups policy.Groups, p, above *policy.Policy) error {
	var faults []error
	for _, f := range p.Wider(above, groups) {
		faults = append(faults, invalid(f.Field, "%s", f.Detail))
	}
	return errors.Join(faults...)
}

// projectsWithin refuses a team policy if one of the team's projects allows more.
func (a Actions) projectsWithin(ctx context.Context, team string, p *policy.Policy) error {
	if p == nil {
		return nil
	}
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return err
	}
	for _, below := range all {
		if below.TeamID != team || !below.ArchivedAt.IsZero() {
			continue
		}
		if wider := below.Policy.Wider(p, a.groups()); len(wider) > 0 {
			return tooWide("project", below.Team+"/"+below.Name, wider[0])
		}
	}
	return nil
}

// keysWithin refuses a policy if a key below it allows more.
func (a Actions) keysWithin(ctx context.Context, f billing.KeyFilter, p *policy.Policy) error {
	if p == nil {
		return nil
	}
	return a.eachKey(ctx, f, func(k *billing.Key) error {
		if wider := own(k).Wider(p, a.groups()); k.RevokedAt.IsZero() && len(wider) > 0 {
			return tooWide("key", k.Name+" ("+string(k.ID)+")", wider[0])
		}
		return nil
	})
}

func tooWide(what, name string, f policy.Fault) error {
	detail := strings.ReplaceAll(f.Detail, "the level above does not", "this one would not")
	return &billing.ConflictError{Detail: fmt.Sprintf("%s %s would allow more than this: its %s %s; narrow it first", what, name,
		f.Field, detail)}
}

// above returns the policies that apply to the keys of a project.
func (a Actions) above(ctx context.Context, p billing.Project) (policy.Layers, error) {
	if p.ID == "" { // yet to be created
		if p.TeamID == "" {
			return policy.Layers{}, nil
		}
		t, err := a.Team(ctx, p.TeamID)
		return policy.Layers{Team: t.Policy}, err
	}
	project, team, err := a.projectWithTeam(ctx, p.ID)
	return policy.Layers{Team: team, Project: project.Policy}, err
}

// projectWithTeam returns a project and the policy of its team.
func (a Actions) projectWithTeam(ctx context.Context, ref string) (p billing.Project, team *policy.Policy, err error) {
	id, err := a.projectID(ctx, ref)
	if err != nil {
		return p, nil, err
	}
	all, err := a.Store.ListProjects(ctx)
	if err != nil {
		return p, nil, err
	}
	for _, one := range all {
		if one.ID == id {
			p = one
		}
	}
	t, err := a.Team(ctx, p.TeamID)
	return p, t.Policy, err
}

// PolicyTrial is a request to be evaluated without sending it.
type PolicyTrial struct {
	policy.Request
	Provider string         // the provider that would serve it; "" is any
	Prompt   int64          // tokens
	Draft    *policy.Policy // replaces the key's own; nil leaves it
}

// PolicyVerdict is the result of a trial.
type PolicyVerdict struct {
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule,omitempty" doc:"The rule that refuses it: team.features, key.conditions.NAME, …"`
	Detail  string `json:"detail,omitempty"`
}

// TryPolicy says whether the policies of a key, and its own models and addresses, allow a
// request and, if not, which rule refuses it. Nothing is changed.
func (a Actions) TryPolicy(ctx context.Context, id billing.KeyID, t PolicyTrial) (PolicyVerdict, error) {
	k, err := a.Key(ctx, id)
	if err := errors.Join(err, a.checkPolicy(policy.Key, t.Draft)); err != nil {
		return PolicyVerdict{}, err
	}
	if t.Draft != nil {
		k.Policies.Key = t.Draft
	}
	if t.At.IsZero() {
		t.At = a.now()
	}
	var denied *policy.Denied
	switch err := a.try(&k, t); {
	case errors.As(err, &denied):
		return PolicyVerdict{Rule: denied.Name(), Detail: denied.Detail}, nil
	case err != nil:
		return PolicyVerdict{}, err
	}
	return PolicyVerdict{Allowed: true}, nil
}

func (a Actions) try(k *billing.Key, t PolicyTrial) error {
	own := func(rule, detail string) error { return &policy.Denied{Level: policy.Key, Rule: rule, Detail: detail} }
	names := policy.Names{Asked: t.Model, Provider: t.Provider, Model: t.Model, Target: t.Model}
	if provider, model, ok := strings.Cut(t.Model, "/"); ok && (t.Provider == "" || t.Provider == provider) {
		names.Provider, names.Model = provider, model
	} else if t.Provider != "" {
		names.Target = t.Provider + "/" + t.Model
	}
	may := func(name string) bool { return k.AllowsModel(name, a.groups()) }
	switch {
	case t.From != (netip.Addr{}) && !k.AllowsAddress(t.From):
		return own("allowed_cidrs", "requests may not come from this address")
	case t.Model != "" && !may(names.Asked) && !may(names.Model) && !may(names.Target):
		return own("models", fmt.Sprintf("%q is not among the models %s", t.Model, strings.Join(k.Models, ", ")))
	}
	r := k.Policies.Compile(k.Facts())
	for _, judge := range []func() error{
		func() error { return r.Enter(&t.Entry) },
		func() error { return r.Ask(&t.Request) },
		func() error { return r.Prompt(t.Prompt) },
		func() error {
			if t.Model == "" {
				return nil
			}
			return r.Serve(names, a.groups())
		},
	} {
		if err := judge(); err != nil {
			return err
		}
	}
	return nil
}
