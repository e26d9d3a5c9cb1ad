package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faultyDisk is a real directory in which calls fail when the test says so. What
// fails is named like "write 0000000000000001.log".
type faultyDisk struct {
	realDisk

	mu    sync.Mutex
	fails map[string]error
	part  int // bytes of a write that fails that are written nevertheless
	calls []string
}

// set makes calls that begin so fail with err, or succeed again with nil.
func (d *faultyDisk) set(call string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails == nil {
		d.fails = make(map[string]error)
	}
	d.fails[call] = err
}

func (d *faultyDisk) ask(call string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	for prefix, err := range d.fails {
		if err != nil && strings.HasPrefix(call, prefix) {
			return err
		}
	}
	return nil
}

func (d *faultyDisk) count(call string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

func (d *faultyDisk) create(name string) (file, error) {
	if err := d.ask("create " + name); err != nil {
		return nil, err
	}
	f, err := d.realDisk.create(name)
	return &faultyFile{f, d, name}, err
}

func (d *faultyDisk) remove(name string) error {
	if err := d.ask("remove " + name); err != nil {
		return err
	}
	return d.realDisk.remove(name)
}

func (d *faultyDisk) sync() error {
	if err := d.ask("names"); err != nil {
		return err
	}
	return d.realDisk.sync()
}

type faultyFile struct {
	file
	disk *faultyDisk
	name string
}

func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	err := f.disk.ask("write " + f.name)
	if err == nil {
		return f.file.WriteAt(b, at)
	}
	n, _ := f.file.WriteAt(b[:min(f.disk.part, len(b))], at)
	if errors.Is(err, io.ErrShortWrite) {
		err = nil // the caller must see it from n alone
	}
	return n, err
}

func (f *faultyFile) Truncate(n int64) error {
	if err := f.disk.ask("truncate " + f.name); err != nil {
		return err
	}
	return f.file.Truncate(n)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.ask("sync " + f.name); err != nil {
		return err
	}
	return f.file.Sync()
}

// withFaults runs a test with a log on a faulty disk, in the time of a bubble.
func withFaults(t *testing.T, o Options, test func(t *testing.T, l *Log, d *faultyDisk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &faultyDisk{realDisk: realDisk(t.TempDir())}
		l, err := open(string(d.realDisk), o, d)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		test(t, l, d)
	})
}

// expect closes the log and checks what the next process reads.
func expect(t *testing.T, l *Log, want ...string) {
	t.Helper()
	_ = l.Close()
	next, err := Open(l.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Close() }()
	if got, err := replayed(next); err != nil || !slices.Equal(got, want) {
		t.Errorf("replayed %q, %v; want %q", got, err, want)
	}
}

func appendFails(t *testing.T, l *Log, rec string, kind error) {
	t.Helper()
	if _, err := l.Append([]byte(rec)); !errors.Is(err, kind) {
		t.Errorf("append of %q: %v, want %v", rec, err, kind)
	}
	if err := l.Err(); !errors.Is(err, kind) {
		t.Errorf("Err is %v, want %v", err, kind)
	}
}

// TestFullDiskRefusesAndHeals: while the disk is full, nothing is written partly, and the
// first append once there is space succeeds.
func TestFullDiskRefusesAndHeals(t *testing.T) {
	for _, part := range []int{0, 1, 4, 11, 12, 13, 30, 40} {
		withFaults(t, Options{}, func(t *testing.T, l *Log, d *faultyDisk) {
			d.part = part
			mustAppend(t, l, "before")
			d.set("write", syscall.ENOSPC)
			appendFails(t, l, "lost, and much longer than the next", ErrFull)
			appendFails(t, l, "lost", ErrFull)
			d.set("write", nil)
			if s := mustAppend(t, l, "after"); s != 1 {
				t.Errorf("in segment %d", s)
			}
			if err := l.Err(); err != nil {
				t.Error(err)
			}
			if want := int64(len(image(1, 0, "before", "after"))); l.Size() != want {
				t.Errorf("size is %d, want %d", l.Size(), want)
			}
			expect(t, l, "before", "after")
		})
	}
}

