package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
)

// TestOutageWithAFullDiskAsksNothingThatIsNotWrittenDown: while the database is unavailable and the
// journal's disk is full, no provider is called, because the call could not be recorded. Once there is
// space again, the router recovers by itself, and every answer is in the ledger.
func TestOutageWithAFullDiskAsksNothingThatIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	r := newOutageRig(t, "journal: "+filepath.Join(disk, "journal")+"\n")
	r.load(t, 2*time.Second)
	r.cluster.Stop(t)
	filler := filepath.Join(disk, "filler")
	fillUp(t, filler, disk)

	served := r.untilRefused(t)
	if status, body := r.p.get("public", "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz with a full disk: %d %s", status, body)
	}
	t.Logf("%d served until the disk was full", served)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	prove.Eventually(t, "there is space again", func() bool {
		a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: r.keys[0], most: 3})
		return err == nil && a.status == http.StatusOK
	})
	r.cluster.Start(t)
	r.p.await(http.StatusOK)
	r.arrived(t)
	quit(t, r.c)
	db := pgtest.Connect(t, r.dsn)
	compared(t, db, r.crowd, r.biller)
	clean(t, db, r.commands)
}

// fillUp fills a disk up to its last few pages.
func fillUp(t *testing.T, file, disk string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(disk, &fs); err != nil {
		t.Fatal(err)
	}
	const leave = 16 << 10
	size := int64(fs.Bavail)*fs.Bsize - leave
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// untilRefused sends requests until the journal has no room left, and checks that refused requests
// reach no provider. It returns how many were served.
func (r *outageRig) untilRefused(t *testing.T) int {
	t.Helper()
	served, refused := 0, 0
	for began := time.Now(); refused < 20; {
		if time.Since(began) > prove.Patience {
			t.Fatalf("%d served, %d refused: the journal does not fill up", served, refused)
		}
		asked := r.biller.asked.Load()
		a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: r.keys[0], most: 3})
		switch {
		case err != nil:
			t.Fatal(err)
		case a.status == http.StatusOK:
			served++
		case a.status == http.StatusServiceUnavailable && strings.Contains(string(a.body), "ledger_unavailable") &&
			a.header.Get("Retry-After") != "":
			refused++
			if r.biller.asked.Load() != asked {
				t.Error("a refused request reached the provider")
			}
		default:
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	return served
}

// TestOutageWithAFullJournalKeepsItsBound: while the database is unavailable, the journal grows up to its
// limit, and it shrinks by itself when the database is back.
func TestOutageWithAFullJournalKeepsItsBound(t *testing.T) {
	t.Parallel()
	const bound = 2 << 20 // more than the requests in progress on a busy machine need
	r := newOutageRig(t, fmt.Sprintf("journal_max_bytes: %d\n", bound))
	r.load(t, 2*time.Second)
	r.cluster.Stop(t)
	served := r.untilRefused(t)
	if size := sizeOf(t, journalOf(r.config)); size < bound/2 || size > bound+bound/4 { // a quarter more for what has been posted already
		t.Errorf("refused with %d bytes in a journal of %d", size, bound)
	}
	r.cluster.Start(t)
	r.p.await(http.StatusOK)
	prove.Eventually(t, "there is room again", func() bool {
		a, err := r.crowd.ask(t.Context(), question{base: r.p.base(), key: r.keys[0], most: 3})
		return err == nil && a.status == http.StatusOK
	})
	r.arrived(t)
	t.Logf("%d served; %d bytes are left", served, sizeOf(t, journalOf(r.config)))
	quit(t, r.c)
	db := pgtest.Connect(t, r.dsn)
	compared(t, db, r.crowd, r.biller)
	clean(t, db, r.commands)
}

// sizeOf returns the total size of the files in a directory.
func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
