package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// target is a server that the load is run through.
type target struct {
	name    string
	address string
	key     string
	process *process
}

func startProxy(ctx context.Context, dir, self, upstream string) (target, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return target{}, err
	}
	p, err := start(ctx, filepath.Join(dir, "proxy.log"), self, "proxy", addr+","+upstream)
	if err != nil {
		return target{}, err
	}
	return target{name: "proxy", address: addr, process: p}, waitFor(ctx, "http://"+addr+"/")
}

// startRouter writes a configuration with one provider, makes a key and starts the router.
func startRouter(ctx context.Context, s settings, dir, upstream string) (target, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return target{}, err
	}
	config, err := configure(s, dir, addr, upstream)
	if err != nil {
		return target{}, err
	}
	//nolint:gosec // the program is the one that the user names
	if out, err := exec.CommandContext(ctx, s.binary, "--config", config, "migrate").CombinedOutput(); err != nil {
		return target{}, fmt.Errorf("migrate: %w: %s", err, out)
	}
	args := []string{
		"--config", config, "keys", "create", "--name", "bench", "--team", "bench", "--project", "bench", "--env", "dev",
		"--secret-only",
	}
	if s.budget {
		args = append(args, "--budget-tokens", "900000000000", "--budget-usd", "1000000", "--period", "month")
	}
	secret, err := exec.CommandContext(ctx, s.binary, args...).Output() //nolint:gosec // as above
	if err != nil {
		return target{}, fmt.Errorf("keys create: %w", err)
	}
	p, err := start(ctx, filepath.Join(dir, "tallyroute.log"), s.binary, "--config", config, "serve")
	if err != nil {
		return target{}, err
	}
	t := target{name: "tallyroute", address: addr, key: strings.TrimSpace(string(secret)), process: p}
	return t, waitFor(ctx, "http://"+addr+"/readyz")
}

// configure writes the configuration and returns its path.
func configure(s settings, dir, addr, upstream string) (string, error) {
	if s.database == "" {
		s.database = "sqlite:" + filepath.Join(dir, "bench.db")
	}
	pepper, config := filepath.Join(dir, "pepper"), filepath.Join(dir, "tallyroute.yaml")
	if err := os.WriteFile(pepper, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		return "", err
	}
	return config, os.WriteFile(config, fmt.Appendf(nil, configText+"%s", addr, s.database, pepper, upstream,
		nativeProviders(upstream)), 0o600)
}

const configText = `listen: %s
admin_listen: 127.0.0.1:0
database: %s
key_pepper: file:%s
log: {level: info, format: json}
providers:
  bench:
    adapter: openai
    base_url: http://%s/v1
    private: true
    auth: {kind: none}
    models:
      - {id: bench, context: 128000, max_output: 16384, tokenizer: {encoding: o200k_base},
         prices: [{since: 2026-01-01, prompt: "0.15", completion: "0.60"}]}
`

// waitFor waits until something answers at url with a 2xx status.
func waitFor(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
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
