package pgtest

import "syscall"

// Windows can neither freeze nor resume a process. Tests on Windows use the server that
// $TALLYROUTE_TEST_POSTGRES names.
const freeze, thaw = syscall.SIGTERM, syscall.SIGTERM

func attributes(*account) *syscall.SysProcAttr { return nil }
