package connect_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/pelletier/go-toml/v2"

	"tallyroute/cmd/tallyroute/connect"
)

func settings() connect.Settings {
	return connect.Settings{URL: "http://127.0.0.1:8080", Model: "large"}
}

func TestEveryClientIsToldAddressAndModel(t *testing.T) {
	for _, name := range connect.Names() {
		text, err := connect.Text(name, settings())
		if err != nil || !strings.Contains(text, "http://127.0.0.1:8080") ||
			!strings.Contains(text, "=$TALLYROUTE_KEY") && !strings.Contains(text, "sk-tr-…") {
			t.Errorf("%s: %v: %s", name, err, text)
		}
		with := settings()
		with.Key = "sk-tr-known"
		filled, err := connect.Text(name, with)
		if err != nil || !strings.Contains(filled, "sk-tr-known") || strings.Contains(filled, "$TALLYROUTE_KEY") ||
			strings.Contains(filled, "sk-tr-…") {
			t.Errorf("%s with a key: %v: %s", name, err, filled)
		}
		for _, place := range []string{"{url}", "{key}", "{secret}", "{model}"} {
			if strings.Contains(text, place) {
				t.Errorf("%s: %s was not filled in: %s", name, place, text)
			}
		}
	}
	if _, err := connect.Text("nobody", settings()); err == nil || !strings.Contains(err.Error(), "codex") {
		t.Errorf("an unknown client: %v", err)
	}
}

