package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// load is one kind of request.
type load struct {
	name string
	body []byte
	end  []byte // what a whole answer ends with
}

// loads are a prompt of about 1 KB, plain and streamed.
var loads = []load{
	{"plain answer, 1 KB prompt", body(""), []byte("}")},
	{"stream of 20 chunks, 1 KB prompt", body(`"stream":true,"stream_options":{"include_usage":true},`), []byte("data: [DONE]\n\n")},
}

func body(more string) []byte {
	return []byte(`{"model":"bench",` + more + `"max_tokens":100,"messages":[{"role":"system","content":"You count."},{"role":"user","content":"` +
		strings.Repeat(answerText, 8) + `"}]}`)
}

// target is what the load is run through.
type target struct {
	name    string
	url     string
	key     string
	process *process
}

func startProxy(ctx context.Context, self, upstream string) (target, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return target{}, err
	}
	p, err := start(ctx, self, "proxy", addr+","+upstream)
	if err != nil {
		return target{}, err
	}
	return target{name: "proxy", url: "http://" + addr + "/v1/chat/completions", process: p}, waitFor(ctx, "http://"+addr+"/")
}

// startRouter writes a configuration with one provider, makes a key and serves.
func startRouter(ctx context.Context, s settings, dir, upstream string) (target, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return target{}, err
	}
	admin, err := freeAddress(ctx)
	if err != nil {
		return target{}, err
	}
	if s.database == "" {
		s.database = "sqlite:" + filepath.Join(dir, "bench.db")
	}
	pepper := filepath.Join(dir, "pepper")
	if err := os.WriteFile(pepper, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		return target{}, err
	}
	config := filepath.Join(dir, "tallyroute.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, configText, addr, admin, s.database, pepper, upstream), 0o600); err != nil {
		return target{}, err
	}
	args := []string{"--config", config, "keys", "create", "--name", "bench", "--team", "bench", "--project", "bench", "--env", "dev", "--secret-only"}
	if s.budget {
		args = append(args, "--budget-tokens", "900000000000", "--budget-usd", "1000000", "--period", "month")
	}
	//nolint:gosec // the program is the one that the user names
	if out, err := exec.CommandContext(ctx, s.binary, "--config", config, "migrate").CombinedOutput(); err != nil {
		return target{}, fmt.Errorf("migrate: %w: %s", err, out)
	}
	secret, err := exec.CommandContext(ctx, s.binary, args...).Output() //nolint:gosec // as above
	if err != nil {
		return target{}, fmt.Errorf("keys create: %w", err)
	}
	p, err := start(ctx, s.binary, "--config", config, "serve")
	if err != nil {
		return target{}, err
	}
	t := target{name: "tallyroute", url: "http://" + addr + "/v1/chat/completions", key: strings.TrimSpace(string(secret)), process: p}
	return t, waitFor(ctx, "http://"+addr+"/readyz")
}

const configText = `listen: %s
admin_listen: %s
database: %s
key_pepper: file:%s
log: {level: error}
providers:
  bench:
    adapter: openai
    base_url: http://%s/v1
    private: true
    auth: {kind: none}
    models:
      - {id: bench, context: 128000, max_output: 16384, tokenizer: {encoding: o200k_base}, prices: [{since: 2026-01-01, prompt: "0.15", completion: "0.60"}]}
`

// round is what one run of a load came to.
type round struct {
	perSecond float64
	cpuMicros float64 // of the target's process, per request
	p50, p99  time.Duration
}

// run sends the load and checks every answer.
func (t target) run(ctx context.Context, s settings, l load) (round, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true}}
	defer client.CloseIdleConnections()
	took := make([]time.Duration, s.requests)
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, s.clients)
	cpu := t.process.cpu()
	began := time.Now()
	for range s.clients {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(s.requests); i = next.Add(1) - 1 {
				sent := time.Now()
				err := t.send(ctx, client, l)
				if err != nil && t.key == "" {
					err = t.send(ctx, client, l) // a proxy that copies a body as it arrives cuts an answer now and then
				}
				if err != nil {
					failed <- err
					return
				}
				took[i] = time.Since(sent)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	select {
	case err := <-failed:
		return round{}, err
	default:
	}
	slices.Sort(took)
	return round{
		perSecond: float64(s.requests) / elapsed.Seconds(),
		cpuMicros: float64((t.process.cpu() - cpu).Microseconds()) / float64(s.requests),
		p50:       took[len(took)/2], p99: took[len(took)*99/100],
	}, nil
}

func (t target) send(ctx context.Context, client *http.Client, l load) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(l.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if t.key != "" {
		req.Header.Set("Authorization", "Bearer "+t.key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasSuffix(bytes.TrimRight(answer, "\n"), bytes.TrimRight(l.end, "\n")) {
		return fmt.Errorf("status %d: %.300s", resp.StatusCode, answer)
	}
	return nil
}

// process is a child whose CPU time is read.
type process struct {
	cmd *exec.Cmd
	out *bytes.Buffer
}

func start(ctx context.Context, name string, args ...string) (*process, error) {
	//nolint:gosec // this program itself, or the one that the user names
	p := &process{cmd: exec.CommandContext(ctx, name, args...), out: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // it was told to end; how it did does not matter
}

// tail is the end of what the process printed, as an error.
func (p *process) tail() error {
	return fmt.Errorf("tallyroute said: %.2000s", p.out.String())
}

// ticks per second of the times in /proc; Linux has used 100 for decades.
const ticks = 100

// cpu is the user and system time of the process so far.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold spaces; the fields are counted after it.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks
}

func median(rounds []round, f func(round) float64) float64 {
	var list []float64
	for _, r := range rounds {
		list = append(list, f(r))
	}
	slices.Sort(list)
	return list[len(list)/2]
}
