package pgtest

import "syscall"

const freeze, thaw = syscall.SIGSTOP, syscall.SIGCONT

// attributes makes a program run as user a, in its own process group so that Ctrl-C
// does not reach it, and makes it end immediately if the tests die.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}
