package billingtest

import (
	"context"
	"testing"
	"time"

	"tallyroute/billing"
)

// RunLeased tests a ledger that holds in memory what it leased from a store. It
// does all that the store's own ledger does but what only a database can: it
// leaves the state of a key to the verifier, and holds of dead processes to
// their journals. Reports read what Rows proves to be written, by the store's own
// statements. Between the ledger and the store there must be a Link.
func RunLeased(t *testing.T, open Open) { run(t, open, leasedGroups()) }

// RunLeasedAsWritten is RunLeased with only the limits that the cases are written
// for: the unit of a limit matters to the ledger, but not to the store.
func RunLeasedAsWritten(t *testing.T, open Open) {
	groups := leasedGroups()
	for i := range groups {
		groups[i].anyLimit = false
	}
	run(t, open, groups)
}

func leasedGroups() []group {
	return []group{
		{name: "Leases", cases: leaseCases()},
		{
			name: "Holds", cases: holdCases(), not: []string{
				"RevokedMeanwhile", "UnknownKey", "Sweep", "SweepKeepsOthers",
				"GrownIsSweptWhole",
			},
			anyLimit: true, asWritten: holdsAsWritten,
		},
		{name: "Settle", cases: settleCases(), not: []string{"AttemptThatIsThere"}},
		{name: "Windows", cases: windowCases(), not: []string{"SweptAfterItsEnd", "EveryPeriodIsItsOwnSums"}},
		{name: "Budgets", cases: budgetCases(), not: []string{"StaleKeyIsRefused"}},
		{name: "Rows", cases: rowCases(), not: []string{"KeepEverythingIfSwept", "HostileTextIfSwept"}},
		{name: "Races", cases: raceCases(), not: []string{"SweepAndSettle", "RevokedIsRevoked"}, anyLimit: true},
		{name: "Random", cases: randomCases(), anyLimit: true},
		{name: "Requests", cases: requestCases()},
	}
}

// Leased puts a ledger in front of a store, so that whatever reads the store sees what the
// ledger has settled.
type Leased struct {
	billing.Store
	Ledger interface {
		billing.Ledger
		Flush(ctx context.Context) error
	}
}

// Reserve calls the ledger.
func (l Leased) Reserve(ctx context.Context, h billing.Hold, now time.Time) ([]billing.Balance, error) {
	return l.Ledger.Reserve(ctx, h, now)
}

// Retry calls the ledger.
func (l Leased) Retry(ctx context.Context, holdID string, more billing.Amount, ifLost []billing.Spend) error {
	return l.Ledger.Retry(ctx, holdID, more, ifLost)
}

// Widen calls the ledger.
func (l Leased) Widen(ctx context.Context, holdID string, lines []billing.HoldLine) error {
	return l.Ledger.Widen(ctx, holdID, lines)
}

// Settle calls the ledger.
func (l Leased) Settle(ctx context.Context, s billing.Settlement) ([]billing.Balance, error) {
	return l.Ledger.Settle(ctx, s)
}

// Release calls the ledger.
func (l Leased) Release(ctx context.Context, holdID string) error {
	return l.Ledger.Release(ctx, holdID)
}

// Balances calls the ledger.
func (l Leased) Balances(ctx context.Context, k *billing.Key, now time.Time) ([]billing.Balance, error) {
	return l.Ledger.Balances(ctx, k, now)
}

// Events reads what was settled.
func (l Leased) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	if err := l.Ledger.Flush(ctx); err != nil {
		return nil, err
	}
	return l.Store.Events(ctx, q)
}

// Spend adds up what was settled.
func (l Leased) Spend(ctx context.Context, q billing.SpendQuery) (billing.SpendReport, error) {
	if err := l.Ledger.Flush(ctx); err != nil {
		return billing.SpendReport{}, err
	}
	return l.Store.Spend(ctx, q)
}

// Usage reads what was settled.
func (l Leased) Usage(ctx context.Context, q billing.UsageQuery) ([]billing.UsageRow, error) {
	if err := l.Ledger.Flush(ctx); err != nil {
		return nil, err
	}
	return l.Store.Usage(ctx, q)
}

// ClosePeriod closes a month that has all that was settled.
func (l Leased) ClosePeriod(ctx context.Context, c billing.PeriodChange) (billing.PeriodStanding, error) {
	if err := l.Ledger.Flush(ctx); err != nil {
		return billing.PeriodStanding{}, err
	}
	return l.Store.ClosePeriod(ctx, c)
}

// UpdateBudget changes a budget that knows all that was settled.
func (l Leased) UpdateBudget(ctx context.Context, b billing.Budget, change billing.BudgetChange, now time.Time, notes ...*billing.Change) (
	billing.Budget, error,
) {
	if err := l.Ledger.Flush(ctx); err != nil {
		return b, err
	}
	return l.Store.UpdateBudget(ctx, b, change, now, notes...)
}
