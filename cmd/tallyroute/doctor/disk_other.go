//go:build !linux && !darwin

package doctor

import "errors"

// free is how many bytes may still be written to a folder, and of how many.
func free(string) (left, all uint64, err error) { return 0, 0, errors.ErrUnsupported }
