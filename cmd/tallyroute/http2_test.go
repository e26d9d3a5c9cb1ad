package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallyroute/billing"
	pt "tallyroute/providers/providertest"
)

// cutHTTP2 is a way in which a provider does not answer over HTTP/2, and what of it is
// booked of a request for at most 50 tokens whose prompt has 8.
type cutHTTP2 struct {
	answer         func(w pt.Wire, stream uint32)
	ask            string
	prompt, output int64
	source         billing.Provenance
	status         billing.Status
}

func cutsHTTP2() map[string]cutHTTP2 {
	const (
		failed, aborted            = billing.StatusError, billing.StatusUpstreamAborted
		reported, counted, bounded = billing.Reported, billing.Counted, billing.Bounded
		events                     = "text/event-stream"
	)
	reset := func(w pt.Wire, s, why uint32) { w.Frame(pt.FrameReset, s, pt.Numbers(why)...) }
	after := func(kind, text string, end func(w pt.Wire, s uint32)) func(w pt.Wire, s uint32) {
		return func(w pt.Wire, s uint32) {
			w.Head(s, kind)
			if text != "" {
				w.Frame(pt.FrameData, s, []byte(text)...)
			}
			end(w, s)
		}
	}
	broken := func(w pt.Wire, s uint32) { reset(w, s, pt.InternalError) }
	closed := func(w pt.Wire, _ uint32) { _ = w.Close() }
	away := func(last uint32) func(w pt.Wire, s uint32) {
		return func(w pt.Wire, s uint32) {
			w.Frame(pt.FrameGoAway, 0, pt.Numbers(last*s, pt.InternalError)...)
			_ = w.Close()
		}
	}
	half := attackAnswer[:len(attackAnswer)/2]
	word := "data: " + attackWord + "\n\n"
	return map[string]cutHTTP2{
		"not taken up":            {func(w pt.Wire, s uint32) { reset(w, s, pt.RefusedStream) }, attackPlain, 0, 0, reported, failed},
		"gone before it":          {away(0), attackPlain, 0, 0, reported, failed},
		"reset":                   {broken, attackPlain, 8, 50, bounded, failed},
		"reset, to be streamed":   {broken, attackStream, 8, 50, bounded, failed},
		"closed":                  {closed, attackPlain, 8, 50, bounded, failed},
		"gone with it":            {away(1), attackPlain, 8, 50, bounded, failed},
		"reset behind the header": {after("application/json", "", broken), attackPlain, 8, 50, bounded, failed},
		"reset within the answer": {after("application/json", half, broken), attackPlain, 8, 50, bounded, failed},
		"closed within it":        {after("application/json", half, closed), attackPlain, 8, 50, bounded, failed},
		"stream reset unheard":    {after(events, "", broken), attackStream, 8, 50, bounded, failed},
		"stream reset":            {after(events, word, broken), attackStream, 8, 2, counted, aborted},
		"stream closed":           {after(events, word, closed), attackStream, 8, 2, counted, aborted},
		"stream gone":             {after(events, word, away(1)), attackStream, 8, 2, counted, aborted},
		"stream reset behind its usage": {
			after(events, word+"data: "+strings.Replace(attackUsage, `"completion_tokens":2`, `"completion_tokens":7`, 1)+"\n\n", broken),
			attackStream, 8, 7, reported, aborted,
		},
	}
}

// TestHTTP2CallThatIsCutIsBooked: what a provider may bill for an HTTP/2 call that it resets, closes or
// abandons is in the ledger, the receipt and the budget. Calls that it did not process are free.
func TestHTTP2CallThatIsCutIsBooked(t *testing.T) {
	config, trusted := "providers:\n", ""
	for name, c := range cutsHTTP2() {
		server := pt.NewHTTP2(t, c.answer)
		config += "  " + providerOf(name) + strings.TrimPrefix(attackProvider(0, server.URL, "    private: true\n"), "  up0")
		trusted += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Cert.Raw}))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"trusted.pem": trusted, "credential": attackCredential} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SSL_CERT_FILE", filepath.Join(dir, "trusted.pem"))
	config = strings.ReplaceAll(config, "CREDENTIAL", filepath.Join(dir, "credential"))
	p, _ := spawn(t, writeConfig(t, "sqlite:"+dir+"/t.db", config))
	key := p.key("--budget-tokens", "1000000", "--budget-usd", "100")
	asked := make(map[string]string)
	for name, c := range cutsHTTP2() {
		ask := strings.Replace(c.ask, `"model":"m"`, `"model":"`+providerOf(name)+`/m"`, 1)
		h, body := p.asks(http.MethodPost, "/v1/chat/completions", key, ask)
		if asked[h.Get("X-Request-Id")] = name; h.Get("X-Request-Id") == "" {
			t.Fatalf("%s: %v %s", name, h, body)
		}
	}
	compareCuts(t, p, asked, key)
}

// compareCuts compares the rows, receipts and the budget with what there must be.
func compareCuts(t *testing.T, p *program, asked map[string]string, key string) {
	t.Helper()
	rows := p.rows(len(asked))
	var tokens int64
	for _, row := range rows {
		name := asked[row.RequestID]
		want := cutsHTTP2()[name]
		if row.Tokens.Prompt() != want.prompt || row.Tokens.Output != want.output || row.UsageSource != want.source ||
			row.Status != want.status || row.Cost.Total != billing.Money(want.prompt*1000+want.output*2000) || row.Took == nil {
			t.Errorf("%s: booked as %s, %s, %+v for $%s, took %v", name, row.Status, row.UsageSource, row.Tokens, row.Cost.Total, row.Took)
		}
		tokens += row.Tokens.Total()
		_, receipt := p.asks(http.MethodGet, "/v1/requests/"+row.RequestID, key, "")
		if !strings.Contains(receipt, `"cost_usd":"`+row.Cost.Total.Short()+`"`) {
			t.Errorf("%s: the receipt says %s", name, receipt)
		}
	}
	if used := p.shown().Budgets[0].Standing.UsedTokens; used != tokens {
		t.Errorf("%d tokens are used, the rows have %d", used, tokens)
	}
}

func providerOf(name string) string { return strings.NewReplacer(" ", "-", ",", "").Replace(name) }

// asks sends a request, whatever becomes of its answer.
func (p *program) asks(method, path, key, body string) (http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base()+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.Header, string(text)
}
