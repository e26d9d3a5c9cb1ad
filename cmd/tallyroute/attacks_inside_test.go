package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	"tallyroute/cmd/tallyroute/app"
	pt "tallyroute/providers/providertest"
)

// TestLongRunsAreQuick: no text of 256 KB delays its own request or others unduly.
func TestLongRunsAreQuick(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	g.complete(attackPlain) // loads the ranks
	g.rows(1)
	const size = 256 << 10
	run := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"a": run("a"), "spaces": run(" "), "newlines": run("\n"), "digits": run("7"), "special": run("<|endoftext|>"),
		"zero width joiners": run("👩‍👩‍👧‍👦"), "combining": run("é́"), "mixed": run("aZ9_-/é漢 "), "upper": run("ABCD"), "dots": run("."),
		"replacement": run("\ufffd"),
	} {
		for _, usage := range []string{
			attackAnswer,
			strings.Replace(attackAnswer, `"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}`, `"usage":null`, 1),
		} {
			g.ups[0].Set(pt.JSON(200, usage))
			content, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			r := g.complete(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":` + string(content) + `}]}`)
			took := time.Since(began)
			if r.status != 200 {
				t.Errorf("%s: %d after %s: %.200s", name, r.status, took, r.body)
			}
			// Without a usage everything is counted; by the library itself these
			// take up to two minutes.
			prove.Within(t, name, took, 4*time.Second)
			row := g.rows(1)[0]
			if usage != attackAnswer && (row.Tokens.Input < size/64 || row.Tokens.Input > 8*size) {
				t.Errorf("%s: counted as %d tokens", name, row.Tokens.Input)
			}
			t.Logf("%s: %s, %d tokens, %s", name, took, row.Tokens.Input, row.UsageSource)
		}
	}
	g.balances()
}

