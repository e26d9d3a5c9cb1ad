package journal

import (
	"errors"
	"time"
)

// run is the goroutine of a log: it alone syncs, and repairs faults.
func (l *Log) run() {
	defer close(l.done)
	timer := time.NewTimer(l.opt.Interval)
	timer.Stop()
	pause := func() bool {
		timer.Reset(l.opt.Interval)
		select {
		case <-timer.C:
			return true
		case <-l.stop:
			return false
		}
	}
	for {
		select {
		case <-l.stop:
			return
		case <-l.kick:
		}
		if l.opt.Sync != SyncAlways && !pause() {
			return
		}
		_ = l.flush() // Err reports it
		for l.broken() {
			if !pause() {
				return
			}
			_ = l.flush()
			l.mend()
		}
	}
}

// broken reports whether there is a fault that may pass with time.
func (l *Log) broken() bool {
	f := l.fault.Load()
	return f != nil && !f.cap
}

// flush syncs everything written so far, and closes the segments that are finished. It
// returns the first error.
func (l *Log) flush() error {
	l.mu.Lock()
	retired := l.retired
	l.retired = nil
	active := l.active
	l.dirty = false
	l.mu.Unlock()

	var first error
	for _, s := range retired {
		if err := l.force(s); first == nil {
			first = err
		}
		_ = s.file.Close() // synced or given up
	}
	if active != nil {
		if err := l.force(active); first == nil {
			first = err
		}
	}
	return first
}

// force syncs one segment, unless that failed before: a second sync would report
// success even though the kernel has discarded the data.
func (l *Log) force(s *segment) error {
	l.mu.Lock()
	end, err, skip := s.size, s.err, !l.syncs || (s.synced == s.size && s.named)
	l.mu.Unlock()
	if err != nil || skip {
		return err
	}
	err = s.sync(l.disk)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.progress.Broadcast()
	if err != nil {
		return l.condemn(s, err)
	}
	s.synced = end
	return nil
}

// condemn gives up a segment whose sync failed, and the active one with it: later
// records must go to a file that has been synced.
func (l *Log) condemn(s *segment, err error) error {
	s.err = failure(ErrFailed, "sync segment "+s.number.String(), err)
	if l.active == s && l.opt.Sync == SyncAlways && s.file.Truncate(s.synced) == nil {
		l.size.Add(s.synced - s.size) // everybody who wrote this is told that it failed
		s.size = s.synced
	}
	if l.active != nil {
		l.retire(l.active)
		l.active = nil
	}
	return l.fail(fault{err: s.err})
}

// mend checks whether a fault is over.
func (l *Log) mend() {
	f := l.fault.Load()
	switch {
	case f == nil:
	case !errors.Is(f.err, ErrFull):
		l.renew()
	case l.probe() == nil:
		l.fault.CompareAndSwap(f, nil)
	}
}

// probe writes some bytes beside the segments, more than one record needs: a disk with
// room for only a few bytes is still full.
func (l *Log) probe() error {
	f, err := l.disk.create(probeFile)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, 64<<10), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), l.disk.remove(probeFile))
}

// renew begins a new segment after a disk failure, and starts using it once it is on
// the disk.
func (l *Log) renew() {
	l.mu.Lock()
	next, err := l.create()
	l.mu.Unlock()
	if err != nil {
		return
	}
	err = next.sync(l.disk)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		_ = l.condemn(next, err)
		l.retire(next)
		return
	}
	next.synced = next.size
	l.active = next
	l.fault.Store(nil)
}
