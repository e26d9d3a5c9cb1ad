package journal

import (
	"os"
	"path/filepath"
)

// disk is the directory as the writer sees it; tests put one with faults in its
// place.
type disk interface {
	create(name string) (file, error) // empty, whatever was there
	remove(name string) error
	rename(from, to string) error
	sync() error // forces the names to the disk
}

// file is a segment that is being written.
type file interface {
	WriteAt(b []byte, at int64) (int, error)
	Truncate(size int64) error
	Sync() error // called by one goroutine at a time, and never again once it failed
	Close() error
}

// realDisk is a directory of the system.
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

// realFile is a file of the system with its cheapest sufficient sync.
type realFile struct {
	*os.File
	sync func() error
}

var _ file = (*realFile)(nil)

func (f *realFile) Sync() error { return f.sync() }
