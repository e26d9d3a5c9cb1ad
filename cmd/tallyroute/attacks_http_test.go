package main

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	pt "tallyroute/providers/providertest"
)

// TestBadInput: invalid requests never reach a provider, cost nothing, and are answered with how to
// fix them.
func TestBadInput(t *testing.T) {
	g := attacked(t, "limits: {max_body_bytes: 100000}\n", pt.JSON(200, attackAnswer))
	tokens := int64(1000)
	revoked, gone := g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &tokens})
	if _, err := g.Actions().Store.UpdateKey(t.Context(), revoked.ID, func(k *billing.Key) error {
		k.RevokedAt = time.Now()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	with := func(members string) string {
		return `{"model":"m","messages":[{"role":"user","content":"hi"}],` + members + `}`
	}
	message := func(s string) string { return `{"model":"m","messages":[{"role":"user","content":` + s + `}]}` }
	const auth, media = "Authorization", "Content-Type"
	for name, tt := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
		says    string
	}{
		"no key":               {attackPlain, []string{auth, ""}, 401, "invalid_api_key", ""},
		"malformed key":        {attackPlain, []string{auth, "Bearer sk-123"}, 401, "invalid_api_key", ""},
		"wrong checksum":       {attackPlain, []string{auth, "Bearer " + g.secret[:len(g.secret)-1] + "~"}, 401, "invalid_api_key", ""},
		"revoked key":          {attackPlain, []string{auth, "Bearer " + gone}, 401, "invalid_api_key", "revoked"},
		"injection":            {attackPlain, []string{auth, "Bearer ' OR 1=1--"}, 401, "invalid_api_key", ""},
		"long":                 {attackPlain, []string{auth, "Bearer " + strings.Repeat("k", 20000)}, 401, "invalid_api_key", ""},
		"two keys":             {attackPlain, []string{"X-Api-Key", gone}, 400, "ambiguous_credentials", ""},
		"compressed by br":     {attackPlain, []string{"Content-Encoding", "br"}, 415, "unsupported_content_encoding", ""},
		"not gzip":             {attackPlain, []string{"Content-Encoding", "gzip"}, 400, "incomplete_body", ""},
		"unknown content type": {attackPlain, []string{media, "application/x-yaml"}, 415, "unsupported_media_type", ""},
		"unknown model":        {strings.Replace(attackPlain, `"m"`, `"mm"`, 1), nil, 404, "model_not_found", `"m"`},
		"not JSON":             {"hello", nil, 400, "invalid_json", ""},
		"empty":                {"", nil, 400, "invalid_json", ""},
		"only a brace":         {"{", nil, 400, "invalid_json", ""},
		"deep":                 {with(`"a":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001)), nil, 400, "invalid_json", ""},
		"deep and unclosed":    {with(`"a":` + strings.Repeat("[", 50000)), nil, 400, "invalid_json", ""},
		"twice":                {with(`"model":"x"`), nil, 400, "duplicate_field", "model"},
		"twice, escaped":       {with(`"mod\u0065l":"x"`), nil, 400, "duplicate_field", "model"},
		"another case":         {with(`"MODEL":"x"`), nil, 400, "", ""},
		"a long s":             {with(`"max_tokenſ":1`), nil, 400, "", ""},
		"invalid UTF-8":        {message("\"\xff\xfe\""), nil, 400, "invalid_json", ""},
		"lone surrogate":       {message(`"\ud800"`), nil, 400, "", ""},
		"byte order mark":      {"\xef\xbb\xbf" + attackPlain, nil, 400, "invalid_json", ""},
		"something behind":     {attackPlain + "{}", nil, 400, "invalid_json", ""},
		"a comment":            {with(`/* */"n":1`), nil, 400, "invalid_json", ""},
		"NaN":                  {with(`"temperature":NaN`), nil, 400, "invalid_json", ""},
		"1e999":                {with(`"max_tokens":1e999`), nil, 400, "invalid_value", "max_tokens"},
		"an array":             {"[" + attackPlain + "]", nil, 400, "invalid_json", ""},
		"text for a number":    {with(`"max_tokens":"5"`), nil, 400, "invalid_value", "max_tokens"},
		"no tokens":            {with(`"max_tokens":0`), nil, 400, "invalid_value", "max_tokens"},
		"negative tokens":      {with(`"max_tokens":-5`), nil, 400, "invalid_value", "max_tokens"},
		"2^63 tokens":          {with(`"max_tokens":9223372036854775808`), nil, 400, "invalid_value", "max_tokens"},
		"two bounds":           {with(`"max_tokens":5,"max_completion_tokens":6`), nil, 400, "", "max_"},
		"no answers":           {with(`"n":0`), nil, 400, "invalid_value", "n"},
		"negative answers":     {with(`"n":-1`), nil, 400, "invalid_value", "n"},
		"a million answers":    {with(`"n":1000000`), nil, 400, "invalid_value", "n"},
		"best_of":              {with(`"best_of":4`), nil, 400, "", "best_of"},
		"NUL as model":         {`{"model":"m\u0000","messages":[{"role":"user","content":"hi"}]}`, nil, 400, "invalid_value", "model"},
		"NUL as user":          {with(`"user":"a\u0000b"`), nil, 400, "invalid_value", "user"},
		"base_url":             {with(`"base_url":"http://169.254.169.254"`), nil, 400, "unknown_parameter", "base_url"},
		"api_base":             {with(`"api_base":"http://169.254.169.254"`), nil, 400, "unknown_parameter", "api_base"},
		"extra_body":           {with(`"extra_body":{"model":"x"}`), nil, 400, "unknown_parameter", "extra_body"},
		"audio": {
			message(`[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]`), nil, 400,
			"unsupported_content", "",
		},
		"a file":                   {message(`[{"type":"file","file":{"file_id":"x"}}]`), nil, 400, "unsupported_content", ""},
		"over the size limit":      {message(`"` + strings.Repeat("a", 100000) + `"`), nil, 413, "request_too_large", "100000"},
		"no messages":              {`{"model":"m"}`, nil, 400, "", "messages"},
		"no model":                 {`{"messages":[{"role":"user","content":"hi"}]}`, nil, 400, "", "model"},
		"messages of another kind": {`{"model":"m","messages":"hi"}`, nil, 400, "invalid_value", "messages"},
	} {
		t.Run(name, func(t *testing.T) {
			g.t = t
			r := g.complete(tt.body, tt.headers...)
			code := r.code(t)
			if r.status != tt.status || (tt.code != "" && code != tt.code) ||
				!strings.Contains(strings.ReplaceAll(r.body, `\"`, `"`), tt.says) {
				t.Errorf("%d %s %v; want %d %s %q", r.status, r.body, r.err, tt.status, tt.code, tt.says)
			}
			if len(r.body) > 4096 {
				t.Errorf("an error of %d bytes", len(r.body))
			}
			if r.header.Get("X-Request-Id") == "" || r.header.Get("X-Should-Retry") != "false" {
				t.Errorf("header %v", r.header)
			}
		})
	}
	g.t = t
	if n := len(g.ups[0].Calls()); n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
	g.rows(0)
	g.alive()
}

// TestHoldCountsEveryAnswer: the hold covers n answers of max_tokens each.
func TestHoldCountsEveryAnswer(t *testing.T) {
	release := make(chan struct{})
	held := pt.Reply{Steps: []pt.Step{pt.Until(release), pt.Write(attackAnswer)}}.With("Content-Type", "application/json")
	g := attacked(t, "", held)
	for _, n := range []int64{1, 4, 8} {
		g.ups[0].Set(held)
		done := make(chan attackReply, 1)
		before := len(g.ups[0].Calls())
		go func() {
			done <- g.complete(fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":100,"n":%d}`, n))
		}()
		g.ups[0].Wait(t, before+1)
		balances, err := g.Actions().Store.Balances(t.Context(), &g.key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := balances[0].HeldTokens; got < 100*n || got > 100*n+100 {
			t.Errorf("n = %d: %d tokens are held", n, got)
		}
		release <- struct{}{}
		if r := <-done; r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
		g.rows(1)
	}
}

