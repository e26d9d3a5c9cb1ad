package prove

import "syscall"

// enough is how much must be free in memory before files of tests are put there.
const enough = 2 << 30

// Memory is a folder in memory for files of tests that need not outlive the
// machine, where there is one with room; else it is empty, which os.MkdirTemp
// takes for the usual folder. A server makes hundreds of files for a database:
// on a disk that takes ten times as long.
func Memory() string {
	const shared = "/dev/shm"
	var s syscall.Statfs_t
	if err := syscall.Statfs(shared, &s); err != nil || s.Bavail*uint64(s.Bsize) < enough {
		return ""
	}
	return shared
}
