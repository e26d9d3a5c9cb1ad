package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tallyroute/billing"
	pt "tallyroute/providers/providertest"
)

// attackFormats starts the program with a provider for each name, which is a format
// and a number, all at one upstream. A token of prompt costs 1000 nano-dollars, one of
// output 2000.
func attackFormats(t *testing.T, names ...string) *attackTarget {
	t.Helper()
	g := &attackTarget{t: t, out: &attackOutput{}, ups: []*pt.Upstream{pt.NewUpstream(t)}}
	config := "providers:\n"
	for _, name := range names {
		config += fmt.Sprintf("  p-%[1]s:\n    adapter: %[2]s\n    base_url: %[3]s\n    private: true\n    auth: {kind: bearer, secret: "+
			"\"file:CREDENTIAL\"}\n"+
			"    models: [{id: %[1]s, context: 400000, max_output: 4096, can: [stream], tokenizer: {encoding: o200k_base}, "+
			"prices: [{since: 2026-01-01, prompt: \"1.00\", completion: \"2.00\", cache_read: \"0.50\"}]}]\n", name,
			strings.TrimRight(name, "0123456789"), g.ups[0].URL())
	}
	g.start(config)
	return g
}

// broken is an answer that is cut or cannot be used, and what is known of it.
type broken struct {
	format string
	reply  pt.Reply
	stream bool
	status int
	prompt int64
	cached int64
	least  int64 // of output
	most   int64
	source billing.Provenance
	word   billing.Status
}