// TestFullDiskHealsAlone is for a replica that nobody sends requests because it
// says that it is not ready.
func TestFullDiskHealsAlone(t *testing.T) {
	withFaults(t, Options{}, func(t *testing.T, l *Log, d *faultyDisk) {
		d.part = 40
		d.set("write", syscall.ENOSPC)
		d.set("truncate", syscall.EIO)
		appendFails(t, l, "lost, and longer than the next one", ErrFull)
		time.Sleep(time.Second)
		if !errors.Is(l.Err(), ErrFull) {
			t.Errorf("still full: %v", l.Err())
		}
		d.set("write", nil)
		time.Sleep(l.opt.Interval + time.Millisecond)
		synctest.Wait()
		if err := l.Err(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(l.path(probeFile)); !os.IsNotExist(err) {
			t.Errorf("the probe is still there: %v", err)
		}
		n := d.count("")
		time.Sleep(time.Minute)
		synctest.Wait()
		if more := d.count("") - n; more > 0 {
			t.Errorf("%d calls although nothing happens", more)
		}
		mustAppend(t, l, "after")
		expect(t, l, "after")
	})
}

// TestFailedWriteIsNotAcknowledged: after a failed write the log abandons the segment and
// continues in a new one, once that has been synced.
func TestFailedWriteIsNotAcknowledged(t *testing.T) {
	for _, failure := range []error{syscall.EIO, io.ErrShortWrite} {
		for _, truncate := range []error{nil, syscall.EIO} {
			withFaults(t, Options{}, func(t *testing.T, l *Log, d *faultyDisk) {
				d.part = 17
				mustAppend(t, l, "before")
				d.set("write", failure)
				d.set("truncate", truncate)
				appendFails(t, l, "lost, whatever happens", ErrFailed)
				d.set("sync", syscall.EIO)
				d.set("write", nil)
				appendFails(t, l, "too early", ErrFailed)
				time.Sleep(time.Second)
				appendFails(t, l, "nothing can be synced yet", ErrFailed)
				d.set("sync", nil)
				time.Sleep(l.opt.Interval + time.Millisecond)
				synctest.Wait()
				if err := l.Err(); err != nil {
					t.Fatal(err)
				}
				if s := mustAppend(t, l, "after"); s < 3 {
					t.Errorf("in segment %d", s)
				}
				expect(t, l, "before", "after")
			})
		}
	}
}

// TestSyncIsNeverRepeated: a kernel forgets what it could not write and reports success for
// the next sync of the same file.
func TestSyncIsNeverRepeated(t *testing.T) {
	for _, sync := range []Sync{SyncAlways, SyncInterval} {
		withFaults(t, Options{Sync: sync}, func(t *testing.T, l *Log, d *faultyDisk) {
			mustAppend(t, l, "before")
			time.Sleep(l.opt.Interval + time.Millisecond)
			synctest.Wait()
			synced := d.count("sync 0000000000000001")
			want := []string{"before"}
			d.set("sync 0000000000000001", syscall.EIO)
			if sync == SyncAlways {
				appendFails(t, l, "lost", ErrFailed)
			} else {
				mustAppend(t, l, "in the file")
				want = append(want, "in the file")
				time.Sleep(l.opt.Interval)
				synctest.Wait()
				appendFails(t, l, "lost", ErrFailed)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if s := mustAppend(t, l, "after"); s != 2 {
				t.Errorf("in segment %d", s)
			}
			if err := l.Err(); err != nil {
				t.Error(err)
			}
			if size := int64(len(image(1, 0, want...)) + len(image(2, 0, "after"))); l.Size() != size {
				t.Errorf("size is %d, want %d", l.Size(), size)
			}
			expect(t, l, append(want, "after")...)
			if n := d.count("sync 0000000000000001"); n != synced+1 {
				t.Errorf("%d syncs after the one that failed", n-synced-1)
			}
		})
	}
}

// TestNamesAreSynced: a file whose directory entry is not on disk is lost in a power cut.
func TestNamesAreSynced(t *testing.T) {
	withFaults(t, Options{Sync: SyncAlways, SegmentBytes: 100}, func(t *testing.T, l *Log, d *faultyDisk) {
		mustAppend(t, l, "a")
		if d.count("names") != 1 {
			t.Fatalf("calls: %q", d.calls)
		}
		mustAppend(t, l, "b")
		if d.count("names") != 1 {
			t.Errorf("the name is synced again: %q", d.calls)
		}
		mustAppend(t, l, strings.Repeat("c", 100))
		if d.count("names") != 2 {
			t.Errorf("the name of the second segment is not: %q", d.calls)
		}
		d.set("names", syscall.EIO)
		appendFails(t, l, strings.Repeat("d", 100), ErrFailed)
	})
}

// TestNoNewSegment goes on in the old one when there can be no new one.
func TestNoNewSegment(t *testing.T) {
	withFaults(t, Options{SegmentBytes: 100}, func(t *testing.T, l *Log, d *faultyDisk) {
		big := strings.Repeat("x", 60)
		mustAppend(t, l, big)
		d.set("create", syscall.EMFILE)
		mustAppend(t, l, big)
		d.set("create", nil)
		d.set("write 0000000000000002", syscall.ENOSPC) // its header
		d.set("remove", syscall.EIO)
		if s := mustAppend(t, l, big); s != 1 || l.Active() != 1 {
			t.Errorf("in segment %d of %d", s, l.Active())
		}
		d.set("write 0000000000000002", nil)
		if s := mustAppend(t, l, big); s != 2 || l.Active() != 2 {
			t.Errorf("in segment %d of %d", s, l.Active())
		}
		expect(t, l, big, big, big, big)
	})
}

// TestDropFails leaves the log in order when a segment cannot be removed.
func TestDropFails(t *testing.T) {
	withFaults(t, Options{SegmentBytes: 100}, func(t *testing.T, l *Log, d *faultyDisk) {
		big := strings.Repeat("x", 60)
		mustAppend(t, l, big, big, big)
		size := l.Size()
		d.set("remove 0000000000000001", syscall.EIO)
		if err := l.Drop(3); !errors.Is(err, ErrFailed) || l.Size() != size {
			t.Errorf("drop: %v, %d bytes", err, l.Size())
		}
		if err := os.Remove(filepath.Join(l.dir, Segment(1).file())); err != nil {
			t.Fatal(err)
		}
		d.set("remove 0000000000000001", os.ErrNotExist)
		names := d.count("names")
		if err := l.Drop(2); err != nil || l.Size() >= size {
			t.Errorf("drop: %v, %d bytes", err, l.Size())
		}
		if n := d.count("names") - names; n != 1 {
			t.Errorf("the names were synced %d times for one segment", n)
		}
		d.set("names", syscall.EIO)
		if err := l.Drop(3); !errors.Is(err, ErrFailed) {
			t.Errorf("drop: %v", err)
		}
		expect(t, l, big)
	})
}

// TestOpenOnAFullDisk lets old records be read and dropped, so that space comes.
func TestOpenOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &faultyDisk{realDisk: realDisk(t.TempDir())}
		put(t, string(d.realDisk), 1, image(1, 0, "old"))
		d.set("create", syscall.ENOSPC)
		l, err := open(string(d.realDisk), Options{}, d)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		appendFails(t, l, "lost", ErrFull)
		if got, err := replayed(l); err != nil || !slices.Equal(got, []string{"old"}) {
			t.Errorf("replayed %q, %v", got, err)
		}
		d.set("create", nil)
		if s := mustAppend(t, l, "new"); s != 2 {
			t.Errorf("in segment %d", s)
		}
		expect(t, l, "old", "new")
	})
}

