package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/app"
	"tallyroute/cmd/tallyroute/demo"
	pt "tallyroute/providers/providertest"
)

// TestKillBooksPlainCallsWithWhatIsKnownOfThem: a router is killed while providers have
// four plain calls: one that a first provider had cut off, one whose client had left, one
// under an idempotency key and one that was just asked. The next start books all that they
// may have used. How long an attempt took is in its row where it had ended, and nowhere
// else: nobody can know when the others did.
func TestKillBooksPlainCallsWithWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	credential := filepath.Join(dir, "credential")
	if err := os.WriteFile(credential, []byte(attackCredential), 0o600); err != nil {
		t.Fatal(err)
	}
	first := pt.NewUpstream(t, pt.JSON(http.StatusOK, attackAnswer), pt.Script(pt.Reset()), pt.Script(pt.Hang()))
	second := pt.NewUpstream(t, pt.Script(pt.Hang()))
	config := "providers:\n" + attackProvider(0, first.URL(), "    private: true\n") +
		attackProvider(1, second.URL(), "    private: true\n")
	file := writeConfig(t, "sqlite:"+dir+"/t.db", strings.ReplaceAll(config, "CREDENTIAL", credential))
	p, c := spawn(t, file)
	key := p.key("--budget-tokens", "1000000", "--budget-usd", "100")

	p.asks(http.MethodPost, "/v1/chat/completions", key, attackPlain) // answered
	ask := func(ctx context.Context, header ...string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base()+"/v1/chat/completions", strings.NewReader(attackPlain))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+key)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("answered with %d", resp.StatusCode)
		}
	}
	go ask(t.Context()) // cut off by the first, asked of the second
	second.Wait(t, 1)
	leaving, leave := context.WithCancel(t.Context())
	go ask(leaving)
	first.Wait(t, 3)
	leave()
	go ask(t.Context(), "Idempotency-Key", "k")
	first.Wait(t, 4)
	go ask(t.Context())
	first.Wait(t, 5)
	send(t, c, syscall.SIGKILL)
	_ = c.Wait() // it was killed
	began := time.Now()

	p, _ = spawn(t, file)
	rows := p.rows(6)
	count := make(map[string]int)
	for _, row := range rows {
		kind := string(row.Status) + " " + string(row.UsageSource) + " " + row.Provider
		count[kind]++
		switch over := row.Status != billing.StatusInterrupted; {
		case over != (row.Took != nil):
			t.Errorf("%s: took %v", kind, row.Took)
		case over && *row.Took > time.Since(began)+prove.Patience:
			t.Errorf("%s: took %s", kind, *row.Took)
		case !over && (row.Tokens.Prompt() < 8 || row.Tokens.Output != 50 || !row.Final || row.BytesOut != nil || row.FirstToken != nil):
			t.Errorf("%s: %+v", kind, row)
		}
		if rate := row.Price.Cost(row.Tokens).Total; row.Cost.Total != rate || rate == 0 {
			t.Errorf("%s: %+v for $%s", kind, row.Tokens, row.Cost.Total)
		}
	}
	for kind, n := range map[string]int{
		"ok reported up0": 1, "error bounded up0": 1, "interrupted bounded up1": 1, "interrupted bounded up0": 3,
	} {
		if count[kind] != n {
			t.Errorf("%d rows are %s, want %d", count[kind], kind, n)
		}
	}
}

// rows waits until the ledger has n rows and returns them.
func (p *program) rows(n int) (rows []billing.Spend) {
	p.t.Helper()
	cfg, _, err := app.Load(p.t.Context(), app.Source{File: p.config, Demo: demo.New(nil).Local()})
	if err != nil {
		p.t.Fatal(err)
	}
	store, err := app.OpenStore(p.t.Context(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	defer store.Close()
	prove.Eventually(p.t, "every attempt has its row", func() bool {
		if rows, err = store.Events(p.t.Context(), billing.EventQuery{Limit: 1000}); err != nil {
			p.t.Fatal(err)
		}
		return len(rows) >= n
	})
	if len(rows) != n {
		p.t.Errorf("%d rows, want %d", len(rows), n)
	}
	return rows
}
