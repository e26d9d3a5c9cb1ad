package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tallyroute/providers/catalogue"
)

// build builds the player and, unless it is given, the router.
func (s *settings) build(ctx context.Context, dir string) error {
	if err := goBuild(ctx, s.player, filepath.Join(dir, "player"), "."); err != nil {
		return fmt.Errorf("building the player: %w", err)
	}
	if s.binary != "" {
		return nil
	}
	s.binary = filepath.Join(dir, "tallyroute")
	if err := goBuild(ctx, ".", s.binary, "./cmd/tallyroute"); err != nil {
		return fmt.Errorf("building tallyroute (run this from the project's root, or give -binary): %w", err)
	}
	return nil
}

func goBuild(ctx context.Context, from, to, pkg string) error {
	//nolint:gosec // folders that the user names
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "nomsgpack", "-o", to, pkg)
	cmd.Dir, cmd.Stderr = from, os.Stderr
	return cmd.Run()
}

// replay replays one format.
func (s *settings) replay(ctx context.Context, dir string, f format, apis []api, w io.Writer) (results []result, ledger *tally, err error) {
	upstream, err := freeAddress(ctx)
	if err != nil {
		return nil, nil, err
	}
	player := filepath.Join(dir, "player")
	replay, err := start(ctx, player, "replay", "-cases", s.cases, "-addr", upstream, "-cut", s.cut)
	if err != nil {
		return nil, nil, err
	}
	defer replay.stop()
	if err := waitFor(ctx, "http://"+upstream+"/"); err != nil {
		return nil, nil, err
	}
	builtin := make(map[string]catalogue.Status)
	if !s.plain {
		if builtin, err = known(ctx); err != nil {
			return nil, nil, err
		}
	}
	refused, err := s.refused()
	if err != nil {
		return nil, nil, err
	}
	r, err := s.serve(ctx, filepath.Join(dir, f.family), f.config(split(apis, refused), upstream, builtin))
	if err != nil {
		return nil, nil, err
	}
	results, err = s.check(ctx, check{player: player, dir: dir, replay: "http://" + upstream, family: f.family}, r, w)
	r.process.stop() // the rows are in the database once it has stopped
	if err != nil {
		return nil, nil, err
	}
	ledger, err = s.compareLedger(ctx, filepath.Join(dir, f.family, "corpus.db"), results, w)
	return results, ledger, err
}

// router is a running router.
type router struct {
	url, key string
	process  *process
}

// serve starts a router with its own database.
func (s *settings) serve(ctx context.Context, dir, providers string) (router, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return router{}, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return router{}, err
	}
	pepper, config := filepath.Join(dir, "pepper"), filepath.Join(dir, "tallyroute.yaml")
	text := fmt.Sprintf("listen: %s\nadmin_listen: 'off'\ndatabase: sqlite:%s\nkey_pepper: file:%s\nlog: {level: error}\nlimits: "+
		"{max_body_bytes: 67108864}\n%s",
		addr, filepath.Join(dir, "corpus.db"), pepper, providers)
	for name, content := range map[string]string{pepper: rand.Text() + rand.Text(), config: text} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return router{}, err
		}
	}
	//nolint:gosec // the program is the one that the user names
	cmd := exec.CommandContext(ctx, s.binary, "--config", config, "keys", "create", "--name", "corpus", "--team", "corpus", "--project",
		"corpus", "--env", "dev", "--secret-only")
	cmd.Stderr = os.Stderr
	secret, err := cmd.Output()
	if err != nil {
		return router{}, fmt.Errorf("keys create: %w", err)
	}
	p, err := start(ctx, s.binary, "--config", config, "serve")
	if err != nil {
		return router{}, err
	}
	r := router{url: "http://" + addr, key: strings.TrimSpace(string(secret)), process: p}
	if err := waitFor(ctx, r.url+"/readyz"); err != nil {
		p.stop()
		return router{}, fmt.Errorf("%w; tallyroute said: %.2000s", err, p.out.String())
	}
	return r, nil
}

// check is the information that the player needs.
type check struct{ player, dir, replay, family string }

// check makes the player ask the router for everything in one format.
func (s *settings) check(ctx context.Context, c check, r router, w io.Writer) ([]result, error) {
	report := filepath.Join(c.dir, c.family+".json")
	args := []string{
		"check", "-cases", s.cases, "-base", r.url, "-key", r.key, "-replay", c.replay, "-c", fmt.Sprint(s.clients),
		"-spec", filepath.Join(s.spec, "openai"), "-out", report, "-timeout", "60s",
	}
	if s.report != "" {
		report = filepath.Join(s.report, c.family+".json")
		args = append(args, "-out", report, "-keep")
	}
	// The player includes an API that matches any of the globs; the router only has those of one
	// family, so the two are combined.
	if s.apis == "" {
		args = append(args, "-apis", "family:"+c.family)
	} else {
		args = append(args, "-apis", s.apis)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, c.player, append(args, "-v")...) //nolint:gosec // a program that was just built
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("player check: %w: %.2000s", err, said.String())
	}
	if s.verbose {
		text, _, _ := strings.Cut(said.String(), "\napi ")
		_, _ = fmt.Fprintln(w, text)
	}
	return readReport(report, c.family)
}

func readReport(file, family string) ([]result, error) {
	text, err := os.ReadFile(file) //nolint:gosec // a file that the player was told to write
	if err != nil {
		return nil, err
	}
	var all struct{ Results []result }
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	var own []result
	for _, r := range all.Results {
		if r.Family == family {
			own = append(own, r)
		}
	}
	return own, nil
}

// freeAddress returns an unused loopback address.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitFor waits until something answers at url.
func waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing answers at %s", url)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// process is a program that was started and will be stopped.
type process struct {
	cmd *exec.Cmd
	out *bytes.Buffer
}

func start(ctx context.Context, name string, args ...string) (*process, error) {
	//nolint:gosec // a program that was just built, or the one that the user names
	p := &process{cmd: exec.CommandContext(ctx, name, args...), out: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // it was told to stop; its exit status does not matter
}
