package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/billingtest/prove"
	pt "tallyroute/providers/providertest"
)

// billedAnswer is an answer, and what its provider bills for it: $1 a million tokens of
// the prompt, and $2 of the output. Where it reports nothing, it bills what it did.
type billedAnswer struct {
	name, path, ask, reply string // ask are further members of the request
	prompt, output         int64  // below 0: at least so many, the other way round
	source                 billing.Provenance
	status                 string // the word about the cost, where a header tells it
}

const (
	attackCall  = `"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]`
	attackTools = `,"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]`
)

// saying returns an answer with one choice, given the members of its message, its finish reason,
// and what follows the choices.
func saying(message, reason, more string) string {
	head, _, _ := strings.Cut(attackAnswer, `"choices"`)
	return fmt.Sprintf(`%s"choices":[{"index":0,"message":{"role":"assistant",%s},"logprobs":null,"finish_reason":%q}]%s}`, head, message,
		reason, more)
}

// several returns an answer with n choices.
func several(n int, more string) string {
	head, _, _ := strings.Cut(attackAnswer, `"choices"`)
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"index":%d,"message":{"role":"assistant","content":"hello there","refusal":null},"logprobs":null,`+
			`"finish_reason":"stop"}`, i)
	}
	return head + `"choices":[` + strings.Join(list, ",") + `]` + more + `}`
}

// events returns a stream with one delta per choice, all of which finish for the same reason,
// followed by last.
func events(reason string, last []string, deltas ...string) string {
	var out []string
	for i, d := range deltas {
		out = append(out, fmt.Sprintf(attackHead+`"choices":[{"index":%d,"delta":{"role":"assistant",%s},"finish_reason":null}]}`, i, d))
	}
	for i := range deltas {
		out = append(out, fmt.Sprintf(attackHead+`"choices":[{"index":%d,"delta":{},"finish_reason":%q}]}`, i, reason))
	}
	return "data: " + strings.Join(append(out, last...), "\n\ndata: ") + "\n\n"
}

func usageOf(output int) string {
	return fmt.Sprintf(`,"usage":{"prompt_tokens":8,"completion_tokens":%d,"total_tokens":%d}`, output, output+8)
}

// billedAnswers returns kinds of traffic for which it is easy to book too little.
func billedAnswers() []billedAnswer {
	const (
		reported, counted, bounded = billing.Reported, billing.Counted, billing.Bounded

		chat, vectors, messages, responses = "/v1/chat/completions", "/v1/embeddings", "/v1/messages", "/v1/responses"

		stream, two, done = `,"stream":true,"stream_options":{"include_usage":true}`, `,"n":2`, "[DONE]"
		hello, nothing    = `"content":"hello there"`, `"content":""`
		call              = `"content":null,` + attackCall
		oldCall           = `"content":null,"function_call":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}`
		refusal           = `"content":null,"refusal":"I cannot do that"`
		none              = attackHead + `"choices":[],"usage":null}`
		exponents         = `,"usage":{"prompt_tokens":8e0,"completion_tokens":0.2e1,"total_tokens":1e1}`
	)
	usage := func(output int) string { return attackHead + `"choices":[]` + usageOf(output) + `}` }
	embeds := func(usage string) string {
		return `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]}],"model":"vectors","usage":` + usage + `}`
	}
	return []billedAnswer{
		{"three choices", chat, `,"n":3`, several(3, usageOf(6)), 8, 6, reported, "exact"},
		{"three choices, no usage", chat, `,"n":3`, several(3, ""), 8, 6, counted, "estimated"},
		{"three choices, usage of one", chat, `,"n":3`, several(3, usageOf(2)), 8, 6, counted, "disputed"},
		{"three choices, one came", chat, `,"n":3`, several(1, usageOf(6)), 8, 6, reported, "exact"},
		{"more choices than asked", chat, "", several(3, ""), 8, 6, counted, "estimated"},
		{"two choices, streamed", chat, two + stream, events("stop", []string{usage(4), done}, hello, hello), 8, 4, reported, ""},
		{"two choices, streamed, no usage", chat, two + stream, events("stop", []string{done}, hello, hello), 8, 4, counted, ""},
		{
			"two choices, streamed, usage of one", chat, two + stream, events("stop", []string{usage(2), done}, hello, hello),
			8, 4, counted, "",
		},
		{"a call alone", chat, attackTools, saying(call, "tool_calls", usageOf(17)), 8, 17, reported, "exact"},
		{"a call alone, no usage", chat, attackTools, saying(call, "tool_calls", ""), -9, -6, bounded, "estimated"},
		{"a call alone, 0 tokens", chat, attackTools, saying(call, "tool_calls", usageOf(0)), 8, -6, counted, "disputed"},
		{"a call alone, streamed", chat, attackTools + stream, events("tool_calls", []string{done}, attackCall), -9, -6, bounded, ""},
		{"a call of the old kind", chat, attackTools, saying(oldCall, "function_call", ""), -9, -6, bounded, "estimated"},
		{"a refusal", chat, "", saying(refusal, "stop", usageOf(9)), 8, 9, reported, "exact"},
		{"a refusal, no usage", chat, "", saying(refusal, "stop", ""), 8, 4, counted, "estimated"},
		{"a refusal, streamed", chat, stream, events("stop", []string{done}, refusal), 8, 4, counted, ""},
		{"filtered, nothing said", chat, "", saying(nothing, "content_filter", usageOf(0)), 8, 0, reported, "exact"},
		{"filtered, no usage", chat, "", saying(nothing, "content_filter", ""), 8, 0, counted, "estimated"},
		{"nothing said, all thought", chat, "", saying(nothing, "length", usageOf(50)), 8, 50, reported, "exact"},
		{
			"thoughts alone, no usage", chat, "", saying(nothing+`,"reasoning_content":"I cannot do that"`, "length", ""),
			8, 4, counted, "estimated",
		},
		{"usage that grows", chat, stream, events("stop", []string{usage(3), usage(7), done}, hello), 8, 7, reported, ""},
		{"usage, then none", chat, stream, events("stop", []string{usage(7), none, done}, hello), 8, 7, reported, ""},
		{"usage behind the end", chat, stream, events("stop", []string{done, usage(7)}, hello), 8, 7, reported, ""},
		{"no end, with usage", chat, stream, events("stop", []string{usage(7)}, hello), 8, 7, reported, ""},
		{"vectors", vectors, "", embeds(`{"prompt_tokens":4,"total_tokens":4}`), 4, 0, reported, "exact"},
		{"vectors, by exponents", vectors, "", embeds(`{"prompt_tokens":4e0,"total_tokens":0.4e1}`), 4, 0, reported, "exact"},
		{"vectors, a total alone", vectors, "", embeds(`{"total_tokens":4}`), 4, 0, reported, "exact"},
		{"vectors, no usage", vectors, "", embeds(`null`), -1, 0, bounded, "estimated"},
		{"vectors, 0 tokens", vectors, "", embeds(`{"prompt_tokens":0,"total_tokens":0}`), -1, 0, bounded, "disputed"},
		{"vectors, 5000 tokens", vectors, "", embeds(`{"prompt_tokens":5000,"total_tokens":5000}`), 5000, 0, reported, "disputed"},
		{"vectors, below nothing", vectors, "", embeds(`{"prompt_tokens":-4,"total_tokens":-4}`), -1, 0, bounded, "disputed"},
		{"messages", messages, "", several(1, usageOf(2)), 8, 2, reported, "exact"},
		{"messages, a call alone", messages, "", saying(call, "tool_calls", usageOf(0)), 8, -6, counted, "disputed"},
		{"messages, by exponents", messages, "", several(1, exponents), 8, 2, reported, "exact"},
		{"messages, no usage", messages, "", several(1, ""), 8, 2, counted, "estimated"},
		{"responses", responses, "", several(1, usageOf(2)), 8, 2, reported, "exact"},
		{"responses, a refusal", responses, "", saying(refusal, "stop", ""), 8, 4, counted, "estimated"},
		{"responses, no usage", responses, "", several(1, ""), 8, 2, counted, "estimated"},
		{"responses, by exponents", responses, "", several(1, exponents), 8, 2, reported, "exact"},
	}
}

// request returns the request that a client sends.
func (b billedAnswer) request() string {
	switch b.path {
	case "/v1/embeddings":
		return `{"model":"vectors","input":"hi"` + b.ask + `}`
	case "/v1/responses":
		return `{"model":"m","input":"hi","max_output_tokens":50` + b.ask + `}`
	}
	return strings.TrimSuffix(attackPlain, "}") + b.ask + "}"
}

// TestLedgerIsTheProvidersBill: a provider answers in all these ways and sends a bill. Each row equals
// its line on the bill to the nano-dollar, as do the header and the receipt; the metrics and the budget
// equal the sum. Retries with an idempotency key, even after the client had left, are billed once and
// report the same.
func TestLedgerIsTheProvidersBill(t *testing.T) {
	t.Parallel()
	for store, more := range map[string]string{"SQLite": "", "PostgreSQL": onPostgres(t)} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			g := attackBill(t, more)
			var bill billing.Money
			for _, b := range billedAnswers() {
				kind := "application/json"
				if strings.HasPrefix(b.reply, "data:") {
					kind = "text/event-stream"
				}
				g.ups[0].Set(pt.Body(http.StatusOK, kind, b.reply))
				bill += g.billsAs(b)
			}
			bill += g.replays(attackPlain, pt.JSON(http.StatusOK, attackAnswer))
			bill += g.replays(attackStream, pt.Stream(attackWord, attackFinish, attackUsage))
			bill += g.orphan()
			g.balances()
			balances, err := g.Actions().Store.Balances(t.Context(), &g.key, time.Now())
			if err != nil || balances[0].UsedMoney != bill {
				t.Errorf("the budget has %+v, the bill comes to %s: %v", balances, bill, err)
			}
			if told := g.summed("tallyroute_cost_nano_usd_total"); told != int64(bill) {
				t.Errorf("the metrics say %d nano-dollars, the bill %d", told, bill)
			}
		})
	}
}

// attackBill starts the program with a provider of chats and of vectors.
func attackBill(t *testing.T, more string) *attackTarget {
	t.Helper()
	g := &attackTarget{t: t, out: &attackOutput{}}
	u := pt.NewUpstream(t, pt.JSON(http.StatusOK, attackAnswer))
	g.ups = append(g.ups, u)
	g.start("providers:\n" + attackProvider(0, u.URL(), "    private: true\n") +
		"      - {id: vectors, context: 8191, can: [embeddings], tokenizer: {encoding: o200k_base}, prices: [{since: 2026-01-01, " +
		"prompt: \"1.00\", completion: \"0\"}]}\noverrun: {stop_usd: 0}\n" + more)
	return g
}

// billsAs asks, and compares everything with the bill, which it returns.
func (g *attackTarget) billsAs(b billedAnswer) billing.Money {
	g.t.Helper()
	r := g.ask(http.MethodPost, b.path, strings.NewReader(b.request()))
	if r.status != http.StatusOK {
		g.t.Fatalf("%s: %d %s", b.name, r.status, r.body)
	}
	row := g.rows(1)[0]
	prompt, output := billedTokens(b.prompt, row.Tokens.Prompt()), billedTokens(b.output, row.Tokens.Output)
	line := billing.Money(prompt*1000 + output*2000)
	if row.Tokens.Prompt() != prompt || row.Tokens.Output != output || row.Cost.Total != line || row.UsageSource != b.source {
		g.t.Errorf("%s: booked %+v (%s) for %s, the bill has %d and %d tokens for %s", b.name, row.Tokens, row.UsageSource, row.Cost.Total,
			prompt, output, line)
	}
	if got := r.header.Get("X-Tallyroute-Cost-Usd"); b.status != "" && got != line.Short() {
		g.t.Errorf("%s: the header says $%s, the bill $%s", b.name, got, line.Short())
	}
	if got := r.header.Get("X-Tallyroute-Cost-Status"); b.status != "" && got != b.status {
		g.t.Errorf("%s: the cost is %q, want %q", b.name, got, b.status)
	}
	if b.status != "" && !strings.Contains(r.body, `"cost":`+line.Short()) {
		g.t.Errorf("%s: the client is not told $%s: %s", b.name, line.Short(), r.body)
	}
	receipt := g.ask(http.MethodGet, "/v1/requests/"+row.RequestID, http.NoBody)
	if !strings.Contains(receipt.body, `"cost_usd":"`+line.Short()+`"`) {
		g.t.Errorf("%s: the receipt says %s", b.name, receipt.body)
	}
	for _, count := range strings.Split(r.body, `_tokens":`)[1:] {
		if end := strings.IndexAny(count, ",}"); end > 0 && strings.ContainsAny(count[:end], "eE.") {
			g.t.Errorf("%s: a count is told as %s", b.name, count[:end])
		}
	}
	return line
}

