package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// This runs in a separate process, because the change can't be undone.
func TestProcessLeavesNoCoreDump(t *testing.T) {
	if os.Getenv("TALLYROUTE_TEST_DUMP") == "" {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessLeavesNoCoreDump$", "-test.v")
		c.Env = append(os.Environ(), "TALLYROUTE_TEST_DUMP=1")
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "not dumpable") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	hideMemory()
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		t.Errorf("%+v %v", core, err)
	}
	if dumpable, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, 3, 0, 0); dumpable != 0 { // PR_GET_DUMPABLE
		t.Error("dumpable")
	}
	t.Log("not dumpable")
}
