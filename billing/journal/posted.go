package journal

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Dropped segments stay beside the log for Options.Keep under another name: their
// contents are stored elsewhere, and may have to be stored again if that storage turns
// out to have gone back in time. They are not part of the log: they do not count
// towards its size, and are removed first when space is needed.
const postedSuffix = ".posted"

func (s Segment) postedFile() string { return s.String() + postedSuffix }

// putAside takes a segment out of the log but keeps its file.
func (l *Log) putAside(s Segment) error {
	if l.opt.Keep > 0 && l.Err() == nil {
		if err := l.disk.rename(s.file(), s.postedFile()); err == nil {
			now := time.Now()
			_ = os.Chtimes(l.path(s.postedFile()), now, now) // if this fails, the file is removed earlier
			return nil
		}
	}
	return l.disk.remove(s.file())
}

// posted lists the files that were put aside, oldest first.
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

// spare returns how much may be kept beside the log: a quarter of MaxBytes, provided
// that everything stays within MaxBytes when the active segment is full.
func (l *Log) spare() int64 { return min(l.opt.MaxBytes/4, l.opt.MaxBytes-l.Size()-l.opt.SegmentBytes) }

// prune removes files that were put aside too long ago, and those beyond the spare
// room.
func (l *Log) prune() {
	list, room := l.posted(), l.spare()
	for _, f := range slices.Backward(list) {
		if room -= f.Size(); room < 0 || time.Since(f.ModTime()) > l.opt.Keep {
			_ = os.Remove(l.path(f.Name())) // retried with the next one
		}
	}
}

// Forget removes everything that was put aside.
func (l *Log) Forget() {
	for _, f := range l.posted() {
		_ = os.Remove(l.path(f.Name())) // harmless if it remains
	}
}

// History passes to visit the records of the files that were put aside and of the log,
// oldest first, as far as they can be read. rec is valid only during the call. It stops
// at the first error of visit and returns it. Records written in the meantime may or
// may not be included.
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
			continue // pruned in the meantime
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

// Drop takes the segments older than before, whose records are stored elsewhere, out of
// the log; the newest segment always stays. It may be called again.
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
		// One at a time: if a file disappears before an older one, it looks lost.
		if err := l.disk.sync(); err != nil {
			return failure(ErrFailed, "drop a segment", err)
		}
	}
}

// oldest returns the first segment if it may be dropped.
func (l *Log) oldest(before Segment) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.all) == 0 || l.all[0].number >= min(before, l.Active()) {
		return nil
	}
	return l.all[0]
}

// forget removes the oldest segment from the log's state.
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
