package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tallyroute/billing/billingtest/prove"
	"tallyroute/providers"
	"tallyroute/providers/scripted"
)

// scriptedRig returns a rig whose models, named "on-" plus a format, are served by a scripted
// upstream.
func scriptedRig(t *testing.T, o providers.Options, script func(scripted.Turn) scripted.Reply) (*rig, *scripted.Upstream) {
	g, u := newRig(t), &scripted.Upstream{Script: script}
	server := httptest.NewServer(u)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	client := providers.NewClient(o)
	t.Cleanup(client.Close)
	g.sender.play = client.Do
	under := map[string]string{"openai": "/v1", "anthropic": "/v1", "responses": "/v1", "gemini": "/v1beta"}
	g.models.more = make(map[string][]providers.Target)
	for format, a := range scriptedAdapters() {
		to := providers.Target{
			Provider: "acme", Model: "m", Upstream: "anthropic.claude-x", BaseURL: server.URL + under[format], Adapter: a, Quirks: a.Quirks,
			Private: true, Weight: 1, Context: 4_000_000, MaxOutput: 1_000_000,
			Can: providers.Abilities{Stream: true, Tools: true, Vision: true, JSONSchema: true, Reasoning: true},
		}
		g.models.more["on-"+format] = []providers.Target{to}
	}
	return g, u
}

func scriptedAdapters() map[string]providers.Adapter {
	return map[string]providers.Adapter{
		"openai": families["openai-chat"], "anthropic": families["anthropic-messages"], "responses": families["openai-responses"],
		"gemini": families["gemini"], "bedrock": families["bedrock-converse"], "bedrock-invoke": families["bedrock-invoke"],
		"cohere": families["cohere-v2"], "ollama": families["ollama-native"],
	}
}

// entranceCase is an entrance and the requests of its clients.
type entranceCase struct {
	path, body string // with a placeholder for the model
	// ended returns how a stream ended: "whole", "failed", or "" if it did not say.
	ended func(t *testing.T, events [][]byte) string
	used  func(body []byte, stream bool) (prompt, output int64)
}

var entranceCases = []entranceCase{
	{"/v1/chat/completions", `{"model":"%s","max_tokens":4096,"messages":[{"role":"user","content":"hi"}]}`, chatEnded, chatUsed},
	{"/v1/responses", `{"model":"%s","max_output_tokens":4096,"input":"hi"}`, responseEnded, responseUsed},
	{"/v1/messages", `{"model":"%s","max_tokens":4096,"messages":[{"role":"user","content":"hi"}]}`, messageEnded, messageUsed},
}

func chatEnded(t *testing.T, events [][]byte) string {
	for _, e := range events {
		if bytes.Contains(e, []byte(`"error":{`)) {
			return "failed"
		}
	}
	return "whole"
}

// responseEnded checks the grammar of events: numbers rise, items are closed, and the last
// event is one that ends a response.
func responseEnded(t *testing.T, events [][]byte) string {
	last := -1
	open := make(map[int]bool)
	ended := ""
	for _, data := range events {
		var e struct {
			Type   string
			Number *int `json:"sequence_number"`
			Index  int  `json:"output_index"`
		}
		if err := json.Unmarshal(data, &e); err != nil || e.Number == nil || *e.Number <= last || ended != "" {
			t.Errorf("it breaks the grammar after number %d: %s", last, data)
			return ""
		}
		last = *e.Number
		switch e.Type {
		case "response.output_item.added":
			open[e.Index] = true
		case "response.output_item.done":
			delete(open, e.Index)
		case "response.completed", "response.incomplete":
			ended = "whole"
		case "response.failed":
			ended = "failed"
		}
	}
	if len(open) > 0 {
		t.Errorf("items %v are never closed", open)
	}
	return ended
}

func messageEnded(t *testing.T, events [][]byte) string {
	for i, e := range events {
		last := i == len(events)-1
		switch {
		case bytes.Contains(e, []byte(`"type":"message_stop"`)) && last:
			return "whole"
		case bytes.Contains(e, []byte(`"type":"error"`)) && last:
			return "failed"
		}
	}
	return ""
}

// lastWith returns the last event that contains a text.
func lastWith(body []byte, text string, stream bool) []byte {
	if !stream {
		return body
	}
	var found []byte
	for _, e := range eventsOf(body) {
		if bytes.Contains(e, []byte(text)) {
			found = e
		}
	}
	return found
}