// TestOpenOnABrokenDisk fails, and leaves nothing locked or running.
func TestOpenOnABrokenDisk(t *testing.T) {
	d := &faultyDisk{realDisk: realDisk(t.TempDir())}
	d.set("create", syscall.EIO)
	if _, err := open(string(d.realDisk), Options{}, d); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	mustOpen(t, string(d.realDisk), Options{})
}

// TestJournalKeepsItsBound: a full log refuses records, even if it has only one segment, and
// accepts them again after a drop.
func TestJournalKeepsItsBound(t *testing.T) {
	withFaults(t, Options{MaxBytes: 4000}, func(t *testing.T, l *Log, d *faultyDisk) {
		var want []string
		for i := 0; ; i++ {
			rec := fmt.Sprintf("%0100d", i)
			if _, err := l.Append([]byte(rec)); err != nil {
				break
			}
			want = append(want, rec)
		}
		appendFails(t, l, strings.Repeat("x", 100), ErrFull)
		if l.Size() > 4000 || len(want) < 30 {
			t.Errorf("%d bytes, %d records", l.Size(), len(want))
		}
		time.Sleep(time.Second) // what is written is synced
		synctest.Wait()
		n := d.count("")
		time.Sleep(time.Minute)
		synctest.Wait()
		if more := d.count("") - n; more > 0 {
			t.Errorf("%d calls although only Drop helps", more)
		}
		if err := l.Drop(2); err != nil {
			t.Fatal(err)
		}
		if err := l.Err(); err != nil {
			t.Error(err)
		}
		mustAppend(t, l, "after")
		kept := len(want)
		_ = l.Close()
		next, err := Open(l.dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = next.Close() }()
		got, err := replayed(next)
		if err != nil || len(got) >= kept || !slices.Equal(append(slices.Clone(want[kept-len(got)+1:]), "after"), got) {
			t.Errorf("replayed %d of %d, %v", len(got), kept, err)
		}
	})
}
