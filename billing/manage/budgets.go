package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// orgID is the scope id of budgets of the whole organisation.
const orgID = "org"

// BudgetChange is a requested budget or a change to one. Whatever is left out stays as it
// is.
type BudgetChange struct {
	billing.Budget
	NoTokens, NoMoney, NoRequests bool // removes that limit
}

// on applies the change to a budget.
func (c BudgetChange) on(b billing.Budget) billing.Budget {
	b.Period, b.Zone = cmp.Or(c.Period, b.Period), cmp.Or(c.Zone, b.Zone)
	if c.Tokens != nil || c.NoTokens {
		b.Tokens = c.Tokens
	}
	if c.Money != nil || c.NoMoney {
		b.Money = c.Money
	}
	if c.Requests != nil || c.NoRequests {
		b.Requests = c.Requests
	}
	b.Starts, b.Action = cmp.Or(c.Starts, b.Starts), cmp.Or(c.Action, b.Action)
	if b.Starts == "01-01" { // the same as leaving it out
		b.Starts = ""
	}
	if c.Thresholds != nil {
		b.Thresholds = c.Thresholds
	}
	return b
}

// silent reports whether the change says nothing except which budget it is about.
func (c BudgetChange) silent() bool {
	return c.Zone == "" && c.Tokens == nil && c.Money == nil && !c.NoTokens && !c.NoMoney && c.Requests == nil && !c.NoRequests &&
		c.Starts == "" && c.Action == "" && c.Thresholds == nil
}

// of refuses a change that names a scope other than the budget's.
func (c BudgetChange) of(b billing.Budget) error {
	switch {
	case c.Part != "" && c.Part != b.Part, c.Named != "" && c.Named != b.Named:
		return &billing.ConflictError{Detail: fmt.Sprintf("budget %s limits another part than that: make another one", b.ID)}
	case (c.Scope == "" || c.Scope == b.Scope) && (c.ScopeID == "" || c.ScopeID == b.ScopeID):
		return nil
	}
	detail := fmt.Sprintf("budget %s limits another %s than that: make another one for it", b.ID, b.Scope)
	if c.Scope != "" && c.Scope != b.Scope {
		detail = fmt.Sprintf("budget %s has the scope %s, not %s: make another one", b.ID, b.Scope, c.Scope)
	}
	return &billing.ConflictError{Detail: detail}
}

// check refuses contradictions.
func (c BudgetChange) check() error {
	switch {
	case c.Money != nil && c.NoMoney:
		return invalid("usd", "cannot be both an amount and none")
	case c.Tokens != nil && c.NoTokens:
		return invalid("tokens", "cannot be both a number and none")
	case c.Requests != nil && c.NoRequests:
		return invalid("requests", "cannot be both a number and none")
	}
	return nil
}

// SetBudget sets a budget. If there is one with the same ID or, without an ID, an
// equivalent one, it is changed and existed is true; what has been used of it still counts.
// of is the ID or name of the scope, such as a team ("web") or project ("web/shop");
// ScopeID is filled in.
func (a Actions) SetBudget(ctx context.Context, c BudgetChange, of string, by By) (set billing.Budget, existed bool, err error) {
	if err := errors.Join(c.check(), by.check()); err != nil {
		return set, false, err
	}
	if c.ScopeID = of; c.ID == "" || c.Scope != "" {
		if c.ScopeID, err = a.scopeID(ctx, c.Scope, of); err != nil {
			return set, false, err
		}
	}
	if c.ID != "" {
		set, err = a.ChangeBudget(ctx, c.ID, c, by)
		return set, true, err
	}
	c.Period = cmp.Or(c.Period, billing.PeriodMonth)
	if err := a.changeWithin(ctx, c, c.Same); err != nil {
		return set, false, err
	}
	note := a.note(by, "", "")
	var same billing.Budget
	set, err = a.Store.UpdateBudget(ctx, c.Budget, func(b *billing.Budget, found bool) error {
		existed, note.Object = found, b.ID
		if !found {
			note.Action, note.Detail = "budget.create", differences(struct{}{}, ViewBudget(*b))
			return nil
		}
		if c.silent() {
			return nothingSaid()
		}
		if err := saw(by, ViewBudget(*b)); err != nil {
			return err
		}
		note.Action = "budget.change"
		return c.noted(note, &same)(b)
	}, note.At, note)
	if errors.Is(err, errNotWritten) {
		return same, true, nil
	}
	return set, existed, err
}

