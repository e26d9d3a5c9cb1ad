package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEntriesWaitForTheDatabaseInTheirOrderAndAreWrittenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Recorder
		var written []string
		var failures int
		away := true
		write := func(_ context.Context, entries []Entry) error {
			if away {
				return errors.New("away")
			}
			for _, e := range entries {
				written = append(written, e.RequestID)
			}
			return nil
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx, time.Second, write, func(error) { failures++ })
		}()
		r.Record(Entry{RequestID: "1"})
		time.Sleep(2*every + every/2)
		if failures != 2 || r.Waiting() != 1 {
			t.Errorf("while the database is away: %d failures, %d waiting", failures, r.Waiting())
		}
		r.Record(Entry{RequestID: "2"})
		away = false
		time.Sleep(every)
		r.Record(Entry{RequestID: "3"})
		stop()
		<-ended
		if got := strings.Join(written, " "); got != "1 2 3" {
			t.Errorf("written: %s", got)
		}
	})
}

// TestEntriesOfASecondAreWrittenAtOnce, those that come while they are written in the next.
func TestEntriesOfASecondAreWrittenAtOnce(t *testing.T) {
	var r Recorder
	for range 2*batch + 1 {
		r.Record(Entry{})
	}
	var writes []int
	err := r.flush(t.Context(), func(_ context.Context, entries []Entry) error {
		writes = append(writes, len(entries))
		r.Record(Entry{})
		return nil
	})
	if err != nil || fmt.Sprint(writes) != fmt.Sprint([]int{batch, batch, 3}) || r.Waiting() != 1 {
		t.Errorf("%v were written, %d wait, %v", writes, r.Waiting(), err)
	}
}

func TestNoMoreWaitThanThereIsRoomForAndTheOthersAreCounted(t *testing.T) {
	var r Recorder
	for i := range MostWaiting + 7 {
		r.Record(Entry{RequestID: fmt.Sprint(i)})
	}
	if r.Waiting() != MostWaiting || r.Dropped() != 7 {
		t.Errorf("%d wait, %d dropped", r.Waiting(), r.Dropped())
	}
	taken := r.take()
	for range 5 {
		r.Record(Entry{})
	}
	r.giveBack(taken)
	if r.Waiting() != MostWaiting || r.Dropped() != 12 || r.take()[0].RequestID != "0" {
		t.Errorf("after a failure: %d wait, %d dropped", r.Waiting(), r.Dropped())
	}
}

func TestWhatAClientCallsItselfIsBoundedAndPlain(t *testing.T) {
	e := Entry{Agent: "a\x00\n\xffb" + strings.Repeat("ü", 40_000)}.bounded().tidy()
	if len(e.Agent) > mostAgent || !strings.HasPrefix(e.Agent, "abü") || strings.ContainsRune(e.Agent, '\uFFFD') {
		t.Errorf("%d bytes: %q", len(e.Agent), e.Agent)
	}
}