// TestProviderOnLoopbackIsRefused: without "private: true" a
// provider on loopback is refused, at the start or when it is called.
func TestProviderOnLoopbackIsRefused(t *testing.T) {
	u := pt.NewUpstream(t, pt.JSON(200, attackAnswer))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(u.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("by address", func(t *testing.T) {
		dir := t.TempDir()
		file := filepath.Join(dir, "tallyroute.yaml")
		text := strings.ReplaceAll("providers:\n"+attackProvider(0, u.URL(), ""), "CREDENTIAL", file)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := app.Load(t.Context(), app.Source{File: file}); err == nil ||
			!strings.Contains(err.Error(), "private: true") {
			t.Errorf("accepted, or refused for another reason: %v", err)
		}
	})
	t.Run("by name", func(t *testing.T) {
		g := &attackTarget{t: t, out: &attackOutput{}, ups: []*pt.Upstream{u}}
		g.start("providers:\n" + attackProvider(0, "https://localtest.invalid:"+port, ""))
		r := g.complete(attackPlain)
		if code := r.code(t); r.status != 502 || code != "all_providers_failed" {
			t.Errorf("%d %s", r.status, r.body)
		}
		g.rows(1)
	})
	if n := len(u.Calls()); n != 0 {
		t.Errorf("%d calls came through", n)
	}
}

// TestSpoofedAddressIsRefused: a key for one address cannot be used from
// another, whatever the headers say.
func TestSpoofedAddressIsRefused(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	if _, err := g.Actions().Store.UpdateKey(t.Context(), g.key.ID, func(k *billing.Key) error {
		k.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{
		"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip",
		"X-Appengine-Remote-Addr",
	} {
		r := attackReply{}
		for _, value := range []string{"203.0.113.7", "for=203.0.113.7", "203.0.113.7, 203.0.113.7"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
				strings.NewReader(attackPlain))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+g.secret)
			req.Header.Set(h, value)
			resp, err := attackClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			r = attackReply{status: resp.StatusCode, body: string(body)}
			if code := r.code(t); r.status != 403 || code != "ip_not_allowed" {
				t.Errorf("%s: %s: %d %s", h, value, r.status, r.body)
			}
		}
	}
	g.rows(0)
	if n := len(g.ups[0].Calls()); n != 0 {
		t.Errorf("%d requests were served", n)
	}
}

// TestNoBodyHasTwoReadings: no provider gets a body that it could read differently than we do; what
// passes is passed byte for byte.
func TestNoBodyHasTwoReadings(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	const odd = `{ "messages" : [ {"role":"user","content":"h\u00e9 \ud83d\ude00 <>&"} ],"temperature":0,"top_p":1.0,"max_tokens":50 , ` +
		`"model":"m", "chat_template_kwargs":{"B":[1E2,-0.0]}}`
	if r := g.complete(odd); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if got := string(g.ups[0].Calls()[0].Body); got != odd {
		t.Errorf("sent\n%s\nwant\n%s", got, odd)
	}
	g.rows(1)
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"max_tokens":5000}`,
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"Max_Tokens":5000}`,
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"max_toKens":5000}`,
		`{"model":"m","messages":[{"role":"user","content":"hi","content":"much more"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"hi","Content":"much more"}]}`,
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"stream_options":{"include_usage":true,"include_usage":false},` +
			`"stream":true}`,
	} {
		if r := g.complete(body); r.status != 400 || r.code(t) != "duplicate_field" {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if n := len(g.ups[0].Calls()); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
	g.rows(0)
}

// TestNoTextKeepsARowFromTheLedger: no text of a client or a provider keeps a row
// from being written.
func TestNoTextKeepsARowFromTheLedger(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	for _, id := range []string{
		`"a\u0000b"`, `"\ud800"`, `"` + strings.Repeat("x", 1<<16) + `"`, `"'; DROP TABLE spend_events; --"`, `5`,
		`null`, `["x"]`,
	} {
		g.ups[0].Set(pt.JSON(200, strings.Replace(strings.Replace(attackAnswer, `"chatcmpl-1"`, id, 1), `"model":"m"`, `"model":`+id, 1)))
		r := g.complete(`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":50,"user":"'; DROP TABLE keys; -- é\u202e"}`,
			"X-Tallyroute-Tags", "feature=a'b")
		switch r.status {
		case 200:
			row := g.rows(1)[0]
			if row.Tokens.Total() != 10 || len(row.ProviderRequestID) > 1024 {
				t.Errorf("%.40s: booked %.600v", id, row)
			}
		case 502:
			g.rows(1)
		case 400: // the tag or the user
			g.rows(0)
			t.Errorf("%.40s: %s", id, r.body)
		default:
			t.Errorf("%.40s: %d %.300s", id, r.status, r.body)
		}
	}
	g.alive()
}

// TestOddPathsAndOriginsAreRefused on the public listener.
func TestOddPathsAndOriginsAreRefused(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	for _, path := range []string{
		"//v1/chat/completions", "/V1/chat/completions", "/v1/%2e%2e/v1/chat/completions", "/v1/../metrics",
		"/v1/chat/completions%00",
	} {
		if r := g.ask(http.MethodPost, path, strings.NewReader(attackPlain)); r.status != 404 && r.status != 405 && r.status != 400 {
			t.Errorf("%s: %d %s", path, r.status, r.header.Get("Location"))
		}
	}
	for _, method := range []string{"TRACE", "PUT", "CONNECT", "BREW", "OPTIONS"} {
		r := g.ask(method, "/v1/chat/completions", nil, "Origin", "null", "Access-Control-Request-Method", "POST")
		if (r.status != 405 && r.status != 404 && r.status != 400) || r.header.Get("Access-Control-Allow-Origin") != "" ||
			strings.Contains(r.body, "Origin") {
			t.Errorf("%s: %d %s", method, r.status, r.body)
		}
	}
	if r := g.ask(http.MethodGet, "/v1/chat/completions", nil, "X-Http-Method-Override", "POST"); r.status != 405 {
		t.Errorf("override: %d", r.status)
	}
	if got := g.raw("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: " +
		"AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"); strings.Contains(got, "101") {
		t.Errorf("upgraded: %q", got)
	}
	if got := g.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 4") && !strings.HasPrefix(got, "HTTP/1.1 505") {
		t.Errorf("HTTP/2: %q", got)
	}
	if got := g.raw("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 1_100_000) + "\r\n\r\n"); got != "" &&
		!strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("%.100q", got)
	}
	g.rows(0)
	g.alive()
}

// TestManyIdleConnectionsDoNotKeepOthersOut: the oldest idle ones are closed, and others are served.
func TestManyIdleConnectionsDoNotKeepOthersOut(t *testing.T) {
	g := attacked(t, "limits: {max_connections: 50}\n", pt.JSON(200, attackAnswer))
	base := runtime.NumGoroutine()
	idle := make([]net.Conn, 400)
	for i := range idle {
		idle[i] = g.connect()
	}
	if r := g.complete(attackPlain); r.status != 200 {
		t.Errorf("others: %d %s %v", r.status, r.body, r.err)
	}
	for _, c := range idle[:300] {
		_ = c.SetReadDeadline(time.Now().Add(prove.Patience))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, nil) || strings.Contains(err.Error(), "timeout") {
			t.Fatal("an old idle connection is still open")
		}
	}
	for _, c := range idle {
		c.Close()
	}
	g.rows(1)
	g.settled(base)
}

