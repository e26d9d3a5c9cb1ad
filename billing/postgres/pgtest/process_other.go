//go:build !linux && !windows

package pgtest

import "syscall"

const freeze, thaw = syscall.SIGSTOP, syscall.SIGCONT

// attributes returns nil for the defaults: other systems cannot tie a program's
// lifetime to its parent, and nobody runs tests as root on them.
func attributes(*account) *syscall.SysProcAttr { return nil }
