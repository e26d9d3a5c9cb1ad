package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

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

// replayed returns what a new process would read.
func replayed(l *Log) ([]string, error) {
	var recs []string
	err := l.Recover(func(_ Segment, rec []byte) error {
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

// TestLockedByAnother: a log can't be opened while another process has it open, but can be once
// that process has died.
func TestLockedByAnother(t *testing.T) {
	dir := t.TempDir()
	cmd := childProcess(t, dir, SyncOff, 1)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{})
	if want := fmt.Sprintf("pid %d ", cmd.Process.Pid); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %s", err, want)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	mustOpen(t, dir, Options{})
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l := mustOpen(t, dir, Options{})
	mustAppend(t, l, "a")
	mustClose(t, l)
	if err := os.WriteFile(filepath.Join(dir, Segment(2).file()), bytes.Repeat([]byte("x"), 99), 0o600); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, Options{})
	if _, err := replayed(l); !errors.As(err, new(*DamageError)) {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestID(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	if !strings.HasPrefix(l.ID(), "rep_") || len(l.ID()) != 30 {
		t.Errorf("the id is %q", l.ID())
	}
	if other := mustOpen(t, t.TempDir(), Options{}); other.ID() == l.ID() {
		t.Errorf("two directories are %s", l.ID())
	}
	mustClose(t, l)
	for _, bad := range []string{"", "rep_", "rep_x", l.ID()[:20], "key" + l.ID()[3:]} {
		if err := os.WriteFile(filepath.Join(dir, idFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Sync: "sometimes"}, {Interval: -1}, {SegmentBytes: -1}, {MaxBytes: -1}} {
		if _, err := Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestSizeOfRecords(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for _, n := range []int{0, MaxRecord + 1} {
		if _, err := l.Append(make([]byte, n)); !errors.Is(err, ErrRecord) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	want := strings.Repeat("x", MaxRecord)
	mustAppend(t, l, want, "y")
	expect(t, l, want, "y")
}

// TestReplayStops at the error of the visitor.
func TestReplayStops(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, 1, image(1, 0, "a", "b"))
	l := mustOpen(t, dir, Options{})
	stop := errors.New("stop")
	n := 0
	if err := l.Recover(func(Segment, []byte) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%v after %d records", err, n)
	}
}

// TestSegments says which records Drop takes away.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{SegmentBytes: 100})
	big := strings.Repeat("x", 50)
	for want := Segment(1); want <= 5; want++ {
		if s := mustAppend(t, l, big); s != want || l.Active() != want {
			t.Errorf("in segment %d of %d, want %d", s, l.Active(), want)
		}
	}
	for _, before := range []Segment{0, 1, 3, 3, 2} {
		if err := l.Drop(before); err != nil {
			t.Fatal(err)
		}
	}
	if want := int64(3 * len(image(1, 0, big))); l.Size() != want {
		t.Errorf("size is %d, want %d", l.Size(), want)
	}
	if err := l.Drop(1 << 60); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, "y")
	expect(t, l, big, "y") // the newest segment stays
}

// TestTogether appends, drops, looks and closes at once; the race detector
// watches. What was acknowledged and not dropped is there.
func TestTogether(t *testing.T) {
	for _, sync := range []Sync{SyncAlways, SyncInterval, SyncOff} {
		t.Run(string(sync), func(t *testing.T) { together(t, sync) })
	}
}

func together(t *testing.T, mode Sync) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{Sync: mode, SegmentBytes: 4000, Interval: time.Millisecond})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := make(map[string]Segment)
	enough := make(chan struct{})
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				rec := fmt.Sprint(w, " ", i)
				s, err := l.Append([]byte(rec))
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[rec] = s
				if len(acked) == 2000 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	dropped := Segment(0)
	wg.Go(func() {
		for {
			select {
			case <-enough:
				return
			default:
			}
			if s := l.Active(); s > 5 {
				dropped = s - 5
			}
			if err := errors.Join(l.Drop(dropped), l.Err()); err != nil || l.Size() <= 0 {
				t.Error(err, l.Size())
			}
		}
	})
	<-enough
	mustClose(t, l)
	wg.Wait()

	next := mustOpen(t, dir, Options{})
	got, err := replayed(next)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range got {
		delete(acked, rec)
	}
	for rec, s := range acked {
		if s >= dropped {
			t.Errorf("%s of segment %d is not there", rec, s)
		}
	}
}

// TestAppendAllocatesNothing because it is on the way of every request.
func TestAppendAllocatesNothing(t *testing.T) {
	l := mustOpen(t, t.TempDir(), Options{Sync: SyncOff})
	rec := make([]byte, 300)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := l.Append(rec); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
