package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/billing/postgres/pgtest"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/cmd/tallyroute/demo"
	"tallyroute/router/tokens"
)

// kind is one kind of request in the mixture.
type kind struct {
	name   string
	prompt string
	stream bool
	leave  int           // bytes of the answer after which the client hangs up; 0 stays
	early  time.Duration // after which the client hangs up
	cut    bool          // the connection ends in the middle
	fails  bool          // counts against the upstream
	status []int         // any of them is right
	end    string
}

var mixture = []kind{
	{name: "plain", prompt: "one two three", status: []int{200}, end: "}"},
	{name: "stream", prompt: "tell me", stream: true, status: []int{200}, end: "data: [DONE]\n\n"},
	{name: "long stream", prompt: "[[demo slow=2ms words=60]]", stream: true, status: []int{200}, end: "data: [DONE]\n\n"},
	{name: "plain", prompt: "four five six", status: []int{200}, end: "}"},
	{name: "stream", prompt: "and then?", stream: true, status: []int{200}, end: "data: [DONE]\n\n"},
	// The pace leaves the upstream the time to notice before its next word.
	{name: "client leaves a stream", prompt: "[[demo slow=35ms words=200]]", stream: true, leave: 1500, status: []int{200}},
	{name: "client leaves at once", prompt: "[[demo slow=2s words=3]]", early: 200 * time.Millisecond},
	{
		name: "cut by the upstream", prompt: "[[demo cut=3]] and so on", stream: true, cut: true, fails: true, status: []int{200},
		end: "}\n\n",
	},
	{name: "one fails, the other answers", prompt: "[[demo at=demo-a fail=503]]", status: []int{200}, end: "}"},
	{name: "refused by the upstream", prompt: "[[demo fail=400]]", status: []int{400}, end: "}"},
	{name: "both fail", prompt: "[[demo fail=500]]", fails: true, status: []int{502}, end: "}"},
	{name: "not JSON", prompt: "\x00", status: []int{400}, end: "}"},
}

// After any mixture of streams, hang-ups, failovers and errors, what the
// ledger says agrees with what the providers say, and the quota equals the ledger.
func TestMixedTrafficAddsUp(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "mixed.db") },
		"postgres": func(t *testing.T) string { return pgtest.DSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mixed(t, database(t))
		})
	}
}

