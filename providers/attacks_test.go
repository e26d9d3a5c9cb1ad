package providers_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/openai"
	pt "tallyroute/providers/providertest"
	"tallyroute/providers/sse"
)

// Redirects are not followed, so that no other host sees the credential.
func TestRedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		thief := pt.NewUpstream(t, pt.JSON(200, pt.Completion("m", "hi", 1, 1)))
		u := pt.NewUpstream(t, pt.JSON(status, pt.Problem("no", "", "insufficient_quota")).With("Location",
			thief.URL()+"/chat/completions"))
		for _, body := range []string{ask, askStream} {
			e := fails(t, client(t, providers.Options{}), exchange(t, u, body))
			if e.Kind != providers.KindRedirect || e.Status != status || !e.Kind.Failover() {
				t.Errorf("%d: %v", status, e)
			}
		}
		if n := len(thief.Calls()); n != 0 {
			t.Errorf("%d: the other host saw %d requests", status, n)
		}
	}
}

// A credential that a provider repeats in its response is not passed on to anyone.
func TestCredentialInAnAnswerIsRedacted(t *testing.T) {
	masked := canary[:9] + "****" + canary[len(canary)-9:]
	say := func(text string) string { return pt.Problem("bad key "+text, "type "+text, text) }
	list := words()
	for name, c := range map[string]struct {
		reply pt.Reply
		body  string
	}{
		"in an error":     {pt.JSON(401, say(canary)), ask},
		"masked":          {pt.JSON(401, say(masked)), ask},
		"in a header":     {pt.Body(401, "text/plain", "no").With("X-Echo", canary), ask},
		"in a 200":        {pt.JSON(200, say(canary)), ask},
		"in param":        {pt.JSON(400, `{"error":{"message":"m","param":"`+canary+`"}}`), ask},
		"in an event":     {pt.Stream(say(canary)), askStream},
		"after content":   {pt.Stream(list[1], say(canary)), askStream},
		"in a bare error": {pt.JSON(500, `{"error":"Bearer `+canary+`"}`), askStream},
		"in a redirect":   {pt.Redirect(307, "http://127.0.0.1:1/?key="+canary), ask},
		"in no HTTP":      {pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 " + canary + "\r\n\r\n")}}, ask},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, c.reply)
			a, err := client(t, providers.Options{}).Do(t.Context(), exchange(t, u, c.body))
			if err == nil {
				defer a.Close()
				_, err = rest(a.Stream)
			}
			e := asError(t, err)
			said := fmt.Sprintf("%v %+v %q", e, e.Detail, fmt.Sprint(errors.Unwrap(e)))
			for i := 0; i+8 <= len(canary); i++ {
				if strings.Contains(said, canary[i:i+8]) {
					t.Fatalf("%q is still in: %s", canary[i:i+8], said)
				}
			}
			if strings.Contains(name, "an e") && !strings.Contains(e.Detail.Message, "bad key [redacted]") {
				t.Errorf("message %q", e.Detail.Message)
			}
			if got := u.Wait(t, 1).Header.Get("Authorization"); got != "Bearer "+canary {
				t.Errorf("signed with %q", got)
			}
		})
	}
}

// Streams whose form is wrong although their content is right.
func TestOddStreamsAreReadOrRefused(t *testing.T) {
	list := words()
	var whole strings.Builder
	for _, d := range list {
		whole.WriteString("data: " + d + "\n\n")
	}
	bytewise := make([]pt.Step, 0, whole.Len())
	for i := range whole.Len() {
		bytewise = append(bytewise, pt.Write(whole.String()[i:i+1]))
	}
	for name, steps := range map[string][]pt.Step{
		"no [DONE]":       {pt.Write(whole.String())},
		"1-byte chunks":   bytewise,
		"CR only":         {pt.Write(strings.ReplaceAll(whole.String(), "\n", "\r"))},
		"CRLF":            {pt.Write(strings.ReplaceAll(whole.String(), "\n", "\r\n"))},
		"no spaces":       {pt.Write(strings.ReplaceAll(whole.String(), "data: ", "data:"))},
		"BOM and comment": {pt.Write("\ufeff: hello\n\n" + whole.String())},
		"no last newline": {pt.Write(strings.TrimRight(whole.String(), "\n"))},
		"pings between":   {pt.Write(strings.ReplaceAll(whole.String(), "\n\n", "\n\nevent: ping\ndata: {}\n\n"))},
		"split in data:":  {pt.Write("da"), pt.Write("ta"), pt.Write(": " + whole.String()[6:])},
		"data after done": {pt.Write(whole.String()), pt.Event("[DONE]"), pt.Event("garbage"), pt.Cut()},
		"usage twice":     {pt.Write(whole.String()), pt.Event(list[len(list)-1]), pt.Event("[DONE]")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := pt.NewUpstream(t, pt.Script(steps...))
			a := succeeds(t, client(t, providers.Options{}), exchange(t, u, askStream))
			got, err := rest(a.Stream)
			if !errors.Is(err, io.EOF) || strings.Join(got, "\n") != strings.Join(list, "\n") {
				t.Errorf("%v:\n%s", err, strings.Join(got, "\n"))
			}
		})
	}
}

