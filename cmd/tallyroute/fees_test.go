package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/catalogue"
	"tallyroute/providers/chat"
	pt "tallyroute/providers/providertest"
	"tallyroute/providers/secret"
	"tallyroute/router/meter"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// The answers below are those of each format with what it says of usage.

func anthropicSays(usage, more string) string {
	return `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn"` +
		more + `,"usage":` + usage + `}`
}

func openAISays(usage, more string) string {
	return `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` +
		`"content":"x"` + more +
		`},"finish_reason":"stop"}],"usage":` + usage + `}`
}

func responsesSay(items, usage string) string {
	return `{"id":"r","object":"response","created_at":1,"model":"m","status":"completed","output":[` + items +
		`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x","annotations":[]}]}],"usage":` + usage + `}`
}

func geminiSays(grounding, usage string) string {
	return `{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"x"}]},"finishReason":"STOP","groundingMetadata":` +
		grounding + `}],"usageMetadata":` + usage + `}`
}

func converseSays(usage string) string {
	return `{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn","usage":{` + usage + `}}`
}

// recordedFee is an answer and what it costs, by hand: tokens x dollars per million are
// 1000 nano-dollars each, and a cent is 10,000,000.
type recordedFee struct {
	name, target, answer string
	want                 billing.Money
	fees                 string // by meter
}

const (
	cent = 10_000_000
	mill = 1_000_000
)

