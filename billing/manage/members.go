package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/rbac"
)

// OwnKeyRequest is a team member's request for a key of their own. Whatever it leaves out
// comes from the team's ceiling.
type OwnKeyRequest struct {
	Name          string
	Team, Project string // name or id; "" for a member of only one
	Purpose       string
	Models        []string
	AllowedCIDRs  []netip.Prefix
	Amounts       Amounts
	Life          time.Duration // 0: as long as allowed
	Once          billing.Once
}

// command returns the command that requests the key in a project, ready to be copied.
func (r OwnKeyRequest) command(p billing.Project) string {
	words := []string{"tallyroute team create", shellWord(r.Name), "--team", shellWord(p.TeamID), "--project", shellWord(p.ID)}
	flag := func(name, value string) {
		if value != "" {
			words = append(words, name, shellWord(value))
		}
	}
	flag("--purpose", r.Purpose)
	flag("--models", strings.Join(r.Models, ","))
	for _, from := range r.AllowedCIDRs {
		flag("--from", from.String())
	}
	if r.Amounts.Money != nil {
		flag("--usd", r.Amounts.Money.Short())
	}
	for name, n := range map[string]*int64{"--tokens": r.Amounts.Tokens, "--requests": r.Amounts.Requests} {
		if n != nil {
			flag(name, fmt.Sprint(*n))
		}
	}
	if r.Life > 0 {
		flag("--for", r.Life.String())
	}
	return strings.Join(words, " ")
}

// shellWord quotes text as a single shell word, if necessary.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:,@", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// Amounts are limits per period of a ceiling; nil leaves one out.
type Amounts struct {
	Money    *billing.Money
	Tokens   *int64
	Requests *int64
}

var (
	errNobody = &NotAllowedError{Detail: "self-service is for people and service accounts, by their own login or token"}
	// errFull ends a creation that only served to find out what is left.
	errFull = errors.New("billing/manage: only asked")
)

// CreateOwnKey makes a key for the caller, within the team's ceiling.
func (a Actions) CreateOwnKey(ctx context.Context, r OwnKeyRequest, by By) (NewSecret, error) {
	if by.PrincipalID == "" {
		return NewSecret{}, errNobody
	}
	once := KeyRequest{Name: r.Name, Once: r.Once}
	if made, err := a.madeBefore(ctx, once, by); err != nil || made.Existed {
		return a.retoldKey(ctx, made, once, by, err)
	}
	p, err := a.ownProject(ctx, r.Team, r.Project, by)
	if err != nil {
		return NewSecret{}, err
	}
	k, err := a.ownKey(ctx, p, r, by)
	if err != nil {
		return NewSecret{}, err
	}
	secret, err := a.firstSecret(k.Environment, once, by)
	if err != nil {
		return NewSecret{}, err
	}
	k.Display, k.Once = secret.Display(), once.once(by)
	all, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{Above: true})
	if err != nil {
		return NewSecret{}, err
	}
	rules, err := a.judge(ctx, k.ID)
	if err != nil {
		return NewSecret{}, err
	}
	note := a.note(by, "key.create", string(k.ID))
	note.Detail = map[string]string{"name": k.Name, "project": k.Team + "/" + k.Project, "owner": by.PrincipalID}
	err = a.Store.CreateOwnKey(ctx, k, secret.Hash(a.Pepper), note.At, func(k *billing.Key, c billing.Ceiling, own []billing.OwnUse) error {
		if err := a.fill(k, r, ceiling{c, own, all}, note.At); err != nil {
			return err
		}
		judged := *k
		judged.Budgets = boundIn(k, all)
		return rules.own(&judged, r.command(p))
	}, note)
	switch {
	case r.Once.Name != "" && errors.Is(err, billing.ErrDuplicate): // by the same request at another router
		made, err := a.madeBefore(ctx, once, by)
		return a.retoldKey(ctx, made, once, by, err)
	case errors.As(err, new(*billing.NotFoundError)):
		return NewSecret{}, &NotAllowedError{Detail: "team " + p.Team + " has no ceiling for keys that members make: ask its lead for one"}
	case err != nil:
		return NewSecret{}, err
	}
	stored, err := a.Key(ctx, k.ID)
	if err != nil {
		stored = k // the secret must not be lost
	}
	return NewSecret{Key: stored, Secret: secret, Number: 1}, nil
}