// changeWithin refuses a change that would make a budget wider than one above it. If it
// already is, changes that don't affect a limit are still allowed.
func (a Actions) changeWithin(ctx context.Context, c BudgetChange, meant func(billing.Budget) bool) error {
	all, err := a.related(ctx, c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, meant)
	switch {
	case i >= 0:
	case c.ID == "" && c.Scope != "":
		return a.budgetWithin(ctx, c.Budget, all)
	default:
		return nil // there is none: the code that applies the change reports that
	}
	was, b := all[i], c.on(all[i])
	was.Zone, was.Starts, was.Thresholds = b.Zone, b.Starts, b.Thresholds
	if reflect.DeepEqual(was, b) {
		return nil
	}
	if err := a.budgetWithin(ctx, b, all); err != nil {
		return err
	}
	return a.budgetChanged(ctx, b, &b)
}

// related returns the budgets that the changed one may be too wide or too narrow for. For a
// key's budget those are the key's own and its owners'; otherwise all budgets.
func (a Actions) related(ctx context.Context, c BudgetChange) ([]billing.Budget, error) {
	b := c.Budget
	if c.ID != "" {
		found, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{ID: c.ID})
		if err != nil || len(found) == 0 {
			return nil, err
		}
		b = found[0]
	}
	if b.Scope == billing.ScopeKey {
		return a.Store.ListBudgets(ctx, billing.BudgetFilter{Above: true, Key: billing.KeyID(b.ScopeID)})
	}
	return a.Store.ListBudgets(ctx, billing.BudgetFilter{})
}

// noted wraps the change in an edit that notes what has changed.
func (c BudgetChange) noted(note *billing.Change, same *billing.Budget) func(*billing.Budget) error {
	return noted(note, ViewBudget, same, func(b *billing.Budget) error {
		*b = c.on(*b)
		return nil
	})
}

// scopeID resolves the scope of a budget from an id or name.
func (a Actions) scopeID(ctx context.Context, scope billing.Scope, of string) (string, error) {
	switch scope {
	case billing.ScopeOrg:
		if of != "" && of != orgID {
			return "", invalid("scope_id", "must be %q, or left out", orgID)
		}
		return orgID, nil
	case billing.ScopeKey:
		k, err := a.Key(ctx, billing.KeyID(of))
		return string(k.ID), err
	case billing.ScopeTeam, billing.ScopeProject:
	default:
		return "", invalid("scope", "must be org, team, project or key")
	}
	if of == "" {
		return "", invalid("scope_id", "must say which %s", scope)
	}
	names, err := a.scopeNames(ctx)
	if err != nil {
		return "", err
	}
	prefix := map[billing.Scope]string{billing.ScopeTeam: "team_", billing.ScopeProject: "proj_"}[scope]
	for id, name := range names {
		if strings.HasPrefix(id, prefix) && (id == of || name == of) {
			return id, nil
		}
	}
	return "", &billing.NotFoundError{What: string(scope), ID: of}
}

// scopeNames maps the ids of teams and projects to their names, "web" and "web/shop".
func (a Actions) scopeNames(ctx context.Context) (map[string]string, error) {
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return nil, err
	}
	projects, err := a.Store.ListProjects(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string)
	for _, t := range teams {
		names[t.ID] = t.Name
	}
	for _, p := range projects {
		names[p.ID] = p.Team + "/" + p.Name
	}
	return names, nil
}

// SetBudgets sets the key's own budgets; it is an edit for ChangeKey. A budget that matches
// an existing one changes that one: what has been used of it still counts, and what is left
// out stays. The budgets that KeyLimits is shorthand for stay too, unless they are named.
func SetBudgets(k *billing.Key, budgets []BudgetChange) {
	own := k.Budgets
	k.Budgets = slices.DeleteFunc(slices.Clone(k.Budgets), func(b billing.Budget) bool {
		named := b.Part != "" || slices.ContainsFunc(budgets, func(c BudgetChange) bool { return c.Part == "" && c.Period == b.Period })
		return b.Scope == billing.ScopeKey && (named || !b.Period.Passes())
	})
	for _, c := range budgets {
		c.Scope, c.ScopeID = billing.ScopeKey, string(k.ID)
		b := c.Budget
		b.ID = billing.NewID("bud_")
		if i := slices.IndexFunc(own, func(old billing.Budget) bool { return b.Same(old) }); i >= 0 {
			b = c.on(own[i])
			own = slices.Delete(slices.Clone(own), i, i+1)
		}
		k.Budgets = append(k.Budgets, b)
	}
}

