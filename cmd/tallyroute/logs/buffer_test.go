package logs

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"tallyroute/cmd/tallyroute/config"
)

// writes remembers each write by itself.
type writes struct {
	mu   sync.Mutex
	list []string
	err  error
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(p))
	return len(p), w.err
}

func (w *writes) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.list...)
}

func TestLinesAreWrittenTogetherAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &writes{}
		log, _ := NewBusy(out, config.Logging{Format: "json", Level: "info"})
		log.Info("one")
		log.Info("two")
		time.Sleep(logDelay - time.Millisecond)
		if got := out.all(); len(got) != 0 {
			t.Errorf("written at once: %q", got)
		}
		time.Sleep(2 * time.Millisecond)
		if got := out.all(); len(got) != 1 || strings.Count(got[0], "\n") != 2 || !strings.Contains(got[0], `"one"`) {
			t.Errorf("%q, want two lines in one write", got)
		}
		log.Info("three")
		log.Warn("four")
		if got := out.all(); len(got) != 2 || strings.Index(got[1], "three") > strings.Index(got[1], "four") ||
			strings.Count(got[1], "\n") != 2 {
			t.Errorf("%q, want the warning at once, behind what was before", got)
		}
		log.Info("five")
		if err := log.Sync(); err != nil || len(out.all()) != 3 {
			t.Errorf("%v, %q: want what is left", err, out.all())
		}
		log.Info("six", zap.String("s", strings.Repeat("x", 200)))
		for range logCollect / 200 {
			log.Info("more", zap.String("s", strings.Repeat("x", 200)))
		}
		if got := out.all(); len(got) < 4 || len(got[3]) < logCollect {
			t.Errorf("%d writes, want one when there is much", len(got))
		}
		time.Sleep(2 * logDelay)
	})
}

func TestLostLinesAreTold(t *testing.T) {
	out := &writes{err: errors.New("full")}
	b := newLineBuffer(out)
	if n, err := b.Write([]byte("line\n")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := b.Sync(); err == nil {
		t.Error("the error is lost")
	}
	if err := b.Sync(); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
