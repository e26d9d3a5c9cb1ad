package logs

import (
	"io"
	"sync"
	"time"

	"go.uber.org/zap/zapcore"
)

// A log line waits at most logDelay, among at most logCollect bytes, to be written together
// with others.
const (
	logDelay   = 100 * time.Millisecond
	logCollect = 32 << 10
)

// lineBuffer collects lines, so that a busy router doesn't need a system call for each. A
// process that is killed loses the lines of the last logDelay; nothing that must be kept is
// only in the log.
type lineBuffer struct {
	mu    sync.Mutex
	w     io.Writer
	lines []byte
	timer *time.Timer // runs while lines are buffered
}

var _ zapcore.WriteSyncer = (*lineBuffer)(nil)

func newLineBuffer(w io.Writer) *lineBuffer {
	b := &lineBuffer{w: w}
	b.timer = time.AfterFunc(logDelay, func() { _ = b.Sync() })
	b.timer.Stop()
	return b
}

// Write buffers a line. The error that it returns concerns an earlier line, which was lost.
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

// Sync writes the buffered lines. It doesn't wait for the disk.
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
