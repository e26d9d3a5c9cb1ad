//go:build !linux

package journal

import "os"

// syncer returns the call that forces f to the disk.
func syncer(f *os.File) (func() error, error) { return f.Sync, nil }
