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

// TestWriter_JobsOfOneBatchFailAlone runs a batch in which every third job
// breaks a rule after it has already written something.
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

// TestWriter_FaultFailsAll: what is not on the disk was not done, for anybody.
func TestWriter_FaultFailsAll(t *testing.T) {
	s, _ := fresh(t)
	batch := make([]*job, 3)
	for i := range batch {
		batch[i] = &job{done: make(chan struct{}), change: func(ctx context.Context, tx *session) error {
			if _, err := tx.exec(ctx, addSetting, fmt.Sprintf("job %d", i)); err != nil {
				return err
			}
			if i == 1 {
				_, err := tx.exec(ctx, `SELECT * FROM nothing`)
				return err
			}
			return nil
		}}
	}
	release := blocked(t, s)
	for _, j := range batch {
		go func() { s.write.jobs <- j }()
	}
	release()
	for i, j := range batch {
		<-j.done
		_ = i
	}
	// The jobs may have come in one batch or in several; either way what an
	// error was returned for is not there.
	for i, j := range batch {
		there := number(t, s, fmt.Sprintf(`SELECT count(*) FROM settings WHERE name = 'job %d'`, i)) == 1
		if there != (j.err == nil) {
			t.Errorf("job %d: %v, but it is there: %v", i, j.err, there)
		}
	}
	if !errors.Is(batch[1].err, billing.ErrUnavailable) {
		t.Errorf("got %v", batch[1].err)
	}
}

// TestWriter_GivesUpWaiting: who waits for a busy writer can stop waiting, and
// then his change is not made.
func TestWriter_GivesUpWaiting(t *testing.T) {
	s, _ := fresh(t)
	release := blocked(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := s.Setting(ctx, "late", "x")
		result <- err
	}()
	cancel()
	if err := <-result; !errors.Is(err, billing.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if n := number(t, s, `SELECT count(*) FROM settings`); n != 0 {
		t.Error("it was stored nevertheless")
	}
}

// TestFullDisk: a full disk loses nothing that was acknowledged, and is left as
// soon as there is room.
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
	billingtest.Audit(t, s, march)
}

// TestBusyFile: a file that somebody else keeps locked is unavailable, and is
// so only as long as that.
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

// setBusyTimeout saves the test from waiting for the usual one.
func setBusyTimeout(t *testing.T, s *Store) {
	t.Helper()
	release := blocked(t, s)
	defer release()
	if err := s.write.tx.script(t.Context(), `PRAGMA busy_timeout = 10`); err != nil {
		t.Fatal(err)
	}
}

func TestSession_PreparesOnce(t *testing.T) {
	s, k := fresh(t, limit(1_000_000))
	mustRequest(t, s, k, "req_0", 1)
	before := len(s.write.tx.statements)
	for i := range 20 {
		mustRequest(t, s, k, fmt.Sprintf("req_%d", i+1), 1)
	}
	if after := len(s.write.tx.statements); after != before {
		t.Errorf("statements grew from %d to %d", before, after)
	}
}
