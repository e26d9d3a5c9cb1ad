package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/demo"
)

// spawn runs the program with the demonstration's providers as a process of its
// own, which signals can reach.
func spawn(t *testing.T, config string) (*program, *exec.Cmd) {
	t.Helper()
	return spawnListening(t, config, 4)
}

// spawnListening is like spawn, for a configuration that opens the given number of sockets.
func spawnListening(t *testing.T, config string, sockets int) (*program, *exec.Cmd) {
	t.Helper()
	p, c := spawnOpen(t, config, sockets)
	p.await(http.StatusOK)
	return p, c
}

// spawnOpen does not wait until requests can be answered.
func spawnOpen(t *testing.T, config string, sockets int) (*program, *exec.Cmd) {
	t.Helper()
	p := &program{t: t, config: config, where: make(map[string]string), log: &logLines{lines: make(chan map[string]any, 8)}}
	c := exec.CommandContext(t.Context(), os.Args[0], "--config", config, "serve")
	c.Args[0] = untilParentEnds // by which the test's program knows what it is
	if _, err := c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.Stderr = p.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Log(p.log.without(`"msg":"request"`, `"msg":"answered"`, `"msg":"refused"`))
		}
	})
	for len(p.where) < sockets {
		select {
		case l := <-p.log.lines:
			p.where[l["for"].(string)] = l["address"].(string)
		case <-time.After(prove.Patience):
			t.Fatalf("serve does not listen: %s", p.log)
		}
	}
	return p, c
}

// send sends a signal and notes the time.
func send(t *testing.T, c *exec.Cmd, s os.Signal) time.Time {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// streaming begins n streams and returns what becomes of them.
func (p *program) streaming(n int, key, prompt string, words int) <-chan error {
	p.t.Helper()
	began, results := make(chan struct{}), make(chan error, n)
	for range n {
		go func() {
			s, err := p.client(key).CreateChatCompletionStream(context.Background(), ask("demo-b/story", prompt))
			if err == nil {
				_, err = s.Recv()
			}
			began <- struct{}{}
			if err != nil {
				results <- err
				return
			}
			defer s.Close()
			got, err := drain(s)
			if err == nil && got < words-1 { // but for what was received above
				err = errors.New("a stream was cut and looks whole")
			}
			results <- err
		}()
	}
	for range n {
		<-began
	}
	return results
}

const signalStreams = 50

// TestTerminateEndsStreamsWhole: fifty streams are completed, readyz says no at once, and the
// exit code is 0.
func TestTerminateEndsStreamsWhole(t *testing.T) {
	t.Parallel()
	p, c := spawn(t, writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "timeouts: {shutdown_wait: 3s, shutdown: 120s}\n"))
	results := p.streaming(signalStreams, p.key("--budget-tokens", "10000000"), "[[demo slow=50ms words=60]] go", 60)
	send(t, c, syscall.SIGTERM)
	prove.Within(t, "readyz says no", p.await(http.StatusServiceUnavailable), time.Second)
	for range signalStreams {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if got := p.booked()["demo-b"]; got.Requests != signalStreams || got.Errors != 0 || got.NotReportedAttempts != 0 {
		t.Errorf("booked %+v", got)
	}
}

// TestSecondSignalEndsAtOnceAndBooks: a second signal stops the program at once, and
// requests in flight are booked after the next start.
func TestSecondSignalEndsAtOnceAndBooks(t *testing.T) {
	t.Parallel()
	killed(t, syscall.SIGTERM, syscall.SIGTERM)
}

// TestKillBooksWhatWasUnderWay: requests in flight are charged after a kill.
func TestKillBooksWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	killed(t, syscall.SIGKILL)
}

func killed(t *testing.T, signals ...os.Signal) {
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "timeouts: {shutdown_wait: 30s, shutdown: 60s}\n")
	p, c := spawn(t, config)
	results := p.streaming(signalStreams, p.key("--budget-tokens", "10000000"), "[[demo slow=200ms words=1000]] go", 1000)
	var last time.Time
	for i, s := range signals {
		if i > 0 {
			p.await(http.StatusServiceUnavailable) // the one before has come
		}
		last = send(t, c, s)
	}
	err := c.Wait()
	prove.Within(t, "the end", time.Since(last), 5*time.Second)
	if err == nil {
		t.Error("it ended in order")
	}
	for range signalStreams {
		if err := <-results; err == nil {
			t.Error("a stream that was cut looks whole")
		}
	}
	next, _ := spawn(t, config)
	cfg, _, err := app.Load(t.Context(), app.Source{File: next.config, Demo: demo.New(nil).Local()})
	if err != nil {
		t.Fatal(err)
	}
	store, err := app.OpenStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var rows []billing.Spend
	prove.Eventually(t, "every stream has its row", func() bool {
		if _, err := store.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if rows, err = store.Events(t.Context(), billing.EventQuery{Limit: 1000}); err != nil {
			t.Fatal(err)
		}
		return len(rows) >= signalStreams
	})
	for _, row := range rows {
		if row.Status != billing.StatusInterrupted || row.UsageSource != billing.Bounded || row.Cost.Total == 0 || !row.Final {
			t.Errorf("row %+v", row)
		}
	}
	if len(rows) != signalStreams {
		t.Errorf("%d rows", len(rows))
	}
	if used := next.shown().Budgets[0].Standing; used.UsedTokens == 0 {
		t.Errorf("budget %+v", used)
	}
	_, metrics := next.get("admin", "/metrics")
	const booked = `tallyroute_attempts_total{kind="",model="story",provider="demo-b"}`
	if !strings.Contains(metrics, fmt.Sprintf("\n%s %d\n", booked, signalStreams)) {
		t.Error("the metrics do not have the attempts that were booked at the start")
	}
}