// Streams in which something never ends are cut off without taking unbounded memory.
func TestEndlessPartsAreCutWithoutTakingMemory(t *testing.T) {
	list := words()
	x := strings.Repeat("x", 64<<10)
	for name, c := range map[string]struct {
		steps []pt.Step
		o     providers.Options
		kind  providers.Kind
	}{
		"line":    {[]pt.Step{pt.Write("data: "), pt.Endless(x, 0)}, providers.Options{}, providers.KindBroken},
		"event":   {[]pt.Step{pt.Endless("data: "+x+"\n", 0)}, providers.Options{}, providers.KindBroken},
		"comment": {[]pt.Step{pt.Write(":"), pt.Endless(x, 0)}, providers.Options{}, providers.KindBroken},
		"comments": {
			[]pt.Step{pt.Endless(":"+x+"\n\n", 0)},
			providers.Options{FirstTimeout: 200 * time.Millisecond},
			providers.KindTimeout,
		},
		"10 MB": {
			[]pt.Step{pt.Event(`{"choices":[{"delta":{"content":"` + strings.Repeat("x", 10<<20) + `"}}]}`)},
			providers.Options{},
			providers.KindBroken,
		},
		"late line": {[]pt.Step{pt.Event(list[1]), pt.Write("data: "), pt.Endless(x, 0)}, providers.Options{}, providers.KindBroken},
		"empty data": {
			[]pt.Step{pt.Endless("data:\n\n", 0)},
			providers.Options{FirstTimeout: 200 * time.Millisecond},
			providers.KindTimeout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, pt.Script(c.steps...))
			before := allocated()
			a, err := client(t, c.o).Do(t.Context(), exchange(t, u, askStream))
			if err == nil {
				defer a.Close()
				_, err = rest(a.Stream)
			}
			if e := asError(t, err); e.Kind != c.kind {
				t.Errorf("kind %s: %v", e.Kind, e)
			}
			if name != "10 MB" && name != "comments" && name != "empty data" {
				// an event may be as large as a whole response, and its buffers double
				if used := allocated() - before; used > 8*sse.MaxEvent {
					t.Errorf("%d MiB were allocated", used>>20)
				}
			}
			pt.Await(t, "the end of the call", u.Wait(t, 1).Done)
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Responses with a success status that are not answers.
func TestSuccessThatIsNoAnswerIsAnError(t *testing.T) {
	filter := pt.JSON(200, `{"error":{"code":"content_filter","message":"The response was filtered","type":null,"param":"prompt",`+
		`"status":400}}`)
	for name, c := range map[string]struct {
		reply  pt.Reply
		kind   providers.Kind
		status int
	}{
		"error object":      {pt.JSON(200, pt.Problem("overloaded", "server_error", "")), providers.KindOverload, 200},
		"error with status": {pt.JSON(200, `{"error":{"code":429,"message":"Provider returned error"}}`), providers.KindRate, 429},
		"quota":             {pt.JSON(200, pt.Problem("pay first", "insufficient_quota", "")), providers.KindQuota, 200},
		"content":           {filter, providers.KindContent, 400},
		"bad request":       {pt.JSON(200, pt.Problem("no", "invalid_request_error", "")), providers.KindRequest, 400},
		"HTML":              {pt.Body(200, "text/html; charset=utf-8", "<html>maintenance</html>"), providers.KindBroken, 200},
		"HTML as JSON":      {pt.JSON(200, "<html>maintenance</html>"), providers.KindBroken, 200},
		"empty":             {pt.JSON(200, ""), providers.KindBroken, 200},
		"white space":       {pt.JSON(200, " \n"), providers.KindBroken, 200},
		"no content":        {pt.Reply{Status: 204}, providers.KindBroken, 204},
		"no choices":        {pt.JSON(200, `{"id":"x","choices":[]}`), providers.KindBroken, 200},
		"cut JSON":          {pt.JSON(200, pt.Completion("m", "hello", 1, 1)[:60]), providers.KindBroken, 200},
		"cut by length": {
			pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"id\":")}},
			providers.KindBroken, 200,
		},
		"another shape": {pt.JSON(200, `{"object":"list","data":[]}`), providers.KindBroken, 200},
		"switched protocols": {pt.Reply{Steps: []pt.Step{pt.Raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: " +
			"Upgrade\r\n\r\n")}}, providers.KindBroken, 101},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, c.reply)
			for _, body := range []string{ask, askStream} {
				e := fails(t, client(t, providers.Options{}), exchange(t, u, body))
				if e.Kind != c.kind || e.Status != c.status {
					t.Errorf("kind %s, status %d: %v", e.Kind, e.Status, e)
				}
			}
		})
	}
}

