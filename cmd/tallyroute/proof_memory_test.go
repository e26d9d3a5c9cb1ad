package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/app"
)

// memorySlack allows for memory that the collector does not manage, such as the program's own pages,
// and for what is allocated before it notices.
const memorySlack = 128 << 20

// memoryBody is the maximum size of a body.
const memoryBody = 10 << 20

// TestMemoryStaysWithinItsBound attacks the real program with bodies that once took gigabytes:
// with many parts, without an end, and as large as allowed. It measures the memory of the process.
// Other keys are served in the meantime.
func TestMemoryStaysWithinItsBound(t *testing.T) {
	const perKey, all = 64 << 20, 256 << 20
	r := newMemoryRig(t)
	one := func(int) int { return 0 }
	each := func(i int) int { return i % len(r.keys) }
	for _, attack := range []struct {
		name  string
		times int
		body  []byte
		cut   bool // its last byte is never sent
		key   func(int) int
		bound int64
	}{
		{"parts beyond the bound", 8, memoryParts(380_000), false, one, perKey},
		{"as many parts as may be", 8, memoryParts(16_384), false, one, perKey},
		{"bodies of one key that do not end", 150, memoryParts(16_384), true, one, perKey},
		{"bodies of many keys that do not end", 150, memoryParts(16_384), true, each, all},
		{"large bodies of many keys", 60, memoryParts(16_384), false, each, all},
	} {
		r.calm(t)
		var attackers sync.WaitGroup
		for i := range attack.times {
			attackers.Go(func() { r.send(t, r.keys[attack.key(i)], attack.body, attack.cut) })
		}
		over := make(chan struct{})
		go func() { attackers.Wait(); close(over) }()
		for served, ended := 0, false; !ended || served < 5; served++ {
			select {
			case <-over:
				ended = true
			default:
			}
			if status := r.ask(t); status != http.StatusOK {
				t.Errorf("%s: another key got %d", attack.name, status)
			}
		}
		most, bound := r.peak(t), app.MemoryLimit(attack.bound)+memorySlack
		t.Logf("%s: %d MiB, at most %d", attack.name, most>>20, bound>>20)
		if most > bound {
			t.Errorf("%s: the process had %d MiB, it may have %d", attack.name, most>>20, bound>>20)
		}
	}
}

// memoryParts returns a body of the maximum size with n parts.
func memoryParts(n int) []byte {
	const head, tail, frame = `{"model":"m","messages":[{"role":"user","content":[`, `]}]}`, `{"type":"text","text":""},`
	part := `{"type":"text","text":"` + strings.Repeat("a", (memoryBody-len(head)-len(tail))/n-len(frame)) + `"}`
	return []byte(head + strings.Repeat(part+",", n-1) + part + tail)
}

// memoryRig is a router in its own process, with a slow provider.
type memoryRig struct {
	p     *program
	c     *exec.Cmd
	keys  []string
	other string // a key that takes no part in the attacks
	http  http.Client
}

func newMemoryRig(t *testing.T) *memoryRig {
	t.Helper()
	const answer = `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"ok"}],` +
		`"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":1}}`
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n > 1<<20 {
			time.Sleep(2 * time.Second) // so that all answers are in progress at the same time
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(up.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "tallyroute.yaml")
	text := fmt.Sprintf(`listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
database: sqlite:%[1]s/t.db
key_pepper: file:%[1]s/pepper
log: {format: json}
timeouts: {read_body: 5s, shutdown_wait: 0s}
providers:
  up:
    adapter: anthropic
    base_url: %[2]s
    private: true
    auth: {kind: none}
    models:
      - {id: m, context: 100000000, max_output: 100, can: [stream], prices: [{since: 2026-01-01, prompt: "1.00", completion: "2.00"}]}
`, dir, up.URL)
	for name, content := range map[string]string{config: text, filepath.Join(dir, "pepper"): strings.Repeat("p", 32)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &memoryRig{}
	r.p, r.c = spawnListening(t, config, 2)
	for range 8 {
		r.keys = append(r.keys, r.p.key())
	}
	r.other = r.p.key()
	return r
}

// send sends a body, or all but its last byte, and waits for the answer.
func (r *memoryRig) send(t *testing.T, key string, body []byte, cut bool) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", r.p.where["public"])
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(prove.Patience))
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: "+
		"close\r\nContent-Length: %d\r\n\r\n", key, len(body))
	if cut {
		body = body[:len(body)-1]
	}
	_, _ = io.Copy(c, bytes.NewReader(body)) // it may be refused before all of it has been sent
	_, _ = io.Copy(io.Discard, c)
}

// ask sends a short request with another key and returns its status.
func (r *memoryRig) ask(t *testing.T) int {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.p.base()+"/v1/chat/completions",
		strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+r.other)
	resp, err := r.http.Do(q)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// calm waits until no memory is held, and resets the peak of the process.
func (r *memoryRig) calm(t *testing.T) {
	t.Helper()
	prove.Eventually(t, "no memory is held", func() bool {
		_, text := r.p.get("admin", "/metrics")
		return strings.Contains(text, `tallyroute_held{unit="bytes"} 0`)
	})
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.c.Process.Pid), []byte("5"), 0o600); err != nil {
		t.Skipf("this system does not report the peak memory of a process: %v", err)
	}
}

// peak returns the maximum memory of the process since calm.
func (r *memoryRig) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.c.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
