package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/manage"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/cmd/tallyroute/demo"
)

// program is a running "tallyroute serve".
type program struct {
	t       *testing.T
	config  string
	where   map[string]string // of each listener
	stop    context.CancelFunc
	code    chan int
	log     *logLines
	stopped sync.Once
}

// logLines collects what a program logs and lets tests wait for it.
type logLines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan map[string]any // of listeners that have opened
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(p) {
		var fields map[string]any
		if json.Unmarshal(line, &fields) == nil && fields["msg"] == "listening" {
			l.lines <- fields
		}
	}
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// without returns the log without the lines that contain one of the texts.
func (l *logLines) without(texts ...string) string {
	var rest strings.Builder
	for line := range strings.Lines(l.String()) {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line, text) }) {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "tallyroute.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.DSN(t))
	})
}

// writeConfig makes a configuration with the demonstration's providers.
func writeConfig(t *testing.T, database, more string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tallyroute.yaml")
	pepper := filepath.Join(dir, "pepper")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndatabase: %q\nkey_pepper: file:%s\ndemo: true\nlog: "+
		"{format: json}\n%s", database, pepper, more)
	if !strings.Contains(more, "journal:") {
		text += "journal: " + filepath.Join(dir, "journal") + "\n"
	}
	if !strings.Contains(more, "timeouts:") {
		text += "timeouts: {shutdown_wait: 0s, " + databasePatience + "}\n"
	}
	for name, content := range map[string]string{file: text, pepper: strings.Repeat("p", 32)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// databasePatience has a program wait for its database for as long as a crowded
// machine may take.
const databasePatience = "read: 60s, database_acquire: 30s, database_statement: 30s, database_lock: 30s"

// command runs tallyroute to its end and returns what it printed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr); code != cli.ExitOK {
		t.Fatalf("tallyroute %v: exit code %d: %s", args, code, stderr.String())
	}
	return stdout.String()
}

// launch starts the program and returns once its sockets are open.
func launch(t *testing.T, config string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{
		t: t, config: config, where: make(map[string]string), stop: cancel,
		code: make(chan int, 1), log: &logLines{lines: make(chan map[string]any, 8)},
	}
	go func() {
		p.code <- run(ctx, []string{"--config", config, "serve"}, strings.NewReader(""), io.Discard, p.log)
	}()
	t.Cleanup(func() { p.end() })
	for len(p.where) < 4 { // public, admin, demo-a and demo-b
		select {
		case l := <-p.log.lines:
			p.where[l["for"].(string)] = l["address"].(string)
		case code := <-p.code:
			p.code <- code
			t.Fatalf("serve ended with %d: %s", code, p.log)
		case <-time.After(prove.Patience):
			t.Fatalf("serve does not listen: %s", p.log)
		}
	}
	return p
}

// serve launches a program and waits until it can answer requests.
func serve(t *testing.T, config string) *program {
	t.Helper()
	p := launch(t, config)
	p.await(http.StatusOK)
	return p
}

// end stops the program and returns its exit code.
func (p *program) end() int {
	code := cli.ExitOK
	p.stopped.Do(func() {
		p.stop()
		select {
		case code = <-p.code:
		case <-time.After(prove.Patience):
			p.t.Errorf("serve does not end: %s", p.log)
		}
		if p.t.Failed() {
			p.t.Log(p.log)
		}
	})
	return code
}

func (p *program) base() string { return "http://" + p.where["public"] }

// get asks for a path of one of the listeners.
func (p *program) get(listener, path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.where[listener]+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// await polls readyz until it answers with status, and OK without reserve.
func (p *program) await(status int) (took time.Duration) {
	p.t.Helper()
	return p.awaitReady(status, "")
}

// degraded is what readyz says while only what is leased can be served.
const degraded = `"status":"degraded"`

// awaitReady polls readyz until it answers with status, and with degraded where that is wanted.
func (p *program) awaitReady(status int, state string) (took time.Duration) {
	p.t.Helper()
	began := time.Now()
	prove.Eventually(p.t, fmt.Sprintf("readyz answers %d %s", status, state), func() bool {
		got, body := p.get("public", "/readyz")
		return got == status && strings.Contains(body, degraded) == (state == degraded)
	})
	return time.Since(began)
}

// key makes a virtual key.
func (p *program) key(flags ...string) string {
	p.t.Helper()
	args := append([]string{
		"--config", p.config, "keys", "create", "--name", "test", "--team", "web", "--project", "shop", "--env", "dev",
		"--secret-only",
	}, flags...)
	return strings.TrimSpace(command(p.t, args...))
}

// client returns a go-openai client for the program.
func (p *program) client(key string) *openai.Client {
	cfg := openai.DefaultConfig(key)
	cfg.BaseURL = p.base() + "/v1"
	return openai.NewClientWithConfig(cfg)
}

// bills returns what the demonstration's providers are owed.
func (p *program) bills() map[string]demo.Bill {
	p.t.Helper()
	bills := make(map[string]demo.Bill)
	for _, name := range []string{"demo-a", "demo-b"} {
		_, body := p.get(name, "/demo/bill")
		var b demo.Bill
		if err := json.Unmarshal([]byte(body), &b); err != nil {
			p.t.Fatalf("%s: %v: %s", name, err, body)
		}
		bills[name] = b
	}
	return bills
}

// stored waits until what was settled is in the database, for commands that
// read it by themselves.
func (p *program) stored() {
	p.t.Helper()
	prove.Eventually(p.t, "what was settled is stored", func() bool {
		_, metrics := p.get("admin", "/metrics")
		return !strings.Contains(metrics, "tallyroute_ledger_backlog ") || strings.Contains(metrics, "tallyroute_ledger_backlog 0\n")
	})
}

// booked returns what the ledger has for each provider.
func (p *program) booked() map[string]manage.SpendLine {
	p.t.Helper()
	p.stored()
	var report manage.SpendReport
	if err := json.Unmarshal([]byte(command(p.t, "--config", p.config, "report", "providers", "-o", "json")), &report); err != nil {
		p.t.Fatal(err)
	}
	byName := make(map[string]manage.SpendLine)
	for _, r := range report.Data {
		byName[r.Group["provider"]] = r
	}
	return byName
}

// shown returns the database's only key as "keys show" prints it.
func (p *program) shown() manage.KeyView {
	p.t.Helper()
	p.stored()
	var list []manage.KeyView
	if err := json.Unmarshal([]byte(command(p.t, "--config", p.config, "keys", "list", "-o", "json")), &list); err != nil ||
		len(list) != 1 {
		p.t.Fatalf("%d keys: %v", len(list), err)
	}
	var v manage.KeyView
	if err := json.Unmarshal([]byte(command(p.t, "--config", p.config, "keys", "show", list[0].ID, "-o", "json")), &v); err != nil {
		p.t.Fatal(err)
	}
	return v
}