// ownKey returns the requested key, before the ceiling is applied.
func (a Actions) ownKey(ctx context.Context, p billing.Project, r OwnKeyRequest, by By) (billing.Key, error) {
	k := billing.Key{
		ID: billing.KeyID(billing.NewID("key_")), Name: strings.TrimSpace(r.Name), Models: r.Models, AllowedCIDRs: r.AllowedCIDRs,
		CreatedBy: by.Actor, CreatedAt: a.now(), Purpose: strings.TrimSpace(r.Purpose), Address: by.Address, OwnerID: by.PrincipalID,
		Sensitivity: billing.SensitivityNormal, Client: billing.ClientServer, ProjectID: p.ID, Project: p.Name, TeamID: p.TeamID,
		Team:       p.Team,
		CostCenter: p.CostCenter, Environment: p.Environment,
	}
	var err error
	k.Policies, err = a.above(ctx, p)
	return k, errors.Join(err, by.check())
}

// ownProject returns the project of a team in which callers may make keys for themselves.
// Projects that they can't see count as missing.
func (a Actions) ownProject(ctx context.Context, team, project string, by By) (billing.Project, error) {
	all, gone, err := a.projects(ctx)
	if err != nil {
		return billing.Project{}, err
	}
	var found []billing.Project
	for _, p := range all {
		named := (team == "" || team == p.TeamID || team == p.Team) &&
			(project == "" || project == p.ID || project == p.Name || project == p.Team+"/"+p.Name)
		if named && p.ArchivedAt.IsZero() && !gone[p.TeamID] && by.Access.May(rbac.KeysOwn, rbac.Place{TeamID: p.TeamID, ProjectID: p.ID}) {
			found = append(found, p)
		}
	}
	if len(found) > 1 && project == "" { // the default one of a single team
		ofTeam := slices.DeleteFunc(slices.Clone(found), func(p billing.Project) bool { return p.Name != defaultProject })
		if len(ofTeam) == 1 && !slices.ContainsFunc(found, func(p billing.Project) bool { return p.TeamID != ofTeam[0].TeamID }) {
			found = ofTeam
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && team == "":
		return billing.Project{}, invalid("team", "you may make keys in several: say in which")
	case len(found) > 1:
		return billing.Project{}, invalid("project", "you may make keys in several: say in which")
	case project != "":
		return billing.Project{}, &billing.NotFoundError{What: "project", ID: project}
	case team != "":
		return billing.Project{}, &billing.NotFoundError{What: "team", ID: team}
	}
	return billing.Project{}, &NotAllowedError{Detail: "you are a member of no team in which you may make keys"}
}

// OwnKeys returns the caller's keys in the teams where the caller may still have any.
func (a Actions) OwnKeys(ctx context.Context, by By) ([]billing.Key, error) {
	if by.PrincipalID == "" {
		return nil, errNobody
	}
	var list []billing.Key
	err := a.eachKey(ctx, billing.KeyFilter{Owner: by.PrincipalID}, func(k *billing.Key) error {
		if mayOwn(k, by) {
			list = append(list, *k)
		}
		return nil
	})
	return list, err
}

func mayOwn(k *billing.Key, by By) bool {
	return by.PrincipalID != "" && k.OwnerID == by.PrincipalID &&
		by.Access.May(rbac.KeysOwn, rbac.Place{TeamID: k.TeamID, ProjectID: k.ProjectID})
}

// OwnKey returns one of the caller's keys; anybody else's counts as missing.
func (a Actions) OwnKey(ctx context.Context, id billing.KeyID, by By) (billing.Key, error) {
	k, err := a.Key(ctx, id)
	if err == nil && !mayOwn(&k, by) {
		err = &billing.NotFoundError{What: "key", ID: string(id)}
	}
	if err != nil {
		return billing.Key{}, err
	}
	return k, nil
}

// Narrowing says how to narrow a key; nil leaves a field as it is.
type Narrowing struct {
	Name, Purpose *string
	Models        []string
	AllowedCIDRs  []netip.Prefix
	Amounts       Amounts
	ExpiresAt     time.Time // zero leaves it
	Version       int64     // that it is based on; 0 is any
}

// NarrowOwnKey changes one of the caller's keys; nothing about it can become wider.
func (a Actions) NarrowOwnKey(ctx context.Context, id billing.KeyID, n Narrowing, by By) (billing.Key, error) {
	if _, err := a.OwnKey(ctx, id, by); err != nil {
		return billing.Key{}, err
	}
	rules, err := a.judge(ctx, id)
	if err != nil {
		return billing.Key{}, err
	}
	note := a.note(by, "key.change", string(id))
	return a.changeKey(ctx, id, KeyChange{Version: n.Version}, note, func(k *billing.Key) error {
		if !mayOwn(k, by) {
			return &billing.NotFoundError{What: "key", ID: string(id)}
		}
		before := rules.of(k)
		if err := errors.Join(notRevoked(k), a.narrow(k, n)); err != nil {
			return err
		}
		return errors.Join(a.check(k), a.keyWithin(k), keyBudgetsWithin(k, k.Budgets), by.check(), rules.changed(before, k))
	})
}

func (a Actions) narrow(k *billing.Key, n Narrowing) error {
	var faults []error
	if n.Name != nil {
		k.Name = strings.TrimSpace(*n.Name)
	}
	if n.Purpose != nil {
		k.Purpose = strings.TrimSpace(*n.Purpose)
	}
	if n.Models != nil {
		faults = append(faults, a.covered(k.Models, n.Models, "the key"))
		k.Models = n.Models
	}
	for _, p := range n.AllowedCIDRs {
		if !k.AllowsNetwork(p) {
			faults = append(faults, invalid("allowed_cidrs", "%s is not in what the key has", p))
		}
	}
	if n.AllowedCIDRs != nil {
		k.AllowedCIDRs = n.AllowedCIDRs
	}
	if !n.ExpiresAt.IsZero() {
		if !k.ExpiresAt.IsZero() && n.ExpiresAt.After(k.ExpiresAt) {
			faults = append(faults, invalid("expires_in", "must not be after %s, when the key ends", k.ExpiresAt.Format(time.RFC3339)))
		}
		faults = append(faults, checkExpiry(n.ExpiresAt, a.now()))
		k.ExpiresAt = n.ExpiresAt
	}
	return errors.Join(append(faults, narrowBudget(k, n.Amounts))...)
}

// narrowBudget lowers the limits of the key's own budget, or gives it its first one.
func narrowBudget(k *billing.Key, to Amounts) error {
	if to == (Amounts{}) {
		return nil
	}
	k.Budgets = slices.Clone(k.Budgets)
	i := slices.IndexFunc(k.Budgets, func(b billing.Budget) bool { return b.Scope == billing.ScopeKey })
	if i < 0 {
		i = len(k.Budgets)
		k.Budgets = append(k.Budgets, billing.Budget{
			ID: billing.NewID("bud_"), Scope: billing.ScopeKey, ScopeID: string(k.ID), Period: billing.PeriodMonth,
		})
	}
	b := &k.Budgets[i]
	return errors.Join(less("usd", &b.Money, to.Money), less("tokens", &b.Tokens, to.Tokens), less("requests", &b.Requests, to.Requests))
}

func less[N int64 | billing.Money](field string, limit **N, to *N) error {
	if to == nil {
		return nil
	}
	if *limit != nil && *to > **limit {
		return invalid(field, "must not be more than the key has: ask for a raise instead")
	}
	*limit = to
	return nil
}

// covered refuses models that the level above doesn't include; an empty list above means
// all.
func (a Actions) covered(above, models []string, holder string) error {
	if len(above) == 0 {
		return nil
	}
	if len(models) == 0 {
		return invalid("models", "must name some: %s has not all", holder)
	}
	if outside, ok := a.groups().Covers(above, models); !ok {
		return invalid("models", "%q is not among those of %s: %s", outside, holder, strings.Join(above, ", "))
	}
	return nil
}

// RotateOwnKey gives one of the caller's keys a new secret.
func (a Actions) RotateOwnKey(ctx context.Context, id billing.KeyID, r RotateRequest, by By) (NewSecret, error) {
	k, err := a.OwnKey(ctx, id, by)
	if err == nil {
		err = notRevoked(&k)
	}
	if err != nil {
		return NewSecret{}, err
	}
	return a.RotateKey(ctx, id, r, by)
}

// RevokeOwnKey revokes one of the caller's keys for good.
func (a Actions) RevokeOwnKey(ctx context.Context, id billing.KeyID, e Ending, by By) (billing.Key, error) {
	if _, err := a.OwnKey(ctx, id, by); err != nil {
		return billing.Key{}, err
	}
	return a.RevokeKey(ctx, id, e, by)
}

// ceiling is how much a member may create, and what already exists.
type ceiling struct {
	billing.Ceiling
	own []billing.OwnUse
	all []billing.Budget // everybody's
}

// live returns the number of keys in force.
func (c ceiling) live() (n int64) {
	for _, u := range c.own {
		if u.InForce {
			n++
		}
	}
	return n
}

// left returns what all keys, in force or ended, leave of each amount in the current
// period.
func (c ceiling) left() Amounts {
	return Amounts{
		leftOf(c.Money, c.own, func(u billing.OwnUse) (*billing.Money, billing.Money) { return u.Money, u.Used.Money }),
		leftOf(c.Tokens, c.own, func(u billing.OwnUse) (*int64, int64) { return u.Tokens, u.Used.Tokens }),
		leftOf(c.Requests, c.own, func(u billing.OwnUse) (*int64, int64) { return u.Requests, u.Used.Requests }),
	}
}

// leftOf deducts what each key takes: a key in force its limit, or what it used if that is
// more, or everything if it has no limit; an ended key what it used, so that revoking a key
// and making another gives nothing back.
func leftOf[N int64 | billing.Money](limit *N, own []billing.OwnUse, of func(billing.OwnUse) (*N, N)) *N {
	if limit == nil {
		return nil
	}
	rest := *limit
	for _, u := range own {
		may, took := of(u)
		switch {
		case !u.InForce:
		case may == nil:
			took = *limit
		default:
			took = max(took, *may)
		}
		rest = max(0, rest-max(0, took))
	}
	return &rest
}

// fill completes a key from the ceiling, or refuses it.
func (a Actions) fill(k *billing.Key, r OwnKeyRequest, c ceiling, now time.Time) error {
	if live := c.live(); live >= c.Keys {
		return &billing.ConflictError{
			Detail: fmt.Sprintf("you have %d keys in team %s, which is all that a member may have: revoke one first", live, k.Team),
		}
	}
	var faults []error
	if k.Models == nil {
		k.Models = slices.Clone(c.Models)
	} else {
		faults = append(faults, a.covered(c.Models, k.Models, "the ceiling"))
	}
	if len(k.Models) == 0 {
		k.Models = nil
	}
	switch {
	case r.Life < 0 || c.Life > 0 && r.Life > c.Life:
		faults = append(faults, invalid("expires_in", "must be above 0 and at most %s", Span(c.Life)))
	case r.Life > 0 || c.Life > 0:
		k.ExpiresAt = now.Add(cmp.Or(r.Life, c.Life)).Truncate(time.Second)
	}
	b, failed := c.budget(k, r.Amounts)
	if faults = append(faults, failed); b.Money != nil || b.Tokens != nil || b.Requests != nil {
		SetBudgets(k, changesOf([]billing.Budget{b}))
	}
	return errors.Join(append(faults, a.check(k), a.keyWithin(k), keyBudgetsWithin(k, c.all))...)
}

// budget returns the budget of a new key: what was requested, or an equal share of the
// ceiling, as far as there is anything left.
func (c ceiling) budget(k *billing.Key, want Amounts) (billing.Budget, error) {
	b, left := billing.Budget{Scope: billing.ScopeKey, ScopeID: string(k.ID), Period: c.Period, Zone: c.Zone}, c.left()
	var faults [3]error
	b.Money, faults[0] = share("usd", want.Money, c.Money, left.Money, c.Keys)
	b.Tokens, faults[1] = share("tokens", want.Tokens, c.Tokens, left.Tokens, c.Keys)
	b.Requests, faults[2] = share("requests", want.Requests, c.Requests, left.Requests, c.Keys)
	for _, above := range c.all { // which no share of a ceiling may exceed
		if h := keyHolder(k); h.in(above) && above.Period == b.Period && above.Binds() {
			lower(&b.Money, above.Money, want.Money)
			lower(&b.Tokens, above.Tokens, want.Tokens)
			lower(&b.Requests, above.Requests, want.Requests)
		}
	}
	return b, errors.Join(faults[:]...)
}

func lower[N int64 | billing.Money](limit **N, above, want *N) {
	if *limit != nil && above != nil && want == nil && **limit > *above {
		*limit = above
	}
}

func share[N int64 | billing.Money](field string, want, most, left *N, keys int64) (*N, error) {
	switch {
	case most == nil:
		return want, nil
	case want != nil && (*want < 0 || *want > *left):
		return nil, invalid(field, "must be at most %s: your other keys take the rest of the ceiling of the team", amountText(*left))
	case want != nil:
		return want, nil
	case *left == 0 && *most > 0:
		return nil, &billing.ConflictError{
			Detail: "nothing is left of the ceiling of the team (" + field +
				"): revoke or narrow one of your keys, or wait until the period is over",
		}
	}
	part := min(max(*most/N(keys), 1), *left)
	return &part, nil
}

func amountText[N int64 | billing.Money](n N) string {
	if m, ok := any(n).(billing.Money); ok {
		return "$" + m.Short()
	}
	return fmt.Sprint(n)
}