func recordedFees() []recordedFee {
	a := func(in, out int, more string) string {
		return fmt.Sprintf(`{"input_tokens":%d,"output_tokens":%d%s}`, in, out, more)
	}
	o := func(in, out int, more string) string {
		return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d%s}`, in, out, in+out, more)
	}
	r := func(in, out int, more string) string {
		return fmt.Sprintf(`{"input_tokens":%d,"output_tokens":%d,"total_tokens":%d%s}`, in, out, in+out, more)
	}
	g := func(in, out int) string {
		return fmt.Sprintf(`{"promptTokenCount":%d,"candidatesTokenCount":%d,"totalTokenCount":%d}`, in, out, in+out)
	}
	tool := func(name string, n int) string { return fmt.Sprintf(`,"server_tool_use":{"%s":%d}`, name, n) }
	const (
		sonnet, haiku, opus = "anthropic/claude-sonnet-4.6", "anthropic/claude-haiku-4.5", "anthropic/claude-opus-4.6"
		bedrock             = "bedrock/claude-haiku-4.5"
		research            = "openai-responses/o3-deep-research"
		search              = `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"q"}},`
		open                = `{"type":"web_search_call","id":"w","status":"completed","action":{"type":"open_page","url":"u"}},`
		file                = `{"type":"file_search_call","id":"f","status":"completed","queries":["q"]},`
		code                = `{"type":"code_interpreter_call","id":"c","status":"completed","container_id":"cn_1","code":"1",` +
			`"outputs":[]},`
		image   = `{"type":"image_generation_call","id":"i","status":"completed","result":"AA"},`
		queries = `{"webSearchQueries":["a","b","a"]}`
		place   = `{"groundingChunks":[{"maps":{"uri":"u"}}]}`
	)
	return []recordedFee{
		{"no tools", sonnet, anthropicSays(a(100, 10, ""), ""), 100*3000 + 10*15000, ""},
		{
			"one search", sonnet, anthropicSays(a(12_000, 300, tool("web_search_requests", 1)), ""), 12_000*3000 + 300*15000 + cent,
			"web_search 1",
		},
		{
			"five searches", sonnet, anthropicSays(a(60_000, 300, tool("web_search_requests", 5)), ""), 60_000*3000 + 300*15000 + 5*cent,
			"web_search 5",
		},
		{"no search after all", sonnet, anthropicSays(a(100, 10, tool("web_search_requests", 0)), ""), 100*3000 + 10*15000, ""},
		{"a fetch", sonnet, anthropicSays(a(9000, 10, tool("web_fetch_requests", 2)), ""), 9000*3000 + 10*15000, "web_fetch 2"},
		{
			"a search of a cheap model", haiku, anthropicSays(a(1000, 100, tool("web_search_requests", 3)), ""),
			1000*1000 + 100*5000 + 3*cent,
			"web_search 3",
		},
		{
			"a search with a cache", haiku, anthropicSays(a(10, 100, `,"cache_read_input_tokens":5000`+tool("web_search_requests", 1)), ""),
			10*1000 + 5000*100 + 100*5000 + cent, "web_search 1",
		},
		{
			"a container", haiku, anthropicSays(a(1000, 100, ""), `,"container":{"id":"c","expires_at":"2026-01-01"}`),
			1000*1000 + 100*5000 + 5*cent, "container 1",
		},
		{"no container", haiku, anthropicSays(a(1000, 100, ""), `,"container":null`), 1000*1000 + 100*5000, ""},
		{"a search and a fetch", haiku, anthropicSays(a(1000, 100, `,"server_tool_use":{"web_search_requests":2,"web_fetch_requests":1}`),
			""), 1000*1000 + 100*5000 + 2*cent, "web_search 2 web_fetch 1"},
		{"fast", opus, anthropicSays(a(1000, 100, `,"speed":"fast"`), ""), 1000*30_000 + 100*150_000, ""},
		{
			"fast, with a search", opus, anthropicSays(a(1000, 100, `,"speed":"fast"`+tool("web_search_requests", 1)), ""),
			1000*30_000 + 100*150_000 + cent, "web_search 1",
		},
		{"in the US", opus, anthropicSays(a(1000, 100, `,"inference_geo":"us"`), ""), 1000*5500 + 100*27_500, ""},
		{"fast in the US", opus, anthropicSays(a(1000, 100, `,"speed":"fast","inference_geo":"us"`), ""), 1000*33_000 + 100*165_000, ""},
		{"anywhere", opus, anthropicSays(a(1000, 100, `,"inference_geo":"global"`), ""), 1000*5000 + 100*25_000, ""},
		{"not fast", opus, anthropicSays(a(1000, 100, `,"speed":"standard"`), ""), 1000*5000 + 100*25_000, ""},
		{
			"compacted", opus, anthropicSays(a(1000, 100,
				`,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":1000,`+
					`"output_tokens":100}]`), ""),
			181_000*5000 + 3600*25_000, "",
		},
		{
			"at Vertex", "vertex/claude-sonnet-4.6", anthropicSays(a(1000, 100, tool("web_search_requests", 2)), ""),
			1000*3000 + 100*15000 + 2*cent, "web_search 2",
		},

		{
			"a search model", "openai/gpt-4o-search-preview", openAISays(o(100, 50, ""), `,"annotations":[]`),
			100*2500 + 50*10_000 + 25*mill, "",
		},
		{"a small search model", "openai/gpt-4o-mini-search-preview", openAISays(o(100, 50, ""), ""), 100*150 + 50*600 + 25*mill, ""},
		{
			"a search model of the fifth generation", "openai/gpt-5-search-api", openAISays(o(9000, 50, ""), ""),
			9000*1250 + 50*10_000 + cent, "",
		},

		{"Responses, nothing", research, responsesSay("", r(100, 10, "")), 100*10_000 + 10*40_000, ""},
		{"Responses, a search", research, responsesSay(search, r(100, 10, "")), 100*10_000 + 10*40_000 + cent, "web_search 1"},
		{
			"Responses, opened pages", research, responsesSay(search+open+open, r(100, 10, "")), 100*10_000 + 10*40_000 + cent,
			"web_search 1",
		},
		{
			"Responses, many searches", research, responsesSay(search+search+open+search, r(100, 10, "")), 100*10_000 + 10*40_000 + 3*cent,
			"web_search 3",
		},
		{
			"Responses, a search of files", research, responsesSay(file+file, r(100, 10, "")), 100*10_000 + 10*40_000 + 5*mill,
			"file_search 2",
		},
		{
			"Responses, code in one container", research, responsesSay(code+code, r(100, 10, "")), 100*10_000 + 10*40_000 + 3*cent,
			"container 1",
		},
		{
			"Responses, everything", research, responsesSay(search+file+code, r(100, 10, "")),
			100*10_000 + 10*40_000 + cent + 2_500_000 + 3*cent, "web_search 1 file_search 1 container 1",
		},
		{"Responses, an image", research, responsesSay(image, r(100, 10, "")), 100*10_000 + 10*40_000 + 25*cent, "image 1"},
		{
			"Responses, reasoning", "openai-responses/gpt-5-codex",
			responsesSay(search, r(1000, 500, `,"output_tokens_details":{"reasoning_tokens":400}`)), 1000*1250 + 500*10_000 + cent,
			"web_search 1",
		},
		{
			"Responses, cached", "openai-responses/gpt-5-codex",
			responsesSay(search, r(1000, 500, `,"input_tokens_details":{"cached_tokens":600}`)), 400*1250 + 600*125 + 500*10_000 + cent,
			"web_search 1",
		},

		{"Gemini 2, not grounded", "google/gemini-2.5-flash", geminiSays(`{}`, g(100, 10)), 100*300 + 10*2500, ""},
		{
			"Gemini 2, grounded by several searches", "google/gemini-2.5-flash", geminiSays(queries, g(100, 10)),
			100*300 + 10*2500 + 35*mill,
			"grounding 1",
		},
		{
			"Gemini 2, grounded by a page", "google/gemini-2.5-flash", geminiSays(`{"groundingChunks":[{"web":{"uri":"u"}}]}`, g(100, 10)),
			100*300 + 10*2500 + 35*mill, "grounding 1",
		},
		{"Gemini 2, maps", "google/gemini-2.5-flash", geminiSays(place, g(100, 10)), 100*300 + 10*2500 + 25*mill, "maps 1"},
		{
			"Gemini 3, not grounded", "google/gemini-3-flash-preview", geminiSays(`{"webSearchQueries":[]}`, g(100, 10)),
			100*500 + 10*3000, "",
		},
		{
			"Gemini 3, each search", "google/gemini-3-flash-preview", geminiSays(queries, g(100, 10)), 100*500 + 10*3000 + 28*mill,
			"web_search 2",
		},
		{
			"Gemini 3, a page alone", "google/gemini-3-flash-preview", geminiSays(`{"groundingChunks":[{"web":{"uri":"u"}}]}`, g(100, 10)),
			100*500 + 10*3000 + 14*mill, "web_search 1",
		},
		{"Gemini 3 Pro", "google/gemini-3.1-pro-preview", geminiSays(`{"webSearchQueries":["a"],"groundingChunks":[{"web":{"uri":"u"}}]}`,
			g(100, 10)), 100*2000 + 10*12_000 + 14*mill, "web_search 1"},
		{
			"Gemini 3 Pro, long", "google/gemini-3.1-pro-preview", geminiSays(queries, g(300_000, 10)), 300_000*4000 + 10*18_000 + 28*mill,
			"web_search 2",
		},
		{
			"Gemini, what tools brought in", "google/gemini-2.5-flash",
			geminiSays(queries, `{"promptTokenCount":100,"toolUsePromptTokenCount":69,"candidatesTokenCount":10,"totalTokenCount":179}`),
			169*300 + 10*2500 + 35*mill, "grounding 1",
		},

		{"Sonar, small", "perplexity/sonar", openAISays(o(14, 208, `,"search_context_size":"low"`), ""), 222*1000 + 5*mill, ""},
		{
			"Sonar, medium", "perplexity/sonar", openAISays(o(14, 208, `,"search_context_size":"medium"`), ""), 222*1000 + 8*mill,
			"search_medium 1",
		},
		{
			"Sonar, large", "perplexity/sonar", openAISays(o(14, 208, `,"search_context_size":"high"`), ""), 222*1000 + 12*mill,
			"search_high 1",
		},
		{
			"Sonar Pro, small", "perplexity/sonar-pro", openAISays(o(14, 208, `,"search_context_size":"low"`), ""),
			14*3000 + 208*15_000 + 6*mill, "",
		},
		{
			"Sonar Pro, medium", "perplexity/sonar-pro", openAISays(o(14, 208, `,"search_context_size":"medium"`), ""),
			14*3000 + 208*15_000 + 10*mill, "search_medium 1",
		},
		{
			"Sonar Pro, large", "perplexity/sonar-pro", openAISays(o(14, 208, `,"search_context_size":"high"`), ""),
			14*3000 + 208*15_000 + 14*mill, "search_high 1",
		},
		{
			"a deep research", "perplexity/sonar-deep-research",
			openAISays(o(33, 7163, `,"citation_tokens":20016,"num_search_queries":48,"reasoning_tokens":95305`), ""),
			33*2000 + 7163*8000 + 95_305*3000 + 20_016*2000 + 48*5*mill, "citation_tokens 20016 web_search 48",
		},
		{
			"a deep research that says what it cost", "perplexity/sonar-deep-research",
			openAISays(o(33, 7163, `,"citation_tokens":20016,"num_search_queries":48,"reasoning_tokens":95305,`+
				`"cost":{"total_cost":0.70}`), ""),
			70 * cent, "citation_tokens 20016 web_search 48 provider_cost 1",
		},
		{"Sonar, which says less", "perplexity/sonar", openAISays(o(14, 208, `,"search_context_size":"low","cost":{"total_cost":0.005}`),
			""), 222*1000 + 5*mill, ""},

		{
			"xAI, searches", "xai/grok-4", openAISays(o(1000, 100,
				`,"num_sources_used":7,"server_side_tool_usage_details":{"web_search_calls":2,"x_search_calls":1,"mcp_calls":4}`), ""),
			1000*3000 + 100*15_000 + 3*5*mill, "citation 7 web_search 3",
		},
		{
			"xAI, code and files", "xai/grok-4",
			openAISays(o(1000, 100, `,"server_side_tool_usage_details":{"code_interpreter_calls":2,"document_search_calls":1}`), ""),
			1000*3000 + 100*15_000 + 2*5*mill + cent, "code_execution 2 file_search 1",
		},
		{
			"xAI, which says what it cost", "xai/grok-4",
			openAISays(o(1000, 100, `,"cost_in_usd_ticks":123456789,"server_side_tool_usage_details":{"web_search_calls":1}`), ""),
			12_345_679, "web_search 1 provider_cost 1",
		},
		{
			"xAI, which says less", "xai/grok-4",
			openAISays(o(1000, 100, `,"cost_in_usd_ticks":1000000,"server_side_tool_usage_details":{"web_search_calls":1}`), ""),
			1000*3000 + 100*15_000 + 5*mill, "web_search 1",
		},

		{
			"Groq's tools", "groq/compound", openAISays(o(14_100, 921, ""),
				`,"executed_tools":[{"index":0,"type":"search","output":"a"},{"index":1,"type":"visit","output":"b"}]`),
			14_100*590 + 921*790 + 8*mill + mill, "web_search 1 web_fetch 1",
		},
		{
			"Groq's code", "groq/compound", openAISays(o(100, 21, ""), `,"executed_tools":[{"index":0,"type":"python","output":"a"}]`),
			100*590 + 21*790 + 30*mill, "code_execution 1",
		},
		{"Groq without tools", "groq/compound-mini", openAISays(o(100, 21, ""), ""), 100*590 + 21*790, ""},

		{
			"OpenRouter, which says what it cost", "openrouter/gpt-oss-20b",
			openAISays(o(1000, 100, `,"cost":0.00765,"server_tool_use_details":{"web_search_requests":1,"tool_calls_executed":1}`), ""),
			7_650_000, "web_search 1 provider_cost 1",
		},
		{
			"OpenRouter with an account of ours", "openrouter/gpt-oss-20b",
			openAISays(o(1000, 100, `,"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}`), ""),
			21_000_000, "provider_cost 1",
		},
		{"OpenRouter, without its cost", "openrouter/gpt-oss-20b", openAISays(o(1000, 100, `,"server_tool_use":{"web_search_requests":2}`),
			""), 1000*29 + 100*140 + 2*7*mill, "web_search 2"},
		{
			"OpenRouter, as dear as we say", "openrouter/gpt-oss-20b", openAISays(o(1000, 100, `,"cost":0.000043`), ""),
			1000*29 + 100*140, "",
		},
		{
			"Vercel, which says what it cost", "vercel/gpt-oss-20b", openAISays(o(1000, 100, `,"cost":"0.0123"`), ""), 12_300_000,
			"provider_cost 1",
		},
		{"Vercel, which says less", "vercel/gpt-oss-20b", openAISays(o(1000, 100, `,"cost":0.00000001`), ""), 1000*50 + 100*200, ""},
		{"Claude on Bedrock", bedrock, converseSays(`"inputTokens":1000,"outputTokens":100,"totalTokens":1100`), 1000*1000 + 100*5000, ""},
		{
			"Claude on Bedrock, from a cache", bedrock,
			converseSays(`"inputTokens":1000,"outputTokens":100,"cacheReadInputTokens":5000,"totalTokens":6100`),
			1000*1000 + 5000*100 + 100*5000, "",
		},
		{
			"Claude on Bedrock, to a cache", bedrock,
			converseSays(`"inputTokens":1000,"outputTokens":100,"cacheWriteInputTokens":400,"totalTokens":1500`),
			1000*1000 + 400*1250 + 100*5000, "",
		},
		{
			"Claude on Bedrock, in the US", bedrock + "-us", converseSays(`"inputTokens":1000,"outputTokens":100,"totalTokens":1100`),
			1000*1100 + 100*5500, "",
		},
		{
			"Mistral's connectors", "mistral/mistral-large-2512", openAISays(o(0, 0, `,"server_tool_use":{"web_search_requests":1}`), ""),
			30 * mill, "web_search 1",
		},
	}
}

