package manage

import (
	"context"

	"tallyroute/billing"
)

// Check is how far an integrity check goes.
type Check struct {
	Quick bool // does not read closed months again to compare their digests
}

// CheckIntegrity proves that the ledger adds up: rows, corrections, counters,
// rollup, holds, leases and closed months.
func (a Actions) CheckIntegrity(ctx context.Context, c Check) (billing.IntegrityReport, error) {
	return a.Store.CheckIntegrity(ctx, billing.IntegrityOptions{Now: a.now(), Digests: !c.Quick})
}
