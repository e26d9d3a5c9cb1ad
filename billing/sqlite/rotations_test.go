package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// TestLivesSurviveKills makes the disk refuse every write of a store from the n-th on, as if its
// process had been killed there. Another store then carries on.
func TestLivesSurviveKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := openAt(t, path)
	disk := &faultyDisk{VFS: vfs.Find("")}
	vfs.Register("killed", disk)
	defer vfs.Unregister("killed")
	kill := func(n int, do func(billing.Store)) bool {
		disk.set("", nil, 0, 0)
		doomed := openOn(t, path, "killed")
		disk.set("write", sqlite3.IOERR_WRITE, n, 1<<30)
		do(doomed.Contracts())
		hits := disk.hits
		_ = doomed.Close() // it cannot write anything either
		return hits > 0
	}
	billingtest.RotationsSurviveKills(t, s.Contracts(), kill)
	billingtest.LivesSurviveKills(t, s.Contracts(), kill)
}
