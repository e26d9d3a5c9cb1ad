package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRouteExplainKnowsHealth: a command run next to the router shows that a target has failed.
func TestRouteExplainKnowsHealth(t *testing.T) {
	t.Setenv("TALLYROUTE_ADMIN_TOKEN", strings.TrimSpace(command(t, "admin", "token")))
	config := writeConfig(t, "sqlite:"+t.TempDir()+"/t.db", "")
	p := serve(t, config)
	c := p.client(p.key())
	for range 8 {
		_, _ = c.CreateChatCompletion(t.Context(), ask("demo-a/echo", "[[demo fail=500]]"))
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(t.TempDir(), "beside.yaml")
	text = []byte(strings.Replace(string(text), "admin_listen: 127.0.0.1:0", "admin_listen: "+p.where["admin"], 1))
	prompt := filepath.Join(t.TempDir(), "prompt")
	for name, content := range map[string][]byte{beside: text, prompt: []byte("hi")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := command(t, "--config", beside, "route", "explain", "--model", "echo", "--prompt-file", prompt)
	if !strings.Contains(out, "→  demo-b/echo") || !strings.Contains(out, "healthy") || strings.Contains(out, "not known") {
		t.Error(out)
	}
	p.end()
	out = command(t, "--config", beside, "route", "explain", "--model", "echo", "--prompt-file", prompt)
	if !strings.Contains(out, "→  demo-a/echo") || !strings.Contains(out, "not known") {
		t.Error(out)
	}
}
