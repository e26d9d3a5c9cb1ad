package agents

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers/scripted"
)

// picture is one of a single red point.
var picture = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde" +
	"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82")

// TestAgents installs what the makers of clients publish, points it at the router and has
// it chat, call tools, think, look and stop, in front of every wire format.
func TestAgents(t *testing.T) {
	if os.Getenv("AGENTS") == "" {
		t.Skip("installs clients from the npm registry: make proof-agents")
	}
	g := newRig(t)
	g.install()
	formats := scripted.Formats()
	if only := os.Getenv("AGENTS_FORMATS"); only != "" {
		formats = strings.Split(only, ",")
	}
	for _, agent := range []agent{codex(g), claudeCode(g), openCode(g)} {
		t.Run(agent.name, func(t *testing.T) {
			for _, format := range formats {
				t.Run(format, func(t *testing.T) { g.agent(t, agent, "on-"+format) })
			}
		})
	}
	for _, name := range []string{"openai", "anthropic", "vercel", "langchain"} {
		t.Run(name, func(t *testing.T) {
			for _, format := range formats {
				t.Run(format, func(t *testing.T) {
					env := []string{"BASE=" + g.url, "KEY=" + g.key, "MODEL=on-" + format}
					out, err := g.try(t, g.clients, env, "node", name+".mjs")
					if err != nil {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
		})
	}
}

// TestSDKsForGo does the same with the SDKs of OpenAI and Anthropic, which are in a separate module.
func TestSDKsForGo(t *testing.T) {
	if os.Getenv("AGENTS") == "" {
		t.Skip("fetches SDKs: make proof-agents")
	}
	g := newRig(t)
	program := filepath.Join(t.TempDir(), "sdks")
	g.run("testdata/sdks", []string{"GOFLAGS="}, "go", "build", "-o", program, ".")
	for _, format := range scripted.Formats() {
		t.Run(format, func(t *testing.T) {
			if out, err := g.try(t, ".", []string{"BASE=" + g.url, "KEY=" + g.key, "MODEL=on-" + format}, program); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// agent is a program that codes.
type agent struct {
	name  string
	ask   func(t *testing.T, home, model, prompt string) *exec.Cmd
	image func(t *testing.T, home, model, file string) *exec.Cmd
}

// command returns a client's command that runs in the work directory below home.
func (g *rig) command(t *testing.T, home string, args ...string) *exec.Cmd {
	c := exec.CommandContext(t.Context(), filepath.Join(g.clients, "node_modules", ".bin", args[0]), args[1:]...)
	c.Dir = filepath.Join(home, "work")
	c.WaitDelay = 5 * time.Second
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "ANTHROPIC_") && !strings.HasPrefix(v, "OPENAI_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "HOME="+home, "PWD="+c.Dir, "TALLYROUTE_KEY="+g.key, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"),
		"XDG_DATA_HOME="+filepath.Join(home, ".data"), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
		"OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1")
	return c
}

func codex(g *rig) agent {
	args := []string{"codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"}
	return agent{
		name: "codex",
		ask: func(t *testing.T, home, _, prompt string) *exec.Cmd {
			return g.command(t, home, append(args[:len(args):len(args)], prompt)...)
		},
		image: func(t *testing.T, home, _, file string) *exec.Cmd {
			return g.command(t, home, append(args[:len(args):len(args)], "-i", file, "--", "[[image]]")...)
		},
	}
}

func claudeCode(g *rig) agent {
	ask := func(t *testing.T, home, _, prompt string) *exec.Cmd {
		return g.command(t, home, "claude", "-p", prompt, "--allowedTools", "Bash,Read")
	}
	return agent{name: "claude-code", ask: ask, image: func(t *testing.T, home, model, file string) *exec.Cmd {
		return ask(t, home, model, "[[look]] "+file)
	}}
}

func openCode(g *rig) agent {
	return agent{
		name: "opencode",
		ask: func(t *testing.T, home, _, prompt string) *exec.Cmd {
			return g.command(t, home, "opencode", "run", prompt)
		},
		image: func(t *testing.T, home, _, file string) *exec.Cmd {
			return g.command(t, home, "opencode", "run", "[[image]]", "-f", file)
		},
	}
}

// agent sets a client up as its users do, by connect, and works with it.
func (g *rig) agent(t *testing.T, a agent, model string) {
	home := t.TempDir()
	g.write(filepath.Join(home, "work", "README.md"), "# Nothing\n")
	began := time.Now()
	if out, err := g.try(t, ".", []string{"HOME=" + home}, g.program, "--config", g.config, "connect", a.name, "--url", g.url,
		"--model", model, "--write"); err != nil {
		t.Fatalf("connect: %v: %s", err, out)
	}
	says(t, a.ask(t, home, model, "Say pong. [[chat]]"), "pong from")
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("from connect to the first answer: %v", took)
	prove.Within(t, "the first answer after connect", took, time.Minute)
	says(t, a.ask(t, home, model, "Use the tools. [[loop]]"), "done after 10 results")
	file := filepath.Join(home, "work", "red.png")
	g.write(file, string(picture))
	says(t, a.image(t, home, model, file), "images: 1.")
	g.cancel(t, a, home, model)
}

// says checks that the output of a client's command contains a text.
func says(t *testing.T, c *exec.Cmd, want string) {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: it says not %q (%v): %.3000s", c.Args, want, err, out)
	}
}

// cancel interrupts a client in the middle of an answer: the upstream must be let go.
func (g *rig) cancel(t *testing.T, a agent, home, model string) {
	t.Helper()
	before := g.slow()
	c := a.ask(t, home, model, "[[slow]]")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Minute)
	for g.slow() == before && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if g.slow() == before {
		t.Error("the slow request never came")
	}
	_ = c.Process.Signal(os.Interrupt)
	_ = c.Wait()
}

// slow returns how many slow requests the upstream has seen.
func (g *rig) slow() (n int) {
	for _, turn := range g.upstream.Seen() {
		if turn.Says("[[slow]]") {
			n++
		}
	}
	return n
}
