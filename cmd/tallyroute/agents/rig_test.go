package agents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/scripted"
)

// rig is a router in front of a scripted upstream of every format, and the clients.
type rig struct {
	t        *testing.T
	upstream *scripted.Upstream
	program  string // the router's
	config   string
	url      string
	key      string
	clients  string // where they are installed
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	g := &rig{
		t: t, upstream: &scripted.Upstream{Script: script}, program: filepath.Join(dir, "tallyroute"),
		config: filepath.Join(dir, "tallyroute.yaml"), url: "http://127.0.0.1:18431",
	}
	server := httptest.NewServer(g.upstream)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	g.run(".", nil, "go", "build", "-o", g.program, "tallyroute/cmd/tallyroute")
	g.write(g.config, configuration(server.URL, dir, strings.TrimPrefix(g.url, "http://")))
	g.write(filepath.Join(dir, "pepper"), strings.Repeat("p", 32))
	g.run(".", nil, g.program, "--config", g.config, "migrate")
	g.serve()
	out := g.run(".", nil, g.program, "--config", g.config, "keys", "create", "--name", "agents", "--team", "dev", "--project", "dev",
		"--budget-usd", "500", "-o", "json")
	var key struct{ Secret string }
	if err := json.Unmarshal([]byte(out), &key); err != nil || key.Secret == "" {
		t.Fatalf("no key was made: %s", out)
	}
	g.key = key.Secret
	return g
}

func (g *rig) write(file, text string) {
	g.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// configuration has a provider of each format with the model "on-" and its name.
func configuration(upstream, dir, listen string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %s\nadmin_listen: \"off\"\ndatabase: sqlite:%s/t.db\njournal: %s/journal\nkey_pepper: file:%s/pepper\n",
		listen, dir, dir, dir)
	b.WriteString("providers:\n")
	under := map[string]string{"openai": "/v1", "anthropic": "/v1", "responses": "/v1", "gemini": "/v1beta"}
	for _, format := range scripted.Formats() {
		fmt.Fprintf(&b, `  at-%[1]s:
    {adapter: %[1]s, base_url: "%[2]s", private: true, auth: {kind: none}, models: [{
      id: on-%[1]s, upstream: anthropic.claude-x, context: 1000000, max_output: 64000, can: [tools, vision, documents,
          json_schema, reasoning],
      prices: [{since: 2026-01-01, prompt: "1.00", completion: "5.00", cache_read: "0.10"}]}]}
`, format, upstream+under[format])
	}
	return b.String()
}

// serve starts the router and waits until it answers.
func (g *rig) serve() {
	g.t.Helper()
	c := exec.Command(g.program, "--config", g.config, "serve")
	log := &bytes.Buffer{}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if g.t.Failed() {
			text := log.String()
			g.t.Log(text[max(0, len(text)-20_000):])
		}
	})
	prove.Eventually(g.t, "the router answers", func() bool {
		resp, err := http.Get(g.url + "/v1/models")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusUnauthorized
	})
}

// install puts the clients of the npm registry into AGENTS_DIR, or a folder that is removed
// afterwards, and lets those run their own last step that need it.
func (g *rig) install() {
	g.t.Helper()
	g.clients = os.Getenv("AGENTS_DIR")
	if g.clients == "" {
		g.clients = g.t.TempDir()
	}
	for _, e := range entries(g.t, "testdata/clients") {
		text, err := os.ReadFile(filepath.Join("testdata/clients", e))
		if err != nil {
			g.t.Fatal(err)
		}
		g.write(filepath.Join(g.clients, e), string(text))
	}
	began := time.Now()
	g.run(g.clients, nil, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
	for _, last := range []string{"opencode-ai/postinstall.mjs", "@anthropic-ai/claude-code/install.cjs"} {
		g.run(filepath.Join(g.clients, "node_modules", filepath.Dir(last)), nil, "node", filepath.Base(last))
	}
	g.t.Logf("the clients are installed after %v", time.Since(began).Round(time.Second))
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// run runs a program to its end and returns what it printed.
func (g *rig) run(dir string, env []string, name string, args ...string) string {
	g.t.Helper()
	out, err := g.try(g.t, dir, env, name, args...)
	if err != nil {
		g.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return out
}

// try is like run, for commands that may fail.
func (g *rig) try(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	c.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	timer := time.AfterFunc(20*time.Minute, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	if err := c.Run(); err != nil {
		return out.String() + errs.String(), err
	}
	return out.String(), nil
}