// TestLogCannotBeForged: each event is one line of JSON, foreign text can neither break out of it nor
// flood it, and no line contains a prompt.
func TestLogCannotBeForged(t *testing.T) {
	const prompt = "secret-prompt-5b1c"
	evil := "x\n{\"level\":\"fatal\",\"msg\":\"forged-line\"}\r\x1b[31m\u2028\u202e" + strings.Repeat("z", 100)
	huge := strings.Repeat("y", 9000)
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	g := attacked(t, "", pt.JSON(400, `{"error":{"message":`+text(evil+prompt+huge)+`,"code":`+text(evil)+`}}`))
	body := func(model, user string) string {
		return `{"model":` + text(model) + `,"user":` + text(user) + `,"messages":[{"role":"user","content":"` + prompt + `"}],` +
			text(evil) + `:1,"max_tokens":5}`
	}
	for _, b := range []string{
		body(evil[:80], "u"), body("m", "u"), body("m", evil), body(huge, "u"),
		`{"model":"m","messages":[{"role":` + text(evil+huge) + `,"content":"` + prompt + `"}]}`,
		`{` + text(evil+huge) + `:{` + text(huge) + `:[1,2`,
	} {
		for _, h := range [][]string{
			{"User-Agent", huge},
			{"X-Request-Id", strings.ReplaceAll(huge, "y", "\u2028")},
			{"X-Tallyroute-Tags", huge},
			{"Content-Type", "text/" + huge},
		} {
			g.complete(b, h...)
		}
	}
	for _, status := range []int{429, 500, 401, 200} {
		g.ups[0].Set(pt.JSON(status, `{"error":{"message":`+text(evil+prompt+huge)+`,"code":`+text(evil)+`,"type":`+text(huge)+`}}`))
		g.complete(body("m", "u"))
	}
	g.ups[0].Set(pt.Stream(attackWord, `{"error":{"message":`+text(evil+prompt+huge)+`}}`))
	g.complete(strings.Replace(body("m", "u"), "{", `{"stream":true,`, 1))
	g.ask(http.MethodGet, "/v1/models/"+strings.Repeat("%0a%1b", 900), nil)
	g.raw("GET /\x1b[31m" + huge + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

	lines := bufio.NewScanner(strings.NewReader(g.out.String()))
	lines.Buffer(nil, 1<<24)
	n := 0
	for lines.Scan() {
		n++
		var fields map[string]any
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil || fields["msg"] == "forged-line" {
			t.Fatalf("no line of ours: %.300q", lines.Text())
		}
		if strings.ContainsAny(lines.Text(), "\u2028\u2029\u202e\x1b") {
			t.Errorf("a raw control character: %.400q", lines.Text())
		}
		if strings.Contains(lines.Text(), prompt) {
			t.Errorf("the prompt is in the log: %.400s", lines.Text())
		}
		for name, v := range fields {
			if s, ok := v.(string); ok && len(s) > 1024 {
				t.Errorf("%s has %d bytes: %.300q", name, len(s), s)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d lines", n)
	}
}

// TestPublicListenerHasNothingOfTheInside, and labels do not multiply.
func TestPublicListenerHasNothingOfTheInside(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	for _, path := range []string{
		"/metrics", "/debug/pprof/", "/debug/vars", "/admin", "/admin/v1/keys", "/admin/v1/spend",
		"/admin/v1/health",
	} {
		if r := g.ask(http.MethodGet, path, nil); r.status != 404 {
			t.Errorf("%s: %d %.200s", path, r.status, r.body)
		}
	}
	for n := range 300 {
		g.complete(strings.Replace(attackPlain, `"m"`, fmt.Sprintf(`"made-up-%d"`, n), 1))
		g.ask("GET", fmt.Sprintf("/made-up-%d", n), nil)
		g.ask(fmt.Sprintf("M%d", n), "/v1/models", nil)
	}
	text := g.metrics()
	if strings.Contains(text, "made-up") || !strings.Contains(text, `model="unknown"`) || strings.Contains(text, `method="M`) {
		t.Error("what clients make up becomes a label")
	}
	g.clean("the metrics", text)
	g.rows(0)
}

// TestOutputIsBoundedAndUsageAskedFor: without max_tokens, our own limit is sent and reported.
// Usage is always requested, but only shown to clients that asked for it.
func TestOutputIsBoundedAndUsageAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		options string
		usage   bool
		shown   bool
	}{
		"no options":       {"", true, false},
		"not wanted":       {`"stream_options":{"include_usage":false},`, true, false},
		"wanted":           {`"stream_options":{"include_usage":true},`, true, true},
		"none is reported": {"", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			events := []string{attackWord, attackFinish}
			if tt.usage {
				events = append(events, attackUsage)
			}
			g := attacked(t, "", pt.Stream(events...))
			tokens := int64(100)
			g.key, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &tokens})
			r := g.complete(`{"model":"m","stream":true,` + tt.options + `"messages":[{"role":"user","content":"hi"}]}`)
			if r.status != 200 || !strings.HasSuffix(r.body, "data: [DONE]\n\n") || strings.Contains(r.body, `"usage":{`) != tt.shown {
				t.Errorf("%d %s", r.status, r.body)
			}
			var sent struct {
				MaxTokens     int64 `json:"max_tokens"`
				MaxCompletion int64 `json:"max_completion_tokens"`
				StreamOptions struct {
					IncludeUsage bool `json:"include_usage"`
				} `json:"stream_options"`
			}
			if err := json.Unmarshal(g.ups[0].Calls()[0].Body, &sent); err != nil {
				t.Fatal(err)
			}
			if bound := sent.MaxTokens + sent.MaxCompletion; bound <= 0 || bound > 100 ||
				r.header.Get("X-Tallyroute-Max-Tokens") != fmt.Sprint(bound) {
				t.Errorf("bound %d, told %q", bound, r.header.Get("X-Tallyroute-Max-Tokens"))
			}
			if !sent.StreamOptions.IncludeUsage {
				t.Error("the provider was not asked for the usage")
			}
			row := g.rows(1)[0]
			if (row.UsageSource == billing.Reported) != tt.usage || row.Tokens.Total() < 4 || row.Status != billing.StatusOK {
				t.Errorf("booked %+v", row)
			}
			if r := g.complete(strings.Replace(attackPlain, "hi", strings.Repeat("word ", 200), 1)); r.status != 429 ||
				r.code(t) != "insufficient_quota" || r.header.Get("X-Should-Retry") != "false" {
				t.Errorf("beyond the quota: %d %s", r.status, r.body)
			}
			g.rows(0)
		})
	}
}