func chatUsed(body []byte, stream bool) (int64, int64) {
	var v struct {
		Usage struct {
			Prompt int64 `json:"prompt_tokens"`
			Output int64 `json:"completion_tokens"`
		}
	}
	_ = json.Unmarshal(lastWith(body, `"usage":{`, stream), &v)
	return v.Usage.Prompt, v.Usage.Output
}

func responseUsed(body []byte, stream bool) (int64, int64) {
	var v struct {
		responseBody
		Response responseBody
	}
	_ = json.Unmarshal(lastWith(body, `"response.completed"`, stream), &v)
	if stream {
		v.responseBody = v.Response
	}
	return v.Usage.Input, v.Usage.Output
}

func messageUsed(body []byte, stream bool) (int64, int64) {
	var v struct{ Usage messageUsage }
	_ = json.Unmarshal(lastWith(body, `"message_delta"`, stream), &v)
	return v.Usage.Input + v.Usage.Read + v.Usage.Write, v.Usage.Output
}

// asking returns the body for a format, streamed or not.
func (e entranceCase) asking(format string, stream bool) string {
	body := fmt.Sprintf(e.body, "on-"+format)
	if stream {
		body = streamed(body)
		if strings.Contains(e.path, "chat") {
			body = strings.TrimSuffix(body, "}") + `,"stream_options":{"include_usage":true}}`
		}
	}
	return body
}

var scriptedAnswer = scripted.Reply{
	Thought: "let me think about it", Proof: "c2lnbmF0dXJl", Text: "here is what I think of it",
	Calls: []scripted.Call{{ID: "call_a", Name: "f", Arguments: `{"x":1}`}, {ID: "call_b", Name: "g", Arguments: `{"yy":22}`}},
}

// TestFaultsOfEveryFormatAtEveryEntrance breaks answers in every way: the client is told so in
// the format of the entrance, and everything that was begun is settled.
func TestFaultsOfEveryFormatAtEveryEntrance(t *testing.T) {
	var mu sync.Mutex
	var fault scripted.Fault
	g, _ := scriptedRig(t, providers.Options{IdleTimeout: 20 * time.Millisecond}, func(scripted.Turn) scripted.Reply {
		mu.Lock()
		defer mu.Unlock()
		r := scriptedAnswer
		r.Fault = fault
		return r
	})
	for _, format := range scripted.Formats() {
		for _, e := range entranceCases {
			for _, kind := range scripted.Faults() {
				for _, after := range []int{0, 1, 3, 5, 7, 9, 100} {
					if kind == scripted.Refused && after > 0 || kind == scripted.Stalled && after%5 != 0 {
						continue
					}
					mu.Lock()
					fault = scripted.Fault{Kind: kind, After: after}
					mu.Unlock()
					name := fmt.Sprintf("%s at %s after %d of %s", kind, e.path, after, format)
					got := g.do(g.request(http.MethodPost, e.path, e.asking(format, true)))
					e.checkFault(t, g, name, got)
				}
				mu.Lock()
				fault = scripted.Fault{Kind: kind}
				mu.Unlock()
				got := g.do(g.request(http.MethodPost, e.path, e.asking(format, false)))
				e.checkFault(t, g, fmt.Sprintf("%s whole at %s of %s", kind, e.path, format), got)
			}
		}
	}
	prove.Eventually(t, "nothing is held", func() bool { return g.ledger.held.Load() == 0 })
}

// checkFault expects an error in the format of the entrance, or a stream that says that it
// failed.
func (e entranceCase) checkFault(t *testing.T, g *rig, name string, got reply) {
	t.Helper()
	if got.StatusCode == http.StatusOK && strings.Contains(got.Header.Get("Content-Type"), "event-stream") {
		if how := e.ended(t, eventsOf([]byte(got.body))); how != "failed" {
			t.Errorf("%s: the stream ended %q: %s", name, how, got.body)
		}
		return
	}
	var failure struct {
		Type  string
		Error struct{ Type, Code, Message string }
	}
	err := json.Unmarshal([]byte(got.body), &failure)
	if err != nil || got.StatusCode < 500 || failure.Error.Code == "" || failure.Error.Message == "" ||
		(failure.Type == "error") != (e.path == messagesPath) {
		t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
	}
}