// Compressed data that nobody asked for is not unpacked, and no response is read without a
// limit.
func TestCompressedAndEndlessBodiesAreCut(t *testing.T) {
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	_, _ = z.Write([]byte(pt.Problem("x", "", "insufficient_quota")))
	_ = z.Close()
	large := pt.JSON(200, "")
	large.Steps = []pt.Step{pt.Endless(strings.Repeat(" ", 1<<20), 0)}
	for name, c := range map[string]struct {
		reply pt.Reply
		body  string
		kind  providers.Kind
	}{
		"gzip":            {pt.GzipBomb(64 << 20), ask, providers.KindBroken},
		"gzip, streamed":  {pt.GzipBomb(64<<20).With("Content-Type", "text/event-stream"), askStream, providers.KindBroken},
		"br":              {pt.JSON(200, "x").With("Content-Encoding", "br"), ask, providers.KindBroken},
		"small, an error": {pt.JSON(429, small.String()).With("Content-Encoding", "gzip"), ask, providers.KindRate},
		"too large":       {large, ask, providers.KindBroken},
		"a large error":   {pt.Reply{Status: 400, Steps: large.Steps}, ask, providers.KindRequest},
		"header":          {pt.JSON(200, "{}").With("X-Large", strings.Repeat("x", 100<<10)), ask, providers.KindNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, c.reply)
			before := allocated()
			e := fails(t, client(t, providers.Options{MaxBody: 8 << 20}), exchange(t, u, c.body))
			if e.Kind != c.kind {
				t.Errorf("kind %s: %v", e.Kind, e)
			}
			if strings.HasPrefix(name, "gzip") && !strings.Contains(e.Error(), "compressed, which was not asked for") {
				t.Error(e)
			}
			if used := allocated() - before; used > 40<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
			if u.Wait(t, 1).Header.Get("Accept-Encoding") != "" {
				t.Error("compression was asked for")
			}
		})
	}
	u := pt.NewUpstream(t, pt.JSON(200, pt.Completion("m", "hi", 1, 1)).With("Content-Encoding", "identity"))
	succeeds(t, client(t, providers.Options{}), exchange(t, u, ask))
}