// KeyLimits are what a key may do in a minute and at once: short for its budgets of these
// periods. Nil is what it was, 0 is no limit.
type KeyLimits struct {
	RequestsPerMinute, TokensPerMinute, ConcurrentRequests *int64
}

// Set sets the limits on a key; it is an edit for ChangeKey.
func (l KeyLimits) Set(k *billing.Key) {
	setOwn(k, billing.PeriodMinute, func(b *billing.Budget) {
		b.Requests, b.Tokens = limitOr(l.RequestsPerMinute, b.Requests), limitOr(l.TokensPerMinute, b.Tokens)
	})
	setOwn(k, billing.PeriodConcurrent, func(b *billing.Budget) { b.Requests = limitOr(l.ConcurrentRequests, b.Requests) })
}

// limitOr returns the requested limit, or else the previous one.
func limitOr(said, was *int64) *int64 {
	switch {
	case said == nil:
		return was
	case *said == 0:
		return nil
	}
	return said
}

// setOwn edits the key's own budget for a period, and removes it if no limit is left.
func setOwn(k *billing.Key, p billing.Period, edit func(*billing.Budget)) {
	b := billing.Budget{ID: billing.NewID("bud_"), Scope: billing.ScopeKey, ScopeID: string(k.ID), Period: p}
	was := k.Own(p)
	if was != nil {
		b = *was
	}
	edit(&b)
	k.Budgets = slices.DeleteFunc(slices.Clone(k.Budgets), func(o billing.Budget) bool { return o.Same(b) })
	if b.Requests != nil || b.Tokens != nil || b.Money != nil {
		k.Budgets = append(k.Budgets, b)
	}
}

// changesOf converts budgets to changes that set them.
func changesOf(budgets []billing.Budget) []BudgetChange {
	list := make([]BudgetChange, len(budgets))
	for i, b := range budgets {
		list[i].Budget = b
	}
	return list
}

// Budgets lists budgets as configured.
func (a Actions) Budgets(ctx context.Context, f billing.BudgetFilter) ([]billing.Budget, error) {
	return a.Store.ListBudgets(ctx, f)
}

// BalancesOf returns budgets with their current state.
func (a Actions) BalancesOf(ctx context.Context, budgets []billing.Budget) ([]billing.Balance, error) {
	return a.Store.Balances(ctx, &billing.Key{Budgets: budgets}, a.now())
}

// Budget returns the budget with the given id.
func (a Actions) Budget(ctx context.Context, id string) (billing.Budget, error) {
	if id == "" {
		return billing.Budget{}, &billing.NotFoundError{What: "budget"}
	}
	found, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{ID: id})
	if err == nil && len(found) == 0 {
		err = &billing.NotFoundError{What: "budget", ID: id}
	}
	if err != nil {
		return billing.Budget{}, err
	}
	return found[0], nil
}

// seenBudget returns a budget, and refuses if it has changed since the caller saw it.
func (a Actions) seenBudget(ctx context.Context, id string, by By) (billing.Budget, error) {
	b, err := a.Budget(ctx, id)
	if err == nil {
		err = saw(by, ViewBudget(b))
	}
	return b, err
}

// ChangeBudget changes a budget. What has been used of it still counts.
func (a Actions) ChangeBudget(ctx context.Context, id string, c BudgetChange, by By) (billing.Budget, error) {
	if err := errors.Join(c.check(), by.check()); err != nil {
		return billing.Budget{}, err
	}
	if err := a.changeWithin(ctx, c, func(b billing.Budget) bool { return b.ID == id }); err != nil {
		return billing.Budget{}, err
	}
	note := a.note(by, "budget.change", id)
	var same billing.Budget
	b, err := a.Store.UpdateBudget(ctx, billing.Budget{ID: id}, func(b *billing.Budget, existed bool) error {
		switch {
		case !existed:
			return &billing.NotFoundError{What: "budget", ID: id}
		case c.silent() && c.Period == "":
			return nothingSaid()
		}
		if err := errors.Join(saw(by, ViewBudget(*b)), c.of(*b)); err != nil {
			return err
		}
		return c.noted(note, &same)(b)
	}, note.At, note)
	if errors.Is(err, errNotWritten) {
		return same, nil
	}
	return b, err
}

