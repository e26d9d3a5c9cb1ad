package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestLogThatHasFilledItsDiskAloneIsEmptied: all of the log is in the segment being written,
// which Drop never removes.
func TestLogThatHasFilledItsDiskAloneIsEmptied(t *testing.T) {
	withFaults(t, Options{}, func(t *testing.T, l *Log, d *faultyDisk) {
		mustAppend(t, l, "one", "two")
		if err := l.Empty(); err != nil || l.Size() == 0 {
			t.Fatalf("emptied although there is space: %v", err)
		}
		for _, call := range []string{"write", "create"} {
			d.set(call, syscall.ENOSPC)
		}
		if _, err := l.Append([]byte("three")); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		if err := l.Drop(l.Active()); err != nil || l.Err() == nil {
			t.Fatalf("drop: %v, %v", err, l.Err())
		}
		if err := l.Empty(); err != nil || l.Size() != 0 {
			t.Fatalf("%v, %d bytes", err, l.Size())
		}
		if _, err := os.Stat(filepath.Join(l.dir, Segment(1).file())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the segment is still there: %v", err)
		}
		for _, call := range []string{"write", "create"} {
			d.set(call, nil)
		}
		time.Sleep(3 * l.opt.Interval)
		if err := l.Err(); err != nil {
			t.Errorf("with space: %v", err)
		}
		mustAppend(t, l, "four")
		expect(t, l, "four")
	})
}

// TestProcessThatStartsOnTheDiskThatItsLogFilledMakesRoom: no segment can be started until
// the old ones are gone.
func TestProcessThatStartsOnTheDiskThatItsLogFilledMakesRoom(t *testing.T) {
	withFaults(t, Options{}, func(t *testing.T, l *Log, d *faultyDisk) {
		mustAppend(t, l, "one")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		d.set("create", syscall.ENOSPC)
		next, err := open(l.dir, Options{}, d)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = next.Close() }()
		if got, err := replayed(next); err != nil || !slices.Equal(got, []string{"one"}) {
			t.Fatalf("%q, %v", got, err)
		}
		if err := next.Empty(); err != nil || next.Size() != 0 {
			t.Fatalf("%v, %d bytes", err, next.Size())
		}
		d.set("create", nil)
		time.Sleep(3 * next.opt.Interval)
		mustAppend(t, next, "two")
		expect(t, next, "two")
	})
}

// TestDeletedFilesAreNoticedAndTheLogGoesOn, whatever of them is gone.
func TestDeletedFilesAreNoticedAndTheLogGoesOn(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"the directory":           os.RemoveAll,
		"the directory, moved":    func(dir string) error { return os.Rename(dir, dir+".away") },
		"the segments":            func(dir string) error { return os.Remove(filepath.Join(dir, Segment(1).file())) },
		"the lock":                func(dir string) error { return os.Remove(filepath.Join(dir, lockFile)) },
		"all that is in it":       func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)) },
		"the parent's as well":    func(dir string) error { return os.RemoveAll(filepath.Dir(dir)) },
		"and a file stands there": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data", "journal")
			l, err := Open(dir, Options{Interval: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			mustAppend(t, l, "one")
			if err := l.Restore(); err != nil {
				t.Fatalf("with all in place: %v", err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			err = l.Restore()
			if !errors.Is(err, ErrLost) {
				t.Fatalf("%v", err)
			}
			if name == "and a file stands there" {
				if _, err := l.Append([]byte("to a deleted file")); !errors.Is(err, ErrFailed) || l.Err() == nil {
					t.Errorf("requests may go on although nothing can be written: %v, %v", err, l.Err())
				}
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
				if err := l.Restore(); !errors.Is(err, ErrLost) {
					t.Fatal(err)
				}
			}
			if err := errors.Join(l.Err(), l.Restore()); err != nil {
				t.Fatalf("once restored: %v", err)
			}
			mustAppend(t, l, "two")
			if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
				t.Errorf("another process may use it: %v", err)
			}
			id := l.ID()
			_ = l.Close()
			next, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = next.Close() }()
			got, _ := replayed(next)
			if next.ID() != id || !slices.Contains(got, "two") {
				t.Errorf("%s for %s, %q", next.ID(), id, got)
			}
		})
	}
}