// TestPublishedSchemas: answers match the schemas that OpenAI publishes.
func TestPublishedSchemas(t *testing.T) {
	answer, chunk, failure, models := attackSchema(t, "CreateChatCompletionResponse"),
		attackSchema(t, "CreateChatCompletionStreamResponse"),
		attackSchema(t, "ErrorResponse"), attackSchema(t, "ListModelsResponse")
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	check := func(s *jsonschema.Schema, text string) {
		t.Helper()
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err == nil {
			err = s.Validate(v)
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	check(answer, g.complete(attackPlain).body)
	check(models, g.ask(http.MethodGet, "/v1/models", nil).body)
	for _, body := range []string{
		"", "{}", `{"model":"x","messages":[]}`, strings.Replace(attackPlain, `"m"`, `"mm"`, 1),
		strings.Replace(attackPlain, "50", "-1", 1),
	} {
		check(failure, g.complete(body).body)
	}
	for _, reply := range []pt.Reply{
		pt.JSON(401, "{}"), pt.JSON(400, `{"error":{"message":"no"}}`), pt.JSON(400, `nothing`),
		pt.JSON(429, ``), pt.JSON(500, ``),
	} {
		g.ups[0].Set(reply)
		check(failure, g.complete(attackPlain).body)
	}
	s := attacked(t, "", pt.Stream(attackWord, attackFinish, attackUsage), pt.JSON(500, ""))
	for _, reply := range []pt.Reply{pt.Stream(attackWord, attackFinish, attackUsage), pt.Script(pt.Event(attackWord), pt.Cut())} {
		s.ups[0].Set(reply)
		for _, body := range []string{attackStream, strings.Replace(attackStream, "{", `{"stream_options":{"include_usage":true},`, 1)} {
			seen := 0
			for event := range strings.SplitSeq(strings.TrimSpace(s.complete(body).body), "\n\n") {
				data := strings.TrimPrefix(event, "data: ")
				switch {
				case data == "[DONE]":
				case strings.HasPrefix(data, `{"error"`):
					check(failure, data)
				default:
					check(chunk, data)
				}
				seen++
			}
			if seen < 2 {
				t.Errorf("%d events", seen)
			}
		}
	}
}

// TestOthersAreServedBesideAttackers: ordinary clients don't notice attackers.
func TestOthersAreServedBesideAttackers(t *testing.T) {
	g := attacked(t, "timeouts: {read_header: 4s, read_body: 4s, shutdown_wait: 0s}\n", pt.JSON(200, attackAnswer))
	base, other := runtime.NumGoroutine(), g.another()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { g.raw("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{") })
		wg.Go(func() { g.ask(http.MethodPost, "/v1/chat/completions", io.LimitReader(attackFlood{}, 20<<20)) })
	}
	for range 20 {
		if r := g.complete(attackPlain, other...); r.status != 200 {
			t.Errorf("%d %s %v", r.status, r.body, r.err)
		}
	}
	wg.Wait()
	g.rows(20)
	g.balances()
	g.settled(base)
}
