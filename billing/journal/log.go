package journal

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// Log is a journal that this process may write. All methods are safe for concurrent
// use.
type Log struct {
	dir  string
	id   string
	opt  Options
	disk disk
	lock *os.File
	own  Segment // the first segment of this process

	last  atomic.Uint64 // the newest segment
	size  atomic.Int64  // of all segments
	fault atomic.Pointer[fault]

	dropping sync.Mutex // one Drop at a time; taken before mu

	mu       sync.Mutex
	progress sync.Cond  // a segment was synced, or failed to be
	all      []*segment // oldest first
	active   *segment   // where records go; nil while there is none
	retired  []*segment // full or given up, still to be synced and closed
	buf      []byte     // a record being encoded
	dirty    bool       // the goroutine knows that there is something to sync
	syncs    bool       // false with SyncOff, until Close
	closed   bool

	kick chan struct{} // wakes the goroutine
	stop chan struct{}
	done chan struct{}
}

// fault is the reason why nothing can be written now.
type fault struct {
	err error
	cap bool // MaxBytes was reached: only Drop helps
}

// Open locks the directory, creating it if necessary, and begins a new segment in it.
// It fails with ErrLocked, ErrVersion or the system's error; a full disk is not yet a
// failure, so that old records can be stored and dropped.
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

// load finds the existing segments and begins the first segment of this process.
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

// ID returns the random id of the directory: "rep_" and a ULID. It names this replica
// for as long as the directory lives.
func (l *Log) ID() string { return l.id }

// Active returns the newest segment: every later record goes to it or to a later one.
func (l *Log) Active() Segment { return Segment(l.last.Load()) }

// Size returns the number of bytes in all segments.
func (l *Log) Size() int64 { return l.size.Load() }

// Err returns why nothing can be written now: nil, or an error that wraps ErrFull or
// ErrFailed.
func (l *Log) Err() error {
	if f := l.fault.Load(); f != nil {
		return f.err
	}
	return nil
}

// refusal returns the fault behind a disk error.
func refusal(what string, err error) fault {
	if noSpace(err) {
		return fault{err: failure(ErrFull, what, err)}
	}
	return fault{err: failure(ErrFailed, what, err)}
}

// fail records a fault and wakes the goroutine, which tries to repair it.
func (l *Log) fail(f fault) error {
	l.fault.Store(&f)
	if !f.cap {
		l.Forget() // there may be room then
		l.wake()
	}
	return f.err
}

// wake makes the goroutine check for work.
func (l *Log) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Close syncs what was written and releases the directory. It waits for appends that
// are waiting for their sync.
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

// path returns the path of a file of the log.
func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }
