package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing/billingtest/prove"
)

// folderPrefix is the prefix of every cluster's directory name. The process id of the
// tests follows it.
const folderPrefix = "tallyroute-pg-"

// Stop shuts the server down cleanly, but disconnects its clients.
func (c *Cluster) Stop(t testing.TB) { c.mustEnd(t, syscall.SIGINT) }

// Kill stops the server immediately, as a crash would.
func (c *Cluster) Kill(t testing.TB) { c.mustEnd(t, syscall.SIGQUIT) }

func (c *Cluster) mustEnd(t testing.TB, s syscall.Signal) {
	t.Helper()
	if !c.end(s) {
		t.Fatalf("pgtest: the server did not stop within %s", patience)
	}
}

// Start starts the server again after Stop or Kill, on the same port with the
// same data.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	if err := c.boot(); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
}

// Pause freezes the server: connections stay open, but get no response.
func (c *Cluster) Pause(t testing.TB) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.admin)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // its process is frozen
	c.paused = []int{c.process.Pid}
	c.signal(freeze) // from now on the server starts no new processes
	rows, err := conn.Query(t.Context(), "SELECT pid FROM pg_stat_activity")
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	c.paused = append(c.paused, pids...)
	c.signal(freeze)
}

// Resume continues the server after Pause.
func (c *Cluster) Resume() { c.resume() }

func (c *Cluster) resume() {
	c.signal(thaw)
	c.paused = nil
}

func (c *Cluster) signal(s syscall.Signal) {
	for _, pid := range c.paused {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Signal(s) // the process may have exited
		}
	}
}

// sweepAbandoned removes directories left behind by test processes that died before
// they could remove them.
func sweepAbandoned() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")) // the pattern is valid
	if memory := prove.Memory(); memory != "" {
		more, _ := filepath.Glob(filepath.Join(memory, folderPrefix+"*"))
		dirs = append(dirs, more...)
	}
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil {
			continue
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.Signal(0))
		}
		if errors.Is(err, os.ErrProcessDone) {
			_ = os.RemoveAll(dir) // the next run tries again
		}
	}
}