// RemoveBudget removes a budget, so that it no longer limits anybody. It is idempotent.
func (a Actions) RemoveBudget(ctx context.Context, id string, by By) error {
	if err := by.check(); err != nil {
		return err
	}
	if by.Seen != "" {
		if _, err := a.seenBudget(ctx, id, by); err != nil {
			return err
		}
	}
	if err := a.budgetRemoved(ctx, id); err != nil {
		return err
	}
	note := a.note(by, "budget.remove", id)
	err := a.Store.RemoveBudget(ctx, id, note)
	if none := (*billing.NotFoundError)(nil); !errors.As(err, &none) {
		return err
	}
	before, listErr := a.Store.ListChanges(ctx, billing.ChangeFilter{Object: id, Action: note.Action, Limit: 1})
	if listErr == nil && len(before) > 0 {
		return nil
	}
	return err
}

// ResetBudget stops what has been used in the current period from counting. It needs a
// reason. The rows stay, and so do the reports.
func (a Actions) ResetBudget(ctx context.Context, id string, by By) (billing.Balance, error) {
	b, err := a.seenBudget(ctx, id, by)
	if err == nil {
		err = by.needsReason()
	}
	if err != nil {
		return billing.Balance{}, err
	}
	before, err := a.balance(ctx, b)
	if err != nil {
		return before, err
	}
	note := a.note(by, "budget.reset", id)
	note.Detail = map[string]string{"used": before.UsedMoney.Short() + " USD, " + tokenText(before.UsedTokens) + ", " +
		strconv.FormatInt(before.UsedRequests, 10) + " requests → 0"}
	if err := a.Store.ResetBudget(ctx, id, note.At, note); err != nil {
		return before, err
	}
	return a.balance(ctx, b)
}

// RaiseBudget raises the limits of a budget until an instant, starting now or later. It
// needs a reason.
func (a Actions) RaiseBudget(ctx context.Context, r billing.Raise, by By) (billing.Balance, error) {
	b, err := a.seenBudget(ctx, r.BudgetID, by)
	if err == nil {
		err = by.needsReason()
	}
	if err != nil {
		return billing.Balance{}, err
	}
	note := a.note(by, "budget.raise", r.BudgetID)
	r.Actor, r.Reason, r.At = note.Actor, note.Reason, note.At
	if r.From.IsZero() {
		r.From = note.At
	}
	note.Detail = map[string]string{
		"usd": r.By.Money.Short(), "tokens": strconv.FormatInt(r.By.Tokens, 10), "requests": strconv.FormatInt(r.By.Requests, 10),
		"from": r.From.UTC().Format(time.RFC3339), "until": r.Until.UTC().Format(time.RFC3339),
	}
	if err := a.Store.RaiseBudget(ctx, r, note); err != nil {
		return billing.Balance{}, err
	}
	return a.balance(ctx, b)
}

func (a Actions) balance(ctx context.Context, b billing.Budget) (billing.Balance, error) {
	list, err := a.Store.Balances(ctx, &billing.Key{Budgets: []billing.Budget{b}}, a.now())
	if err == nil && len(list) == 0 {
		err = &billing.NotFoundError{What: "budget", ID: b.ID}
	}
	if err != nil {
		return billing.Balance{}, err
	}
	return list[0], nil
}

// TopUp adds to a key's one-off budget. Repeating it with the same reference changes
// nothing.
func (a Actions) TopUp(ctx context.Context, id billing.KeyID, amount billing.Money, reference string, by By) (billing.Balance, error) {
	if !isName(reference, maxName) {
		return billing.Balance{}, invalid("reference", "must be plain text of 1 to %d bytes, such as an order's number", maxName)
	}
	k, err := a.Key(ctx, id)
	if err := errors.Join(err, by.check()); err != nil {
		return billing.Balance{}, err
	}
	for _, b := range k.Budgets {
		if b.Scope != billing.ScopeKey || b.Period != billing.PeriodOnce || b.Money == nil {
			continue
		}
		note := a.note(by, "key.top_up", string(id))
		note.Detail = map[string]string{"usd": amount.Short(), "reference": reference, "budget": b.ID}
		t := billing.TopUp{BudgetID: b.ID, Amount: amount, Reference: reference, Actor: note.Actor, Reason: note.Reason, At: note.At}
		if _, err := a.Store.TopUp(ctx, t, note); err != nil {
			return billing.Balance{}, err
		}
		return a.balance(ctx, b)
	}
	return billing.Balance{}, &billing.ConflictError{
		Detail: fmt.Sprintf("key %q has no budget in dollars that is spent once: set one with "+
			"tallyroute budgets set key %s --period once --usd AMOUNT", k.Name, id),
	}
}
