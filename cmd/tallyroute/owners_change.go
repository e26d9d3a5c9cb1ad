package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/config"
)

type teamsUpdate struct {
	Team       string  `arg:"" help:"Id or name of the team."`
	Name       *string `help:"Its new name." placeholder:"NAME"`
	CostCenter *string `help:"To which it is charged from now on; what is booked stays where it is." placeholder:"NAME"`
	Owner      *string `help:"Address of the person responsible." placeholder:"ADDRESS"`
	Reason     string  `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the team.
func (c teamsUpdate) Run(a *cli) error {
	if c.Name == nil && c.CostCenter == nil && c.Owner == nil {
		return usagef("say what is to be different: --name, --cost-center or --owner")
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		t, err := m.ChangeTeam(a.ctx, c.Team, manage.OwnerChange{Name: c.Name, CostCenter: c.CostCenter, Address: c.Owner}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "team %s (%s), cost center %s, owner %s\n", t.Name, t.ID, t.CostCenter,
			orElse(t.OwnerEmail, "nobody"))
		return err
	})
}

type teamsArchive struct {
	Team   string `arg:"" help:"Id or name of the team."`
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the team.
func (c teamsArchive) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		t, err := m.ArchiveTeam(a.ctx, c.Team, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "team %s (%s) is archived since %s; its keys open nothing any more\n", t.Name, t.ID,
			timestamp(t.ArchivedAt))
		return err
	})
}

type projectsUpdate struct {
	Project string  `arg:"" help:"Id of the project, or team/name."`
	Name    *string `help:"Its new name." placeholder:"NAME"`
	Team    *string `help:"Id or name of the team that it moves to, with its keys; what is booked stays where it is." placeholder:"NAME"`
	Reason  string  `help:"Why, for the record." placeholder:"TEXT"`
}

// Run changes the project.
func (c projectsUpdate) Run(a *cli) error {
	if c.Name == nil && c.Team == nil {
		return usagef("say what is to be different: --name or --team")
	}
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		p, err := m.ChangeProject(a.ctx, c.Project, manage.OwnerChange{Name: c.Name, Team: c.Team}, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "project %s (%s) of team %s, environment %s, cost center %s\n", p.Name, p.ID, p.Team, p.Environment,
			p.CostCenter)
		return err
	})
}

type projectsArchive struct {
	Project string `arg:"" help:"Id of the project, or team/name."`
	Reason  string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the project.
func (c projectsArchive) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		p, err := m.ArchiveProject(a.ctx, c.Project, by(c.Reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "project %s (%s) is archived since %s; its keys open nothing any more\n", p.Name, p.ID,
			timestamp(p.ArchivedAt))
		return err
	})
}

// detailText is what became different, in one line.
func detailText(detail map[string]string) string {
	parts := make([]string, 0, len(detail))
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		parts = append(parts, name+": "+detail[name])
	}
	return strings.Join(parts, "; ")
}
