package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	pt "tallyroute/providers/providertest"
)

// TestBadUpstream: whatever invalid response a provider sends, the next one is called, what may be
// billed for it is charged at its upper bound, and the client gets a complete answer.
func TestBadUpstream(t *testing.T) {
	const html = "<html><body>upstream.internal.example: <h1>502</h1></body></html>"
	target := pt.NewUpstream(t, pt.JSON(200, attackAnswer))
	media := "text/event-stream"
	for name, tt := range map[string]struct {
		bad    pt.Reply
		stream bool
	}{
		"redirect 307":       {bad: pt.Redirect(307, target.URL()+"/v1/chat/completions")},
		"redirect 302":       {bad: pt.Redirect(302, target.URL())},
		"redirect, streamed": {bad: pt.Redirect(308, target.URL()), stream: true},
		"HTML":               {bad: pt.Body(200, "text/html", html)},
		"HTML as JSON":       {bad: pt.JSON(200, html)},
		"HTML, streamed":     {bad: pt.Body(200, "text/html; charset=utf-8", html), stream: true},
		"error in a 200":     {bad: pt.JSON(200, `{"error":{"message":"no","type":"server_error"}}`)},
		"error in a stream":  {bad: pt.Stream(`{"error":{"message":"no","type":"server_error"}}`), stream: true},
		"error for a stream": {bad: pt.JSON(200, `{"error":{"message":"no","type":"server_error"}}`), stream: true},
		"empty":              {bad: pt.JSON(200, "")},
		"204":                {bad: pt.Reply{Status: 204}},
		"empty stream":       {bad: pt.Body(200, media, ""), stream: true},
		"only done":          {bad: pt.Stream(), stream: true},
		"no choices":         {bad: pt.JSON(200, `{"id":"x","object":"chat.completion","choices":[]}`)},
		"reset":              {bad: pt.Reply{Steps: []pt.Step{pt.Reset()}}},
		"cut in the header":  {bad: pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 200 OK\r\nContent-")}}},
		"cut in the body": {bad: pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 200 OK\r\nContent-Length: 900\r\nContent-Type: " +
			"application/json\r\n\r\n{\"id\":")}}},
		"cut before content": {bad: pt.Script(pt.Cut()), stream: true},
		"no event stream":    {bad: pt.Body(200, media, "hello\n\n"), stream: true},
		"malformed event":    {bad: pt.Stream(`{"choices":`), stream: true},
		"endless line":       {bad: pt.Script(pt.Write("data: "), pt.Endless(strings.Repeat("x", 1<<16), 0)), stream: true},
		"ten megabytes":      {bad: pt.Script(pt.Event(strings.Repeat("x", 10<<20))), stream: true},
		"bomb":               {bad: pt.GzipBomb(64 << 20)},
		"endless body": {bad: pt.Reply{Steps: []pt.Step{pt.Endless(strings.Repeat(" ", 1<<20), 0)}}.With("Content-Type",
			"application/json")},
		"endless header": {bad: pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 1<<20) +
			"\r\n\r\n")}}},
		"no HTTP at all":           {bad: pt.Reply{Steps: []pt.Step{pt.Raw("SSH-2.0-OpenSSH_9.9\r\n")}}},
		"our credential refused":   {bad: pt.JSON(401, `{"error":{"message":"bad key `+attackCredential+`","code":"invalid_api_key"}}`)},
		"our credential forbidden": {bad: pt.JSON(403, `{"error":{"message":"bad key `+attackCredential[:12]+`***","code":"x"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			whole, body, end := pt.JSON(200, attackAnswer), attackPlain, "}"
			if tt.stream {
				whole, body, end = pt.Stream(attackWord, attackFinish, attackUsage), attackStream, "data: [DONE]"
			}
			g := attacked(t, "", tt.bad, whole)
			base := runtime.NumGoroutine()
			r := g.complete(body)
			if r.status != 200 || !strings.Contains(r.body, "hello there") || !strings.HasSuffix(strings.TrimSpace(r.body), end) {
				t.Errorf("%d %.600s %v", r.status, r.body, r.err)
			}
			if got := r.header.Get("X-Tallyroute-Provider") + r.header.Get("X-Tallyroute-Attempts"); got != "up12" {
				t.Errorf("answered by %s", got)
			}
			rows := g.rows(2)
			slices.SortFunc(rows, func(a, b billing.Spend) int { return a.Attempt - b.Attempt })
			free := strings.HasPrefix(name, "redirect") || strings.HasPrefix(name, "our credential")
			if bad := rows[0]; bad.Status != billing.StatusError || bad.Final || free != (bad.Tokens.Total() == 0) ||
				free != (bad.Cost.Total == 0) ||
				!free && (bad.UsageSource != billing.Bounded || bad.Tokens.Output > 50) {
				t.Errorf("the failure was booked as %+v", bad)
			}
			if good := rows[1]; good.Status != billing.StatusOK || good.Tokens.Total() != 10 || !good.Final {
				t.Errorf("the answer was booked as %+v", good)
			}
			if n := len(g.ups[0].Calls()); n != 1 {
				t.Errorf("the failing provider was asked %d times", n)
			}
			pt.Await(t, "the failing provider is let go", g.ups[0].Calls()[0].Done)
			g.settled(base)
			g.alive()
		})
	}
	if n := len(target.Calls()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestCredentialThatAProviderEchoesIsToldToNobody: if a provider repeats our key, nobody sees it, and
// the provider's headers are not passed on.
func TestCredentialThatAProviderEchoesIsToldToNobody(t *testing.T) {
	echo := `{"error":{"message":"Incorrect API key provided: ` + attackCredential + `","type":"` + attackCredential + `","param":"` +
		attackCredential[:20] + `","code":"` + attackCredential[10:] + `"}}`
	reply := func(r pt.Reply) pt.Reply {
		return r.With("X-Key", attackCredential).With("Set-Cookie", "k="+attackCredential).With("X-Request-Id", attackCredential).
			With("Openai-Organization", "org-of-the-operator").With("X-Ratelimit-Limit-Requests", "77")
	}
	for name, tt := range map[string]struct {
		reply  pt.Reply
		stream bool
		status int
		code   string
	}{
		"401":             {pt.JSON(401, echo), false, 502, "upstream_auth_failed"},
		"401, streamed":   {pt.JSON(401, echo), true, 502, "upstream_auth_failed"},
		"403":             {pt.JSON(403, echo), false, 502, "upstream_auth_failed"},
		"400":             {pt.JSON(400, echo), false, 0, ""},
		"429":             {pt.JSON(429, echo), false, 429, "rate_limit_exceeded"},
		"500":             {pt.JSON(500, echo), false, 502, "all_providers_failed"},
		"200":             {pt.JSON(200, echo), false, 502, ""},
		"first event":     {pt.Stream(echo), true, 502, ""},
		"later event":     {pt.Stream(attackWord, echo), true, 200, ""},
		"as HTML":         {pt.Body(502, "text/html", echo), false, 502, ""},
		"in a redirect":   {pt.Redirect(307, "http://x.example/?key="+attackCredential), false, 502, "upstream_redirect"},
		"a good answer":   {pt.JSON(200, attackAnswer), false, 200, ""},
		"a broken header": {pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 " + attackCredential + "\r\n\r\n")}}, false, 502, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := attacked(t, "", reply(tt.reply))
			body := attackPlain
			if tt.stream {
				body = attackStream
			}
			r := g.complete(body) // looks for the credential itself
			if tt.status != 0 && r.status != tt.status {
				t.Errorf("%d %s", r.status, r.body)
			}
			if r.status == 401 || r.status == 403 {
				t.Errorf("the client takes it for its own key: %d", r.status)
			}
			if tt.code != "" {
				if code := r.code(t); code != tt.code {
					t.Errorf("code %q: %s", code, r.body)
				}
			}
			for _, h := range []string{"X-Key", "Set-Cookie", "Openai-Organization"} {
				if r.header.Get(h) != "" {
					t.Errorf("%s passes", h)
				}
			}
			if !strings.HasPrefix(r.header.Get("X-Request-Id"), "req_") || r.header.Get("X-Ratelimit-Limit-Requests") == "77" {
				t.Errorf("header %v", r.header)
			}
			text, err := json.Marshal(g.rows(1))
			if err != nil {
				t.Fatal(err)
			}
			g.clean("the ledger", strings.ReplaceAll(string(text), "127.0.0.1", ""))
			g.alive()
		})
	}
}

// TestStreamsThatDoNotEndAreCutAndCharged for what came, as counted.
func TestStreamsThatDoNotEndAreCutAndCharged(t *testing.T) {
	for name, tt := range map[string]struct {
		reply pt.Reply
		code  string
	}{
		"stalls":           {pt.Script(pt.Event(attackWord), pt.Event(attackWord), pt.Hang()), "upstream_timeout"},
		"closes mid-chunk": {pt.Script(pt.Event(attackWord), pt.Cut()), "upstream_truncated"},
		"reset":            {pt.Script(pt.Event(attackWord), pt.Reset()), ""},
		"no end":           {pt.Script(pt.Event(attackWord)), "upstream_truncated"},
		"error": {
			pt.Stream(attackWord, `{"error":{"message":"upstream.internal.example fell","type":"server_error"}}`),
			"upstream_error",
		},
		"malformed": {pt.Stream(attackWord, `{"choices":[`), ""},
		"words for ever": {
			pt.Script(pt.Event(attackWord), pt.Endless("data: "+attackWord+"\n\n", 20*time.Millisecond)),
			"upstream_timeout",
		},
		"comments for ever": {pt.Script(pt.Event(attackWord), pt.Endless(": ping\n\n", 20*time.Millisecond)), "upstream_timeout"},
		"endless line":      {pt.Script(pt.Event(attackWord), pt.Endless("data: "+strings.Repeat("x", 1<<20), 0)), "upstream_error"},
	} {
		t.Run(name, func(t *testing.T) {
			g := attacked(t, "timeouts: {upstream_idle: 1s, request: 3s, shutdown_wait: 0s}\n", tt.reply,
				pt.Stream(attackWord, attackFinish))
			base := runtime.NumGoroutine()
			began := time.Now()
			r := g.complete(attackStream)
			prove.Within(t, "the whole", time.Since(began), 8*time.Second)
			if r.status != 200 || !strings.Contains(r.body, "hello there") || strings.Contains(r.body, "[DONE]") {
				t.Errorf("%d %.600s", r.status, r.body)
			}
			events := strings.Split(strings.TrimSpace(r.body), "\n\n")
			last := attackReply{body: strings.TrimPrefix(events[len(events)-1], "data: ")}
			if code := last.code(t); !strings.HasPrefix(code, "upstream_") || (tt.code != "" && code != tt.code) {
				t.Errorf("code %q: %s", code, last.body)
			}
			if strings.Contains(r.body, "internal.example") {
				t.Errorf("the provider's words pass: %s", last.body)
			}
			call := g.ups[0].Wait(t, 1)
			pt.Await(t, "the provider is let go", call.Done)
			row := g.rows(1)[0]
			came := 2 * int64(strings.Count(r.body, "hello there"))
			if row.Status != billing.StatusUpstreamAborted || row.UsageSource == billing.Reported || row.Tokens.Output < came ||
				row.Tokens.Output > came+50 || row.Cost.Total == 0 {
				t.Errorf("booked %+v for %d tokens", row, came)
			}
			if n := len(g.ups[1].Calls()); n != 0 {
				t.Errorf("another provider was asked after the first byte")
			}
			g.settled(base)
			g.alive()
		})
	}
}

// TestSilentUpstreamIsGivenUp: the call to a provider that never answers is abandoned.
func TestSilentUpstreamIsGivenUp(t *testing.T) {
	g := attacked(t, "timeouts: {upstream_header: 200ms, upstream_stream_header: 200ms, request: 1500ms, shutdown_wait: 0s}\n",
		pt.Reply{Steps: []pt.Step{pt.Hang()}}, pt.Reply{Steps: []pt.Step{pt.Hang()}})
	for _, body := range []string{attackPlain, attackStream} {
		r := g.complete(body)
		if code := r.code(t); r.status != 504 && r.status != 502 {
			t.Errorf("%d %s %s", r.status, code, r.body)
		}
		for _, row := range g.rows(2) {
			if row.Tokens.Total() == 0 || row.UsageSource != billing.Bounded || row.Status != billing.StatusError {
				t.Errorf("booked %+v", row)
			}
		}
	}
	g.alive()
}

// TestUpstreamIsCancelledAtOnce: the provider's connection is closed within a tenth of a second after
// the client has left, before or after the first byte, if there is no room to finish a plain call
// without its client.
func TestUpstreamIsCancelledAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		reply  pt.Reply
		body   string
		stream bool
	}{
		"before the header": {pt.Reply{Steps: []pt.Step{pt.Hang()}}, attackPlain, false},
		"plain": {
			pt.Reply{Steps: []pt.Step{pt.Write(`{"id":`), pt.Hang()}}.With("Content-Type", "application/json"),
			attackPlain, false,
		},
		"stream, silent": {pt.Script(pt.Event(attackWord), pt.Hang()), attackStream, true},
		"stream, talking": {
			pt.Script(pt.Event(attackWord), pt.Endless("data: "+attackWord+"\n\n", 10*time.Millisecond)),
			attackStream, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := attacked(t, "limits: {background_calls: 0}\n", tt.reply)
			base := runtime.NumGoroutine()
			best := time.Hour
			for n := range 3 { // the machine may be busy: the best of three
				best = min(best, g.leave(tt.body, n+1, tt.stream))
				row := g.rows(1)[0]
				if row.Status != billing.StatusClientAborted || row.Tokens.Input == 0 || row.Tokens.Output == 0 {
					t.Errorf("booked %+v", row)
				}
			}
			prove.Within(t, "letting the upstream go", best, 100*time.Millisecond)
			g.settled(base)
			g.alive()
		})
	}
}

