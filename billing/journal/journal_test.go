package journal

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// mustOpen opens a log that is closed at the end of the test.
func mustOpen(t *testing.T, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAppend(t *testing.T, l *Log, recs ...string) Segment {
	t.Helper()
	var s Segment
	for _, rec := range recs {
		var err error
		if s, err = l.Append([]byte(rec)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func mustClose(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// replayed is what a new process would read.
func replayed(l *Log) ([]string, error) {
	var recs []string
	err := l.Replay(func(_ Segment, rec []byte) error {
		recs = append(recs, string(rec))
		return nil
	})
	return recs, err
}

func TestAppendAndReplay(t *testing.T) {
	for _, sync := range []Sync{SyncAlways, SyncInterval, SyncOff} {
		t.Run(string(sync), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, dir, Options{Sync: sync, SegmentBytes: 200})
			var want []string
			for i := range 30 {
				want = append(want, fmt.Sprintf("record %d", i))
				mustAppend(t, l, want[i])
			}
			if got, err := replayed(l); err != nil || len(got) != 0 {
				t.Fatalf("a process replays its own records: %q, %v", got, err)
			}
			id := l.ID()
			mustClose(t, l)

			l = mustOpen(t, dir, Options{Sync: sync})
			for range 3 {
				got, err := replayed(l)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("replayed %q, %v", got, err)
				}
			}
			if l.ID() != id {
				t.Errorf("the id was %s and is %s", id, l.ID())
			}
			if err := l.Drop(l.Active()); err != nil {
				t.Fatal(err)
			}
			if got, err := replayed(l); err != nil || len(got) != 0 || l.Size() != headerSize {
				t.Errorf("after dropping all: %q, %v, %d bytes", got, err, l.Size())
			}
		})
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	if want := fmt.Sprintf("pid %d", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name %s", err, want)
	}
	mustClose(t, l)
	mustOpen(t, dir, Options{})
}
