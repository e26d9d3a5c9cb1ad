//go:build !linux

package prove

// Memory returns "", which os.MkdirTemp takes as the default directory.
func Memory() string { return "" }
