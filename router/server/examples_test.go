package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/router/federation"
)

// TestJobsOfTheExamplesAskWithoutASecret runs the scripts of the CI examples as their platforms
// do: each gets a token for its job, exchanges it and makes a request with the result.
func TestJobsOfTheExamplesAskWithoutASecret(t *testing.T) {
	for _, program := range []string{"sh", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the examples need %s", program)
		}
	}
	p := newPlatform(t)
	var allotted []billing.Allotment
	now := time.Now()
	when, err := policy.CompileClaims(`claims.repository == "acme/app"`)
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, withTemporary(t, &allotted, &now), func(o *Options) {
		o.Temporary = o.Temporary.With(federation.New([]federation.Issuer{{
			URL: p.URL, Audience: "tallyroute", Bindings: []federation.Binding{{Key: "key_1", When: when}},
		}}, p.Client()))
	})
	job := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" || r.URL.Query().Get("audience") != "tallyroute" {
			t.Errorf("the job's token is asked for with %s, %v", r.URL, r.Header)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"value": p.token("acme/app", now)})
	}))
	defer job.Close()
	const address = "https://llm.example.com/v1"
	for name, environment := range map[string][]string{
		"github.yml": {
			"ACTIONS_ID_TOKEN_REQUEST_TOKEN=request-token", "ACTIONS_ID_TOKEN_REQUEST_URL=" + job.URL + "?api-version=2.0",
			"GITHUB_ENV=" + filepath.Join(t.TempDir(), "env"),
		},
		"gitlab.yml": {"JOB_TOKEN=" + p.token("acme/app", now)},
	} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "examples", "ci", name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		if !strings.Contains(text, address) || strings.Contains(text, "secrets.") {
			t.Errorf("%s has another address, or a stored secret", name)
		}
		// GitHub reads the environment file between steps; GitLab uses a single shell.
		const between = "\nif [ -n \"${GITHUB_ENV:-}\" ]; then . \"$GITHUB_ENV\"; export OPENAI_API_KEY; fi\n"
		script := "set -eu\n" + strings.Join(scripts(text), between)
		run := exec.CommandContext(t.Context(), "sh", "-c", script)
		run.Env = append(environment, "PATH="+os.Getenv("PATH"), "OPENAI_BASE_URL="+g.url("/v1"))
		var out, failed bytes.Buffer
		run.Stdout, run.Stderr = &out, &failed
		if err := run.Run(); err != nil || !strings.Contains(out.String(), `"chat.completion"`) {
			t.Errorf("%s: %v: %s%s\n%s", name, err, &out, &failed, script)
		}
	}
}

// scripts returns the shell blocks of a CI configuration file, in order.
func scripts(text string) (blocks []string) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		start := strings.TrimLeft(lines[i], " ")
		depth := len(lines[i]) - len(start)
		folded := strings.HasSuffix(start, "- >")
		if !folded && !strings.HasSuffix(start, "- |") && !strings.HasSuffix(start, "run: |") {
			continue
		}
		var block []string
		for i++; i < len(lines) && len(lines[i])-len(strings.TrimLeft(lines[i], " ")) > depth; i++ {
			block = append(block, strings.TrimSpace(lines[i]))
		}
		i--
		with := "\n"
		if folded {
			with = " "
		}
		blocks = append(blocks, strings.Join(block, with))
	}
	return blocks
}
