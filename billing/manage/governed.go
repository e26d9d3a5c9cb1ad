package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
)

// keyJudge judges keys by the rules in force. The zero value finds nothing.
type keyJudge struct {
	rules  *governance.Rules
	sinks  map[billing.KeyID]string // where secrets are delivered
	groups map[string][]string
	now    time.Time
}

// judge returns what is needed to judge one key, or all.
func (a Actions) judge(ctx context.Context, id billing.KeyID) (keyJudge, error) {
	rules, _, err := a.rules(ctx)
	if err != nil {
		return keyJudge{}, err
	}
	return a.judgeBy(ctx, rules, id)
}

func (a Actions) judgeBy(ctx context.Context, rules *governance.Rules, id billing.KeyID) (keyJudge, error) {
	if rules == nil {
		return keyJudge{}, nil
	}
	j := keyJudge{rules: rules, sinks: make(map[billing.KeyID]string), groups: a.groups(), now: a.now()}
	if len(rules.Keys.Sinks) == 0 {
		return j, nil
	}
	list, err := a.Store.ListDeliveries(ctx, id)
	for _, d := range list {
		if !d.Removing {
			j.sinks[d.KeyID] = d.Sink
		}
	}
	return j, err
}

func (j keyJudge) of(k *billing.Key) []governance.Finding {
	return j.rules.OfKey(governance.Key{Key: k, Sink: j.sinks[k.ID], Groups: j.groups}, j.now)
}

// changed refuses a key that breaks rules that it didn't break before.
func (j keyJudge) changed(before []governance.Finding, k *billing.Key) error {
	return governance.Refusal(governance.New(before, j.of(k)))
}

// own refuses a key that breaks rules and that a member creates for himself with a command.
func (j keyJudge) own(k *billing.Key, command string) error {
	return governance.Refusal(j.rules.OfKey(governance.Key{Key: k, Groups: j.groups, Unnamed: true, Own: command}, j.now))
}

// keysChanged refuses a change to something that applies to keys, such as a budget or a
// policy above them, if one of the keys would then break rules that it doesn't break now.
func (a Actions) keysChanged(ctx context.Context, f billing.KeyFilter, change func(*billing.Key)) error {
	j, err := a.judge(ctx, f.ID)
	if err != nil || j.rules == nil {
		return err
	}
	return a.eachKey(ctx, f, func(k *billing.Key) error {
		before := j.of(k)
		change(k)
		return j.changed(before, k)
	})
}

// budgetChanged is keysChanged for a budget; a nil to removes it.
func (a Actions) budgetChanged(ctx context.Context, b billing.Budget, to *billing.Budget) error {
	var f billing.KeyFilter
	switch b.Scope {
	case billing.ScopeKey:
		f.ID = billing.KeyID(b.ScopeID)
	case billing.ScopeProject:
		f.Project = b.ScopeID
	case billing.ScopeTeam:
		f.Team = b.ScopeID
	case billing.ScopeOrg, billing.ScopeTemporary:
		return nil // no rule requires it
	}
	return a.keysChanged(ctx, f, func(k *billing.Key) {
		k.Budgets = slices.DeleteFunc(slices.Clone(k.Budgets), func(o billing.Budget) bool { return o.ID == b.ID })
		if to != nil {
			k.Budgets = append(k.Budgets, *to)
		}
	})
}

// budgetRemoved is budgetChanged for a budget that is to be removed. A missing budget is
// left for the store to report.
func (a Actions) budgetRemoved(ctx context.Context, id string) error {
	rules, _, err := a.rules(ctx)
	if err != nil || rules == nil {
		return err
	}
	found, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{ID: id})
	if err == nil && len(found) > 0 {
		err = a.budgetChanged(ctx, found[0], nil)
	}
	return err
}

// newKeyLawful refuses a key that would break rules, before anything is created for it.
func (a Actions) newKeyLawful(ctx context.Context, k billing.Key, r KeyRequest, by By) error {
	rules, _, err := a.rules(ctx)
	if err != nil || rules == nil {
		return err
	}
	r.DryRun = true
	p, err := a.project(ctx, r, by)
	if err != nil {
		return err
	}
	k.ProjectID, k.Project, k.TeamID, k.Team, k.Environment, k.DataClass = p.ID, p.Name, p.TeamID, p.Team, p.Environment, p.DataClass
	own := k.Policies.Key
	if k.Policies, err = a.above(ctx, p); err != nil {
		return err
	}
	k.Policies.Key = own
	all, err := a.Store.ListBudgets(ctx, billing.BudgetFilter{Above: true})
	if err != nil {
		return err
	}
	k.Budgets = boundIn(&k, all)
	return governance.Refusal(rules.OfKey(governance.Key{Key: &k, Sink: r.To.Sink, Groups: a.groups(), Unnamed: true}, a.now()))
}