func mixed(t *testing.T, database string) {
	const requests, clients = 500, 16
	c := demoCommand{Listen: "127.0.0.1:0", AdminListen: "off", Database: config.DSN(database)}
	cfg := c.config()
	dir := t.TempDir()
	cfg.Journal, cfg.KeyPepper = filepath.Join(dir, "journal"), config.SecretRef("file:"+filepath.Join(dir, "pepper"))
	if err := os.WriteFile(filepath.Join(dir, "pepper"), []byte(strings.Repeat("p", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	counter := tokens.New(tokens.Options{})
	providers := demo.New(counter)
	s, err := app.New(t.Context(), cfg, app.Options{Log: zap.NewNop(), Tokens: counter, Demo: providers.Local()})
	if err != nil {
		t.Fatal(err)
	}
	err = s.During(t.Context(), func(ctx context.Context) error {
		key, secret, err := demo.Key(ctx, s)
		if err != nil {
			return err
		}
		url := "http://" + s.Address("public") + "/v1/chat/completions"
		var next, away atomic.Int64
		var wg sync.WaitGroup
		for n := range clients {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			wg.Go(func() {
				for next.Add(1) <= requests {
					k := mixture[random.IntN(len(mixture))]
					if k.fails && random.IntN(3) > 0 { // or the router would soon ask nobody
						k = mixture[0]
					}
					switch err := k.send(ctx, url, secret.Reveal()); {
					case errors.Is(err, errAway):
						away.Add(1)
						app.Wait(ctx, 500*time.Millisecond)
					case err != nil:
						t.Errorf("%s: %v", k.name, err)
					}
				}
			})
		}
		wg.Wait()
		if n := away.Load(); n > requests/5 {
			t.Errorf("%d of %d requests found no healthy provider: too many for the rest to mean much", n, requests)
		}
		return addsUp(ctx, t, s, providers, key)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errAway = errors.New("no healthy provider")

// send sends one request and checks how it ends.
func (k kind) send(ctx context.Context, url, key string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if k.early > 0 {
		time.AfterFunc(k.early, cancel)
	}
	body := fmt.Sprintf(`{"model":"echo","stream":%t,"max_tokens":400,"messages":[{"role":"user","content":%q}]}`, k.stream, k.prompt)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if k.early > 0 && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Where too many fail in a row, the router stops asking for a while.
	if resp.StatusCode == http.StatusServiceUnavailable {
		return errAway
	}
	if k.leave > 0 {
		_, err := io.CopyN(io.Discard, resp.Body, int64(k.leave))
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil && k.early == 0 && !k.cut {
		return fmt.Errorf("%w after %.200s", err, answer)
	}
	for _, status := range k.status {
		if resp.StatusCode == status && bytes.HasSuffix(bytes.TrimSpace(answer), []byte(strings.TrimSpace(k.end))) {
			return nil
		}
	}
	if k.early > 0 {
		return nil
	}
	return fmt.Errorf("status %d: %.300s … %.100s", resp.StatusCode, answer, answer[max(0, len(answer)-100):])
}

// tokensPerWord bounds the words of the demonstration's echo.
const tokensPerWord = 3

// addsUp waits for the last settlement and compares ledger, quota and bills.
func addsUp(ctx context.Context, t *testing.T, s *app.Service, p *demo.Providers, key billing.Key) error {
	prove.Eventually(t, "nothing is held", func() bool {
		balances, err := s.Actions().Store.Balances(ctx, &key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return balances[0].HeldTokens == 0 && s.Idle()
	})
	rows, err := s.Reports().Events(ctx, billing.EventQuery{KeyID: key.ID, Limit: 1000})
	if err != nil {
		return err
	}
	for name, bill := range p.Bills() {
		holdAgainst(t, name, bill, rows)
	}
	var used int64
	var cost billing.Money
	for _, row := range rows {
		used += row.Tokens.Total()
		cost = cost.Add(row.Cost.Total)
	}
	balances, err := s.Actions().Store.Balances(ctx, &key, time.Now())
	if err != nil {
		return err
	}
	for _, b := range balances {
		if b.UsedTokens != used || b.UsedMoney != cost {
			t.Errorf("the quota has %d tokens and $%s used, the rows come to %d and $%s", b.UsedTokens, b.UsedMoney, used, cost)
		}
	}
	if used == 0 || cost == 0 {
		t.Error("nothing was booked")
	}
	return nil
}

// attempted is what rows come to.
type attempted struct{ attempts, prompt, output int64 }

// holdAgainst compares the bill with the rows. Where the client stayed they
// agree to the token. A client that left pays for its prompt, which may not have
// reached the provider any more, and for what was read or may have been generated
// unseen; what crosses the cancellation on the wire is on the bill alone
// (docs/adr/0011-client-gone.md). The later a crowded machine lets the provider
// notice, the more that is; on a quiet one it is a word for each.
func holdAgainst(t *testing.T, name string, bill demo.Bill, rows []billing.Spend) {
	t.Helper()
	var stayed, left attempted
	for _, row := range rows {
		sum := &stayed
		if row.Status == billing.StatusClientAborted {
			sum = &left
		}
		if row.Provider == name {
			sum.attempts++
			sum.prompt += row.Tokens.Prompt()
			sum.output += row.Tokens.Output
		}
	}
	crossed := bill.CompletionTokens - stayed.output - left.output
	t.Logf("%s: %+v of clients that stayed, %+v of clients that left, %d tokens crossed; the bill %+v", name, stayed, left, crossed, bill)
	if bill.PromptTokens < stayed.prompt || bill.PromptTokens > stayed.prompt+left.prompt || bill.CompletionTokens < stayed.output ||
		(prove.Timed() && crossed > tokensPerWord*bill.Aborted) {
		t.Errorf("%s: the ledger and the bill do not agree on the tokens", name)
	}
	if stayed.attempts > bill.Requests || stayed.attempts+left.attempts < bill.Requests-bill.Failures {
		t.Errorf("%s: the ledger and the bill do not agree on the attempts", name)
	}
}
