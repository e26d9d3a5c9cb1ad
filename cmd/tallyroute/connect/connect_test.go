package connect_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tallyroute/cmd/tallyroute/connect"
)

func settings() connect.Settings {
	return connect.Settings{URL: "http://127.0.0.1:8080", Model: "large"}
}

func TestEveryClientIsToldAddressAndModel(t *testing.T) {
	for _, name := range connect.Names() {
		text, err := connect.Text(name, settings())
		if err != nil || !strings.Contains(text, "http://127.0.0.1:8080") || !strings.Contains(text, "TALLYROUTE_KEY") {
			t.Errorf("%s: %v: %s", name, err, text)
		}
		if strings.Contains(text, "{url}") || strings.Contains(text, "{key}") || strings.Contains(text, "{model}") {
			t.Errorf("%s has places that were not filled: %s", name, text)
		}
	}
	if _, err := connect.Text("nobody", settings()); err == nil || !strings.Contains(err.Error(), "codex") {
		t.Errorf("an unknown client: %v", err)
	}
}

// What was in a file stays in it, what was there before is kept beside it, and a second
// time changes nothing.
func TestFilesAreMergedAndKept(t *testing.T) {
	for name, file := range map[string]struct{ path, before, stays string }{
		"codex":       {".codex/config.toml", "approval_policy = \"never\"\n[model_providers.other]\nname = \"o\"\n", "approval_policy"},
		"claude-code": {".claude/settings.json", `{"permissions":{"allow":["Bash"]},"env":{"A":"b"}}`, `"allow"`},
		"opencode":    {".config/opencode/opencode.json", `{"theme":"dark"}`, `"theme"`},
	} {
		home := t.TempDir()
		at := filepath.Join(home, file.path)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(file.before), 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Unix(0, 0)
		w, err := connect.Write(name, settings(), home, now)
		if err != nil {
			t.Fatal(err)
		}
		after, kept := read(t, at), read(t, w.Backup)
		if kept != file.before || !strings.Contains(after, file.stays) || !strings.Contains(after, "http://127.0.0.1:8080") {
			t.Errorf("%s: became %s, and kept is %s", name, after, kept)
		}
		if strings.HasSuffix(at, ".json") && !json.Valid([]byte(after)) || strings.HasSuffix(at, ".toml") && toml.Unmarshal([]byte(after),
			&map[string]any{}) != nil {
			t.Errorf("%s: cannot be read again: %s", name, after)
		}
		if w, err := connect.Write(name, settings(), home, now); err != nil || w.Backup != "" || read(t, at) != after {
			t.Errorf("%s: a second time changes the file: %v", name, err)
		}
	}
}

func TestFileThatCannotBeReadStaysAsItIs(t *testing.T) {
	home := t.TempDir()
	at := filepath.Join(home, ".claude", "settings.json")
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	const broken = `{"env": // mine`
	if err := os.WriteFile(at, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := connect.Write("claude-code", settings(), home, time.Unix(0, 0)); err == nil || read(t, at) != broken {
		t.Errorf("%v; the file is %s", err, read(t, at))
	}
	if _, err := connect.Write("cursor", settings(), home, time.Unix(0, 0)); err == nil {
		t.Error("a file is written for a client that has none")
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
