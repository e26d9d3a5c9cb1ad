package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a consistent copy of the database to a new file at path, readable
// by its owner alone, while others read and write. The copy is on the disk when
// Backup returns; where it fails there is no file.
func (s *Store) Backup(ctx context.Context, path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s exists already: name another file, or move it away", path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tallyroute-backup-*") // with mode 0600
	if err != nil {
		return err
	}
	part := f.Name()
	defer func() { _ = os.Remove(part) }()
	if err := s.copyInto(ctx, part); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, path); err != nil { // which overwrites nothing
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// copyInto writes what a snapshot of the database holds into an empty file. It
// reads on a connection of its own: those of the pool may not write anywhere.
func (s *Store) copyInto(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite3", s.file+"&_pragma="+busyTimeout)
	if err != nil {
		return fault(err)
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, file)
	return errors.Join(fault(err), fault(db.Close()))
}

// syncFolder makes the name of a file last.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
