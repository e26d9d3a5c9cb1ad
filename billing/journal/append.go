package journal

import (
	"errors"
	"io"
)

// Append writes a record and returns the segment it is in. When it returns, the record
// is in the file and, with SyncAlways, on the disk. It does not retain rec.
//
// It fails with ErrRecord, ErrClosed, or an error that wraps ErrFull or ErrFailed. A
// record that failed is removed as far as the disk allows: it may still be replayed if
// the disk failed altogether.
func (l *Log) Append(rec []byte) (Segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.put(rec)
	if err != nil {
		return 0, err
	}
	if l.opt.Sync != SyncAlways {
		return s.number, nil
	}
	if err := l.await(s, s.size); err != nil {
		return 0, err
	}
	return s.number, nil
}

// Write is Append for a record that nobody waits for: it is in the file, and reaches
// the disk soon, or before the next record that somebody waits for.
func (l *Log) Write(rec []byte) (Segment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.put(rec)
	if err != nil {
		return 0, err
	}
	return s.number, nil
}

// Wait returns when everything written is on the disk, in the cases in which Append
// would wait for that too.
func (l *Log) Wait() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.active
	if s == nil || l.opt.Sync != SyncAlways {
		return l.Err()
	}
	return l.await(s, s.size)
}

// await waits until a segment is on the disk up to end.
func (l *Log) await(s *segment, end int64) error {
	l.wake()
	for s.synced < end && s.err == nil {
		l.progress.Wait()
	}
	if s.synced < end {
		return s.err
	}
	return nil
}

// put writes a record and requests its sync.
func (l *Log) put(rec []byte) (*segment, error) {
	if len(rec) == 0 || len(rec) > MaxRecord {
		return nil, ErrRecord
	}
	s, err := l.write(rec)
	switch {
	case err != nil:
		return nil, err
	case l.opt.Sync == SyncAlways:
		l.wake()
	case !l.dirty && l.syncs:
		l.dirty = true
		l.wake()
	}
	return s, nil
}

// write appends a record to the active segment.
func (l *Log) write(rec []byte) (*segment, error) {
	n := int64(headSize + len(rec))
	s, err := l.place(n)
	if err != nil {
		return nil, err
	}
	l.buf = frame(l.buf[:0], s.seed, rec)
	if done, err := s.file.WriteAt(l.buf, s.size); err != nil || done != len(l.buf) {
		return nil, l.unwritten(s, err)
	}
	s.size += n
	l.size.Add(n)
	if l.fault.Load() != nil {
		l.fault.Store(nil) // the fault was a lack of space
	}
	return s, nil
}

// place returns the segment that has room for n bytes.
func (l *Log) place(n int64) (*segment, error) {
	if l.closed {
		return nil, ErrClosed
	}
	if l.size.Load()+n > l.opt.MaxBytes {
		if f := l.fault.Load(); f != nil {
			return nil, f.err
		}
		return nil, l.fail(fault{err: failure(ErrFull, "append", errCap), cap: true})
	}
	if l.active == nil {
		return l.reopen()
	}
	if s := l.active; s.size > headerSize && s.size+n > l.opt.SegmentBytes {
		// If a new segment cannot be created, the old one continues to be used: its
		// maximum size is not a promise.
		if next, err := l.create(); err == nil {
			l.retire(s)
			l.active = next
		}
	}
	return l.active, nil
}

var errCap = errors.New("all segments together have reached their largest size")

// reopen begins a segment if none is open because there was no space. After a disk
// failure that is left to the goroutine, which syncs first.
func (l *Log) reopen() (*segment, error) {
	f := l.fault.Load()
	if f != nil && !errors.Is(f.err, ErrFull) {
		return nil, f.err
	}
	s, err := l.create()
	if err != nil {
		return nil, l.fail(refusal("begin a segment", err))
	}
	l.active = s
	return s, nil
}

// unwritten removes a partly written record.
func (l *Log) unwritten(s *segment, err error) error {
	if err == nil {
		err = io.ErrShortWrite
	}
	cut := s.file.Truncate(s.size)
	if !noSpace(err) || cut != nil {
		l.retire(s) // a reader stops at s.size, which the next header states
		l.active = nil
	}
	return l.fail(refusal("write segment "+s.number.String(), err))
}

// create creates the file of the next segment. Only a failed attempt of our own can
// already have taken the name.
func (l *Log) create() (*segment, error) {
	if l.spare() < l.opt.MaxBytes/4 {
		l.Forget()
	}
	s := &segment{number: Segment(l.last.Load()) + 1, size: headerSize, before: l.end()}
	s.seed = s.number.seed()
	f, err := l.disk.create(s.number.file())
	if err != nil {
		return nil, err
	}
	s.file = f
	done, err := f.WriteAt(header(s.number, s.before), 0)
	if err == nil && done != headerSize {
		err = io.ErrShortWrite
	}
	if err != nil {
		_ = f.Close()
		_ = l.disk.remove(s.number.file()) // if it remains, the next attempt empties it
		return nil, err
	}
	l.all = append(l.all, s)
	l.last.Store(uint64(s.number))
	l.size.Add(s.size)
	return s, nil
}

// retire leaves a segment to the goroutine, to be synced once more and closed.
func (l *Log) retire(s *segment) {
	l.retired = append(l.retired, s)
	l.wake()
}

// end returns the size of the newest segment if this process wrote it.
func (l *Log) end() int64 {
	if s := l.all; len(s) > 0 && s[len(s)-1].number >= l.own {
		return s[len(s)-1].size
	}
	return 0
}