// The cost of reported usage that includes fees equals a calculation by hand with the prices of the
// catalogue.
func TestCostsOfUsageWithFees(t *testing.T) {
	there := func(context.Context, string) (secret.Value, error) { return secret.New("x"), nil }
	all, err := catalogue.Build(t.Context(), catalogue.Input{}, catalogue.Options{Secrets: there})
	if err != nil {
		t.Fatal(err)
	}
	book := billing.NewPriceBook(all.Prices())
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	request, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],` +
		`"tools":[{"type":"web_search_20250305"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	list := recordedFees()
	for _, tt := range list {
		targets, _, ok := all.Resolve(tt.target)
		if !ok {
			t.Errorf("%s: no %s", tt.name, tt.target)
			continue
		}
		target := &targets[0]
		answer, err := target.Adapter.Chat.Decode(providers.Exchange{Target: *target, Request: request}, http.Header{}, []byte(tt.answer))
		if err != nil || answer.Usage == nil {
			t.Errorf("%s: %+v, %v", tt.name, answer, err)
			continue
		}
		c := plan.Candidate{Target: target, Prices: book.At(target.Provider, target.Model, now), Priced: true, Hold: 1e9, MaxOutput: 1e9}
		m := meter.Meter{Request: request, Row: billing.Spend{RequestID: "req_1"}}
		row, _ := m.Used(meter.Use{Candidate: &c, Attempt: 1, Status: billing.StatusOK, Usage: answer.Usage}, asReported{answer.Usage})
		if row.Cost.Total != tt.want || row.Pricing != billing.Priced {
			t.Errorf("%s: %d nano-dollars (%s), want %d: %+v of %+v", tt.name, row.Cost.Total, row.Pricing, tt.want, row.Cost, row.Tokens)
		}
		var fees string
		var sum billing.Money
		for _, f := range row.Fees {
			fees += fmt.Sprintf(" %s %d", f.Meter, f.Units)
			sum += f.Cost
		}
		if fees != "" {
			fees = fees[1:]
		}
		if fees != tt.fees || sum+row.Price.Request != row.Cost.Fee {
			t.Errorf("%s: fees %q of %d and %d, want %q: %d", tt.name, fees, sum, row.Price.Request, tt.fees, row.Cost.Fee)
		}
	}
	if len(list) < 60 {
		t.Errorf("only %d usages", len(list))
	}
}

// asReported counts what was reported.
type asReported struct{ usage *chat.Usage }

func (c asReported) Bound() int64 { return 1 << 40 }
func (c asReported) Least() int64 { return 0 }
func (c asReported) Prompt() (tokens.Estimate, error) {
	return tokens.Estimate{Tokens: c.usage.Input + c.usage.CacheRead + c.usage.CacheWrite}, nil
}
func (c asReported) Text(string) (tokens.Estimate, error) { return tokens.Estimate{}, nil }

// A key without a budget may switch on what is charged at a price that nobody knows. The cost of such
// an answer is unknown, and not that of its tokens alone, unless the provider states it.
func TestToolsWithoutAPriceLeaveTheirRowsWithoutOne(t *testing.T) {
	t.Parallel()
	stated := strings.Replace(attackAnswer, `"total_tokens":10}`, `"total_tokens":10,"cost":0.5}`, 1)
	g := &attackTarget{t: t, out: &attackOutput{}}
	text := "providers:\n"
	for n, answer := range []string{attackAnswer, stated} {
		text += attackProvider(n, pt.NewUpstream(t, pt.JSON(200, answer)).URL(),
			"    private: true\n    quirks: {members: {charged: [oracle, pace=*], free: [pace=slow], unpriced: [turbo]}}\n")
	}
	g.start(text + "members: {allow: [up0/plugins]}\n")
	budgeted := g.secret
	_, g.secret = g.issue()
	for _, tt := range []struct {
		model, more, status string
		cost                billing.Money
	}{
		{"up0/m", `"seed":1`, "exact", 12_000},
		{"up0/m", `"turbo":true`, "exact", 12_000}, // more tokens at the most, which are reported
		{"up0/m", `"zz_unheard_of":1`, "exact", 12_000},
		{"up0/m", `"pace":"slow"`, "exact", 12_000},
		{"up0/m", `"oracle":false`, "exact", 12_000},
		{"up0/m", `"plugins":[{"id":"web"}]`, "exact", 12_000}, // free, says the operator
		{"up0/m", `"oracle":true`, "unpriced", 0},
		{"up0/m", `"pace":"fast"`, "unpriced", 0},
		{"up0/m", `"tools":[{"type":"zz_oracle"}]`, "unpriced", 0},
		{"up1/m", `"oracle":true`, "overrun", billing.NanoPerUSD / 2},
	} {
		body := strings.Replace(attackPlain, `"model":"m"`, `"model":"`+tt.model+`",`+tt.more, 1)
		r := g.complete(body)
		row := g.rows(1)[0]
		unpriced := row.Pricing == billing.Unpriced
		if r.status != http.StatusOK || row.Cost.Total != tt.cost || unpriced != (tt.status == "unpriced") {
			t.Errorf("%s %s: %d, %s, %d: %s", tt.model, tt.more, r.status, row.Pricing, row.Cost.Total, r.body)
		}
		if got := r.header.Get("X-Tallyroute-Cost-Status"); got != tt.status {
			t.Errorf("%s %s: the cost is %s, want %s", tt.model, tt.more, got, tt.status)
		}
		if named := r.header.Get("X-Tallyroute-Unpriced-Members"); unpriced && named == "" {
			t.Errorf("%s: the member is not named", tt.more)
		}
		if !unpriced || strings.Contains(tt.more, "slow") {
			continue
		}
		if code := g.complete(body, "Authorization", "Bearer "+budgeted).code(t); code != "unpriced_member" {
			t.Errorf("%s with a budget: %s", tt.more, code)
		}
	}
}
