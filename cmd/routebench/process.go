package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child process whose CPU time is measured.
type process struct {
	cmd *exec.Cmd
	log string // the file that it writes its output to
}

// start starts a program that writes its output to the file log.
func start(ctx context.Context, log, name string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the child has its own
	//nolint:gosec // this program itself, or the one that the user names
	p := &process{cmd: exec.CommandContext(ctx, name, args...), log: log}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // it was told to stop; its exit status does not matter
}

// tail returns the end of the process's output, as an error.
func (p *process) tail() error {
	if p == nil {
		return nil
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("tallyroute said: %s", text[max(0, len(text)-2000):])
}

// ticks is the number of ticks per second in /proc; Linux has used 100 for decades.
const ticks = 100

// cpu returns the user and system time of the process so far.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may contain spaces; the fields are counted after it.
	_, rest, _ := strings.Cut(string(text), ") ")
	var sum int64
	for _, field := range strings.Fields(rest)[11:15] { // its own user and system time, and its children's
		n, _ := strconv.ParseInt(field, 10, 64)
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks
}

// settle waits, for at most five seconds, until the process has finished its background work,
// so that it does not disturb the next target.
func (p *process) settle() {
	last := p.cpu()
	for range 20 {
		time.Sleep(250 * time.Millisecond)
		now := p.cpu()
		if now-last < 2*time.Second/ticks {
			return
		}
		last = now
	}
}
