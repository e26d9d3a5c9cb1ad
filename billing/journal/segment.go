package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// segment is one file of the log. What changes is guarded by Log.mu.
type segment struct {
	number Segment
	size   int64 // of what is good in it
	before int64 // size of the segment before it, if the header says so

	file   file // nil in the segments of earlier processes
	seed   uint32
	synced int64 // how much of it is on the disk
	named  bool  // its name is on the disk; the goroutine's
	err    error // of its sync, which is never tried again
}

// inspect reads size and header of a segment of an earlier process.
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

// sync forces the segment to the disk, the first time with its name.
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