// billedTokens returns the number of tokens on the bill. A negative want is a lower bound: more
// may have been booked.
func billedTokens(want, booked int64) int64 {
	if want < 0 {
		return max(-want, booked)
	}
	return want
}

// replays asks twice under one idempotency key.
func (g *attackTarget) replays(body string, reply pt.Reply) billing.Money {
	g.t.Helper()
	g.ups[0].Set(reply)
	before := len(g.ups[0].Calls())
	name := fmt.Sprint("key", before)
	first := g.complete(body, "Idempotency-Key", name)
	row := g.rows(1)[0]
	for range 2 {
		again := g.complete(body, "Idempotency-Key", name)
		if first.status != http.StatusOK || again.status != http.StatusOK || again.body != first.body ||
			again.header.Get("Idempotent-Replayed") != "true" {
			g.t.Errorf("%d %s\nthen %d %v %s", first.status, first.body, again.status, again.header, again.body)
		}
		if was, is := first.header.Get("X-Tallyroute-Cost-Usd"), again.header.Get("X-Tallyroute-Cost-Usd"); was != is {
			g.t.Errorf("the cost was $%s, and is $%s", was, is)
		}
	}
	g.rows(0)
	if n := len(g.ups[0].Calls()) - before; n != 1 {
		g.t.Errorf("%d calls", n)
	}
	return row.Cost.Total
}

