package journal

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Segments that were dropped stay beside the log for Options.Keep under another
// name: what they hold is stored elsewhere, and may have to be stored again if
// that turns out to be older than it was. They are not part of the log: they do
// not count, and go first where space is wanted.
const postedSuffix = ".posted"

func (s Segment) postedFile() string { return s.String() + postedSuffix }

// putAside takes a segment out of the log.
func (l *Log) putAside(s Segment) error {
	if l.opt.Keep > 0 && l.Err() == nil {
		if err := l.disk.rename(s.file(), s.postedFile()); err == nil {
			now := time.Now()
			_ = os.Chtimes(l.path(s.postedFile()), now, now) // else it goes earlier
			return nil
		}
	}
	return l.disk.remove(s.file())
}

// posted lists what was put aside, oldest first.
func (l *Log) posted() []fs.FileInfo {
	entries, _ := os.ReadDir(l.dir) // sorted by name, which is by number
	var list []fs.FileInfo
	for _, e := range entries {
		if _, ok := postedSegment(e.Name()); !ok {
			continue
		}
		if info, err := e.Info(); err == nil {
			list = append(list, info)
		}
	}
	return list
}

func postedSegment(name string) (Segment, bool) {
	number, ok := strings.CutSuffix(name, postedSuffix)
	if !ok {
		return 0, false
	}
	return segmentOf(number + suffix)
}

// spare is how much may be kept beside the log: a quarter of MaxBytes, as long
// as all of it stays within MaxBytes when the active segment is full.
func (l *Log) spare() int64 { return min(l.opt.MaxBytes/4, l.opt.MaxBytes-l.Size()-l.opt.SegmentBytes) }

// prune removes what was put aside too long ago, and what is too much.
func (l *Log) prune() {
	list, room := l.posted(), l.spare()
	for _, f := range slices.Backward(list) {
		if room -= f.Size(); room < 0 || time.Since(f.ModTime()) > l.opt.Keep {
			_ = os.Remove(l.path(f.Name())) // it is tried again with the next
		}
	}
}

// Forget removes everything that was put aside.
func (l *Log) Forget() {
	for _, f := range l.posted() {
		_ = os.Remove(l.path(f.Name())) // it is in nobody's way
	}
}

// History hands over the records of what was put aside and of the log, oldest
// first, as far as they can be read. rec is valid only during the call. It stops
// at the first error of visit and returns it. What is written meanwhile may or
// may not be seen.
func (l *Log) History(visit func(s Segment, rec []byte) error) error {
	type part struct {
		number Segment
		size   int64 // -1 is all
	}
	var parts []part
	for _, f := range l.posted() {
		n, _ := postedSegment(f.Name())
		parts = append(parts, part{n, -1})
	}
	l.mu.Lock()
	for _, s := range l.all {
		parts = append(parts, part{s.number, s.size})
	}
	l.mu.Unlock()
	for _, p := range parts {
		data, err := os.ReadFile(l.path(p.number.file()))
		if errors.Is(err, fs.ErrNotExist) {
			data, err = os.ReadFile(l.path(p.number.postedFile()))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned meanwhile
		}
		if err != nil {
			return failure(ErrFailed, "read", err)
		}
		if p.size >= 0 {
			data = data[:min(int64(len(data)), p.size)]
		}
		if _, err := scan(p.number, data, 0, func(rec []byte) error { return visit(p.number, rec) }); err != nil {
			return err
		}
	}
	return nil
}

// Drop takes the segments older than before, whose records are stored
// elsewhere, out of the log; the newest segment always stays. It may be called again.
func (l *Log) Drop(before Segment) error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	defer l.prune()
	for {
		s := l.oldest(before)
		if s == nil {
			return nil
		}
		if err := l.putAside(s.number); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure(ErrFailed, "drop a segment", err)
		}
		l.forget(s)
		// One after the other: a file that is gone before an older one looks lost.
		if err := l.disk.sync(); err != nil {
			return failure(ErrFailed, "drop a segment", err)
		}
	}
}

// oldest is the first segment if it may be dropped.
func (l *Log) oldest(before Segment) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.all) == 0 || l.all[0].number >= min(before, l.Active()) {
		return nil
	}
	return l.all[0]
}

// forget takes the oldest segment out of the books.
func (l *Log) forget(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[0] = nil
	l.all = l.all[1:]
	l.size.Add(-s.size)
	if f := l.fault.Load(); f != nil && f.cap {
		l.fault.Store(nil)
	}
}