// TestMixedRequestsAtThreeEntrancesEqualTheUpstreamsBill sends 500 requests of all kinds.
func TestMixedRequestsAtThreeEntrancesEqualTheUpstreamsBill(t *testing.T) {
	g, u := scriptedRig(t, providers.Options{}, func(turn scripted.Turn) scripted.Reply {
		r := scriptedAnswer
		if turn.Says("short") {
			r = scripted.Reply{Text: "yes"}
		}
		n := int64(len(turn.Body))
		r.Usage = scripted.Usage{Prompt: 100 + n%37, Cached: 11 + n%7, Output: 5 + n%13}
		return r
	})
	formats := scripted.Formats()
	for n := range 500 {
		e, format, stream := entranceCases[n%3], formats[n%len(formats)], n%5 < 3
		body := e.asking(format, stream)
		if n%4 == 0 {
			body = strings.Replace(body, `"hi"`, fmt.Sprintf(`"short %d"`, n*7919), 1)
		}
		got := g.do(g.request(http.MethodPost, e.path, body))
		if got.StatusCode != http.StatusOK {
			t.Fatalf("%s at %s: %d %s", format, e.path, got.StatusCode, got.body)
		}
		row := g.waitSettled().Attempts[0]
		prompt, output := e.used([]byte(got.body), stream)
		if prompt != row.Tokens.Prompt() || output != row.Tokens.Output {
			t.Fatalf("%s at %s: the client is told of %d and %d tokens, %d and %d are booked: %s", format, e.path, prompt, output,
				row.Tokens.Prompt(), row.Tokens.Output, got.body)
		}
	}
	bill := u.Bill()
	var booked scripted.Usage
	for _, row := range g.ledger.rows {
		booked.Prompt += row.Tokens.Prompt()
		booked.Cached += row.Tokens.CacheRead
		booked.Output += row.Tokens.Output
	}
	if bill.Answers != 500 || booked != bill.Usage {
		t.Errorf("booked are %+v, billed %+v", booked, bill)
	}
}

// TestEventsBehindTheUsageDoNotPileUp has a provider that never stops sending after it has
// reported its usage: that violates the format, and is not kept in memory.
func TestEventsBehindTheUsageDoNotPileUp(t *testing.T) {
	g, w := newRig(t), newWire(t)
	g.calls(w, families["anthropic-messages"], "claude-x")
	w.kind = "text/event-stream"
	w.answer = []byte(`data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x",` +
		`"content":[],"usage":{"input_tokens":9,"output_tokens":1}}}` + "\n\n" +
		`data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}` + "\n\n" +
		strings.Repeat(`data: {"type":"ping"}`+"\n\n", 2*mostBehind) + `data: {"type":"message_stop"}` + "\n\n")
	got := g.do(g.request(http.MethodPost, "/v1/messages",
		`{"model":"native","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if how := messageEnded(t, eventsOf([]byte(got.body))); how != "failed" {
		t.Errorf("it ends %q: %.2000s", how, got.body)
	}
	if row := g.waitSettled().Attempts[0]; row.Tokens.Input != 9 || row.Tokens.Output != 5 {
		t.Errorf("booked are %+v", row.Tokens)
	}
}

// TestErrorTableInTheOtherFormats checks every error of chat at both other entrances: the same
// status, code, texts and headers, each in its own format.
func TestErrorTableInTheOtherFormats(t *testing.T) {
	for _, tc := range examples {
		g := newRig(t, func(o *Options) { o.Router = fails{tc.err} })
		want := g.chat(hi)
		chatError, _ := want.object(t)["error"].(map[string]any)
		for _, e := range entranceCases[1:] {
			got := g.do(g.request(http.MethodPost, e.path, fmt.Sprintf(e.body, "m")))
			object := got.object(t)
			failure, _ := object["error"].(map[string]any)
			renamed := failure["param"] != chatError["param"] // to the member's name there, in the texts, too
			if got.StatusCode != want.StatusCode || failure["code"] != chatError["code"] ||
				!renamed && (failure["message"] != chatError["message"] || failure["fix"] != chatError["fix"]) ||
				got.Header.Get("Retry-After") != want.Header.Get("Retry-After") {
				t.Errorf("%s at %s: %d %s, want as %d %s", tc.code, e.path, got.StatusCode, got.body, want.StatusCode, want.body)
			}
			if e.path != messagesPath {
				continue
			}
			if kind, _ := failure["type"].(string); object["type"] != "error" || kind == "" || object["request_id"] == "" ||
				(kind == "authentication_error") != (got.StatusCode == 401) || (kind == "rate_limit_error") != (got.StatusCode == 429) {
				t.Errorf("%s is no error of Anthropic: %s", tc.code, got.body)
			}
		}
	}
}
