package journal

import (
	"bytes"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSmallDiskRefusesAndHeals fills a real file system of 8 MB.
func TestSmallDiskRefusesAndHeals(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small disk needs the right to mount one: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(disk, "journal")
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(dir, Options{SegmentBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		acked := fill(t, l)
		if err := l.Drop(3); err != nil {
			t.Fatal(err)
		}
		pass := func() { // the files that were dropped are closed, the log looks at the disk
			time.Sleep(2*l.opt.Interval + time.Millisecond)
			synctest.Wait()
		}
		pass()
		if n := fill(t, l); n < 1000 {
			t.Errorf("only %d records in the space of two segments", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}

		// A process that starts on the full disk reads and makes room.
		l, err = Open(dir, Options{SegmentBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		n := 0
		if err := l.Recover(func(Segment, []byte) error { n++; return nil }); err != nil {
			t.Error(err)
		}
		if n < acked/2 {
			t.Errorf("%d records of %d", n, acked)
		}
		fill(t, l)
		if err := l.Drop(l.Active()); err != nil {
			t.Fatal(err)
		}
		pass()
		if err := l.Err(); err != nil {
			t.Errorf("there is space again: %v", err)
		}
		fill(t, l)
	})
}

// fill appends until the disk is full, and returns how many records went in.
func fill(t *testing.T, l *Log) int {
	t.Helper()
	rec := bytes.Repeat([]byte("x"), 1000)
	for n := 0; ; n++ {
		if n > 10_000 {
			t.Fatal("the disk does not get full")
		}
		if _, err := l.Append(rec); err != nil {
			if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) || !errors.Is(l.Err(), ErrFull) {
				t.Errorf("full: %v, then %v", err, l.Err())
			}
			return n
		}
	}
}