// TestSmuggledRequestIsNotServed on the real listener.
func TestSmuggledRequestIsNotServed(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	auth := "Host: x\r\nAuthorization: Bearer " + g.secret + "\r\nContent-Type: application/json\r\n"
	second := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", auth, len(attackPlain), attackPlain)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(attackPlain), attackPlain)
	for name, head := range map[string]string{
		"CL and TE":           "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
		"TE and CL":           "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
		"CL 0 and TE":         "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
		"xchunked":            "Transfer-Encoding: xchunked\r\n",
		"two TE":              "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"two CL":              "Content-Length: 4\r\nContent-Length: 5\r\n",
		"space before colon":  "Transfer-Encoding : chunked\r\n",
		"NUL":                 "X-A: a\x00b\r\n",
		"CR":                  "X-A: a\rb\r\n",
		"HTTP/1.2, in effect": "Transfer-Encoding: chunked\r\nX-A: HTTP/1.2\r\n",
	} {
		before := len(g.ups[0].Calls())
		got := g.raw("POST /v1/chat/completions HTTP/1.1\r\n" + auth + head + "\r\n" + chunked + second)
		if strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: %q", name, got)
		}
		calls := len(g.ups[0].Calls()) - before
		if calls > 1 {
			t.Errorf("%s: the second request was served", name)
		}
		g.rows(calls)
	}
	g.alive()
}