// leave sends the nth request, hangs up once it is under way, and returns how
// long the provider was kept.
func (g *attackTarget) leave(body string, n int, afterFirst bool) time.Duration {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
		strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.secret)
	ended := make(chan struct{})
	read := make(chan struct{}, 1)
	go func() {
		defer close(ended)
		resp, err := attackClient.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		_, _ = bufio.NewReader(resp.Body).ReadString('\n')
		read <- struct{}{}
		<-ctx.Done()
	}()
	call := g.ups[0].Wait(g.t, n)
	if afterFirst {
		<-read
	}
	began := time.Now()
	cancel()
	pt.Await(g.t, "the upstream is let go", call.Gone)
	took := time.Since(began)
	<-ended
	return took
}

// balances sees that the quota is the sum of the rows.
func (g *attackTarget) balances() {
	g.t.Helper()
	rows, err := g.Reports().Events(g.t.Context(), billing.EventQuery{KeyID: g.key.ID, Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	balances, err := g.Actions().Store.Balances(g.t.Context(), &g.key, time.Now())
	if err != nil {
		g.t.Fatal(err)
	}
	var tokens int64
	var money billing.Money
	for _, row := range rows {
		tokens += row.Tokens.Total()
		money = money.Add(row.Cost.Total)
	}
	if b := balances[0]; b.UsedTokens != tokens || b.UsedMoney != money || b.HeldTokens != 0 || b.HeldMoney != 0 {
		g.t.Errorf("the quota has %+v; the rows come to %d tokens and %s", b, tokens, money)
	}
}

// TestAbsurdRetryAfterIsBounded: an absurd Retry-After is not passed on unchanged.
func TestAbsurdRetryAfterIsBounded(t *testing.T) {
	for _, value := range []string{
		"1000000000", "-1", "0", "Wed, 99 Foo 9999 00:00:00 GMT", "Wed, 01 Jan 9999 00:00:00 GMT", "1e9",
		"NaN", "",
	} {
		g := attacked(t, "", pt.JSON(429, `{"error":{"message":"slow down"}}`).With("Retry-After", value))
		r := g.complete(attackPlain)
		if code := r.code(t); r.status != 429 || code != "rate_limit_exceeded" {
			t.Errorf("%q: %d %s", value, r.status, r.body)
		}
		var after int
		if got := r.header.Get("Retry-After"); got != "" {
			if _, err := fmt.Sscan(got, &after); err != nil || after < 0 || after > 60 {
				t.Errorf("%q: passed on as %q", value, got)
			}
		}
		g.rows(1)
		g.alive()
	}
}
