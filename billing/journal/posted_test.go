package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func countPosted(t *testing.T, dir string) (n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), postedSuffix) {
			n++
		}
	}
	return n
}

// TestHistoryHasWhatWasDropped, in order, until it is too old, too much, or in
// the way, and replays nothing of it.
func TestHistoryHasWhatWasDropped(t *testing.T) {
	dir := t.TempDir()
	o := Options{Sync: SyncOff, SegmentBytes: 1000, MaxBytes: 40_000, Keep: time.Hour}
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	const records = 50
	for i := range records {
		if _, err := l.Append(bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Drop(l.Active()); err != nil {
		t.Fatal(err)
	}
	if l.Size() > 1100 {
		t.Errorf("what was dropped counts: %d bytes", l.Size())
	}
	history := func() (list []byte) {
		if err := l.History(func(_ Segment, rec []byte) error {
			list = append(list, rec[0])
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return list
	}
	if got := history(); len(got) != records || got[0] != 0 || got[records-1] != records-1 {
		t.Errorf("%v", got)
	}
	for i := range 200 { // a quarter of MaxBytes is kept
		if _, err := l.Append(bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Drop(l.Active()); err != nil {
		t.Fatal(err)
	}
	if n := countPosted(t, dir); n == 0 || n > 11 {
		t.Errorf("%d segments are kept", n)
	}
	old := time.Now().Add(-2 * time.Hour)
	oldest := l.posted()[0].Name()
	if err := os.Chtimes(filepath.Join(dir, oldest), old, old); err != nil {
		t.Fatal(err)
	}
	l.prune()
	if l.posted()[0].Name() == oldest {
		t.Error("an old one is kept")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	if l, err = Open(dir, o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	replayed := 0
	if err := l.Recover(func(Segment, []byte) error { replayed++; return nil }); err != nil || replayed > 10 {
		t.Errorf("%d records are replayed, %v", replayed, err)
	}
	if got := history(); len(got) < 50 {
		t.Errorf("%d records are known", len(got))
	}
	l.Forget()
	if n := countPosted(t, dir); n != 0 {
		t.Errorf("%d segments are kept", n)
	}
}
