package journal

import (
	"errors"
	"io/fs"
)

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
