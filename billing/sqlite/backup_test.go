package sqlite

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing"
)

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	rows, err := s.Events(t.Context(), billing.EventQuery{KeyID: "key_1"})
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
}

func postOne(ctx context.Context, s *Store, n int) error {
	_, err := s.Post(ctx, billing.Posting{Rows: []billing.Spend{{
		OccurredAt: time.Now(), Kind: billing.KindUsage, RequestID: fmt.Sprintf("req_%d", n), Attempt: 1, Final: true,
		Owner:    billing.Owner{KeyID: "key_1"},
		Provider: "acme", Model: "large", Status: billing.StatusOK, UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 7},
		Pricing: billing.Priced, Cost: billing.Cost{Input: 1500, Total: 1500},
	}}})
	return err
}

// TestFileOfAClosedStoreHoldsEverything copies only the database file itself, without the files
// beside it.
func TestFileOfAClosedStoreHoldsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	s := openAt(t, path)
	if err := postOne(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		t.Errorf("%d bytes are still in the log beside the file", log.Size())
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openAt(t, copied)); n != 1 {
		t.Errorf("the copy has %d rows", n)
	}
}

// TestBackupIsWholeWhileOthersWrite takes copies while rows come in. Each copy passes the
// integrity check and has everything that was stored before it was begun.
func TestBackupIsWholeWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "t.db"))
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := postOne(context.WithoutCancel(ctx), s, n); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for n := range 3 {
		before := count(t, s)
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", n))
		if err := s.Backup(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		if mode := statMode(t, path); mode != 0o600 {
			t.Errorf("others may read it: %v", mode)
		}
		b := openAt(t, path)
		report, err := b.CheckIntegrity(t.Context(), billing.IntegrityOptions{Now: time.Now(), Digests: true})
		if err != nil || report.Breaches != 0 {
			t.Errorf("%+v, %v", report, err)
		}
		if after := count(t, b); after < before {
			t.Errorf("%d rows of %d", after, before)
		}
	}
	stop()
	writing.Wait()
	if err := s.Backup(t.Context(), filepath.Join(dir, "copy0.db")); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a file was written over: %v", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "none", "copy.db")); err == nil {
		t.Error("a folder that is not there was written to")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".tallyroute-backup-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func statMode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}
