package journal

import (
	"errors"
	"os"
	"syscall"
)

// syncer returns the call that forces the data of f to the disk. It is made once
// for each file, to allocate nothing later.
func syncer(f *os.File) (func() error, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	call := func(fd uintptr) {
		for {
			failed = syscall.Fdatasync(int(fd))
			if !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	}
	return func() error {
		if err := raw.Control(call); err != nil {
			return err
		}
		return failed
	}, nil
}