// orphan asks under an idempotency key, leaves before the answer, and asks again: the call
// that was begun is finished, billed once, and answers the second request.
func (g *attackTarget) orphan() billing.Money {
	g.t.Helper()
	before, left := len(g.ups[0].Calls()), make(chan struct{})
	g.ups[0].Set(pt.Script(pt.Until(left), pt.Write(attackAnswer)).With("Content-Type", "application/json"))
	text := attackPlain
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + g.secret +
		"\r\nContent-Type: application/json\r\nIdempotency-Key: orphan\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n"
	c := g.connect()
	if _, err := io.WriteString(c, head+text); err != nil {
		g.t.Fatal(err)
	}
	g.ups[0].Wait(g.t, before+1)
	_ = c.Close()
	close(left)
	row := g.rows(1)[0]
	var again attackReply
	prove.Eventually(g.t, "the answer is kept", func() bool {
		again = g.complete(text, "Idempotency-Key", "orphan")
		return again.status != http.StatusConflict
	})
	g.rows(0)
	if n := len(g.ups[0].Calls()) - before; n != 1 || again.status != http.StatusOK || again.header.Get("Idempotent-Replayed") != "true" {
		g.t.Errorf("%d calls, then %d %v %s", n, again.status, again.header, again.body)
	}
	if row.Tokens.Prompt() != 8 || row.Tokens.Output != 2 || row.Cost.Total != 12_000 || row.Took == nil {
		g.t.Errorf("booked %+v", row)
	}
	return row.Cost.Total
}

// summed returns the sum of a metric over all its labels.
func (g *attackTarget) summed(name string) (sum int64) {
	g.t.Helper()
	for line := range strings.Lines(g.metrics()) {
		if strings.HasPrefix(line, name+"{") {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				g.t.Fatal(err)
			}
			sum += int64(v)
		}
	}
	return sum
}
