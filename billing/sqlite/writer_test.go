package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"tallyroute/billing"
	"tallyroute/billing/billingtest"
)

// blocked keeps the writer busy until release is called.
func blocked(t *testing.T, s *Store) (release func()) {
	t.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.write.do(t.Context(), func(context.Context, *session) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

const addSetting = `INSERT INTO settings VALUES (?, '', '')`

// TestWriter_JobsOfOneBatchFailAlone runs a batch in which every third job breaks a rule after
// it has already written something.
func TestWriter_JobsOfOneBatchFailAlone(t *testing.T) {
	s, _ := fresh(t)
	why := errors.New("changed its mind")
	release := blocked(t, s)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			err := s.write.do(t.Context(), func(ctx context.Context, tx *session) error {
				if _, err := tx.exec(ctx, addSetting, fmt.Sprintf("job %d", i)); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return why
				case 2:
					_, err := tx.exec(ctx, addSetting, fmt.Sprintf("job %d", i))
					return err
				}
				return nil
			})
			if want := []error{nil, why, billing.ErrDuplicate}[i%3]; !errors.Is(err, want) {
				t.Errorf("job %d: got %v, want %v", i, err, want)
			}
		})
	}
	release()
	wg.Wait()
	if n := number(t, s, `SELECT count(*) FROM settings`); n != 10 {
		t.Errorf("%d jobs left something, want 10", n)
	}
}

// TestWriter_GivenUpTransaction covers transactions that SQLite itself ends, as it does when a
// disk is full or broken: no change of the batch is made, and every caller is told.
func TestWriter_GivenUpTransaction(t *testing.T) {
	s, _ := fresh(t)
	set := func(name string, then ...string) *job {
		return &job{done: make(chan struct{}), change: func(ctx context.Context, tx *session) error {
			_, err := tx.exec(ctx, addSetting, name)
			for _, query := range then {
				_, err = tx.exec(ctx, query)
			}
			return err
		}}
	}
	release := blocked(t, s)
	tests := map[string]struct {
		batch []*job
		want  []bool
	}{
		"a statement fails":   {[]*job{set("a"), set("b", `SELECT * FROM nothing`), set("c")}, []bool{true, false, true}},
		"the whole fails":     {[]*job{set("d"), set("e", rollback, `SELECT * FROM nothing`), set("f")}, []bool{false, false, false}},
		"the whole, unseen":   {[]*job{set("g"), set("h", rollback), set("i")}, []bool{false, false, false}},
		"and then it is well": {[]*job{set("j"), set("k")}, []bool{true, true}},
	}
	release()
	for name, tt := range tests {
		s.write.together(t.Context(), tt.batch) // nobody else writes now
		for i, j := range tt.batch {
			<-j.done
			if (j.err == nil) != tt.want[i] || (j.err != nil && !errors.Is(j.err, billing.ErrUnavailable)) {
				t.Errorf("%s: job %d: %v", name, i, j.err)
			}
		}
	}
	if n := number(t, s, `SELECT count(*) FROM settings`); n != 4 {
		t.Errorf("%d changes were made, want 4", n)
	}
}

// TestWriter_GivesUpWaiting checks that a caller can stop waiting as long as its change has not
// begun, and that the change is then not made. Once the change has begun, the caller learns how
// it ends.
func TestWriter_GivesUpWaiting(t *testing.T) {
	why := errors.New("the end of it")
	for range 50 {
		w := &writer{jobs: make(chan *job), closing: make(chan struct{})} // this test stands in for its loop
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		begin := func() *job {
			go func() {
				result <- w.do(ctx, func(context.Context, *session) error { return nil })
			}()
			return <-w.jobs
		}
		waiting, begun := begin(), begin()
		begun.taken.Store(true)
		cancel()
		if err := <-result; !errors.Is(err, billing.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if !waiting.taken.Load() {
			t.Error("its change can still be made")
		}
		begun.err = why
		close(begun.done)
		if err := <-result; !errors.Is(err, why) {
			t.Errorf("got %v, want how it ended", err)
		}
	}
}

// TestWriter_LeavesOutWhoGaveUp checks that the writer skips a change whose caller has given up.
func TestWriter_LeavesOutWhoGaveUp(t *testing.T) {
	s, _ := fresh(t)
	gone := &job{done: make(chan struct{}), change: func(context.Context, *session) error {
		t.Error("the change of somebody who no longer waits is made")
		return nil
	}}
	gone.taken.Store(true)
	s.write.together(t.Context(), []*job{gone}) // nobody else writes now
}

// TestFullDisk checks that a full disk loses nothing that was acknowledged, and that writing
// goes on as soon as there is room.
func TestFullDisk(t *testing.T) {
	s, k := fresh(t, limit(1_000_000))
	pages := number(t, s, `PRAGMA page_count`)
	bound := func(pages int64) {
		t.Helper()
		conn := s.write.tx
		release := blocked(t, s)
		if _, err := conn.exec(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
		release()
	}
	bound(pages + 2)
	done := 0
	var err error
	for err == nil {
		if err = request(t.Context(), s, k, fmt.Sprintf("req_%d", done), 10); err == nil {
			done++
		}
	}
	if !errors.Is(err, billing.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if n := number(t, s, `SELECT count(*) FROM spend_events WHERE status = 'ok'`); int(n) != done {
		t.Errorf("%d rows of %d that were acknowledged", n, done)
	}
	bound(1_000_000)
	mustRequest(t, s, k, "req_after", 10)
	if _, err := s.Sweep(t.Context(), march.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	billingtest.CheckSums(t, s.Contracts(), march)
}

// TestBusyFile checks that a file is unavailable only while somebody else keeps it locked.
func TestBusyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tallyroute.db")
	s, other := open(t, path, Options{}), open(t, path, Options{})
	k := newKey(t, s, "key_1")
	setBusyTimeout(t, s)
	release := blocked(t, other)
	if err := request(t.Context(), s, k, "req_1", 1); !errors.Is(err, billing.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := s.KeyByHash(t.Context(), hashOf("key_1")); err != nil {
		t.Errorf("reading waits for writing: %v", err)
	}
	release()
	mustRequest(t, s, k, "req_1", 1)
}

// setBusyTimeout shortens the busy time-out, so that the test need not wait for the usual one.
func setBusyTimeout(t *testing.T, s *Store) {
	t.Helper()
	release := blocked(t, s)
	defer release()
	if err := s.write.tx.script(t.Context(), `PRAGMA busy_timeout = 10`); err != nil {
		t.Fatal(err)
	}
}

func TestSession_PreparesOnce(t *testing.T) {
	s, _ := fresh(t)
	for _, from := range []*session{s.read, s.write.tx} {
		first, err := from.prepared(t.Context(), selectTeams) //nolint:sqlclosecheck // close does it
		if err != nil {
			t.Fatal(err)
		}
		if again, err := from.prepared(t.Context(), selectTeams); again != first || err != nil { //nolint:sqlclosecheck // close does it
			t.Errorf("prepared again: %v", err)
		}
	}
}
