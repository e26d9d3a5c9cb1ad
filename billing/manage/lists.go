package manage

import (
	"context"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"tallyroute/billing"
)

// Teams lists the teams.
func (a Actions) Teams(ctx context.Context) ([]billing.Team, error) { return a.Store.ListTeams(ctx) }

// Projects lists the projects.
func (a Actions) Projects(ctx context.Context) ([]billing.Project, error) {
	return a.Store.ListProjects(ctx)
}

// Balances returns every budget that applies to a key, with what has been used of it.
func (a Actions) Balances(ctx context.Context, k *billing.Key) ([]billing.Balance, error) {
	return a.Store.Balances(ctx, k, a.now())
}

// Periods lists the months of the ledger, newest first.
func (a Actions) Periods(ctx context.Context) ([]billing.PeriodStanding, error) {
	return a.Store.ListPeriods(ctx)
}

// MonthRows calls each for every row of a closed month, in the order of its digest.
func (a Actions) MonthRows(ctx context.Context, m billing.Month, each func(billing.Spend) error) error {
	return a.Store.MonthRows(ctx, m, each)
}

// Rejects lists the rows that the ledger refused and that are waiting to be booked.
func (a Actions) Rejects(ctx context.Context) ([]billing.RejectedRow, error) {
	return a.Store.ListRejects(ctx, "")
}

// Names maps ids to names.
type Names map[string]string

// Names returns the names of keys, teams, projects, budgets and principals by id. The
// organisation appears as everybody.
func (a Actions) Names(ctx context.Context, ids ...string) (Names, error) {
	names, err := a.Store.Names(ctx, ids...)
	if err != nil {
		return nil, err
	}
	names[orgID] = "everybody"
	return names, nil
}

// idPattern matches the ids of objects that have a name.
var idPattern = regexp.MustCompile(`\b(key|team|proj|bud|prin)_[0-9A-HJKMNP-TV-Z]{26}\b`)

// In replaces the ids in a text with quoted names.
func (n Names) In(text string) string {
	return idPattern.ReplaceAllStringFunc(text, func(id string) string {
		if name, ok := n[id]; ok {
			return strconv.Quote(name)
		}
		return id
	})
}

// Beside returns data with a name added for each id, such as key_name for key_id.
func (n Names) Beside(data map[string]string) map[string]string {
	named := maps.Clone(data)
	for field, id := range data {
		if of, isID := strings.CutSuffix(field, "_id"); isID && n[id] != "" {
			named[of+"_name"] = n[id]
		}
	}
	return named
}

// Events lists events, newest first, with the current names of the objects that they are about.
func (a Actions) Events(ctx context.Context, f billing.EventFilter) ([]EventView, error) {
	list, err := a.Store.ListEvents(ctx, f)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range list {
		ids = append(append(ids, e.Object), idPattern.FindAllString(e.Text, -1)...)
		for field, value := range e.Data {
			if strings.HasSuffix(field, "_id") {
				ids = append(ids, value)
			}
		}
	}
	names, err := a.Names(ctx, ids...)
	views := make([]EventView, len(list))
	for i, e := range list {
		v := ViewEvent(e)
		v.ObjectName, v.Text, v.Data = names[e.Object], names.In(e.Text), names.Beside(e.Data)
		views[i] = v
	}
	return views, err
}

// Replicas lists the routers that hold allowances.
func (a Actions) Replicas(ctx context.Context) ([]billing.ReplicaState, error) {
	return a.Store.ListReplicas(ctx)
}

// ForgetReplica gives back what a router that won't come back had leased, and returns for
// how many windows.
func (a Actions) ForgetReplica(ctx context.Context, id string, by By) (int, error) {
	return a.Store.ForgetReplica(ctx, id, a.note(by, "replica.forget", id))
}

// Check says how thorough an integrity check is.
type Check struct {
	Quick bool // skips rereading closed months to compare their digests
}

// CheckIntegrity proves that the ledger adds up: rows, corrections, counters,
// rollup, holds, leases and closed months.
func (a Actions) CheckIntegrity(ctx context.Context, c Check) (billing.IntegrityReport, error) {
	return a.Store.CheckIntegrity(ctx, billing.IntegrityOptions{Now: a.now(), Digests: !c.Quick})
}
