//go:build !linux

package prove

// Memory is empty: os.MkdirTemp takes it for the usual folder.
func Memory() string { return "" }
