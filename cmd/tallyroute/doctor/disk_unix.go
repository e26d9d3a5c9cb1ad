//go:build linux || darwin

package doctor

import "syscall"

// free returns how many bytes can still be written to a directory, and the disk's size.
func free(dir string) (left, all uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