// What clients read as YAML or JSON is YAML or JSON, with what their makers' documents require.
func TestTextsAreFilesThatTheirClientsRead(t *testing.T) {
	for name, required := range map[string][]string{
		"continue": {"name", "version", "schema", "models"}, "librechat": {"version", "endpoints"}, "opencode": {"provider", "model"},
	} {
		text, err := connect.Text(name, settings())
		if err != nil {
			t.Fatal(err)
		}
		file := map[string]any{}
		if err := yaml.Unmarshal([]byte(strings.Replace(text, "// ", "# ", 1)), &file); err != nil { // JSON is YAML
			t.Errorf("%s: %v: %s", name, err, text)
		}
		for _, member := range required {
			if file[member] == nil {
				t.Errorf("%s has no %s: %s", name, member, text)
			}
		}
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
		w, err := connect.Write(name, settings(), connect.Home{Dir: home}, now)
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
		if w, err := connect.Write(name, settings(), connect.Home{Dir: home}, now); err != nil || w.Backup != "" || read(t, at) != after {
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
	if _, err := connect.Write("claude-code", settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err == nil || read(t, at) != broken {
		t.Errorf("%v; the file is %s", err, read(t, at))
	}
	if _, err := connect.Write("cursor", settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err == nil {
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

// What people have in their files is preserved: comments, order, numbers and file modes.
func TestTextAroundTheSettingsStaysAsItIs(t *testing.T) {
	for name, file := range map[string]struct {
		path, before string
		stays        []string
	}{
		"codex": {".codex/config.toml", "# mine\nmodel = \"old\" # the old one\napproval_policy = \"never\"\n\n[model_providers.other] # another\n" +
			"name = \"o\"\n\n[tui]\n# quiet\nnotifications = false", []string{"# mine\n", "[model_providers.other] # another\n", "# quiet\n"}},
		"claude-code": {
			".claude/settings.json", "{\n\t\"permissions\": {\"allow\": [\"Bash\"]},\n\t\"env\": {\"A\": \"b\"},\n\t\"n\": 12345678901234567890\n}\n",
			[]string{"\t\"permissions\": {\"allow\": [\"Bash\"]}", `"A": "b"`, "12345678901234567890"},
		},
		"opencode": {".config/opencode/opencode.jsonc", "// mine\n{\n  /* dark, \"always\" */ \"theme\": \"da//rk\",\n  \"provider\": {\n" +
			"    \"tallyroute\": {\"name\": \"old\", /* mine */},\n  },\n}\n", []string{"// mine\n", `/* dark, "always" */ "theme": "da//rk"`, "/* mine */"}},
	} {
		home := t.TempDir()
		at := filepath.Join(home, file.path)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(file.before), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, 0o644); err != nil {
			t.Fatal(err)
		}
		w, err := connect.Write(name, settings(), connect.Home{Dir: home}, time.Unix(0, 0))
		if err != nil || w.File != at {
			t.Fatalf("%s: %s is written: %v", name, w.File, err)
		}
		after := read(t, at)
		for _, text := range append(file.stays, "http://127.0.0.1:8080") {
			if !strings.Contains(after, text) {
				t.Errorf("%s: %q is missing in\n%s", name, text, after)
			}
		}
		if info, err := os.Stat(at); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: its mode is %v, %v", name, info.Mode(), err)
		}
		if _, err := connect.Write(name, settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err != nil || read(t, at) != after {
			t.Errorf("%s: a second time it becomes\n%s", name, read(t, at))
		}
	}
}

// A secret that is no longer wanted is removed, and the file remains strict JSON.
func TestSecretIsRemovedFromAFile(t *testing.T) {
	for _, env := range []string{
		`{"A": "b" , "ANTHROPIC_AUTH_TOKEN": "sk-old"}`, `{"ANTHROPIC_AUTH_TOKEN": "sk-old"}`,
		`{"ANTHROPIC_AUTH_TOKEN": "sk-old", "A": "b"}`, "{\n    \"A\": \"b\",\n    \"ANTHROPIC_AUTH_TOKEN\": \"sk-old\"\n  }",
	} {
		home := t.TempDir()
		at := filepath.Join(home, ".claude", "settings.json")
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		before := "{\n  \"theme\":   \"dark\",\n  \"env\": " + env + "\n}\n"
		if err := os.WriteFile(at, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := connect.Write("claude-code", settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		after := read(t, at)
		if strings.Contains(after, "sk-old") || !strings.Contains(after, "\"theme\":   \"dark\"") || !json.Valid([]byte(after)) ||
			strings.Contains(after, `"A"`) != strings.Contains(before, `"A"`) {
			t.Errorf("%s became %s", before, after)
		}
	}
}

func TestLinkGoesOnPointingToItsFile(t *testing.T) {
	home, dotfiles := t.TempDir(), t.TempDir()
	target, link := filepath.Join(dotfiles, "codex.toml"), filepath.Join(home, ".codex", "config.toml")
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if _, err := connect.Write("codex", settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err == nil {
		t.Error("a link to nothing is replaced")
	}
	if err := os.WriteFile(target, []byte("model = \"old\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := connect.Write("codex", settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != target || !strings.Contains(read(t, target), `model = 'large'`) {
		t.Errorf("it points to %s, %v, which is %s", to, err, read(t, target))
	}
}

func TestFileIsWhereTheClientsVariableSays(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{
		"codex": "config.toml", "claude-code": "settings.json", "opencode": filepath.Join("opencode", "opencode.json"),
	} {
		getenv := func(string) string { return filepath.Join(dir, name) }
		w, err := connect.Write(name, settings(), connect.Home{Dir: "/nowhere", Getenv: getenv}, time.Unix(0, 0))
		if err != nil || w.File != filepath.Join(dir, name, want) {
			t.Errorf("%s: %s: %v", name, w.File, err)
		}
	}
}

func TestFilesThatHoldSomethingElseStayAsTheyAre(t *testing.T) {
	for name, text := range map[string]string{
		"claude-code": `{"env": "none"}`, "opencode": `{"provider": ["a"]}`, "codex": "model_providers = 7\n",
	} {
		home := t.TempDir()
		w, err := connect.Write(name, settings(), connect.Home{Dir: home}, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := connect.Write(name, settings(), connect.Home{Dir: home}, time.Unix(0, 0)); err == nil || read(t, w.File) != text {
			t.Errorf("%s: %v; the file is %s", name, err, read(t, w.File))
		}
	}
}
