package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/providers/sink"
)

// inbox is a webhook that takes secrets, and refuses the first few.
type inbox struct {
	mu      sync.Mutex
	refuses int
	got     []map[string]string
	faults  []string
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses > 0 {
		b.refuses--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var v map[string]string
	at := r.Header.Get("X-Tallyroute-Timestamp")
	want, err := signedAt("the secret of the hook", body, at)
	if err != nil || json.Unmarshal(body, &v) != nil || r.Header.Get("X-Tallyroute-Signature") != want {
		b.faults = append(b.faults, string(body))
	}
	b.got = append(b.got, v)
}

// all returns what has come.
func (b *inbox) all() []map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

// signedAt returns the signature of a body at a Unix time.
func signedAt(secret string, body []byte, at string) (string, error) {
	var seconds int64
	_, err := fmt.Sscan(at, &seconds)
	return sink.Signed(secret, body, time.Unix(seconds, 0)).Get("X-Tallyroute-Signature"), err
}

// sample is a client of examples/rotation that waits for lines.
type sample struct {
	in     io.WriteCloser
	out    *bufio.Scanner
	faults *strings.Builder
}

func startSample(t *testing.T, env []string, args ...string) sample {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	s := sample{faults: &strings.Builder{}}
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), s.faults
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewScanner(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.in.Close()
		_ = cmd.Wait()
	})
	return s
}

// asks has the sample ask once.
func (s sample) asks(t *testing.T, when string) {
	t.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		t.Fatal(err)
	}
	if !s.out.Scan() || s.out.Text() == "" {
		t.Fatalf("%s: %q, %s", when, s.out.Text(), s.faults)
	}
}

// TestSamplesGoOnThroughARotation: a router delivers the secret of a key to a file, from which
// programs in three languages read it, before and after the old one has ended.
func TestSamplesGoOnThroughARotation(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	config := writeConfig(t, pgtest.DSN(t), "sinks: [files=file:"+files+"]\n")
	p := serve(t, config)
	p.key("--budget-tokens", "1000000")
	id := p.shown().ID
	file := filepath.Join(files, "shop", "key")
	read := func() string {
		text, _ := os.ReadFile(file)
		return strings.TrimSpace(string(text))
	}
	deliver := func() string {
		before := read()
		command(t, "--config", config, "keys", "deliver", id, "--to", "files:shop/key", "--overlap", "0s")
		prove.Eventually(t, "a secret is delivered", func() bool { return read() != before && read() != "" })
		return read()
	}
	first := deliver()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	examples, err := filepath.Abs("../../examples/rotation")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "rotation")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = examples
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	env := []string{"TALLYROUTE_KEY_FILE=" + file, "TALLYROUTE_BASE_URL=" + p.base() + "/v1"}
	samples := map[string]sample{"go": startSample(t, env, program)}
	for name, script := range map[string]string{"python3": "client.py", "node": "client.mjs"} {
		if _, err := exec.LookPath(name); err == nil {
			samples[name] = startSample(t, env, name, filepath.Join(examples, script))
		}
	}
	for name, s := range samples {
		s.asks(t, name+" with the first secret")
	}
	second := deliver()
	prove.Eventually(t, "the first secret has ended", func() bool { _, code, _ := p.asked(first); return code == "key_rotated" })
	for name, s := range samples {
		s.asks(t, name+" after the rotation")
	}
	command(t, "--config", config, "keys", "archive", id)
	prove.Eventually(t, "the copy is deleted", func() bool { return read() == "" })
	prove.Eventually(t, "the second secret has ended", func() bool { got, _, _ := p.asked(second); return got == http.StatusUnauthorized })
}

// TestWebhookTakesSecretsOnceItAnswers: while the webhook fails the old secret stays good; then
// the new one arrives, signed, and the end of the key as well.
func TestWebhookTakesSecretsOnceItAnswers(t *testing.T) {
	t.Parallel()
	hook := &inbox{refuses: 1}
	s := httptest.NewServer(hook)
	t.Cleanup(s.Close)
	secret := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(secret, []byte("the secret of the hook"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, pgtest.DSN(t), "sinks: [hook="+s.URL+"]\nwebhook_secret: file:"+secret+"\n")
	p := serve(t, config)
	first := p.key("--budget-tokens", "1000000")
	id := p.shown().ID
	command(t, "--config", config, "keys", "deliver", id, "--to", "hook:shop", "--overlap", "0s")
	prove.Eventually(t, "the failure is listed", func() bool {
		return strings.Contains(command(t, "--config", config, "keys", "sinks"), "failing")
	})
	if got, _, _ := p.asked(first); got != http.StatusOK {
		t.Errorf("while the webhook fails: %d", got)
	}
	prove.Eventually(t, "a secret has come", func() bool { return len(hook.all()) == 1 })
	got := hook.all()[0]
	if got["event"] != "key.rotated" || got["key_id"] != id || got["place"] != "shop" || got["version"] != "2" {
		t.Errorf("the webhook was told %v", got)
	}
	prove.Eventually(t, "the first secret has ended", func() bool { _, code, _ := p.asked(first); return code == "key_rotated" })
	if status, _, _ := p.asked(got["secret"]); status != http.StatusOK {
		t.Errorf("the secret that was delivered: %d", status)
	}
	command(t, "--config", config, "keys", "archive", id)
	prove.Eventually(t, "the end is told", func() bool { return len(hook.all()) == 2 && hook.all()[1]["event"] == "key.archived" })
	if len(hook.faults) > 0 {
		t.Errorf("not signed: %v", hook.faults)
	}
}