// What a provider told of an answer that did not come to its end, or that cannot be
// used, is booked: the prompt as told, and no less output than was told and seen.
func TestWhatWasToldOfABrokenAnswerIsBooked(t *testing.T) {
	t.Parallel()
	cut := func(events ...string) pt.Reply {
		var steps []pt.Step
		for _, e := range events {
			steps = append(steps, pt.Event(e))
		}
		r := pt.Script(append(steps, pt.Cut())...)
		return r.With("Content-Type", "text/event-stream")
	}
	const (
		claude = `{"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"x","content":[],` +
			`"usage":{"input_tokens":5000,"cache_read_input_tokens":300,"output_tokens":1}}}`
		block  = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
		text   = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello there"}}`
		busy   = `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`
		google = `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"hello there"}]}}],` +
			`"usageMetadata":{"promptTokenCount":5000,"candidatesTokenCount":2,"thoughtsTokenCount":700,"totalTokenCount":5702}}`
		thinking = `{"candidates":[{"index":0,"content":{"role":"model","parts":[]}}],"usageMetadata":{"promptTokenCount":5000,` +
			`"thoughtsTokenCount":900,"totalTokenCount":5900}}`
		running = attackHead + `"choices":[{"index":0,"delta":{"role":"assistant","content":"hello there"},"finish_reason":null}],` +
			`"usage":{"prompt_tokens":5000,"completion_tokens":900,"total_tokens":5900}}`
		ahead = attackHead + `"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],` +
			`"usage":{"prompt_tokens":5000,"completion_tokens":0,"total_tokens":5000}}`
		failed = `{"type":"response.failed","response":{"id":"r1","status":"failed","error":{"code":"server_error","message":"no"},` +
			`"output":[],"usage":{"input_tokens":5000,"output_tokens":70,"total_tokens":5070}}}`
		used = `"usage":{"prompt_tokens":5000,"completion_tokens":70,"total_tokens":5070}`
	)
	const reported, counted, bounded = billing.Reported, billing.Counted, billing.Bounded
	const failure, aborted = billing.StatusError, billing.StatusUpstreamAborted
	cases := map[string]broken{
		"Claude, in the text": {
			format: "anthropic", reply: cut(claude, block, text), stream: true, status: 200, prompt: 5300,
			cached: 300, least: 2, most: 50, source: counted, word: aborted,
		},
		"Claude, before the text": {
			format: "anthropic", reply: cut(claude, block), stream: true, status: 502, prompt: 5300,
			cached: 300, least: 1, most: 50, source: bounded, word: failure,
		},
		"Claude, an error": {
			format: "anthropic", reply: cut(claude, busy), stream: true, status: 502, prompt: 5300,
			cached: 300, least: 1, most: 50, source: bounded, word: failure,
		},
		"Claude, no message": {
			format: "anthropic",
			reply:  pt.JSON(200, `{"type":"message","usage":{"input_tokens":5000,"output_tokens":70}}`), status: 502, prompt: 5000,
			least: 70, most: 70, source: reported, word: failure,
		},
		"OpenAI, a stream that nobody asked for": {
			format: "openai", reply: pt.Stream(running, attackFinish), status: 200, prompt: 5000, least: 900, most: 900, source: counted,
			word: billing.StatusOK,
		},
		"Gemini, in the text": {
			format: "gemini", reply: cut(google), stream: true, status: 200, prompt: 5000, least: 702,
			most: 702, source: counted, word: aborted,
		},
		"Gemini, more text": {
			format: "gemini",
			reply: cut(google, strings.ReplaceAll(google[:strings.Index(google, `,"usageMetadata"`)]+"}", "hello there",
				" and hello again")), stream: true, status: 200, prompt: 5000, least: 705, most: 710, source: counted, word: aborted,
		},
		"Gemini, in the thoughts": {
			format: "gemini", reply: cut(thinking), stream: true, status: 502, prompt: 5000, least: 900,
			most: 900, source: bounded, word: failure,
		},
		"Gemini, thoughts, then text": {
			format: "gemini", reply: cut(thinking, google[:strings.Index(google, `,"usageMetadata"`)]+"}"),
			stream: true, status: 200, prompt: 5000, least: 902, most: 1000, source: counted, word: aborted,
		},
		"OpenAI, usage so far": {
			format: "openai", reply: cut(running), stream: true, status: 200, prompt: 5000, least: 900,
			most: 900, source: counted, word: aborted,
		},
		"OpenAI, usage so far, text": {
			format: "openai", reply: cut(running, attackWord), stream: true, status: 200, prompt: 5000,
			least: 902, most: 902, source: counted, word: aborted,
		},
		"OpenAI, usage at the start": {
			format: "openai", reply: cut(ahead, attackWord), stream: true, status: 200, prompt: 5000, least: 2,
			most: 50, source: counted, word: aborted,
		},
		"OpenAI, before the text": {
			format: "openai", reply: cut(ahead), stream: true, status: 502, prompt: 5000, least: 1, most: 50,
			source: bounded, word: failure,
		},
		"OpenAI, no choices": {
			format: "openai", reply: pt.JSON(200, `{"id":"x","choices":[],`+used+`}`), status: 502,
			prompt: 5000, least: 70, most: 70, source: reported, word: failure,
		},
		"OpenAI, an error and usage": {
			format: "openai", reply: pt.JSON(200, `{"error":{"message":"slow down","code":429},`+used+`}`),
			status: 429, prompt: 5000, least: 70, most: 70, source: reported, word: failure,
		},
		"OpenAI, 500 and usage": {
			format: "openai", reply: pt.JSON(500, `{"error":{"message":"no"},`+used+`}`), status: 502,
			prompt: 5000, least: 70, most: 70, source: reported, word: failure,
		},
		"OpenAI, 400, usage inside": {
			format: "openai",
			reply:  pt.JSON(400, `{"error":{"message":"no","type":"invalid_request_error",`+used+`}}`), status: 400,
			prompt: 5000, least: 70,
			most: 70, source: reported, word: failure,
		},
		"OpenAI, cut behind the usage": {
			format: "openai", reply: pt.Script(pt.Write(`{"id":"x",`+used+`,"choices":[{"mess`), pt.Cut()),
			status: 502, prompt: 5000, least: 70, most: 70, source: reported, word: failure,
		},
		"Responses, failed": {
			format: "responses", reply: cut(failed), stream: true, status: 502, prompt: 5000, least: 70,
			most: 70, source: bounded, word: failure,
		},
		"Responses, failed and whole": {
			format: "responses", reply: pt.JSON(200, failed[strings.Index(failed, `{"id"`):len(failed)-1]),
			status: 502, prompt: 5000, least: 70, most: 70, source: reported, word: failure,
		},
		"Cohere, an error at the end": {
			format: "cohere", reply: cut(`{"type":"message-end","delta":{"finish_reason":"ERROR",` +
				`"usage":{"billed_units":{"input_tokens":5000,"output_tokens":70}}}}`), stream: true, status: 502,
			prompt: 5000, least: 70, most: 70, source: bounded, word: failure,
		},
	}
	var models []string // each has its own, so that the failure of one is not that of the next
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		models = append(models, cases[name].format+strconv.Itoa(n))
	}
	g := attackFormats(t, models...)
	for n, name := range slices.Sorted(maps.Keys(cases)) {
		tt := cases[name]
		g.ups[0].Set(tt.reply)
		stream := ""
		if tt.stream {
			stream = `"stream":true,`
		}
		r := g.complete(fmt.Sprintf(`{"model":%q,%s"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`, models[n], stream))
		if r.status != tt.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		row := g.rows(1)[0]
		if row.Tokens.Prompt() != tt.prompt || row.Tokens.CacheRead != tt.cached || row.Tokens.Output < tt.least ||
			row.Tokens.Output > tt.most {
			t.Errorf("%s: booked %+v, want %d (%d cached) and %d to %d", name, row.Tokens, tt.prompt, tt.cached, tt.least, tt.most)
		}
		if usd := r.header.Get("X-Tallyroute-Cost-Usd"); tt.status != 200 && usd != row.Cost.Total.Short() {
			t.Errorf("%s: the header says that it cost %q, the row $%s", name, usd, row.Cost.Total)
		}
		if row.UsageSource != tt.source || row.Status != tt.word || !row.Final || row.Cost != row.Price.Cost(row.Tokens) {
			t.Errorf("%s: %s, %s, final %t, $%s", name, row.Status, row.UsageSource, row.Final, row.Cost.Total)
		}
	}
	g.balances()
}

// A client that hangs up in the middle pays for what its provider told until then.
func TestUsageToldBeforeAHangUpIsBooked(t *testing.T) {
	t.Parallel()
	g := attackFormats(t, "anthropic")
	g.ups[0].Set(pt.Script(
		pt.Event(`{"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"x","content":[],`+
			`"usage":{"input_tokens":5000,"output_tokens":1}}}`),
		pt.Event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		pt.Event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello there"}}`),
		pt.Hang()).With("Content-Type", "text/event-stream"))
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Address("public")+"/v1/chat/completions",
		strings.NewReader(`{"model":"anthropic","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.secret)
	resp, err := attackClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "hello there") {
	}
	leave()
	_ = resp.Body.Close()
	row := g.rows(1)[0]
	if row.Tokens.Input != 5000 || row.Tokens.Output < 2 {
		t.Errorf("booked %+v, %s", row.Tokens, row.Status)
	}
}