// boundIn returns the budgets that apply to a key where it is now: its own, and those of
// its project, its team and the organisation.
func boundIn(k *billing.Key, all []billing.Budget) (list []billing.Budget) {
	for _, b := range k.Budgets {
		if b.Scope == billing.ScopeKey {
			list = append(list, b)
		}
	}
	for _, b := range all {
		if b.Scope != billing.ScopeKey && keyHolder(k).in(b) {
			list = append(list, b)
		}
	}
	return list
}

// shown refuses to show a secret if the rules only allow secrets to be delivered to sinks.
func (a Actions) shown(ctx context.Context, k *billing.Key) error {
	rules, _, err := a.rules(ctx)
	if err != nil {
		return err
	}
	want := rules.Required(k.Environment)
	if len(want) == 0 {
		return nil
	}
	return governance.Refusal([]governance.Finding{{
		Rule: "keys.sinks", Object: string(k.ID), Name: k.Name, Field: "sink",
		Detail: fmt.Sprintf("secrets of keys in %s are delivered to %s, and shown to nobody", k.Environment, strings.Join(want, " or ")),
		Fix:    fmt.Sprintf("tallyroute keys deliver %s --to %s:PLACE makes a new one there", k.ID, want[0]),
	}})
}

// delivered refuses a delivery to a sink that the rules don't allow; "" is none.
func (a Actions) delivered(ctx context.Context, k *billing.Key, sink string) error {
	rules, _, err := a.rules(ctx)
	if want := rules.Required(k.Environment); err == nil && len(want) > 0 && !slices.Contains(want, sink) {
		err = a.shown(ctx, k)
	}
	return err
}

// kept refuses to remove rows earlier than the rules allow.
func (a Actions) kept(ctx context.Context, table string, until time.Time) error {
	rules, _, err := a.rules(ctx)
	least := rules.KeptAtLeast(table)
	if err != nil || least == 0 || !until.After(a.now().Add(-least)) {
		return err
	}
	return governance.Refusal([]governance.Finding{{
		Rule: "retention", Object: table, Field: table,
		Detail: fmt.Sprintf("rows of %s must be kept for at least %s", table, Span(least)),
		Fix:    fmt.Sprintf("remove only what is older than %s", a.now().Add(-least).UTC().Format(time.DateOnly)),
	}})
}

// findings returns everything that breaks the rules, and the number of keys.
func (a Actions) findings(ctx context.Context, rules *governance.Rules) (found []governance.Finding, keys int, err error) {
	found = []governance.Finding{}
	j, err := a.judgeBy(ctx, rules, "")
	if err != nil {
		return found, 0, err
	}
	if a.Setup != nil {
		found = append(found, rules.OfSetup(a.Setup())...)
	}
	err = a.eachKey(ctx, billing.KeyFilter{}, func(k *billing.Key) error {
		if k.RevokedAt.IsZero() {
			keys++
			found = append(found, j.of(k)...)
		}
		return nil
	})
	if err != nil {
		return found, keys, err
	}
	late, err := a.overdue(ctx)
	for _, r := range late {
		found = append(found, overdueFinding(r))
	}
	return found, keys, err
}

// GovernanceReport lists what breaks the rules in force.
type GovernanceReport struct {
	Ledger       string               `json:"ledger" doc:"The id of the database."`
	At           string               `json:"at"`
	Version      int64                `json:"version" doc:"Of the rules; 0 means that there are none."`
	SHA256       string               `json:"sha256" doc:"The SHA-256 of the rules."`
	Keys         int                  `json:"keys" doc:"The number of keys checked: all that are not revoked."`
	Setup        bool                 `json:"configuration" doc:"Whether the configuration was checked, too."`
	Findings     []governance.Finding `json:"findings"`
	Missing      []string             `json:"not_acknowledged" doc:"Owners of keys who have not acknowledged the rules."`
	Acknowledged int                  `json:"acknowledged"`
}

// GovernanceReport returns what breaks the rules in force.
func (a Actions) GovernanceReport(ctx context.Context) (GovernanceReport, error) {
	r := GovernanceReport{At: a.now().Format(time.RFC3339), Setup: a.Setup != nil, Findings: []governance.Finding{}, Missing: []string{}}
	rules, set, err := a.rules(ctx)
	if err != nil {
		return r, err
	}
	if r.Ledger, err = a.Store.Setting(ctx, billing.LedgerSetting, billing.NewID("ledger_")); err != nil {
		return r, err
	}
	if rules == nil {
		return r, nil
	}
	r.Version, r.SHA256 = set.Version, set.SHA256
	if r.Findings, r.Keys, err = a.findings(ctx, rules); err != nil {
		return r, err
	}
	ack, err := a.Acknowledgements(ctx)
	r.Missing, r.Acknowledged = ack.Missing, len(ack.Done)
	return r, err
}

// SetupFindings returns how a configuration breaks the rules in force.
func (a Actions) SetupFindings(ctx context.Context, s governance.Setup) ([]governance.Finding, error) {
	rules, _, err := a.rules(ctx)
	return rules.OfSetup(s), err
}
