package journal

import (
	"errors"
	"fmt"
	"os"
)

// Empty removes all segments, the one that is being written included, where nothing
// can be written for want of space: a disk that the log itself has filled has room
// again. It does nothing otherwise. Nothing in the log may be needed any more, and no
// Append may be under way.
func (l *Log) Empty() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.fault.Load(); l.closed || f == nil || !errors.Is(f.err, ErrFull) {
		return nil
	}
	if l.active != nil {
		l.retire(l.active)
		l.active = nil
	}
	for len(l.all) > 0 {
		s := l.all[0]
		if err := l.gone(s); err != nil {
			return err
		}
		l.all = l.all[1:]
		l.size.Add(-s.size)
	}
	return nil
}

// gone removes the file of a segment.
func (l *Log) gone(s *segment) error {
	if err := l.disk.remove(s.number.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return failure(ErrFailed, "drop a segment", err)
	}
	// One after the other: a file that is gone before an older one looks lost.
	if err := l.disk.sync(); err != nil {
		return failure(ErrFailed, "drop a segment", err)
	}
	return nil
}

// Restore is nil while all files of the log are where they were. Where somebody has
// deleted or replaced them it makes the directory anew, begins a segment in it, and
// returns an error that wraps ErrLost: what is needed of the lost segments is to be
// appended again. Any other error says why that was not possible; nothing can be
// written then.
func (l *Log) Restore() error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	lost := l.lost()
	if lost == nil {
		return nil
	}
	if err := l.begin(); err != nil {
		return errors.Join(lost, l.fail(fault{err: failure(ErrFailed, "make the directory anew", err)}))
	}
	l.fault.Store(nil)
	return lost
}

// lost says what is not there any more, or not ours.
func (l *Log) lost() error {
	held, err := l.lock.Stat()
	if err != nil {
		return nil //nolint:nilerr // it cannot be told
	}
	if there, err := os.Stat(l.path(lockFile)); err != nil || !os.SameFile(held, there) {
		return fmt.Errorf("%w: %s is not the directory that it was", ErrLost, l.dir)
	}
	for _, s := range l.all {
		if _, err := os.Stat(l.path(s.number.file())); errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %s", ErrLost, l.path(s.number.file()))
		}
	}
	return nil
}

// begin takes the directory into possession again and begins a segment there.
func (l *Log) begin() error {
	if err := makeDir(l.dir); err != nil {
		return err
	}
	held, err := l.lock.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(l.path(lockFile)); err != nil || !os.SameFile(held, there) {
		lock, err := lockDir(l.dir)
		if err != nil {
			return err
		}
		_ = l.lock.Close()
		l.lock = lock
	}
	if err := replace(l.path(idFile), []byte(l.id+"\n")); err != nil {
		return err
	}
	if l.active != nil {
		l.retire(l.active)
		l.active = nil
	}
	kept := l.all[:0]
	for _, s := range l.all {
		if _, err := os.Stat(l.path(s.number.file())); err != nil {
			l.size.Add(-s.size)
			continue
		}
		kept = append(kept, s)
	}
	clear(l.all[len(kept):])
	l.all = kept
	l.active, err = l.create()
	return err
}