// Usage that cannot be right is passed on marked as such, and within limits.
func TestUsageThatCannotBeIsNotBelieved(t *testing.T) {
	const head = `{"id":"1","choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]`
	for name, c := range map[string]struct {
		usage   string
		want    *chat.Usage
		invalid bool
	}{
		"missing":  {``, nil, false},
		"null":     {`,"usage":null`, nil, false},
		"zero":     {`,"usage":{"prompt_tokens":0,"completion_tokens":0}`, &chat.Usage{}, false},
		"negative": {`,"usage":{"prompt_tokens":-5,"completion_tokens":2}`, &chat.Usage{Output: 2}, true},
		"fraction": {`,"usage":{"prompt_tokens":1.5,"completion_tokens":2}`, &chat.Usage{Input: 2, Output: 2}, true},
		"whole":    {`,"usage":{"prompt_tokens":5.0,"completion_tokens":2}`, &chat.Usage{Input: 5, Output: 2}, false},
		"10^13":    {`,"usage":{"prompt_tokens":10000000000000,"completion_tokens":2}`, &chat.Usage{Input: 1e12, Output: 2}, true},
		"1e400":    {`,"usage":{"prompt_tokens":1e400,"completion_tokens":2}`, &chat.Usage{Input: 1e12, Output: 2}, true},
		"a word":   {`,"usage":"none"`, nil, false},
		"all cached": {
			`,"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}`,
			&chat.Usage{CacheRead: 5, Output: 2}, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := pt.NewUpstream(t, pt.JSON(200, head+c.usage+"}"))
			got := succeeds(t, client(t, providers.Options{}), exchange(t, u, ask)).Response.Usage
			if c.want == nil {
				if got != nil {
					t.Errorf("%+v", *got)
				}
				return
			}
			if got == nil || got.Invalid != c.invalid {
				t.Fatalf("%+v", got)
			}
			if c.invalid != (got.Figures != nil) {
				t.Errorf("figures %+v", got.Figures)
			}
			got.Figures = nil
			if got.Invalid = false; !reflect.DeepEqual(*got, *c.want) {
				t.Errorf("%+v, want %+v", *got, *c.want)
			}
		})
	}
}

// A provider can make us wait for a minute at most.
func TestAbsurdRetryAfterIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after, ms string
		want      time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"1", "", time.Second},
		{" 7 ", "", 7 * time.Second},
		{"1.5", "", 1500 * time.Millisecond},
		{"61", "", time.Minute},
		{"1000000000", "", time.Minute},
		{"99999999999999999999999999", "", time.Minute},
		{"1e300", "", time.Minute},
		{"-1", "", 0},
		{"NaN", "", 0},
		{"Inf", "", 0},
		{"1e999", "", 0},
		{"soon", "", 0},
		{"Wed, 99 Abc 2026 12:00:00 GMT", "", 0},
		{"Sun, 01 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:00:00 GMT", "", 0},
		{"Sun, 01 Mar 2126 12:00:00 GMT", "", time.Minute},
		{"1", "174", 174 * time.Millisecond},
		{"1", "0", time.Second},
		{"1", "-20", time.Second},
		{"1", "x", time.Second},
		{"", "1000000000", time.Minute},
	} {
		h := http.Header{"Retry-After": {c.after}, "Retry-After-Ms": {c.ms}}
		if got := providers.RetryAfter(h, now); got != c.want {
			t.Errorf("%q, %q: %s, want %s", c.after, c.ms, got, c.want)
		}
	}
	u := pt.NewUpstream(t, pt.JSON(429, pt.Problem("slow", "", "rate_limit_exceeded")).With("Retry-After", "1000000000"))
	if e := fails(t, client(t, providers.Options{}), exchange(t, u, ask)); e.RetryAfter != time.Minute || e.Kind != providers.KindRate {
		t.Error(e, e.RetryAfter)
	}
}

// A name for, or a spelling of, an address that is not public leads nowhere, whenever it is
// resolved.
func TestNoSpellingOfAnInnerAddressIsDialled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") }))
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	c := client(t, providers.Options{DialTimeout: time.Second})
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "017700000001", "0177.0.0.1", "127.0.0.01",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "0",
		"①②⑦.⓪.⓪.①", "127。0。0。1", "localhost", "LOCALHOST", "x@127.0.0.1", "127.0.0.1.",
	} {
		x := providers.Exchange{
			Target:  providers.Target{Provider: "p", Model: "m", Upstream: "m", BaseURL: "http://" + host + port, Adapter: openai.New()},
			Request: exchange(t, pt.NewUpstream(t), ask).Request,
		}
		e := fails(t, c, x)
		if e.Kind != providers.KindNetwork {
			t.Errorf("%s: %v", host, e)
		}
		if host == "127.0.0.1" || host == "localhost" || host == "[::ffff:127.0.0.1]" {
			if !errors.Is(e, providers.ErrNotPublic) {
				t.Errorf("%s: %v", host, e)
			}
		}
	}
}
