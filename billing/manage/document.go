package manage

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/governance"
)

// GovernanceDocument returns the organisation's key-management policy as Markdown.
func (a Actions) GovernanceDocument(ctx context.Context) (string, error) {
	rules, set, err := a.rules(ctx)
	if err != nil {
		return "", err
	}
	report, err := a.GovernanceReport(ctx)
	if err != nil {
		return "", err
	}
	o := governance.Organisation{
		Ledger: report.Ledger, Version: set.Version, SHA256: set.SHA256, Author: set.Author, Reason: set.Reason, MadeAt: set.MadeAt,
		At:           a.now(),
		Acknowledged: report.Acknowledged, Missing: report.Missing, Findings: report.Findings,
	}
	if a.Setup != nil {
		setup := a.Setup()
		o.Setup = &setup
	}
	for _, count := range []func(context.Context, *governance.Organisation) error{a.countOwners, a.countRoles, a.countReviews} {
		if err := count(ctx, &o); err != nil {
			return "", err
		}
	}
	return rules.Write(o), nil
}

func (a Actions) countOwners(ctx context.Context, o *governance.Organisation) error {
	owners, err := a.owners(ctx)
	if err != nil {
		return err
	}
	o.Owners = len(owners)
	teams, err := a.Store.ListTeams(ctx)
	if err != nil {
		return err
	}
	for _, t := range teams {
		if t.ArchivedAt.IsZero() {
			o.Teams++
		}
	}
	return a.eachKey(ctx, billing.KeyFilter{}, func(k *billing.Key) error {
		if k.RevokedAt.IsZero() {
			o.Keys++
		}
		return nil
	})
}

func (a Actions) countRoles(ctx context.Context, o *governance.Organisation) error {
	o.Roles, o.Holders = make(map[string][]string), make(map[string]int)
	for name, permissions := range a.AllRoles() {
		for _, p := range permissions {
			o.Roles[name] = append(o.Roles[name], string(p))
		}
	}
	all, err := a.Store.ListPrincipals(ctx)
	for _, p := range all {
		held := make(map[string]bool)
		for _, g := range p.Grants {
			if p.DisabledAt.IsZero() && g.InForce(a.now()) && !held[g.Role] {
				held[g.Role] = true
				o.Holders[g.Role]++
			}
		}
	}
	return err
}

func (a Actions) countReviews(ctx context.Context, o *governance.Organisation) error {
	reviews, err := a.Store.ListReviews(ctx)
	if err != nil {
		return err
	}
	o.LastReview = time.Time{}
	for i, r := range reviews {
		if i == 0 {
			o.LastReview = r.StartedAt
		}
		if o.Reviews++; r.Open > 0 && a.now().After(r.DueAt) {
			o.Overdue++
		}
	}
	incidents, err := a.Store.ListIncidents(ctx, "")
	for _, i := range incidents {
		if i.ClosedAt.IsZero() {
			o.Incidents++
		}
	}
	return err
}
