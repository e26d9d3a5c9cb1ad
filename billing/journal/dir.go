package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"
)

// The names in the directory besides the segments.
const (
	lockFile   = "lock"
	idFile     = "id"
	probeFile  = "probe"
	quarantine = "quarantine"
)

// makeDir creates the directory and makes its name durable.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Clean(dir)))
}

// lockDir makes this process the only one that may use the directory.
func lockDir(dir string) (*os.File, error) {
	name := filepath.Join(dir, lockFile)
	f, err := openLocked(name)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, dir, holder(name))
	}
	if err != nil {
		return nil, err
	}
	// The name of the holder only helps whoever is refused the lock, so failing to write
	// it is not a fault.
	host, _ := os.Hostname()
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "pid %d on %s\n", os.Getpid(), host), 0)
	}
	return f, nil
}

// holder returns the name that the holder of the lock left.
func holder(name string) string {
	b, err := os.ReadFile(name)
	if text := strings.TrimSpace(string(b)); err == nil && text != "" {
		return text
	}
	return "a process that has not said its name"
}

// loadID reads the id of the directory, or makes one.
func loadID(dir string) (string, error) {
	name := filepath.Join(dir, idFile)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		id := newID()
		return id, replace(name, []byte(id+"\n"))
	}
	if err != nil {
		return "", err
	}
	id := strings.TrimSuffix(string(b), "\n")
	text, ok := strings.CutPrefix(id, idPrefix)
	if _, err := ulid.ParseStrict(text); !ok || err != nil {
		return "", fmt.Errorf("journal: %s does not hold an id; remove it to get a new one once the journal is empty", name)
	}
	return id, nil
}

const idPrefix = "rep_"

// newID returns an id made of the time and 80 random bits.
func newID() string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Now()) // fits until the year 10889
	_, _ = rand.Read(id[6:])   // never fails
	return idPrefix + id.String()
}

// replace writes a small file atomically.
func replace(name string, content []byte) error {
	f, err := os.OpenFile(name+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// listSegments returns the segments of a directory in order, with their sizes. It
// refuses a directory that a newer version has written to.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir) // sorted by name, which is by number
	if err != nil {
		return nil, err
	}
	var list []*segment
	for _, e := range entries {
		n, ok := segmentOf(e.Name())
		if !ok {
			continue
		}
		s := &segment{number: n}
		if err := s.inspect(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// disk is the directory as the writer sees it; tests substitute one with faults.
type disk interface {
	create(name string) (file, error) // empties an existing file
	remove(name string) error
	rename(from, to string) error
	sync() error // forces the file names to the disk
}

// file is a segment that is being written.
type file interface {
	WriteAt(b []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error // called by one goroutine at a time, and never again once it failed
	Close() error
}

// realDisk is a directory in the file system.
type realDisk string

var _ disk = realDisk("")

func (d realDisk) create(name string) (file, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	sync, err := syncer(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &realFile{f, sync}, nil
}

func (d realDisk) remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d realDisk) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d realDisk) sync() error { return syncDir(string(d)) }

// realFile is a file in the file system with its cheapest sufficient sync.
type realFile struct {
	*os.File
	sync func() error
}

var _ file = (*realFile)(nil)

func (f *realFile) Sync() error { return f.sync() }

// segment is one file of the log. Mutable fields are guarded by Log.mu.
type segment struct {
	number Segment
	size   int64 // of its valid part
	before int64 // size of the segment before it, if the header says so

	file   file // nil for the segments of earlier processes
	seed   uint32
	synced int64 // how much of it is on the disk
	named  bool  // its name is on the disk; used by the goroutine only
	err    error // of its sync, which is never retried
}

// inspect reads the size and header of an earlier process's segment.
func (s *segment) inspect(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if s.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	first := make([]byte, headerSize)
	if _, err := f.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, ok := parseHeader(first)
	if ok && h.version != version {
		return fmt.Errorf("%w: %s has version %d, this program reads %d", ErrVersion, name, h.version, version)
	}
	if ok && h.number == s.number && h.before >= headerSize {
		s.before = h.before
	}
	return nil
}

// sync forces the segment to the disk, and the first time its name as well.
func (s *segment) sync(d disk) error {
	if err := s.file.Sync(); err != nil {
		return err
	}
	if s.named {
		return nil
	}
	if err := d.sync(); err != nil {
		return err
	}
	s.named = true
	return nil
}
