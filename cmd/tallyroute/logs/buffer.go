package logs

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// A line of the log waits no longer than logDelay, in no more than logCollect
// bytes, for others to be written with.
const (
	logDelay   = 100 * time.Millisecond
	logCollect = 32 << 10
)

// lineBuffer collects lines, so that a busy router does not pay a system call
// for each. A process that is killed loses those of the last logDelay; nothing
// that has to be kept is in the log alone.
type lineBuffer struct {
	mu    sync.Mutex
	w     io.Writer
	lines []byte
	timer *time.Timer // runs while there are lines
}

var _ zapcore.WriteSyncer = (*lineBuffer)(nil)

func newLineBuffer(w io.Writer) *lineBuffer {
	b := &lineBuffer{w: w}
	b.timer = time.AfterFunc(logDelay, func() { _ = b.Sync() })
	b.timer.Stop()
	return b
}

// Write takes a line. Its error is that of an earlier one, which was lost.
func (b *lineBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 {
		b.timer.Reset(logDelay)
	}
	b.lines = append(b.lines, line...)
	if len(b.lines) < logCollect {
		return len(line), nil
	}
	return len(line), b.flush()
}

// Sync writes what there is. It does not wait for a disk.
func (b *lineBuffer) Sync() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flush()
}

func (b *lineBuffer) flush() error {
	if len(b.lines) == 0 {
		return nil
	}
	b.timer.Stop()
	_, err := b.w.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}
