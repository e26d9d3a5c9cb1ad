package pgtest

import "syscall"

const freeze, thaw = syscall.SIGSTOP, syscall.SIGCONT

// attributes run a program as user a, in a process group of its own so that
// Ctrl-C does not reach it, and end it at once if the tests die.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}