// attackFlood is a body without an end.
type attackFlood struct{}

func (attackFlood) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestFloodsDoNotFillTheMemory: fifty bodies of 100 MB at once do not fill the memory.
func TestFloodsDoNotFillTheMemory(t *testing.T) {
	g := attacked(t, "", pt.JSON(200, attackAnswer))
	g.complete(attackPlain) // so that what is loaded once is there
	g.rows(1)
	base := runtime.NumGoroutine()
	runtime.GC()
	before := attackRSS(t)
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				most = max(most, attackRSS(t))
			}
		}
	}()
	answers := make(chan attackReply)
	for range 50 {
		go func() {
			answers <- g.ask(http.MethodPost, "/v1/chat/completions", io.LimitReader(attackFlood{}, 100<<20))
		}()
	}
	for range 50 {
		// The connection may be closed while the client still writes.
		r := <-answers
		if r.err != nil {
			continue
		}
		if code := r.code(t); code != "request_too_large" && code != "too_many_bytes_in_flight" {
			t.Errorf("%d %.300s", r.status, r.body)
		}
	}
	close(stop)
	grown := (<-peak - before) >> 20
	t.Logf("grown by %d MiB, clients included", grown)
	// The limit of one body is 10 MiB; 50 of them would be 500 and what is grown on
	// the way. The clients are in this process too; proof-memory looks at the router alone.
	if grown > 400 {
		t.Errorf("grown by %d MiB", grown)
	}
	g.rows(0)
	g.settled(base)
	g.alive()
}

// TestSlowClientsAreCut with the time-outs of the configuration.
func TestSlowClientsAreCut(t *testing.T) {
	g := attacked(t, "timeouts: {read_header: 1s, read_body: 2s, idle: 1s, shutdown_wait: 0s}\n", pt.JSON(200, attackAnswer))
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + g.secret + "\r\n"
	base := runtime.NumGoroutine()
	ended := make(chan time.Duration)
	for _, text := range []string{
		"", "POST /v1", "GET /v1/key HTTP/1.1\r\nHost: x\r\nX-A", head + "Content-Length: 90\r\n\r\n{",
		head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\r\n",
	} {
		for range 20 {
			go func() {
				began := time.Now()
				g.raw(text)
				ended <- time.Since(began)
			}()
		}
	}
	if r := g.complete(attackPlain); r.status != 200 {
		t.Errorf("others: %d %s", r.status, r.body)
	}
	for range 5 * 20 {
		prove.Within(t, "a slow client", <-ended, 5*time.Second)
	}
	g.rows(1)
	g.settled(base)
	g.alive()
}

// TestClientThatNeverReadsIsCutAndCharged for what was streamed.
func TestClientThatNeverReadsIsCutAndCharged(t *testing.T) {
	// long in bytes, not in words: an answer that says too much is cut for that
	long := strings.NewReplacer("hello there", "x", `"model":"m",`, `"model":"m","padding":"`+strings.Repeat("x", 20_000)+
		`",`).Replace(attackWord)
	g := attacked(t, "timeouts: {write: 300ms, shutdown_wait: 0s}\noverrun: {stop_usd: 0, stop_percent: 0}\n",
		pt.Script(pt.Endless("data: "+long+"\n\n", 0)))
	plenty := int64(1_000_000_000)
	g.key, g.secret = g.issue(billing.Budget{Period: billing.PeriodDay, Tokens: &plenty})
	base := runtime.NumGoroutine()
	for n := range 3 {
		c := g.connect()
		fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			g.secret, len(attackStream), attackStream)
		call := g.ups[0].Wait(t, n+1)
		pt.Await(t, "the upstream is let go", call.Gone)
		row := g.rows(1)[0]
		if row.Status != billing.StatusClientAborted || row.Tokens.Output == 0 || row.UsageSource == billing.Reported {
			t.Errorf("booked %+v", row)
		}
		c.Close()
	}
	g.settled(base)
	g.alive()
}
