package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/cmd/tallyroute/cli"
)

// governedRules has every rule that keys can break.
const governedRules = `keys:
  max_age: {high: 90d}
  rotate_within: {high: 30d}
  expiry: [prod]
  owner: [prod]
  purpose: [prod]
  budget: [prod]
  networks: [prod]
  models: [prod]
  sinks: {staging: [files]}
browser: {max_usd: "5", max_expiry: 30d}
data_classes: {confidential: [azure]}
`

// governed is a program whose keys have to keep the rules.
type governed struct {
	t      *testing.T
	config string
	files  string
}

// tallyroute runs a command and returns its exit code and what it printed.
func (g governed) tallyroute(args ...string) (code int, stdout, stderr string) {
	g.t.Helper()
	var out, errs bytes.Buffer
	code = run(g.t.Context(), append([]string{"--config", g.config}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// member runs a command that prints JSON, and returns one of its members.
func (g governed) member(path string, args ...string) string {
	g.t.Helper()
	code, stdout, stderr := g.tallyroute(append(args, "-o", "json")...)
	if code != cli.ExitOK {
		g.t.Fatalf("%v: %d %s", args, code, stderr)
	}
	return member(g.t, stdout, path)
}

func (g governed) file(name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.files, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// TestCommandsThatBreakARuleAreRefused changes compliant keys, and what is above them, by the command line
// so that they would break one rule each.
func TestCommandsThatBreakARuleAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := governed{t, writeConfig(t, "sqlite:"+filepath.Join(dir, "t.db"), "sinks: [files=file:"+dir+"/keys]\n"), dir}
	origins := g.file("origins.yaml", "origins: [\"https://app.example\"]\n")
	azure, chat := g.file("azure.yaml", "providers: [azure]\n"), g.file("chat.yaml", "endpoints: [chat]\n")
	command(t, "--config", g.config, "governance", "set", "--file", g.file("rules.yaml", governedRules), "--reason", "first")
	command(t, "--config", g.config, "projects", "create", "files", "--team", "legal", "--env", "dev", "--data-class", "confidential")
	command(t, "--config", g.config, "projects", "create", "plain", "--team", "legal", "--env", "dev")
	key := func(flags ...string) string { return g.member("id", append([]string{"keys", "create"}, flags...)...) }

	prod := key("--name", "till", "--team", "web", "--project", "shop", "--env", "prod", "--expires-in", "60d", "--owner", "ann@example.com",
		"--purpose", "tills", "--budget-usd", "50", "--cidr", "10.0.0.0/8", "--models", "demo-a/echo", "--sensitivity", "high",
		"--rotate-every", "30d")
	budget := g.member("budgets.0.id", "keys", "show", prod)
	page := key("--name", "page", "--team", "pages", "--project", "site", "--env", "dev", "--client", "browser", "--policy", origins,
		"--budget-usd", "5", "--expires-in", "30d")
	legal := key("--name", "legal", "--team", "legal", "--project", "files", "--policy", azure)
	plain := key("--name", "plain", "--team", "legal", "--project", "plain")
	staging := key("--name", "staging", "--team", "web", "--project", "next", "--env", "staging", "--to", "files:next")
	for _, c := range []struct {
		rule string
		args []string
	}{
		{"keys.expiry", []string{"keys", "update", prod, "--never-expires"}},
		{"keys.max_age", []string{"keys", "update", prod, "--expires-in", "91d"}},
		{"keys.rotate_within", []string{"keys", "update", prod, "--rotate-every", "31d"}},
		{"keys.owner", []string{"keys", "update", prod, "--owner", ""}},
		{"keys.purpose", []string{"keys", "update", prod, "--purpose", ""}},
		{"keys.budget", []string{"keys", "update", prod, "--no-budgets"}},
		{"keys.budget", []string{"budgets", "remove", budget}},
		{"keys.budget", []string{"budgets", "update", budget, "--action", "alert"}},
		{"keys.budget", []string{"budgets", "update", budget, "--no-usd", "--requests", "5"}},
		{"keys.networks", []string{"keys", "update", prod, "--anywhere"}},
		{"keys.networks", []string{"keys", "update", prod, "--cidr", "0.0.0.0/1"}},
		{"keys.models", []string{"keys", "update", prod, "--models", "demo-a/*"}},
		{"keys.models", []string{"keys", "update", prod, "--models", "*"}},
		{"keys.max_age", []string{"keys", "update", plain, "--sensitivity", "high"}},
		{"keys.sinks", []string{"keys", "deliver", staging, "--off"}},
		{"keys.sinks", []string{"keys", "rotate", staging}},
		{"keys.sinks", []string{"keys", "hand-over", staging}},
		{"browser.origin", []string{"policy", "set", "key", page, "--file", chat}},
		{"browser.origin", []string{"policy", "clear", "key", page}},
		{"browser.origin", []string{"keys", "update", plain, "--client", "browser"}},
		{"browser.budget", []string{"keys", "update", page, "--budget-usd", "6"}},
		{"browser.budget", []string{"policy", "set", "team", "web", "--file", origins}},
		{"browser.expiry", []string{"keys", "update", page, "--expires-in", "31d"}},
		{"data_classes", []string{"policy", "clear", "key", legal}},
		{"data_classes", []string{"projects", "update", "legal/plain", "--data-class", "confidential"}},
		{"data_classes", []string{"keys", "update", plain, "--project", "files", "--team", "legal"}},
		{"data_classes", []string{"projects", "update", "legal/files", "--data-class", "unheard-of"}},
	} {
		code, stdout, stderr := g.tallyroute(c.args...)
		if code != cli.ExitUsage || !strings.Contains(stderr, c.rule+": ") {
			t.Errorf("%s: tallyroute %s: exit code %d: %s%s", c.rule, strings.Join(c.args, " "), code, stdout, stderr)
		}
	}
	var report struct{ Findings []struct{ Rule, Name string } }
	if code, stdout, stderr := g.tallyroute("governance", "report", "-o", "json"); code != cli.ExitOK ||
		json.Unmarshal([]byte(stdout), &report) != nil || len(report.Findings) > 0 {
		t.Errorf("a rule is broken all the same: %d %s%s", code, stdout, stderr)
	}
}
