package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// What tells the test binary to be the process that is killed.
const (
	childName = "JOURNAL_CHILD_NAME"
	childSync = "JOURNAL_CHILD_SYNC"
)

// TestMain also serves as the process that is killed.
func TestMain(m *testing.M) {
	if name := os.Getenv(childName); name != "" {
		if err := child(name, os.Stdout); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child appends indefinitely to a log in its working directory, and prints each
// acknowledged record: process, writer, number.
func child(process string, out io.Writer) error {
	l, err := Open(".", Options{Sync: Sync(os.Getenv(childSync)), SegmentBytes: 64 << 10})
	if err != nil {
		return err
	}
	errs := make(chan error)
	var printing sync.Mutex
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%s %d %d", process, w, i)
				if _, err := l.Append(padded(name)); err != nil {
					errs <- err
					return
				}
				printing.Lock()
				_, err := fmt.Fprintln(out, name)
				printing.Unlock()
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

// padded returns a record of up to 20 KB whose content can be verified.
func padded(name string) []byte {
	sum := len(name)
	for _, c := range []byte(name) {
		sum = sum*31 + int(c)
	}
	return append([]byte(name+"\n"), bytes.Repeat([]byte{byte(sum)}, sum%20_000)...)
}

// TestKilledProcessLosesNothingAcknowledged kills a process in the middle of its appends, many times
// over the same directory: every record that was acknowledged is there once, in
// the order of its writer, and nothing is reported as damaged.
func TestKilledProcessLosesNothingAcknowledged(t *testing.T) {
	kills := 24
	if testing.Short() {
		kills = 6
	}
	dir := t.TempDir()
	acked := make(map[string]bool)
	for i := range kills {
		sync := []Sync{SyncInterval, SyncAlways, SyncOff}[i%3]
		for _, line := range killed(t, dir, sync, i) {
			acked[line] = true
		}
	}
	l := mustOpen(t, dir, Options{})
	next := make(map[string]int)
	segments := Segment(0)
	err := l.Recover(func(s Segment, rec []byte) error {
		segments = s
		name, _, _ := strings.Cut(string(rec), "\n")
		if !bytes.Equal(rec, padded(name)) {
			t.Errorf("%s is not what was written", name)
		}
		var process, writer, number int
		if _, err := fmt.Sscan(name, &process, &writer, &number); err != nil {
			return err
		}
		who := fmt.Sprint(process, writer)
		if number != next[who] {
			t.Errorf("process and writer %s: record %d after %d", who, number, next[who]-1)
		}
		next[who] = number + 1
		delete(acked, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range acked {
		t.Errorf("%s was acknowledged and is not there", name)
	}
	if segments < Segment(kills) {
		t.Errorf("only %d segments by %d processes", segments, kills)
	}
}

// childProcess returns process number i, not started yet.
func childProcess(t *testing.T, dir string, sync Sync, i int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), childSync+"="+string(sync), fmt.Sprintf("%s=%d", childName, i))
	cmd.Stderr = os.Stderr
	return cmd
}

// killed runs a process until it is killed after a random number of records, and
// returns what it acknowledged.
func killed(t *testing.T, dir string, sync Sync, i int) []string {
	t.Helper()
	cmd := childProcess(t, dir, sync, i)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	r := bufio.NewReader(out)
	for last := 1 + rand.IntN(300); ; last-- {
		line, err := r.ReadString('\n')
		if err != nil {
			break // a line that is cut off was acknowledged too, but we cannot read which
		}
		if strings.HasPrefix(line, "failed") {
			t.Fatal(line)
		}
		lines = append(lines, strings.TrimSpace(line))
		if last == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || errors.As(err, new(*exec.Error)) {
		t.Fatalf("the process ended by itself: %v", err)
	}
	return lines
}
