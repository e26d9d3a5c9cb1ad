package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Log is a journal that this process may write. All methods may be called by
// several goroutines.
type Log struct {
	dir  string
	id   string
	opt  Options
	disk disk
	lock *os.File
	own  Segment // the first segment of this process

	last  atomic.Uint64 // the newest segment there is
	size  atomic.Int64  // of all segments
	fault atomic.Pointer[fault]

	dropping sync.Mutex // one Drop at a time; taken before mu

	mu       sync.Mutex
	progress sync.Cond  // some segment was synced, or could not be
	all      []*segment // oldest first
	active   *segment   // where records go; nil while there is none
	retired  []*segment // full or given up, still to be synced and closed
	buf      []byte     // a record as it is written
	dirty    bool       // the goroutine knows that there is something to sync
	syncs    bool       // false with SyncOff, until Close
	closed   bool

	kick chan struct{} // wakes the goroutine
	stop chan struct{}
	done chan struct{}
}

// fault is why nothing can be written now.
type fault struct {
	err error
	cap bool // MaxBytes: only Drop helps
}

// Open locks the directory, which it creates if need be, and begins a new
// segment in it. It fails with ErrLocked or ErrVersion, or with what the system
// says; a full disk is not a failure yet, so that old records can be stored and
// dropped.
func Open(dir string, o Options) (*Log, error) {
	return open(dir, o, realDisk(dir))
}

func open(dir string, o Options, d disk) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, failure(ErrFailed, "make the directory", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, opt: o, disk: d, lock: lock, syncs: o.Sync != SyncOff,
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	l.progress.L = &l.mu
	if err := l.load(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	go l.run()
	return l, nil
}

// load finds what is there and begins the first segment of this process.
func (l *Log) load() error {
	var err error
	if l.id, err = loadID(l.dir); err != nil {
		return err
	}
	if l.all, err = listSegments(l.dir); err != nil {
		return err
	}
	for _, s := range l.all {
		l.size.Add(s.size)
		l.last.Store(uint64(s.number))
	}
	l.own = Segment(l.last.Load()) + 1
	if l.active, err = l.create(); err != nil {
		if err := l.fail(refusal("begin a segment", err)); !errors.Is(err, ErrFull) {
			return err
		}
	}
	return nil
}

// ID is the random id of the directory: "rep_" and a ULID. It names this replica
// for as long as the directory lives.
func (l *Log) ID() string { return l.id }

// Active is the newest segment: every later record goes to it or to a later one.
func (l *Log) Active() Segment { return Segment(l.last.Load()) }

// Size is the number of bytes in all segments.
func (l *Log) Size() int64 { return l.size.Load() }

// Err is why nothing can be written now: nil, or an error that wraps ErrFull or
// ErrFailed.
func (l *Log) Err() error {
	if f := l.fault.Load(); f != nil {
		return f.err
	}
	return nil
}

// refusal is the fault behind an error of the disk.
func refusal(what string, err error) fault {
	if noSpace(err) {
		return fault{err: failure(ErrFull, what, err)}
	}
	return fault{err: failure(ErrFailed, what, err)}
}

// fail notes a fault and wakes the goroutine, which tries to repair it.
func (l *Log) fail(f fault) error {
	l.fault.Store(&f)
	if !f.cap {
		l.Forget() // there may be room then
		l.wake()
	}
	return f.err
}

// wake makes the goroutine look.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Close syncs what was written and gives the directory free. It waits for
// appends that wait for their sync.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.syncs = true
	l.mu.Unlock()
	close(l.stop)
	<-l.done

	l.mu.Lock()
	if l.active != nil {
		l.retire(l.active)
	}
	l.mu.Unlock()
	err := l.flush()
	_ = l.lock.Truncate(0) // only the name of the holder
	return errors.Join(err, l.lock.Close())
}

// path is where a file of the log is.
func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }
