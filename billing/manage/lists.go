package manage

import (
	"context"

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

// Events lists events that somebody may want to know about, newest first.
func (a Actions) Events(ctx context.Context, f billing.EventFilter) ([]billing.Event, error) {
	return a.Store.ListEvents(ctx, f)
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
