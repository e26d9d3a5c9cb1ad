package prove

import "syscall"

// enough is how many bytes must be free in memory for test files to be put there.
const enough = 2 << 30

// Memory returns a directory in memory for test files that need not survive a
// reboot. If there is none with enough space, it returns "", which os.MkdirTemp
// takes as the default directory. A database server creates hundreds of files,
// which takes ten times as long on a disk.
func Memory() string {
	const shared = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(shared, &s); err != nil || s.Bavail*uint64(s.Bsize) < enough {
		return ""
	}
	return shared
}
